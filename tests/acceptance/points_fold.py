"""What the documented plug-in makes of a lake of tokens, by a serial fold of the tests' own."""

from __future__ import annotations

from typing import Any

from stellar_sdk import scval, xdr
from token_books import Holder, events_of, read
from token_rules import entries

REASONS = {"transfer": 1, "mint": 2, "burn": 3}
WHOLE = {"u32", "i32", "u64", "i64", "u128", "i128"}
Rows = list[tuple[Any, ...]]


class Points:
    """What contracts whose code has `burnFrom` tell, ledger by ledger, on stellar-sdk."""

    def __init__(self) -> None:
        """Know nothing."""
        self.codes: set[bytes] = set()
        self.runs: dict[bytes, bytes | None] = {}
        self.changes: Rows = []
        self.held: dict[tuple[bytes, bytes], tuple[int, int]] = {}
        self.admins: dict[bytes, tuple[bytes, int]] = {}

    def add(self, ledger: xdr.LedgerCloseMeta) -> None:
        """Take down what runs from this ledger on, then what it tells."""
        meta = ledger.v2
        sequence = meta.ledger_header.header.ledger_seq.uint32
        for entry in entries(meta):
            code, held = entry.data.contract_code, entry.data.contract_data
            if code and b"burnFrom" in code.code:
                self.codes.add(code.hash.hash)
            elif held and held.key.type == xdr.SCValType.SCV_LEDGER_KEY_CONTRACT_INSTANCE:
                wasm = held.val.instance.executable.wasm_hash
                self.runs[held.contract.contract_id.contract_id.hash] = wasm.hash if wasm else None
        for number, processed in enumerate(meta.tx_processing, 1):
            code = processed.result.result.result.code
            succeeded = code.name in ("txSUCCESS", "txFEE_BUMP_INNER_SUCCESS")
            for operation, index, event in events_of(processed.tx_apply_processing, succeeded):
                contract = event.contract_id.contract_id.hash if event.contract_id else None
                if operation and event.type == xdr.ContractEventType.CONTRACT and self.runs.get(contract) in self.codes:
                    self._tell(sequence << 32 | number << 12 | operation, index, contract, event.body.v0)

    def _tell(self, operation: int, index: int, contract: bytes, told: xdr.ContractEventV0) -> None:
        name, *who = (read(topic).held for topic in told.topics)
        data, ledger = read(told.data), operation >> 32
        amount = whole(data.held.get("amount", data).xdr if isinstance(data.held, dict) else data.xdr)
        if told.topics[0].type != xdr.SCValType.SCV_SYMBOL or not who or not isinstance(who[0], Holder):
            return
        if name == "set_admin" and len(who) == 1 and isinstance(data.held, Holder):
            self.admins[contract] = (data.held.address, ledger)
        sides = {"transfer": [(0, -1), (1, 1)], "mint": [(0, 1)], "burn": [(0, -1)]}.get(str(name), [])
        if amount is None or amount < 0 or len(who) != max(len(sides), 1) or not isinstance(who[-1], Holder):
            return
        for side, sign in sides:
            account = who[side].address
            self.changes.append((operation, 2 * index + side, contract, account, 1, REASONS[name], sign * amount))
            old = self.held.get((contract, account), (0, 0))[0]
            self.held[contract, account] = (old + sign * amount, ledger)

    def rows(self) -> dict[str, Rows]:
        """Return the rows of each table in its order."""
        return {
            "state_changes": sorted(self.changes),
            "points_held": sorted((*key, *held) for key, held in self.held.items() if held[0]),
            "points_admins": sorted((contract, *admin) for contract, admin in self.admins.items()),
        }


def whole(value: bytes) -> int | None:
    held = xdr.SCVal.from_xdr_bytes(value)
    return scval.to_native(held) if held.type.name.removeprefix("SCV_").lower() in WHOLE else None
