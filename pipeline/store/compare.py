"""Compare: the rows that a worker computed from the source against those in the store, byte for byte."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import psycopg
from psycopg import sql

from pipeline.store import queries
from pipeline.store.columns import COLUMNS, KEY_COLUMNS, Column, key_of
from workers.messages import ChunkDone, LedgerRange, Section

_SQL = queries.load("compare")
_HEADER = 19  # bytes before the first row of a binary COPY stream without extensions
_SHOWN = 32  # bytes of a long value around its first difference

_INT2, _INT4 = struct.Struct(">h"), struct.Struct(">i")

Row = list[bytes | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The first row that is not the same in the store as from the source."""

    table: str
    ledger: int
    key: str  # `id 42`
    column: str | None  # None: the whole row is missing on one side
    source: str | None  # what the source gives; None: no such row there
    store: str | None  # what the store has; None: no such row there

    def __str__(self) -> str:
        """Write it as `verify` does."""
        place = f"ledger {self.ledger}, {self.table}, {self.key}"
        if self.column is None:
            here, there = ("source", "store") if self.store is None else ("store", "source")
            return f"{place}: the row is in the {here} but not in the {there}"
        return f"{place}: {self.column} is {self.store} in the store and {self.source} in the source"


def compare(conn: psycopg.Connection, done: ChunkDone) -> Difference | None:
    """Return the first difference between a worker's rows and the store's over the same ledgers, or None.

    Nothing is written. Raises `ValueError` for a result without a sound ledger.
    """
    if done.ledgers is None:
        raise ValueError("nothing to compare: the result has no sound ledger")
    with Path(done.path).open("rb", buffering=1 << 20) as file:
        for section in done.sections:
            if difference := _Comparison(section, file).run(conn, done.ledgers):
                return difference
    return None


class _RowDiffers(Exception):
    def __init__(self, found: bytes) -> None:
        self.found = found


class _Comparison:
    """One table's rows, read from both sides at once."""

    def __init__(self, section: Section, file: BinaryIO) -> None:
        self._table, self._file = section.table, file
        self._at = section.offset + _HEADER

    def run(self, conn: psycopg.Connection, ledgers: LedgerRange) -> Difference | None:
        self._file.seek(self._at)
        try:
            with conn.cursor().copy(_select(self._table, ledgers)) as copy:
                for number, message in enumerate(copy):
                    # A message is one row, or the trailer; the first has the stream's header before it.
                    found = bytes(message)[_HEADER if number == 0 else 0 :]
                    if self._file.read(len(found)) != found:
                        raise _RowDiffers(found)  # an exception makes psycopg cancel the rest
                    self._at += len(found)
        except _RowDiffers as error:
            return self._explain(error.found)
        return None

    def _explain(self, found: bytes) -> Difference:
        self._file.seek(self._at)
        source, store = _read_row(self._file), _read_row(BytesIO(found))
        if store is None or (source is not None and self._key(source) < self._key(store)):
            return self._difference(source or [], source="a row")
        if source is None or self._key(store) < self._key(source):
            return self._difference(store, store="a row")
        for column, here, there in zip(COLUMNS[self._table], source, store, strict=True):
            if here != there:
                here_text, there_text = _texts(column, here, there)
                return self._difference(source, column.name, source=here_text, store=there_text)
        raise AssertionError("unreachable: the rows differ, so one of their columns does")

    def _difference(
        self, row: Row, column: str | None = None, *, source: str | None = None, store: str | None = None
    ) -> Difference:
        key = self._key(row)
        names = [name.name for name in COLUMNS[self._table]]
        return Difference(
            table=self._table,
            ledger=key[0] if self._table == "ledgers" else key[0] >> 32,
            key=", ".join(f"{name} {part}" for name, part in zip(names, key, strict=False)),
            column=column,
            source=source,
            store=store,
        )

    def _key(self, row: Row) -> tuple[int, ...]:
        return tuple(int.from_bytes(field or b"", "big", signed=True) for field in row[: KEY_COLUMNS[self._table]])


def _select(table: str, ledgers: LedgerRange) -> sql.Composed:
    names = [column.name for column in COLUMNS[table]]
    return queries.template(
        _SQL["rows"],
        {
            "table": sql.Identifier(table),
            "columns": sql.SQL(", ").join(map(sql.Identifier, names)),
            "key": sql.Identifier(names[0]),
            "order": sql.SQL(", ").join(map(sql.Identifier, names[: KEY_COLUMNS[table]])),
            "low": sql.Literal(key_of(table, ledgers.first)),
            "high": sql.Literal(key_of(table, ledgers.last) + (0 if table == "ledgers" else 2**32 - 1)),
        },
    )


def _read_row(stream: BinaryIO) -> Row | None:
    """Read one row of a binary COPY stream; None for its trailer."""
    (count,) = _INT2.unpack(stream.read(2))
    if count < 0:
        return None
    row: Row = []
    for _ in range(count):
        (length,) = _INT4.unpack(stream.read(4))
        row.append(None if length < 0 else stream.read(length))
    return row


def _texts(column: Column, here: bytes | None, there: bytes | None) -> tuple[str, str]:
    """Return two different values as text; of long ones the part where they begin to differ."""
    if here is None or there is None or max(len(here), len(there)) <= 2 * _SHOWN:
        return _text(column, here), _text(column, there)
    same = next((at for at, (one, other) in enumerate(zip(here, there, strict=False)) if one != other), len(here))
    start = max(0, min(same, len(here), len(there)) - 4)
    shown = [
        f"{value[start : start + _SHOWN].hex()} ({len(value)} bytes, from byte {start})" for value in (here, there)
    ]
    return shown[0], shown[1]


def _text(column: Column, value: bytes | None) -> str:
    if value is None:
        return "NULL"
    return column.text(value) if len(value) <= 2 * _SHOWN else f"{value[:_SHOWN].hex()}… ({len(value)} bytes)"
