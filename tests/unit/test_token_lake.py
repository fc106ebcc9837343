"""The truth beside a lake of tokens: it is what an independent reader makes of the ledgers, and so does the decoder."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from stellar_sdk import Asset, StrKey, scval, xdr
from test_lake_make import SYNTHETIC, files, make, objects, source
from test_token_rows import agrees
from token_books import Books, Side
from token_rows import decode
from xdrlib3 import Unpacker

from workers.sources.layout import Layout

FIRST, LEDGERS = 1000, 40
LAYOUT = Layout(ledgers_per_object=1, objects_per_partition=64_000)
I128_MAX = 2**127 - 1
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
        sequence = ledger.v2.ledger_header.header.ledger_seq.uint32
        latest: dict[bytes, bytes | None] = {}
        for entry in _entries(ledger.v2):
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
        return "SEP41" if wasm is None else self.codes[wasm]

    def _write(self, certain: bool, protocol: str, operation: int, index: int, contract: bytes, side: Side) -> None:
        if certain or self._protocol(contract) == protocol:
            super()._write(certain, protocol, operation, index, contract, side)


def _entries(meta: xdr.LedgerCloseMetaV2) -> Iterator[xdr.LedgerEntry]:
    """Yield entries as they are after each change."""
    for processed in meta.tx_processing:
        v4 = processed.tx_apply_processing.v4
        for changes in (v4.tx_changes_before, *(operation.changes for operation in v4.operations), v4.tx_changes_after):
            for change in changes.ledger_entry_changes:
                if entry := change.created or change.updated or change.restored:
                    yield entry


def claimed(wasm: bytes) -> str | None:
    """Return the protocol whose functions are all in the code's specification, with their types."""
    found = dict(functions(wasm))
    for protocol, interface in INTERFACES:
        if interface.items() <= found.items():
            return protocol
    return None


def functions(wasm: bytes) -> Iterator[tuple[str, str]]:
    """Yield name and types of each function; sections here are of less than 16,384 bytes and custom ones all."""
    at = 8
    while at < len(wasm):
        length, wide = (wasm[at + 1] & 0x7F, 2) if wasm[at + 1] < 0x80 else (wasm[at + 1] & 0x7F | wasm[at + 2] << 7, 3)
        body = wasm[at + wide : at + wide + length]
        at += wide + length
        name, content = body[1 : 1 + body[0]], body[1 + body[0] :]
        unpacker = Unpacker(content if name == b"contractspecv0" else b"")
        while unpacker.get_position() < len(unpacker.get_buffer()):
            function = xdr.SCSpecEntry.unpack(unpacker).function_v0
            types = [*(given.type for given in function.inputs), "->", *function.outputs]
            words = [of if isinstance(of, str) else of.type.name.removeprefix("SC_SPEC_TYPE_") for of in types]
            yield function.name.sc_symbol.decode(), " ".join(words)


def _raw(strkey: str) -> bytes:
    return base64.b32decode(strkey + "=" * (-len(strkey) % 8))[:-2]


def truth(lake: Path, kind: str) -> list[dict[str, Any]]:
    """Return the lines of a kind."""
    lines = [json.loads(line) for line in (lake / "truth.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == kind]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("tokens") / "lake", LEDGERS, first=FIRST, shape="tokens")


@pytest.fixture(scope="module")
def ledgers(lake: Path) -> list[xdr.LedgerCloseMeta]:
    plain = (zstandard.ZstdDecompressor().stream_reader(data).read() for _, data in source(lake))
    return [xdr.LedgerCloseMeta.from_xdr_bytes(batch[12:]) for batch in plain]  # behind the head, one ledger each


@pytest.fixture(scope="module")
def ruled(ledgers: list[xdr.LedgerCloseMeta]) -> Ruled:
    """A serial fold over the ledgers."""
    kept = Ruled(SYNTHETIC)
    for ledger in ledgers:
        kept.add(ledger)
    return kept


def test_contracts_are_what_the_truth_says_and_from_then_on(lake: Path, ruled: Ruled) -> None:
    """Every deployment and upgrade is in the truth, with the protocol that the code's specification claims."""
    told = [
        (
            StrKey.decode_contract(line["contract"]),
            line["from_ledger"],
            line["protocol"],
            bytes.fromhex(line["wasm_hash"]) if line["wasm_hash"] else None,
        )
        for line in truth(lake, "contract")
    ]
    assert sorted(told, key=str) == sorted(ruled.changes, key=str)
    assert Counter(protocol for _, _, protocol, _ in told).keys() == {"SEP41", "SEP50", None}
    lives = [{protocol for contract, _, protocol, _ in told if contract == each} for each, *_ in told]
    assert {"SEP41", None} in lives
    assert {"SEP41", "SEP50"} in lives


def test_balances_are_those_of_a_serial_fold(lake: Path, ruled: Ruled) -> None:
    """Sums of every contract and account agree, those beyond an i128 as well, and none at zero is told."""
    told = {
        (StrKey.decode_contract(line["contract"]), _raw(line["account"])): (int(line["balance"]), line["last_ledger"])
        for line in truth(lake, "balance")
    }
    assert told == {key: held for key, held in ruled.balances.items() if held[0]}
    assert max(balance for balance, _ in told.values()) > I128_MAX
    assert min(balance for balance, _ in told.values()) < -I128_MAX - 1
    native = StrKey.decode_contract(Asset.native().contract_id(SYNTHETIC))
    assert any(contract == native for contract, _ in told)
    assert {account[0] >> 3 for _, account in told} == {1, 2, 6, 11}  # B, C, G, L


def test_allowances_are_the_last_that_were_approved(lake: Path, ruled: Ruled) -> None:
    """Of each owner and spender the last one stands, with its ledgers."""
    told = {
        (StrKey.decode_contract(line["contract"]), _raw(line["owner"]), _raw(line["spender"])): (
            int(line["amount"]),
            line["live_until_ledger"],
            line["last_ledger"],
        )
        for line in truth(lake, "allowance")
    }
    assert told
    assert told == {key: held[:3] for key, held in ruled.allowances.items() if held[0]}


def test_owners_are_the_last_to_come_to_a_token(lake: Path, ruled: Ruled) -> None:
    """Each collectible has the owner that it came to last, and a burnt one none."""
    told = {
        (StrKey.decode_contract(line["contract"]), int(line["token_id"])): (_raw(line["owner"]), line["last_ledger"])
        for line in truth(lake, "owner")
    }
    folded = {
        (contract, scval.to_native(token)): held[:2] for (contract, token), held in ruled.owners.items() if held[0]
    }
    assert told == folded
    assert len(folded) < len(ruled.owners)
    assert max(token for _, token in told) > 2**255


def test_the_decoder_reads_the_lake_as_the_books_do(lake: Path, ledgers: list[xdr.LedgerCloseMeta]) -> None:
    """History, state and what is left alone, of whatever contract."""
    kept = Books(SYNTHETIC)
    for ledger in ledgers:
        kept.add(ledger)
    agrees(decode(SYNTHETIC, FIRST, FIRST + LEDGERS - 1, list(objects(lake, LAYOUT))), kept)
    assert min(kept.left_alone.values()) > LEDGERS


def test_another_seed_gives_another_truth_and_threads_none(lake: Path, tmp_path: Path) -> None:
    """The truth follows from the order alone, as the ledgers do."""
    options = {"first": FIRST, "shape": "tokens"}
    assert files(make(tmp_path / "same", LEDGERS, threads=4, **options)) == files(lake)
    other = make(tmp_path / "other", LEDGERS, seed=2, **options)
    assert (other / "truth.jsonl").read_bytes() != (lake / "truth.jsonl").read_bytes()
