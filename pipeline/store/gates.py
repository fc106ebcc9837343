"""The gates of live ingestion: of each protocol its history and its state, taken over once a migration is close."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import get_args
from uuid import UUID

import psycopg
from psycopg import sql

from pipeline.actions import ReadyChunk
from pipeline.classification import Classifier
from pipeline.segments import Segment
from pipeline.store import contracts, cursors, state_changes, tokens
from pipeline.store.books import Run
from pipeline.store.cursors import Kind
from pipeline.store.swap import LIVE, StretchSwap, SwapLost
from workers.protocols import Protocol

SHORT = 64  # ledgers; as many as an object of a lake may have: shorter ones come one after another at the tip, for ever
NEAR, FAR = 1000, 10_000  # ledgers behind the tip: a gate is served from here on, and no longer from there on


@dataclass(frozen=True, slots=True)
class Gate:
    """What live ingestion writes of a protocol from the ledger on at which it wins the cursor."""

    protocol: Protocol
    kind: Kind

    @property
    def key(self) -> str:
        """Its cursor in `ingest_store`."""
        return cursors.key(self.protocol.id, self.kind)

    @property
    def sections(self) -> tuple[str, ...]:
        """What workers make for it."""
        return tokens.sections(self.protocol, self.kind)


def served(
    conn: psycopg.Connection, protocols: Mapping[str, Protocol], tip: int, before: Collection[Gate] = ()
) -> tuple[Gate, ...]:
    """Return the gates whose cursors are close to `tip`, in the order of their keys; those served `before` stay longer.

    A cursor that is far behind, or not there, costs live ingestion nothing.
    """
    every = _every(conn, protocols)
    standing = cursors.read(conn, list(every))
    close = (key for key, cursor in standing.items() if cursor.value >= tip - (FAR if every[key] in before else NEAR))
    return tuple(every[key] for key in sorted(close))


def lost(conn: psycopg.Connection, gates: Collection[Gate]) -> list[Gate]:
    """Return those of some gates whose cursors are gone: nothing is written of them, whoever has removed these."""
    standing = cursors.read(conn, [gate.key for gate in gates])
    return [gate for gate in gates if gate.key not in standing]


def left_behind(conn: psycopg.Connection, protocols: Mapping[str, Protocol], tip: int) -> list[tuple[Gate, int]]:
    """Return the gates that live ingestion had taken over and that are below `tip`, each with where it was left.

    Another run has brought the ledgers since then: no migration is there any more, and none will be unless it is begun.
    """
    every = _every(conn, protocols)
    found = cursors.read(conn, list(every)).values()
    return [(every[cursor.key], cursor.value) for cursor in found if cursor.job == LIVE and cursor.value < tip]


def _every(conn: psycopg.Connection, protocols: Mapping[str, Protocol]) -> dict[str, Gate]:
    set_up = (protocols[each.id] for each in contracts.set_up(conn) if each.id in protocols)
    return {gate.key: gate for protocol in set_up for gate in _gates(protocol)}


def _gates(protocol: Protocol) -> Iterator[Gate]:
    for kind in get_args(Kind):
        gate = Gate(protocol, kind)
        if gate.sections:
            yield gate


class LiveSwap(StretchSwap):
    """A stretch grows by a chunk, and so do the protocols whose cursors stand right below it: one transaction."""

    def __init__(self, chunk: ReadyChunk, run: Run, commit_id: UUID, *, gates: Collection[Gate]) -> None:
        """Take the gates, in the order of their keys: so nobody who swaps several waits for another."""
        super().__init__(chunk, run, commit_id)
        self._gates, self._open = gates, list[Gate]()
        self._ahead: dict[Gate, int] = {}  # rows of history that were copied ahead of the turn
        self.joins = len(chunk.ledgers) <= SHORT

    def make_room(self, conn: psycopg.Connection) -> None:
        """Have the tables of the chunk's segment, and the partition of the history."""
        super().make_room(conn)
        if any(gate.kind == "history" for gate in self._gates):
            state_changes.ensure(conn, self.chunk.ledgers)

    def copy_into(self, conn: psycopg.Connection, section: str) -> sql.Composed | None:
        """Return the COPY that stages a section, of a protocol or of contracts."""
        return tokens.copy_into(conn, (gate.protocol for gate in self._gates), section)

    def write_ahead(self, conn: psycopg.Connection) -> None:
        """Copy the history that is certain of gates that this run went through before: nobody takes them back."""
        found = cursors.read(conn, [gate.key for gate in self._gates if gate.kind == "history"])
        taken = {key for key, cursor in found.items() if cursor.job == LIVE and cursor.run_id == self.run.id}
        self._ahead = {gate: tokens.copy(conn, gate.protocol, self.chunk) for gate in self._gates if gate.key in taken}

    def carry_out(self, conn: psycopg.Connection, epoch: int) -> None:
        """Swap the stretch, then each cursor on its own; one that stands elsewhere is left to its migration."""
        super().carry_out(conn, epoch)
        self._open = [gate for gate in self._gates if cursors.swap(conn, gate.key, self.names, epoch)]
        if not self._ahead.keys() <= set(self._open):
            raise SwapLost  # somebody took one back all the same: the next time it is not copied ahead

    def merge(self, conn: psycopg.Connection, staged: Collection[str], classifier: Classifier) -> None:
        """Merge contracts, which decide about the rows of tokens, and then what belongs to open gates."""
        contracts.merge(conn, staged, self.since(conn), classifier)
        served = {gate.protocol.id: gate.protocol for gate in self._open}
        self.left_alone = {name: tokens.left_alone(conn, each, staged) for name, each in served.items()}
        merged, segment = Counter[str](), Segment.of(self.chunk.ledgers.first)
        for gate in self._open:
            if gate.kind == "history":
                certain = self._ahead[gate] if gate in self._ahead else tokens.copy(conn, gate.protocol, self.chunk)
                merged[state_changes.TABLE] += certain
                merged[state_changes.TABLE] += tokens.append(conn, gate.protocol, staged, segment)
            else:
                merged.update(tokens.fold(conn, gate.protocol, staged))
        self.merged = dict(merged)
