"""What tokens' events come to, kept by hand on stellar-sdk: nothing of it is shared with the decoder."""

from __future__ import annotations

import base64
import functools
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from stellar_sdk import Address, Asset, MuxedAccount, StrKey, scval, xdr

BALANCE, ALLOWANCE, AUTHORIZATION, OWNERSHIP = 1, 2, 3, 4
REASONS = {
    "transfer": 1, "mint": 2, "burn": 3, "clawback": 4, "fee": 5, "approve": 6, "approve_for_all": 7,
    "authorize": 8, "deauthorize": 9, "set_admin": 10, "remove_admin": 11,
}  # fmt: skip
NAMES = {
    "SEP41": {"transfer", "mint", "burn", "clawback", "approve", "set_authorized", "set_admin", "fee"},
    "SEP50": {"transfer", "mint", "burn", "approve", "approve_for_all"},
}
TOKEN_IDS = {"u32", "u64", "u128", "u256"}


class Value(NamedTuple):
    """An `SCVal`: the name of its type, what it holds, and its XDR."""

    kind: str
    held: object
    xdr: bytes


class Holder(NamedTuple):
    """An address, and the XDR of the `SCVal` that tells the users of one account apart."""

    address: bytes
    muxed: bytes | None = None


class Side(NamedTuple):
    """What one side of an event sees."""

    holder: Holder
    category: int
    reason: str
    amount: int | None = None
    token: bytes | None = None
    other: Holder | None = None
    live_until: int | None = None
    number: int = 0


class Books:
    """History and state of all tokens, ledger by ledger."""

    def __init__(self, passphrase: str) -> None:
        """Open empty books of one network."""
        self.passphrase = passphrase
        self.history: dict[str, list[tuple[object, ...]]] = {"SEP41": [], "SEP50": []}
        self.left_alone: Counter[str] = Counter({"SEP41": 0, "SEP50": 0})
        self.asked: dict[str, Counter[bytes]] = {"SEP41": Counter(), "SEP50": Counter()}  # events by contract
        self.balances: dict[tuple[bytes, bytes], tuple[int, int]] = {}  # sum, last ledger
        self.allowances: dict[tuple[bytes, bytes, bytes], tuple[int, ...]] = {}
        self.owners: dict[tuple[bytes, bytes], tuple[object, ...]] = {}

    def add(self, ledger: xdr.LedgerCloseMeta) -> None:
        """Enter all events of a ledger that count."""
        meta = ledger.v0 or ledger.v1 or ledger.v2
        sequence = meta.ledger_header.header.ledger_seq.uint32
        for number, processed in enumerate(meta.tx_processing, 1):
            transaction = sequence << 32 | number << 12
            succeeded = processed.result.result.result.code.name in ("txSUCCESS", "txFEE_BUMP_INNER_SUCCESS")
            for operation, index, event in events_of(processed.tx_apply_processing, succeeded):
                if event.contract_id and event.type == xdr.ContractEventType.CONTRACT:
                    self._enter(transaction | operation, index, event)

    def _enter(self, operation: int, index: int, event: xdr.ContractEvent) -> None:
        contract = event.contract_id.contract_id.hash
        topics = [read(topic) for topic in event.body.v0.topics]
        if not topics or topics[0].kind != "symbol":
            return
        name, rest, data = str(topics[0].held), topics[1:], read(event.body.v0.data)
        certain, found = self._read(contract, operation & 0xFFF == 0, name, rest, data)
        for protocol, names in NAMES.items():
            if name in names and not any(found.values()):
                self.left_alone[protocol] += 1
            if found.get(protocol) and not certain:
                self._ask(protocol, contract)
            for side in found.get(protocol) or ():
                self._write(certain, protocol, operation, index, contract, side)

    def _ask(self, protocol: str, contract: bytes) -> None:
        """Count an event that is the protocol's if its contract is."""
        self.asked[protocol][contract] += 1

    def _read(
        self, contract: bytes, is_fee: bool, name: str, rest: list[Value], data: Value
    ) -> tuple[bool, dict[str, list[Side] | None]]:
        if is_fee:
            native = sac(self.passphrase, "native") == contract
            return True, {"SEP41": fee(name, rest, data) if native else None}
        if rest and rest[-1].kind == "string":
            proven = sac(self.passphrase, str(rest[-1].held)) == contract
            return True, {"SEP41": fungible(name, rest[:-1], data) if proven else None}
        return False, {"SEP41": fungible(name, rest, data), "SEP50": collectible(name, rest, data)}

    def _write(self, certain: bool, protocol: str, operation: int, index: int, contract: bytes, side: Side) -> None:
        place = (certain, protocol, operation, 2 * index + side.number)
        who = (contract, side.holder.address, side.category, REASONS[side.reason])
        other = side.other.address if side.other else None
        what = (side.amount, side.token, other, side.holder.muxed, side.live_until)
        self.history[protocol].append((*place, *who, *what))
        ledger, written = operation >> 32, (operation >> 32, operation, index)
        if side.category == BALANCE:
            old, _ = self.balances.get(who[:2], (0, 0))
            self.balances[who[:2]] = (old + side.amount, ledger)
        if protocol == "SEP41" and side.category == ALLOWANCE:
            self.allowances[*who[:2], other] = (side.amount, side.live_until, *written)
        if side.category == OWNERSHIP:
            self.owners[contract, side.token] = (side.holder.address if side.amount == 1 else None, *written)


def speaks(raw: bytes) -> bool:
    """Return whether any symbol in a ledger is the name of a token's event: where none is, there is no such event."""
    names = {name.encode() for known in NAMES.values() for name in known}
    return any(struct.pack(">II", xdr.SCValType.SCV_SYMBOL, len(name)) + name in raw for name in names)


def events_of(meta: xdr.TransactionMeta, succeeded: bool) -> Iterator[tuple[int, int, xdr.ContractEvent]]:
    """Yield operation (0: the transaction itself), number and event."""
    if meta.v4:
        yield from ((0, index, own.event) for index, own in enumerate(meta.v4.events))
    if not succeeded:
        return
    if meta.v3 and meta.v3.soroban_meta:
        yield from ((1, index, event) for index, event in enumerate(meta.v3.soroban_meta.events))
    if meta.v4:
        for number, operation in enumerate(meta.v4.operations, 1):
            yield from ((number, index, event) for index, event in enumerate(operation.events))


def read(value: xdr.SCVal) -> Value:
    """Turn an `SCVal` into what its type says it holds; what no token uses, holds nothing here."""
    kind = value.type.name.removeprefix("SCV_").lower()
    held: object = None
    match kind:
        case "symbol":
            held = value.sym.sc_symbol.decode("latin-1")
        case "string":
            held = value.str.sc_string.decode("latin-1")
        case "bool":
            held = value.b
        case "u32":
            held = value.u32.uint32
        case "i128":
            held = (value.i128.hi.int64 << 64) + value.i128.lo.uint64
        case "address":
            held = holder(value.address)
        case "vec":
            held = [read(element) for element in value.vec.sc_vec] if value.vec else None
        case "map":
            held = _map(value.map) if value.map else None
    return Value(kind, held, value.to_xdr_bytes())


def _map(value: xdr.SCMap) -> dict[str, Value] | None:
    entries = [(read(entry.key), read(entry.val)) for entry in value.sc_map]
    fields = {str(key.held): entry for key, entry in entries if key.kind == "symbol"}
    return fields if len(fields) == len(entries) else None


def holder(address: xdr.SCAddress) -> Holder | None:
    """Return who it is, by its strkey; None where it has none."""
    try:
        strkey = Address.from_xdr_sc_address(address).address
    except (ValueError, NotImplementedError):
        return None
    if strkey.startswith("M"):
        muxed = MuxedAccount.from_account(strkey)
        return Holder(_bytes(muxed.account_id), scval.to_uint64(muxed.account_muxed_id).to_xdr_bytes())
    return Holder(_bytes(strkey))


def _bytes(strkey: str) -> bytes:
    return base64.b32decode(strkey + "=" * (-len(strkey) % 8))[:-2]


@functools.cache
def sac(passphrase: str, asset: str) -> bytes | None:
    """Return the contract of an asset as its events write it; None where it is none."""
    try:
        if asset == "native":
            return StrKey.decode_contract(Asset.native().contract_id(passphrase))
        code, issuer = asset.split(":")
        return StrKey.decode_contract(Asset(code, issuer).contract_id(passphrase))
    except Exception:  # stellar-sdk has many errors for what is no asset
        return None


def fee(name: str, rest: Sequence[Value], data: Value) -> list[Side] | None:
    """Read a transaction's own event."""
    match name, *rest, data:
        case "fee", ("address", Holder() as payer, _), ("i128", int(amount), _):
            return [Side(payer, BALANCE, "fee", -amount)] if amount > -(2**127) else None
    return None


def fungible(name: str, rest: Sequence[Value], data: Value) -> list[Side] | None:  # noqa: PLR0911
    """Read an event of SEP-41 without its asset."""
    who = [value.held for value in rest if value.kind == "address" and value.held]
    if len(who) != len(rest):
        return None
    if name in ("mint", "clawback", "set_authorized") and len(who) == 2:
        who = who[1:]  # an administrator
    match name, who:
        case "transfer", [Holder() as giver, Holder() as taker]:
            return _moved(name, giver, taker, data)
        case "mint", [Holder() as taker]:
            return _moved(name, None, taker, data)
        case (("burn" | "clawback"), [Holder() as giver]):
            return _moved(name, giver, None, data)
        case "approve", [Holder() as owner, Holder() as spender]:
            return _approved(owner, spender, data)
        case "set_authorized", [Holder() as account] if data.kind == "bool":
            return [Side(account, AUTHORIZATION, "authorize" if data.held else "deauthorize")]
        case "set_admin", [Holder() as old] if isinstance(data.held, Holder):
            removed = Side(old, AUTHORIZATION, "remove_admin", other=data.held)
            return [removed, Side(data.held, AUTHORIZATION, "set_admin", other=old, number=1)]
    return None


def _moved(name: str, giver: Holder | None, taker: Holder | None, data: Value) -> list[Side] | None:
    amount, muxed = data, None
    if isinstance(data.held, dict):
        amount = data.held.get("amount", data)
        muxed = data.held.get("to_muxed_id")
    if amount.kind != "i128" or amount.held < 0:
        return None
    sides = []
    if giver:
        sides.append(Side(giver, BALANCE, name, -amount.held, other=taker))
    if taker:
        if muxed and muxed.kind not in ("u64", "bytes", "string", "void"):
            return None
        if muxed and muxed.kind != "void" and not taker.muxed:
            taker = Holder(taker.address, muxed.xdr)
        sides.append(Side(taker, BALANCE, name, amount.held, other=giver, number=len(sides)))
    return sides


def _approved(owner: Holder, spender: Holder, data: Value) -> list[Side] | None:
    match data.held:
        case [Value() as amount, Value() as live_until]:
            pass
        case {"amount": amount, "live_until_ledger": live_until, **more} if "expiration_ledger" not in more:
            pass
        case {"amount": amount, "expiration_ledger": live_until, **more} if "live_until_ledger" not in more:
            pass
        case _:
            return None
    if amount.kind != "i128" or amount.held < 0 or live_until.kind != "u32":
        return None
    return [Side(owner, ALLOWANCE, "approve", amount.held, other=spender, live_until=live_until.held)]


def collectible(name: str, rest: Sequence[Value], data: Value) -> list[Side] | None:
    """Read an event of SEP-50."""
    token = data.held.get("token_id", data) if isinstance(data.held, dict) else data
    is_token = token.kind in TOKEN_IDS
    match name, [value.held if value.kind == "address" else value for value in rest]:
        case "transfer", [Holder() as giver, Holder() as taker] if is_token:
            lost = Side(giver, OWNERSHIP, name, -1, token.xdr, taker)
            return [lost, Side(taker, OWNERSHIP, name, 1, token.xdr, giver, number=1)]
        case (("mint" | "burn"), [Holder() as owner]) if is_token:
            return [Side(owner, OWNERSHIP, name, 1 if name == "mint" else -1, token.xdr)]
        case (("approve" | "approve_for_all"), [Holder() as owner, *more]) if len(more) == (name == "approve"):
            return _approval(name, owner, more[0] if more else None, data)
    return None


def _approval(name: str, owner: Holder, topic: object, data: Value) -> list[Side] | None:
    """The second topic of `approve` is the token or who may move it; the other one is in the data."""
    wanted = {"approve": "token_id" if isinstance(topic, Holder) else "approved", "approve_for_all": "operator"}[name]
    match data.held:
        case [Value() as first, Value() as live_until]:
            pass
        case dict(fields) if {wanted, "live_until_ledger"} <= fields.keys():
            first, live_until = fields[wanted], fields["live_until_ledger"]
        case _:
            return None
    approved, token = (topic, first) if wanted == "token_id" else (first.held, topic)
    if not isinstance(approved, Holder) or live_until.kind != "u32":
        return None
    if name == "approve" and not (isinstance(token, Value) and token.kind in TOKEN_IDS):
        return None
    return [Side(owner, ALLOWANCE, name, None, token.xdr if token else None, approved, live_until.held)]
