"""A plug-in at work: given the events of a chunk, its rows become sections like all others.

Whatever is wrong with it is told with the first event at which it is: found by asking again for fewer of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from workers import _decode
from workers.failures import Failed, message, short
from workers.messages import Failure
from workers.protocols.checking import Column, Given, Wrong, copy_rows
from workers.protocols.columns import Events, Rows
from workers.protocols.contract import Key, Protocol, ProtocolError, StateTable, Value
from workers.protocols.finding import installed

Calls = Sequence[tuple[int, Sequence[bytes]]]  # as in `Chunk.events`
_Made = Mapping[str, tuple[int, bytes]]  # by section: how many rows, and their part of a COPY stream
_HISTORY = {  # kind, and whether it may be NULL, of what a plug-in gives, in the order of the table
    "account": ("address", False),
    "category": ("code", False),
    "reason": ("code", False),
    "amount": ("integer", True),
    "token_id": ("integer", True),
    "counterparty": ("address", True),
    "muxed_id": ("value", True),
    "live_until_ledger": ("u32", True),
}


def plug_ins(sections: Iterable[str]) -> tuple[PlugIn, ...]:
    """Return the plug-ins that make these sections; `ProtocolError` where one is nobody's."""
    left, found = {*sections}, []
    for protocol in installed().values():
        own = left & {*protocol.history, *(table.name for table in protocol.state)}
        if own and protocol.rows is not None:
            found.append(PlugIn(protocol, own))
            left -= own
    if left:
        raise ProtocolError(f"no plug-in makes the rows of {', '.join(sorted(left))}")
    return tuple(found)


class PlugIn:
    """One plug-in and the sections that are wanted of it."""

    def __init__(self, protocol: Protocol, sections: Iterable[str]) -> None:
        """Take the protocol, which has `rows`, and those of its sections that are wanted."""
        self._protocol, self._sections = protocol, frozenset(sections)

    @property
    def id(self) -> str:
        """Of which protocol it is."""
        return self._protocol.id

    @property
    def wanted(self) -> tuple[list[str], bool]:
        """What the decoder shall pick for it: see `Decoder`."""
        return sorted(self._protocol.topics), self._protocol.claims_assets

    def sections(self, calls: Calls) -> list[tuple[str, int, bytes]]:
        """Return name, number of rows and COPY stream of each section wanted, of the events of a chunk.

        Raises `Failed` with the plug-in, the ledger and the event where it raises or gives what cannot be taken; with
        the plug-in alone where memory is short.
        """
        made = [self._made(Events.of(length, buffers)) for length, buffers in calls]
        found = []
        for section in sorted(self._sections):
            parts = [part[section] for part in made if section in part]
            rows = b"".join(rows for _, rows in parts)
            stream = _decode.COPY_HEADER + rows + _decode.COPY_TRAILER
            found.append((section, sum(count for count, _ in parts), stream))
        return found

    def _made(self, events: Events) -> _Made:
        made = self._tried(events)
        if isinstance(made, str):
            raise self._first_failure(events, made)
        return made

    def _tried(self, events: Events) -> _Made | str:
        """Return rows by section, or what is wrong."""
        try:
            return self._asked(events)
        except Wrong as wrong:
            return str(wrong)
        except MemoryError as error:  # of the machine: another attempt may have more of it, or need less
            reason = f"plug-in {self.id} failed: MemoryError: {message(error)}"
            raise Failed(Failure(reason=short(reason), transient=True)) from error
        except BaseException as error:  # an edge: a plug-in is anybody's code, and may even call `exit`
            return f"{type(error).__name__}: {message(error)}"

    def _first_failure(self, events: Events, what: str) -> Failed:
        """Return the failure at the first event that fails alone; at all of them where none does."""
        while len(events) > 1:
            half = len(events) // 2
            for part in (events.slice(0, half), events.slice(half, len(events) - half)):
                if isinstance(found := self._tried(part), str):
                    events, what = part, found
                    break
            else:
                break
        place = (events.ledger, events.operation_id, events.event_index)
        ledger, operation, index = (column[0].as_py() for column in place)
        more = f" and {len(events) - 1} events behind it" if len(events) > 1 else ""
        where = f"ledger {ledger}, event {index} of operation {operation}{more}"
        reason = f"plug-in {self.id} failed at {where}: {what}"
        return Failed(Failure(reason=short(reason), transient=False, ledger=ledger))

    def _asked(self, events: Events) -> _Made:
        assert self._protocol.rows is not None  # noqa: S101 - by `__init__`
        rows = self._protocol.rows(events)
        if not isinstance(rows, Rows):
            raise Wrong(f"`rows` returned no Rows: {type(rows).__name__}")
        tables = {table.name: table for table in self._protocol.state}
        if unknown := rows.state.keys() - tables.keys():
            raise Wrong(f"state tables that are not declared: {', '.join(map(str, unknown))}")
        sides = self._protocol.rows_an_event
        made: dict[str, tuple[int, bytes]] = {}
        if rows.history is not None and self._sections & {*self._protocol.history}:
            made |= self._history(Given("history", rows.history, events, sides))
        for name, given in rows.state.items():
            if name in self._sections:
                made[name] = copy_rows(name, _state(Given(name, given, events, sides), tables[name]))
        return made

    def _history(self, given: Given) -> _Made:
        given.require(_HISTORY, optional=[name for name, (_, nullable) in _HISTORY.items() if nullable])
        given.require_one_a_place()
        certain = given.of_event("certain", "boolean").array
        protocol = pa.repeat(pa.scalar(self._protocol.id.encode(), pa.binary()), len(certain))
        columns = [
            Column("protocol_id", "bytes", protocol),
            *given.place,
            given.of_event("contract_id", "contract"),
            *(given.column(name, kind, nullable=nullable) for name, (kind, nullable) in _HISTORY.items()),
        ]
        masks = zip(self._protocol.history, (certain, pc.invert(certain)), strict=True)
        made = {section: copy_rows("history", [column.only(mask) for column in columns]) for section, mask in masks}
        return {section: rows for section, rows in made.items() if section in self._sections}


def _state(given: Given, table: StateTable) -> list[Column]:
    """Return the columns of a state table's section: the place, what is kept, whether its contract is certain."""
    declared: list[Key | Value] = [*table.key[1:], *table.values]
    given.require([column.name for column in declared if column.type != "ledger"])
    key = [_declared(given, column) for column in table.key[1:]]
    if any(value.merge == "last" for value in table.values):
        given.require_one_a_place(key)
    columns = [given.of_event("contract_id", "contract"), *key, *(_declared(given, value) for value in table.values)]
    return [*given.place, *columns, given.of_event("certain", "boolean")]


def _declared(given: Given, column: Key | Value) -> Column:
    if column.type == "ledger":
        return given.of_event("ledger", "int4", called=column.name)
    return given.column(column.name, column.type, nullable=isinstance(column, Value) and column.nullable)
