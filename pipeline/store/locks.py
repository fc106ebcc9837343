"""One run a store for base tables, and one for each other job: session advisory locks that die with their holder."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

import psycopg

from pipeline.errors import RunHeld
from pipeline.store import processes, queries
from pipeline.store.books import Run

logger = logging.getLogger(__name__)
_SQL = queries.load("locks")
BASE_TABLES = "base tables"  # one job fills gaps in them at a time, and beside it
LIVE_INGESTION = "live ingestion"  # one goes on at their end
MIGRATION = {"history": "the history of ", "current_state": "the current state of "}  # and the id of a protocol
_POLL_S = 0.1
_UNSIGNED_S = 0.7  # a holder signs right after it took the lock: within this time, or it is none of ours


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock; all but `backend_id` is None where nobody has signed."""

    backend_id: int
    run_id: int | None = None
    process_id: int | None = None
    process_started: str | None = None
    host: str | None = None
    since: datetime | None = None

    def __str__(self) -> str:
        """Write it as messages do."""
        if self.since is None:
            return f"a session of the server (process {self.backend_id} there) that has not said who it is"
        return f"process {self.process_id} on {self.host}, run {self.run_id}, since {self.since:%Y-%m-%d %H:%M:%S %Z}"

    @property
    def way_out(self) -> str:
        """What ends it, as messages have it behind its name."""
        return f": `kill -INT {self.process_id}` there ends it, and it can be resumed" if self.process_id else ""

    def gone(self, host: str) -> bool:
        """Return whether its process is known to be gone; that of another host is not."""
        if self.process_id is None or self.host != host:
            return False
        return not processes.lives(self.process_id, self.process_started or "")


@contextmanager
def hold(conn: psycopg.Connection, run: Run, *, lock: str = BASE_TABLES, gone_s: float = 30.0) -> Iterator[None]:
    """Hold `lock` for `run`; it is given back at the end, and by the server when `conn` breaks.

    `conn` must be in autocommit and serve nothing else that could break it.
    Raises `RunHeld` that names a live holder within a second; a holder whose process is gone is waited for,
    `gone_s` seconds at most: its server process may still be ending.
    """
    _take(conn, run, lock, gone_s)
    try:
        yield
    finally:
        if not conn.closed:
            with suppress(psycopg.OperationalError):  # the connection has broken, and the lock went with it
                conn.execute(_SQL["release"], {"lock": lock})


def shown(lock: str) -> str:
    """Return what a lock is for, as messages have it."""
    return "the store" if lock == BASE_TABLES else lock


def holder(conn: psycopg.Connection, *, lock: str = BASE_TABLES) -> Holder | None:
    """Return who holds `lock` now, or None."""
    row = conn.execute(_SQL["holder"], {"lock": lock}).fetchone()
    return Holder(*row) if row else None


def others(conn: psycopg.Connection, run: Run | None, beginnings: Sequence[str]) -> bool:
    """Return whether somebody else than `run` holds a lock whose name begins so."""
    names = {"beginnings": list(beginnings), "run_id": run.id if run else None}
    return conn.execute(_SQL["others"], names).fetchone() == (True,)


def _take(conn: psycopg.Connection, run: Run, lock: str, gone_s: float) -> None:
    start, said = time.monotonic(), False
    while not _try(conn, run, lock):
        found, waited = holder(conn, lock=lock), time.monotonic() - start
        if found is None:
            continue  # it was given back meanwhile
        gone = found.run_id == run.id or found.gone(run.host)  # its own, of a session that has ended
        if gone and not said:
            logger.warning("waiting for a lock whose holder is gone: %s", found)
            said = True
        if waited > (gone_s if gone else _UNSIGNED_S if found.since is None else 0):
            more = f", whose process is gone for {waited:.0f} s" if gone else found.way_out
            raise RunHeld(f"{shown(lock)} is held by {found}{more}")
        time.sleep(_POLL_S)


def _try(conn: psycopg.Connection, run: Run, lock: str) -> bool:
    row = conn.execute(_SQL["try"], {"lock": lock}).fetchone()
    if not (row and row[0]):
        return False
    names = {"lock": lock, "run_id": run.id, "process_id": run.process_id, "host": run.host}
    conn.execute(_SQL["sign"], names | {"process_started": processes.started(run.process_id)})
    return True
