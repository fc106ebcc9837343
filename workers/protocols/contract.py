"""The plug-in contract: what a protocol says of itself, as data and one function, checked when it is made.

The engine derives the rest: see `pipeline/store/state.py` for what becomes of a `StateTable`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

if TYPE_CHECKING:  # it brings pyarrow
    from workers.protocols.columns import Events, Rows

ColumnType = Literal["contract", "address", "integer", "u32", "ledger"]
Merge = Literal["sum", "last", "max"]
DeleteAt = Literal["zero", "null"]

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_SYMBOL = re.compile(r"[A-Za-z0-9_]{1,32}")  # what an event's first topic can be: an SCSymbol
_NAME = re.compile(r"[a-z][a-z0-9_]{0,53}")  # the engine puts a word before or behind it, and PostgreSQL cuts at 63
# The engine's own columns of rows on their way into a state table, and a plug-in's, of where each row stands.
_TAKEN = {"operation_id", "change_index", "certain", "as_of", "event", "side"}
_NUMBERS = {"integer", "u32", "ledger"}
_HISTORY = ("certain_changes", "state_changes")


class Function(NamedTuple):
    """The types of a contract function's inputs and outputs, in order, as `workers._decode.spec_functions` has them."""

    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()


Functions = Mapping[str, Function]  # of one WASM, by name


class ProtocolError(Exception):
    """A plug-in that cannot be used; the text names it."""


@dataclass(frozen=True, slots=True)
class Key:
    """A column that rows are told apart by."""

    name: str
    type: ColumnType


@dataclass(frozen=True, slots=True)
class Value:
    """A column that merges: `sum` adds up, `last` takes the newest, also NULL, and `max` the greatest.

    A row goes away when every column of it that has a `delete_at` is at it.
    """

    name: str
    type: ColumnType
    merge: Merge
    delete_at: DeleteAt | None = None

    @property
    def nullable(self) -> bool:
        """Whether the value may be NULL: only the newest can, for NULL has no place in a sum and no rank."""
        return self.merge == "last"


@dataclass(frozen=True, slots=True, kw_only=True)
class StateTable:
    """A table of current state, in words of what merges; `ValueError` for one that would depend on how it is cut.

    Folding K ledgers at once has to equal K folds of one. So what a deleted row held must not be missed later: beside a
    `delete_at`, a `sum` has one too (at zero nothing of it is lost), and a `max` is the ledger, which never falls.
    """

    name: str
    key: tuple[Key, ...]
    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        """Refuse what cannot be a table, and what would not fold."""
        names = [self.name, *(key.name for key in self.key), *(value.name for value in self.values)]
        for name in names:
            _require(_NAME.fullmatch(name), f"no name for a table or column: {name!r}")
        _require(
            len({*names[1:]} | _TAKEN) == len(names) - 1 + len(_TAKEN), f"{self.name}: names of columns that are taken"
        )
        first = self.key[0] if self.key else None
        _require(first == Key("contract_id", "contract"), f"{self.name}: the first key is the contract, `contract_id`")
        _require(self.values, f"{self.name}: nothing to keep beside the key")
        for key in self.key:
            _require(key.type in get_args(ColumnType), f"{self.name}.{key.name}: no type {key.type!r}")
        for value in self.values:
            self._check(value)

    @property
    def deleting(self) -> tuple[Value, ...]:
        """The columns that decide whether a row goes away."""
        return tuple(value for value in self.values if value.delete_at)

    def _check(self, value: Value) -> None:
        where = f"{self.name}.{value.name}"
        _require(value.type in get_args(ColumnType), f"{where}: no type {value.type!r}")
        _require(value.merge in get_args(Merge), f"{where}: no merge {value.merge!r}")
        _require(value.delete_at in (None, *get_args(DeleteAt)), f"{where}: nothing to delete at: {value.delete_at!r}")
        if value.merge == "sum":
            _require(value.type == "integer", f"{where}: only an integer holds a sum of any size")
        if value.delete_at:
            _require(value.merge != "max", f"{where}: a maximum deletes no row")
        if value.delete_at == "zero":
            _require(value.type in _NUMBERS, f"{where}: {value.type} has no zero")
        if value.delete_at == "null":
            _require(value.nullable, f"{where}: a {value.merge} is never NULL")
        if self.deleting:
            _require(
                value.merge != "sum" or value.delete_at == "zero",
                f"{where}: a sum would be lost with the row: it needs `delete_at` too",
            )
            _require(
                value.merge != "max" or value.type == "ledger",
                f"{where}: a maximum would be lost with the row, unless it is the ledger, which never falls",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """A contract standard as the engine knows it; `ValueError` for what cannot be one.

    `claims` is given the functions of a WASM and says whether contracts of it follow the protocol; it is asked once a
    WASM and must answer from its argument alone.
    `topics`: the symbols that its events begin with; others are never looked at.
    `rows_an_event`: the most rows of history that one event gives, so that each row's place follows from its event.
    `rows`: what makes rows of events, many at once; None where the decoder does it, as of those that come built in.
    """

    id: str
    claims: Callable[[Functions], bool]
    claims_assets: bool = False  # whether Stellar Asset Contracts, which have no WASM, are of this protocol
    topics: frozenset[str]
    rows_an_event: int
    state: tuple[StateTable, ...] = ()
    rows: Callable[[Events], Rows] | None = None

    def __post_init__(self) -> None:
        """Refuse an id that is no file name, key and prefix at once, and what no event can be."""
        _require(
            isinstance(self.id, str) and _ID.fullmatch(self.id),
            f"bad id {self.id!r}: it is a letter or digit, then up to 62 letters, digits, '_' and '-'",
        )
        for topic in self.topics:
            _require(_SYMBOL.fullmatch(topic), f"no symbol: {topic!r}")
        _require(self.topics, "no topics: it would see no event")
        _require(self.rows_an_event >= 1, f"{self.rows_an_event} rows an event: at least 1")
        _require(self.rows is None or callable(self.rows), "`rows` is no function")
        for table in self.state:
            named = table.name.startswith(self._prefix)
            _require(named, f"the name of state table {table.name} begins with {self._prefix!r}")
            _require(not table.name.endswith(_HISTORY), f"{table.name} is named as a history is")
        _require(len({table.name for table in self.state}) == len(self.state), "two state tables of one name")

    @property
    def history(self) -> tuple[str, str]:
        """The sections of its history: of contracts that are its own for certain, and of all others."""
        certain, other = (f"{self._prefix}{name}" for name in _HISTORY)
        return certain, other

    @property
    def _prefix(self) -> str:
        return f"{self.id.lower().replace('-', '_')}_"


def _require(fact: object, otherwise: str) -> None:
    if not fact:
        raise ValueError(otherwise)
