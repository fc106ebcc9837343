"""A store of a benchmark's own: the embedded server as users have it, in a folder that goes away; and its CPU."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from pipeline.store.connection import open_store
from pipeline.store.embedded import EmbeddedServer, settings
from workers.messages import TABLES

_BOOKS = ("ledger_stretches", "backfill_chunks")
_EMPTY = sql.SQL("TRUNCATE {}").format(
    sql.SQL(", ").join(sql.Identifier("ledgerfill", table) for table in (*TABLES, *_BOOKS))
)
_COPY = sql.SQL("COPY {} FROM STDIN (FORMAT BINARY)")

Rows = Sequence[tuple[str, bytes]]  # a chunk's tables, each with one whole binary COPY stream


@dataclass(frozen=True, slots=True)
class Store:
    """A running server with an empty store in it."""

    url: str
    postmaster: psutil.Process
    conn: psycopg.Connection

    def cpu_s(self) -> float:
        """Return the CPU seconds of the server's processes so far, of those that have ended too."""
        spent = 0.0
        for process in (self.postmaster, *self.postmaster.children(recursive=True)):
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:  # it ends at this moment, and will count among the postmaster's ended ones
                continue
            spent += times.user + times.system
            if process == self.postmaster:
                spent += times.children_user + times.children_system
        return spent

    def empty(self) -> None:
        """Empty tables and books, and let nothing of what was written before weigh on what comes."""
        self.conn.execute(_EMPTY)
        self.conn.execute("CHECKPOINT")

    def copy(self, chunk: Rows) -> None:
        """Commit a chunk's rows by nothing but COPY."""
        with self.conn.transaction():
            for table, rows in chunk:
                with self.conn.cursor().copy(_COPY.format(sql.Identifier("ledgerfill", table))) as copy:
                    copy.write(rows)


@contextmanager
def store() -> Iterator[Store]:
    """Start a server with the program's own settings under a folder that its user can reach."""
    home = Path(tempfile.mkdtemp(prefix="ledgerfill-store-", dir="/var/tmp"))
    home.chmod(0o755)
    embedded = EmbeddedServer(home)
    try:
        url = embedded.ensure_running()
        embedded.use(settings.LOADING)
        pid = embedded.status().pid
        assert pid is not None
        with open_store(url) as conn:
            yield Store(url, psutil.Process(pid), conn)
    finally:
        embedded.reset()
        shutil.rmtree(home)
