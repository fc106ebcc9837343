"""A table of rows that a plug-in gave, checked: its columns, its types, and which event each row is of."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from workers import _decode
from workers.protocols.columns import Events, is_bytes

_WIDEST = pa.decimal256(76, 0)
_NUMBERS = {"integer", "code", "u32"}  # kinds that are given as numbers, or as the ScVals that hold them
_ROW = "event and side"  # a name that no column can have


class Wrong(Exception):
    """What a plug-in gave cannot be taken."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column as it goes into a section."""

    name: str
    kind: str  # of `_decode.copy_rows`
    array: pa.Array
    nullable: bool = False

    def only(self, mask: pa.Array) -> Column:
        """Return the same for some of the rows."""
        return Column(self.name, self.kind, self.array.filter(mask), self.nullable)


def copy_rows(table: str, columns: Sequence[Column]) -> tuple[int, bytes]:
    """Return how many rows these are, and their part of a COPY stream; `Wrong` for a value that is not of its kind."""
    rows = len(columns[0].array)
    told = [
        (each.name, each.kind, each.nullable, each.kind in _NUMBERS and is_bytes(each.array.type), each.array)
        for each in columns
    ]
    try:
        return rows, _decode.copy_rows(rows, told)
    except ValueError as error:
        raise Wrong(f"{table}: {error}") from error


class Given:
    """The rows of one table, in the order of their events and sides."""

    def __init__(self, name: str, given: object, events: Events, rows_an_event: int) -> None:
        """Check that it is a table, and of which event and side each of its rows is."""
        if not isinstance(given, pa.Table):
            raise Wrong(f"{name} is no pyarrow.Table: {type(given).__name__}")
        self._name, self._events = name, events
        doubled = {column for column in given.column_names if given.column_names.count(column) > 1}
        self._require(not doubled, f"columns that come twice: {_listed(doubled)}")
        event = self._place(given, "event", len(events))
        side = self._place(given, "side", rows_an_event) if "side" in given.column_names else _zeros(len(event))
        order = pc.sort_indices(place := pc.add(pc.multiply(event, rows_an_event), side))
        self._table, self._event, self._order = given.take(order), event.take(order), place.take(order)
        index = pc.multiply(events.event_index.cast(pa.int64()).take(self._event), rows_an_event)
        self._index = pc.add(index, side.take(order)).cast(pa.int32())

    @property
    def place(self) -> list[Column]:
        """Where each row stands: operation_id and change_index."""
        return [self.of_event("operation_id", "int8"), Column("change_index", "int4", self._index)]

    def require(self, columns: Collection[str], *, optional: Collection[str] = ()) -> None:
        """Require these columns, and no other ones."""
        names = {*self._table.column_names} - {"event", "side"}
        missing, unknown = {*columns} - {*optional} - names, names - {*columns}
        self._require(not missing, f"columns that are missing: {_listed(missing)}")
        self._require(not unknown, f"columns that nobody knows: {_listed(unknown)}")

    def require_one_a_place(self, key: Sequence[Column] = ()) -> None:
        """Require that no two rows with one key are of one event and side: which of them comes last, nobody knows."""
        rows = len(self._order)
        if pc.count_distinct(self._order).as_py() == rows:
            return
        self._require(bool(key), "two rows of one event and side")
        table = pa.table([self._order, *(column.array for column in key)], [_ROW, *(column.name for column in key)])
        keys = table.group_by(table.column_names, use_threads=False).aggregate([])
        self._require(keys.num_rows == rows, "two rows of one event and side with one key")

    def of_event(self, name: str, kind: str, *, called: str = "") -> Column:
        """Return a column of the events, for each row."""
        array = getattr(self._events, name).take(self._event)
        return Column(called or name, kind, array.cast(pa.binary()) if kind == "contract" else array)

    def column(self, name: str, kind: str, *, nullable: bool) -> Column:
        """Return a column that was given; of NULLs alone where it was not."""
        if name not in self._table.column_names:
            nulls = pa.nulls(len(self._event), _WIDEST if kind in _NUMBERS else pa.binary())
            return Column(name, kind, nulls, nullable)
        array = self._table.column(name).combine_chunks()
        if is_bytes(array.type) and not (kind in _NUMBERS and pa.types.is_null(array.type)):
            array = array.cast(pa.binary())
        else:
            whole = kind in _NUMBERS and _is_whole(array.type)
            self._require(whole, f"{name} is {array.type}, which holds no {kind}")
            array = array.cast(_WIDEST)
        array.validate()
        return Column(name, kind, array, nullable)

    def _place(self, given: pa.Table, name: str, most: int) -> pa.Array:
        self._require(name in given.column_names, f"columns that are missing: {name}")
        array = given.column(name).combine_chunks()
        self._require(pa.types.is_integer(array.type), f"{name} is {array.type}, not an integer")
        self._require(not array.null_count, f"{name}: a row without a value")
        span = pc.min_max(array.cast(pa.int64())).as_py()
        within = not len(array) or (span["min"] >= 0 and span["max"] < most)
        self._require(within, f"{name} is from {span['min']} to {span['max']}, not within 0 to {most - 1}")
        return array.cast(pa.int64())

    def _require(self, fact: bool, otherwise: str) -> None:
        if not fact:
            raise Wrong(f"{self._name}: {otherwise}")


def _is_whole(kind: pa.DataType) -> bool:
    whole: bool = pa.types.is_integer(kind) or pa.types.is_null(kind)
    return whole or bool(pa.types.is_decimal(kind) and kind.scale == 0)


def _zeros(length: int) -> pa.Array:
    return pa.repeat(pa.scalar(0, pa.int64()), length)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
