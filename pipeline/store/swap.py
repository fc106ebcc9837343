"""The compare-and-swap of a chunk's stretch: won, or lost and told why."""

from __future__ import annotations

import json
from dataclasses import asdict
from uuid import UUID

import psycopg

from pipeline.actions import ReadyChunk
from pipeline.errors import BrokenSeam, CursorMoved, CursorTaken, HandedOff
from pipeline.store import queries
from pipeline.store.books import Run
from workers.messages import CONTRACTS, LedgerRange

_SQL = queries.load("commit")
# Another run's stretch touches the chunk, or its transaction and this one waited for each other.
_TAKEN = (psycopg.errors.ExclusionViolation, psycopg.errors.UniqueViolation, psycopg.errors.DeadlockDetected)


class SwapLost(Exception):
    """The compare-and-swap changed no row; why, is read in a transaction of its own."""


class Swap:
    """The compare-and-swap of one chunk's stretch, and what a lost one means."""

    def __init__(self, chunk: ReadyChunk, run: Run, commit_id: UUID) -> None:
        """Take down what the chunk says of itself."""
        self._chunk, self._run = chunk, run
        self._goes_on = chunk.ledgers.first > chunk.gap.ledgers.first  # there is a stretch below: this run made it
        done = chunk.done
        self._names = {
            "first": chunk.ledgers.first,
            "last": chunk.ledgers.last,
            "previous_hash": done.previous_hash,
            "first_hash": done.first_hash,
            "last_hash": done.last_hash,
            "job": run.job,
            "run_id": run.id,
            "commit_id": commit_id,
        }

    def carry_out(self, conn: psycopg.Connection, epoch: int) -> None:
        """Extend the stretch below or begin one, and merge it with the one above; `SwapLost` changes nothing."""
        ledgers = self._chunk.ledgers
        end, end_hash = ledgers.last, self._chunk.done.last_hash
        if above := conn.execute(_SQL["take_next"], self._names).fetchone():
            end, seam, end_hash = above
            if seam != self._chunk.done.last_hash:
                raise BrokenSeam(ledgers.last + 1, named=seam, found=self._chunk.done.last_hash)
        names = self._names | {"end": end, "end_hash": end_hash, "epoch": epoch}
        try:
            if conn.execute(_SQL["extend"], names).rowcount:
                return
            if self._goes_on:
                raise SwapLost
            conn.execute(_SQL["begin"], names)
        except _TAKEN as error:
            raise SwapLost from error

    def record(self, conn: psycopg.Connection, copy_s: float) -> None:
        """Write the chunk's own row, which also proves later that this very commit landed."""
        done = self._chunk.done
        timings = asdict(done.timings) | {"copy_s": copy_s, "lost_s": self._chunk.lost_s}
        rows = {section.table: section.rows for section in done.sections}
        names = self._names | {
            "worker": self._chunk.worker,
            "attempts": self._chunk.attempts,
            "transactions": rows.get("transactions", 0),
            "operations": rows.get("operations", 0),
            "events": rows.get("events", 0),
            "contracts": sum(rows.get(section, 0) for section in CONTRACTS),
            "object_bytes": done.object_bytes,
            "plain_bytes": done.plain_bytes,
            "row_bytes": done.row_bytes,
            "timings": json.dumps(timings | {"lost_attempts": self._chunk.lost_attempts}),
        }
        conn.execute(_SQL["record"], names)

    def explain(self, conn: psycopg.Connection) -> bool:
        """Return whether this very commit had landed before; False means that nothing stands in its way any more.

        Raises what else a lost swap means: `CursorTaken`, `HandedOff`, `BrokenSeam` or `CursorMoved`.
        """
        ledgers, done = self._chunk.ledgers, self._chunk.done
        standing = conn.execute(_SQL["standing"], self._names).fetchall()
        if conn.execute(_SQL["landed"], self._names).fetchone():
            return True
        below = [last_hash for _, last, last_hash, *_ in standing if last == ledgers.first - 1]
        if below and below[0] != done.previous_hash:
            raise BrokenSeam(ledgers.first, named=done.previous_hash, found=below[0])
        for first, last, _, job, run_id in standing[len(below) :]:
            if job == "live" and last >= ledgers.last:
                raise HandedOff(ledgers, last=last)
            if run_id != self._run.id:
                raise CursorTaken(ledgers, held=LedgerRange(first, last), job=job, run_id=run_id)
        if standing[len(below) :] or (self._goes_on and not below):
            raise CursorMoved(ledgers, [LedgerRange(first, last) for first, last, *_ in standing])
        return False
