"""The compare-and-swap of a chunk: won, or lost and told why; here also that of the base tables, by stretches."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import asdict
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from pipeline.actions import ReadyChunk
from pipeline.classification import Classifier
from pipeline.errors import BrokenSeam, CursorMoved, CursorTaken, HandedOff
from pipeline.store import contracts, queries, segments, staging, stretches
from pipeline.store.books import Run
from workers.messages import CONTRACTS, TABLES, LedgerRange

_SQL = queries.load("commit")
LIVE = "live"  # the job of who follows the network: what it has taken over, others leave to it
# Another run's stretch touches the chunk, or its transaction and this one waited for each other.
_TAKEN = (psycopg.errors.ExclusionViolation, psycopg.errors.UniqueViolation, psycopg.errors.DeadlockDetected)


class SwapLost(Exception):
    """The compare-and-swap changed no row; why, is read in a transaction of its own."""


class Swap(ABC):
    """The compare-and-swap of what a job keeps of its progress, and what a lost one means."""

    joins = False  # whether the chunk shares its record with those right below it, where these do, too

    def __init__(self, chunk: ReadyChunk, run: Run, commit_id: UUID) -> None:
        """Take down what the chunk says of itself."""
        self.chunk, self.run = chunk, run
        self.merged: dict[str, int] = {}  # rows that its merge has written, by table
        self.left_alone: dict[str, int] = {}  # events that only look like a protocol's, by what their contracts are
        done = chunk.done
        self.names = {
            "first": chunk.ledgers.first,
            "last": chunk.ledgers.last,
            "previous_hash": done.previous_hash,
            "first_hash": done.first_hash,
            "last_hash": done.last_hash,
            "job": run.job,
            "run_id": run.id,
            "commit_id": commit_id,
        }

    def make_room(self, conn: psycopg.Connection) -> None:
        """Have the tables of the chunk's segment that its rows go into; not within a transaction."""
        if any(section.table in TABLES for section in self.chunk.done.sections):
            segments.ensure(conn, self.chunk.ledgers)

    def copy_into(self, conn: psycopg.Connection, section: str) -> sql.Composed | None:
        """Return the COPY that stages a section; None: it goes straight into its table, or nowhere, by this swap."""
        return staging.copy_into(conn, section)

    def write_ahead(self, conn: psycopg.Connection) -> None:  # noqa: B027 - most have nothing
        """Write what is not staged and need not wait for the turn, in the chunk's transaction.

        `UniqueViolation` means that somebody, or this very commit, has written it before.
        """

    @abstractmethod
    def carry_out(self, conn: psycopg.Connection, epoch: int) -> None:
        """Swap; `SwapLost` changes nothing."""

    def merge(self, conn: psycopg.Connection, staged: Collection[str], classifier: Classifier) -> None:
        """Merge the sections that are `staged`, after the swap; unless told else, what they say of contracts."""
        contracts.merge(conn, staged, self.since(conn), classifier)

    @abstractmethod
    def explain(self, conn: psycopg.Connection) -> bool:
        """Return whether this very commit had landed before; False means that nothing stands in its way any more.

        Raises what else a lost swap means: `CursorTaken`, `HandedOff`, `BrokenSeam` or `CursorMoved`.
        """

    @abstractmethod
    def since(self, conn: psycopg.Connection) -> int:
        """Return from which ledger on all up to this chunk has been committed by this job, after the swap."""

    def landed(self, conn: psycopg.Connection) -> bool:
        """Return whether this very commit is in the database."""
        return conn.execute(_SQL["landed"], self.names).fetchone() is not None

    def record(self, conn: psycopg.Connection, copy_s: float) -> None:
        """Write the chunk's own row, which also proves later that this very commit landed."""
        done = self.chunk.done
        timings = asdict(done.timings) | {"copy_s": copy_s, "lost_s": self.chunk.lost_s}
        timings |= {"lost_attempts": self.chunk.lost_attempts} | ({"chunks": 1} if self.joins else {})
        rows = {section.table: section.rows for section in done.sections}
        names = self.names | {
            "worker": self.chunk.worker,
            "attempts": self.chunk.attempts,
            "transactions": rows.get("transactions", 0),
            "operations": rows.get("operations", 0),
            "events": rows.get("events", 0),
            "contracts": sum(rows.get(section, 0) for section in CONTRACTS),
            "object_bytes": done.object_bytes,
            "plain_bytes": done.plain_bytes,
            "row_bytes": done.row_bytes,
            "timings": json.dumps(timings),
            "joins": self.joins,
        }
        conn.execute(_SQL["record"], names)


class StretchSwap(Swap):
    """One stretch of the base tables grows by a chunk, or begins with it."""

    @property
    def _goes_on(self) -> bool:
        """Whether there is a stretch below: this run made it."""
        return self.chunk.ledgers.first > self.chunk.gap.ledgers.first

    def carry_out(self, conn: psycopg.Connection, epoch: int) -> None:
        """Extend the stretch below or begin one, and merge it with the one above; `SwapLost` changes nothing."""
        ledgers = self.chunk.ledgers
        names = self.names | {"end": ledgers.last, "end_hash": self.chunk.done.last_hash, "epoch": epoch}
        if above := conn.cursor(row_factory=dict_row).execute(_SQL["take_next"], self.names).fetchone():
            seam = above.pop("previous_hash")
            if seam != self.chunk.done.last_hash:
                raise BrokenSeam(ledgers.last + 1, named=seam, found=self.chunk.done.last_hash)
            names |= above  # its end stays the work of who wrote it: that is how a handoff is known
        try:
            if conn.execute(_SQL["extend"], names).rowcount:
                return
            if self._goes_on:
                raise SwapLost
            conn.execute(_SQL["begin"], names)
        except _TAKEN as error:
            raise SwapLost from error

    def since(self, conn: psycopg.Connection) -> int:
        """Return the first ledger of the stretch."""
        row = conn.execute(_SQL["begins"], self.names).fetchone()
        return row[0] if row else self.chunk.ledgers.first

    def explain(self, conn: psycopg.Connection) -> bool:
        """Return whether this very commit had landed before; False means that nothing stands in its way any more.

        Raises what else a lost swap means: `CursorTaken`, `HandedOff`, `BrokenSeam` or `CursorMoved`.
        """
        ledgers, done = self.chunk.ledgers, self.chunk.done
        standing = conn.execute(_SQL["standing"], self.names).fetchall()[::-1]  # ascending
        if self.landed(conn):
            return True
        below = [last_hash for _, last, last_hash, *_ in standing if last == ledgers.first - 1]
        if below and below[0] != done.previous_hash:
            raise BrokenSeam(ledgers.first, named=done.previous_hash, found=below[0])
        for first, last, _, job, run_id in standing[len(below) :]:
            if job == LIVE and last >= ledgers.last:
                raise HandedOff(ledgers, last=last)
            if run_id != self.run.id:
                raise CursorTaken(ledgers, held=LedgerRange(first, last), job=job, run_id=run_id)
        if standing[len(below) :] or (self._goes_on and not below):
            stands = [LedgerRange(first, last) for first, last, *_ in standing]
            raise CursorMoved(ledgers, stands, oldest=stretches.oldest(conn))
        return False
