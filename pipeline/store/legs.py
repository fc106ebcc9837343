"""A leg of a migration: protocols that stand at one ledger go on together, up to the next one or to their end.

That is the tip, or where histories begin for the parts that lie below them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from uuid import UUID

import psycopg
from psycopg import sql

from pipeline.actions import ReadyChunk
from pipeline.classification import Classifier
from pipeline.errors import FallenOut
from pipeline.plan import Gap
from pipeline.segments import Segment
from pipeline.store import below, contracts, cursors, state_changes, stretches, tokens
from pipeline.store.books import Run
from pipeline.store.cursors import CursorSwap, Kind, Way
from workers.messages import CONTRACTS, LedgerRange
from workers.protocols import Protocol


@dataclass(frozen=True, slots=True)
class Leg:
    """Which protocols, over which ledgers."""

    kind: Kind
    protocols: tuple[Protocol, ...]
    gap: Gap | None  # None: they all stand at their end
    below: frozenset[str] = frozenset()  # ids of those whose part below their history goes it

    @property
    def keys(self) -> dict[str, str]:
        """The protocols whose cursors go it, by the keys of these."""
        ways: dict[str, Way] = dict.fromkeys(self.below, "history_below")
        return {cursors.key(each.id, ways.get(each.id, self.kind)): each.id for each in self.protocols}

    @property
    def sections(self) -> tuple[str, ...]:
        """What workers make of its ledgers; of contracts, too, for what is new in a ledger counts in it."""
        return (*CONTRACTS, *(each for protocol in self.protocols for each in tokens.sections(protocol, self.kind)))


def next_leg(
    conn: psycopg.Connection,
    kind: Kind,
    protocols: Collection[Protocol],
    tip: int,
    *,
    filled: Collection[Protocol] = (),
) -> Leg:
    """Return the leg that comes next of protocols whose cursors are here; those that are `filled` go below first.

    Parts and histories that stand at one ledger go together: so a run comes to each ledger once.
    """
    found = below.found(conn, [each.id for each in filled])
    parts = {each: there.ledgers.last for each, there in found.items() if there.part and there.lacks}
    above = [each for each in protocols if each.id not in parts]
    every = Leg(kind, (*above, *(each for each in filled if each.id in parts)), None, frozenset(parts))
    return _next(conn, every, {each.id: parts.get(each.id, tip) for each in every.protocols})


def _next(conn: psycopg.Connection, every: Leg, ends: Mapping[str, int]) -> Leg:
    named = {each.id: each for each in every.protocols}
    keys = {key: named[each] for key, each in every.keys.items()}
    found = cursors.read(conn, list(keys))
    left = {key: cursor for key, cursor in found.items() if cursor.value < ends[keys[key].id]}
    if not left:
        return replace(every, protocols=tuple(keys[key] for key in found))
    lowest = min(cursor.value for cursor in left.values())
    going = [key for key, cursor in left.items() if cursor.value == lowest]
    last = min([ends[keys[key].id] for key in going] + [left[key].value for key in left if key not in going])
    known = stretches.hashes(conn, [lowest, last])
    hash_below = next(left[key].hash for key in going) or known.get(lowest)
    gap = Gap(ledgers=LedgerRange(lowest + 1, last), below=hash_below, above=known.get(last))
    ids = {keys[key].id for key in going}
    return replace(every, protocols=tuple(keys[key] for key in going), gap=gap, below=every.below & ids)


class LegSwap(CursorSwap):
    """The cursors of a leg; its rows become history or state of its protocols."""

    def __init__(self, chunk: ReadyChunk, run: Run, commit_id: UUID, *, leg: Leg) -> None:
        """Take the leg."""
        super().__init__(chunk, run, commit_id, keys=leg.keys)
        self._leg, self._ahead, self._kept_from = leg, 0, 0

    @property
    def _ids(self) -> list[str]:
        return [each.id for each in self._leg.protocols]

    def make_room(self, conn: psycopg.Connection) -> None:
        """Have the partition of the history."""
        if self._leg.kind == "history":
            state_changes.ensure(conn, self.chunk.ledgers)

    def carry_out(self, conn: psycopg.Connection, epoch: int) -> None:
        """Swap every cursor, and join parts that have come up to their histories.

        `FallenOut` where live ingestion no longer keeps a ledger of the history.

        Who lets go of ledgers takes the cursors first: what is kept is known from here to the end of the transaction.
        """
        super().carry_out(conn, epoch)
        if self._leg.kind != "history":
            return
        ledgers, self._kept_from = self.chunk.ledgers, stretches.oldest(conn)
        if ledgers.last < self._kept_from:
            raise FallenOut(ledgers, self._kept_from)
        if ledgers.first < self._kept_from:
            below.keep(conn, self._kept_from, self._ids)
        if self._leg.below and ledgers.last == self.chunk.gap.ledgers.last:
            below.join(conn, self._leg.below)

    def copy_into(self, conn: psycopg.Connection, section: str) -> sql.Composed | None:
        """Return the COPY that stages a section, of a protocol or of contracts."""
        return tokens.copy_into(conn, self._leg.protocols, section)

    def write_ahead(self, conn: psycopg.Connection) -> None:
        """Copy the history that is certain: most of it, and chunks may do so side by side."""
        if self._leg.kind == "history":
            self._ahead = sum(tokens.copy(conn, each, self.chunk) for each in self._leg.protocols)

    def merge(self, conn: psycopg.Connection, staged: Collection[str], classifier: Classifier) -> None:
        """Merge contracts first: what the chunk itself says of them decides about its rows."""
        contracts.merge(conn, staged, self.since(conn), classifier)
        self.left_alone = {each.id: tokens.left_alone(conn, each, staged) for each in self._leg.protocols}
        if self._leg.kind == "history":
            segment = Segment.of(self.chunk.ledgers.first)
            written = self._ahead + sum(tokens.append(conn, each, staged, segment) for each in self._leg.protocols)
            if self.chunk.ledgers.first < self._kept_from:
                written -= state_changes.clear(conn, segment, self._ids, self._kept_from)
            self.merged = {state_changes.TABLE: written}
        else:
            folded = [tokens.fold(conn, protocol, staged) for protocol in self._leg.protocols]
            self.merged = {table: rows for each in folded for table, rows in each.items()}
