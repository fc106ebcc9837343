"""The token sections of a chunk, taken apart into what the books have."""

from __future__ import annotations

import heapq
import os
from collections import Counter
from dataclasses import dataclass
from typing import Any

from decoding import Objects, number, parse

from workers import _decode

SECTIONS = [
    "sep41_certain_changes",
    "sep41_state_changes",
    "sep41_balances",
    "sep41_allowances",
    "sep50_state_changes",
    "sep50_tokens",
    "sep41_events",
    "sep50_events",
]
_KEYS = {"sep41_balances": 2, "sep41_allowances": 3, "sep50_tokens": 2}  # columns of the key, behind the first
Row = tuple[Any, ...]  # Any: each column has a type of its own


@dataclass(frozen=True)
class Tokens:
    """A chunk, and the rows of its token sections by section."""

    chunk: _decode.Chunk
    rows: dict[str, list[Row]]

    @property
    def history(self) -> list[Row]:
        """Both sections of the history of fungible tokens, put together in the order of events."""
        both = self.rows["sep41_certain_changes"], self.rows["sep41_state_changes"]
        return list(heapq.merge(*both, key=lambda row: (row[2], row[3])))


def decode(
    passphrase: str, first: int, last: int, objects: Objects, *, framed: bool = False, tables: list[str] = SECTIONS
) -> Tokens:
    """Decode a sound chunk with a new decoder, for the rows of tokens alone."""
    decoder = _decode.Decoder(passphrase, tables=tables)
    with os.fdopen(os.memfd_create("rows"), "rb") as file:
        chunk = decoder.chunk(first, last, objects, file.fileno(), framed=framed)
        assert chunk.error is None
        file.seek(0)
        written = file.read()
    sections = {name: parse(written[at : at + length]) for name, _, at, length in chunk.sections}
    sections |= {name: _in_order(name, sections[name]) for name in _KEYS.keys() & sections}
    return Tokens(chunk, {name: [_READ[name](*row) for row in rows] for name, rows in sections.items()})


def _in_order(section: str, rows: list[Row]) -> list[Row]:
    """Hold rows of state against the order of their keys, and against which of them are alone: their last column."""
    keys = [row[1 : 1 + _KEYS[section]] for row in rows]
    if section == "sep50_tokens":  # equal numbers are one key, whatever types stand before their digits
        keys = [(contract, int.from_bytes(token[4:], "big")) for contract, token in keys]
    assert keys == sorted(keys)
    times = Counter(keys)
    assert [row[-1] == b"\1" for row in rows] == [times[each] == 1 for each in keys]
    return [row[:-1] for row in rows]


def numeric(value: bytes) -> int:
    """Read a whole number as PostgreSQL sends it."""
    digits, weight, sign, scale, *rest = (int.from_bytes(value[at : at + 2], "big") for at in range(0, len(value), 2))
    assert digits == len(rest)
    assert scale == 0
    assert not rest or (rest[0] and rest[-1])  # no zeros at either end
    size = sum(digit * 10_000 ** (weight - place) for place, digit in enumerate(rest))
    return {0: size, 0x4000: -size}[sign]


def _maybe(value: bytes | None) -> int | None:
    return None if value is None else number(value)


def _certain(*row: Any) -> Row:  # Any: bytes or NULL
    return True, *_change(*row)[1:]


def _change(protocol: bytes, operation: bytes, index: bytes, *rest: Any) -> Row:  # Any: bytes or NULL
    contract, account, category, reason, amount, token, counterparty, muxed, live_until = rest
    place = (False, protocol.decode(), number(operation), number(index))
    what = (contract, account, number(category), number(reason), None if amount is None else numeric(amount))
    return (*place, *what, token, counterparty, muxed, _maybe(live_until))


def _balance(certain: bytes, contract: bytes, account: bytes, as_of: bytes, delta: bytes, last: bytes) -> Row:
    return certain == b"\1", contract, account, number(as_of), numeric(delta), number(last)


def _allowance(certain: bytes, contract: bytes, owner: bytes, spender: bytes, *rest: bytes) -> Row:
    as_of, amount, *more = rest
    return certain == b"\1", contract, owner, spender, number(as_of), numeric(amount), *map(number, more)


def _token(certain: bytes, contract: bytes, token: bytes, as_of: bytes, owner: bytes | None, *place: bytes) -> Row:
    return certain == b"\1", contract, token, number(as_of), owner, *map(number, place)


def _events(contract: bytes, as_of: bytes, events: bytes) -> Row:
    return contract, number(as_of), number(events)


_READ = dict(zip(SECTIONS, (_certain, _change, _balance, _allowance, _change, _token, _events, _events), strict=True))
