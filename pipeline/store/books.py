"""The run's own books: who runs, what was asked for, how it ended, and the sums of what its chunks cost."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version

import psycopg

from pipeline.store import queries
from workers.messages import LedgerRange

_SQL = queries.load("books")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Who writes: a number from the store, and the command that was typed."""

    id: int
    job: str = "backfill"
    process_id: int
    host: str


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as the books have it, with what it has committed."""

    id: int
    job: str
    wanted: LedgerRange
    source: str
    workers: int
    process_id: int
    host: str
    version: str
    started_at: datetime
    ended_at: datetime | None
    outcome: str  # `running`, or `died` where neither an end nor a holder of the lock is known, or how it ended
    error: str | None
    cursor: int | None  # the highest ledger that it committed
    chunks: int
    ledgers: int
    committed_at: datetime | None  # of its last chunk


def new_run(conn: psycopg.Connection, *, job: str = "backfill") -> Run:
    """Return a run of this process with a number that no other has; nothing is written before `start_run`."""
    row = conn.execute(_SQL["new_id"]).fetchone()
    assert row is not None  # noqa: S101 - a sequence always answers
    return Run(id=row[0], job=job, process_id=os.getpid(), host=socket.gethostname())


def start_run(conn: psycopg.Connection, run: Run, wanted: LedgerRange, *, source: str, workers: int) -> None:
    """Write the run down. Its lock is held: a run of the same job that has no end yet has died, and is marked so."""
    with conn.transaction():
        conn.execute(_SQL["mark_died"], {"job": run.job, "id": run.id})
        conn.execute(
            _SQL["start"],
            {
                "id": run.id,
                "job": run.job,
                "first": wanted.first,
                "last": wanted.last,
                "source": source,
                "workers": workers,
                "process_id": run.process_id,
                "host": run.host,
                "version": version("ledgerfill"),
            },
        )


def end_run(
    conn: psycopg.Connection, run: Run, outcome: str, *, error: str | None = None, report: str | None = None
) -> None:
    """Write down how the run ended: `success`, `handed_off`, `failed` or `interrupted`; `report` is JSON."""
    conn.execute(_SQL["end"], {"id": run.id, "outcome": outcome, "error": error, "report": report})


def recent_runs(conn: psycopg.Connection, *, limit: int = 10, holder: int | None = None) -> list[RunRecord]:
    """Return the newest runs first; `holder` is the run that holds the lock now."""
    return [
        RunRecord(number, job, LedgerRange(first, last), *rest)
        for number, job, first, last, *rest in conn.execute(_SQL["runs"], {"limit": limit, "holder": holder})
    ]


def table_bytes(conn: psycopg.Connection) -> dict[str, int]:
    """Return about what the big tables take on disk, indexes included; each gets VACUUM when it is complete."""
    return dict(conn.execute(_SQL["sizes"]).fetchall())
