"""Books of tokens that find out themselves which contract is of which protocol: for a serial fold over a lake."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from stellar_sdk import xdr
from token_books import Books, Side
from xdrlib3 import Unpacker

FUNGIBLE = {
    "allowance": "ADDRESS ADDRESS -> I128",
    "approve": "ADDRESS ADDRESS I128 U32 ->",
    "balance": "ADDRESS -> I128",
    "burn": "ADDRESS I128 ->",
    "burn_from": "ADDRESS ADDRESS I128 ->",
    "decimals": "-> U32",
    "name": "-> STRING",
    "symbol": "-> STRING",
    "transfer_from": "ADDRESS ADDRESS ADDRESS I128 ->",
}
COLLECTIBLE = {
    "approve": "ADDRESS ADDRESS {} U32 ->",
    "approve_for_all": "ADDRESS ADDRESS U32 ->",
    "balance": "ADDRESS -> {}",
    "get_approved": "{} -> OPTION",
    "is_approved_for_all": "ADDRESS ADDRESS -> BOOL",
    "name": "-> STRING",
    "owner_of": "{} -> ADDRESS",
    "symbol": "-> STRING",
    "token_uri": "{} -> STRING",
    "transfer": "ADDRESS ADDRESS {} ->",
    "transfer_from": "ADDRESS ADDRESS ADDRESS {} ->",
}
INTERFACES = [
    *(("SEP41", FUNGIBLE | {"transfer": f"ADDRESS {to} I128 ->"}) for to in ("ADDRESS", "MUXED_ADDRESS")),
    *(("SEP50", {name: text.format(of, of) for name, text in COLLECTIBLE.items()}) for of in ("U32", "U256")),
]


class Ruled(Books):
    """Books that also know which contract is of which protocol in which ledger, from its code's specification."""

    def __init__(self, passphrase: str) -> None:
        """Open empty books of one network."""
        super().__init__(passphrase)
        self.codes: dict[bytes, str | None] = {}
        self.runs: dict[bytes, bytes | None] = {}
        self.changes: list[tuple[bytes, int, str | None, bytes | None]] = []

    def add(self, ledger: xdr.LedgerCloseMeta) -> None:
        """Enter what contracts run from this ledger on, then its events."""
        meta = ledger.v0 or ledger.v1 or ledger.v2
        sequence = meta.ledger_header.header.ledger_seq.uint32
        latest: dict[bytes, bytes | None] = {}
        for entry in entries(meta):
            code, held = entry.data.contract_code, entry.data.contract_data
            if code:
                assert hashlib.sha256(code.code).digest() == code.hash.hash
                self.codes[code.hash.hash] = claimed(code.code)
            elif held and held.key.type == xdr.SCValType.SCV_LEDGER_KEY_CONTRACT_INSTANCE:
                wasm = held.val.instance.executable.wasm_hash
                contract = held.contract.contract_id.contract_id.hash
                latest[contract] = wasm.hash if wasm else None
        for contract, runs in latest.items():
            self._run(sequence, contract, runs)
        super().add(ledger)

    def _run(self, sequence: int, contract: bytes, wasm: bytes | None) -> None:
        if contract not in self.runs or self.runs[contract] != wasm:
            self.runs[contract] = wasm
            self.changes.append((contract, sequence, self._protocol(contract), wasm))

    def _protocol(self, contract: bytes) -> str | None:
        if contract not in self.runs:
            return None
        wasm = self.runs[contract]
        return "SEP41" if wasm is None else self.codes.get(wasm)  # of a code that was never uploaded nothing is known

    def _ask(self, protocol: str, contract: bytes) -> None:
        super()._ask(protocol, contract)
        self.left_alone[protocol] += self._protocol(contract) != protocol

    def _write(self, certain: bool, protocol: str, operation: int, index: int, contract: bytes, side: Side) -> None:
        if certain or self._protocol(contract) == protocol:
            super()._write(certain, protocol, operation, index, contract, side)


def entries(meta: xdr.LedgerCloseMetaV0 | xdr.LedgerCloseMetaV1 | xdr.LedgerCloseMetaV2) -> Iterator[xdr.LedgerEntry]:
    """Yield entries as they are before and after each change; metas before V3 are of ledgers without contracts."""
    applied = (processed.tx_apply_processing for processed in meta.tx_processing)
    for own in filter(None, (each.v3 or each.v4 for each in applied)):
        operations = (operation.changes for operation in own.operations)
        for changes in (own.tx_changes_before, *operations, own.tx_changes_after):
            for change in changes.ledger_entry_changes:
                if entry := change.state or change.created or change.updated or change.restored:
                    yield entry


def claimed(wasm: bytes) -> str | None:
    """Return the protocol whose functions are all in the code's specification, with their types."""
    found = dict(functions(wasm))
    for protocol, interface in INTERFACES:
        if interface.items() <= found.items():
            return protocol
    return None


def functions(wasm: bytes) -> Iterator[tuple[str, str]]:
    """Yield name and types of each function of the specification."""
    at = 8
    while at < len(wasm):
        is_custom = wasm[at] == 0
        length, at = leb128(wasm, at + 1)
        body, at = wasm[at : at + length], at + length
        name, content = (body[1 : 1 + body[0]], body[1 + body[0] :]) if is_custom else (b"", b"")
        unpacker = Unpacker(content if name == b"contractspecv0" else b"")
        while unpacker.get_position() < len(unpacker.get_buffer()):
            if function := xdr.SCSpecEntry.unpack(unpacker).function_v0:
                types = [*(given.type for given in function.inputs), "->", *function.outputs]
                words = [of if isinstance(of, str) else of.type.name.removeprefix("SC_SPEC_TYPE_") for of in types]
                yield function.name.sc_symbol.decode("latin-1"), " ".join(words)


def leb128(data: bytes, at: int) -> tuple[int, int]:
    """Return the number that stands there, and where it ends."""
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return value, at
