"""The run's own books: who runs, what was asked for, how it ended, what each chunk cost."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
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
