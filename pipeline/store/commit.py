"""Commit: one transaction a chunk with its stretch, its rows and its record; a lost acknowledgement is looked up."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from uuid import uuid4

import psycopg
from psycopg import sql
from tenacity import (
    Retrying,
    retry_if_exception,
    sleep_using_event,
    stop_after_delay,
    stop_any,
    stop_when_event_set,
    wait_random_exponential,
)

from pipeline.actions import ReadyChunk
from pipeline.errors import CommitRefused, RowsDiffer
from pipeline.events import Committed
from pipeline.store import partitions, queries
from pipeline.store.books import Run
from pipeline.store.connection import cancel
from pipeline.store.swap import Swap, SwapLost
from workers.messages import TABLES, LedgerRange, Section

logger = logging.getLogger(__name__)
_SQL = queries.load("commit")
_COPY = {table: queries.template(_SQL["copy"], {"table": sql.Identifier(table)}) for table in TABLES}
_BUFFER = 256 << 10  # bytes
_NO_ROWS = 21  # bytes of a binary COPY stream without a row: header and trailer


class Committer:
    """Commits chunks in the order given, and knows after a broken connection whether its last commit had landed.

    Between calls no transaction is open. `close()` ends its connection.
    """

    def __init__(self, connect: Callable[[], psycopg.Connection], run: Run, *, reconnect_s: float = 60.0) -> None:
        """Connect; `connect` is called again when the connection breaks, for `reconnect_s` seconds at most."""
        self._connect, self._run, self._reconnect_s = connect, run, reconnect_s
        self._epoch = 0
        self._cancelled = threading.Event()
        self._room: LedgerRange | None = None  # ledgers whose partitions are known to be there
        self._conn = self._reconnected()

    def close(self) -> None:
        """End the connection."""
        self._conn.close()

    def cancel(self) -> None:
        """End the commit in hand with `CommitRefused`, from another thread, unless it is too late for that.

        Once cancelled it does not connect again. Between two statements there is nothing to cancel: call it repeatedly.
        """
        self._cancelled.set()
        cancel(self._conn)

    def commit(self, chunk: ReadyChunk) -> Committed:
        """Write `chunk` and return the rows by table as PostgreSQL counted them.

        Raises `CursorTaken` or `HandedOff` when somebody else has written these ledgers, `BrokenSeam` when they do not
        link to their neighbours, `CursorMoved` when the stretch that they go on from is gone, `RowsDiffer` when
        PostgreSQL counted other rows than the worker, `CommitRefused` with PostgreSQL's own words for everything else;
        nothing is written then.
        """
        try:
            return self._until_answered(chunk)
        except psycopg.Error as error:
            raise CommitRefused(chunk.ledgers, str(error).splitlines()[0]) from error

    def _until_answered(self, chunk: ReadyChunk) -> Committed:
        swap = Swap(chunk, self._run, uuid4())
        for attempt in Retrying(
            retry=retry_if_exception(self._lost_connection),
            stop=stop_any(stop_after_delay(self._reconnect_s), stop_when_event_set(self._cancelled)),
            sleep=sleep_using_event(self._cancelled),
            wait=wait_random_exponential(multiplier=0.1, max=5.0),
            reraise=True,
        ):
            with attempt:
                if self._conn.closed:
                    logger.warning("connecting again to commit ledgers %s", chunk.ledgers)
                    self._conn = self._reconnected()
                return self._once(chunk, swap)
        raise AssertionError("unreachable: the loop above returns or raises")

    def _once(self, chunk: ReadyChunk, swap: Swap) -> Committed:
        self._make_room(chunk.ledgers)
        while True:
            try:
                return Committed(chunk.ledgers, self._transact(chunk, swap))
            except SwapLost:
                if swap.explain(self._conn):
                    logger.info("ledgers %s had been committed: the acknowledgement was lost", chunk.ledgers)
                    return Committed(chunk.ledgers, {section.table: section.rows for section in chunk.done.sections})
                # Another run's stretch came to touch these ledgers or went away meanwhile: nothing is lost by it.
                logger.info("trying again to commit ledgers %s: a stretch beside them has changed", chunk.ledgers)

    def _transact(self, chunk: ReadyChunk, swap: Swap) -> dict[str, int]:
        with self._conn.transaction():
            swap.carry_out(self._conn, self._epoch)
            rows = copy_rows(self._conn, chunk)
            swap.record(self._conn)
        return rows

    def _make_room(self, ledgers: LedgerRange) -> None:
        if self._room is None or ledgers.first not in self._room or ledgers.last not in self._room:
            partitions.ensure(self._conn, ledgers)
            self._room = partitions.room(ledgers)

    def _reconnected(self) -> psycopg.Connection:
        conn = self._connect()
        conn.autocommit = True  # what is only read shall not need the acknowledgement of a COMMIT
        conn.execute(_SQL["settings"])
        self._epoch += 1
        return conn

    def _lost_connection(self, error: BaseException) -> bool:
        """Return whether trying again makes sense: the connection is gone, and with it the answer."""
        return isinstance(error, psycopg.OperationalError) and self._conn.closed


def copy_rows(conn: psycopg.Connection, chunk: ReadyChunk) -> dict[str, int]:
    """Copy the rows of a chunk's file into their tables and return how many PostgreSQL counted in each."""
    rows = {}
    with Path(chunk.path).open("rb", buffering=0) as file:
        for section in chunk.done.sections:
            rows[section.table] = found = _copy(conn, section, file)
            if found != section.rows:
                raise RowsDiffer(chunk.ledgers, section.table, wanted=section.rows, found=found)
    return rows


def _copy(conn: psycopg.Connection, section: Section, file: FileIO) -> int:
    if section.rows == 0 and section.length == _NO_ROWS:
        return 0
    file.seek(section.offset)
    left, cursor = section.length, conn.cursor()
    # Read through one small buffer: as quick as a mapping, and a chunk of any size takes no memory.
    with cursor.copy(_COPY[section.table]) as copy, memoryview(bytearray(_BUFFER)) as buffer:
        while left and (count := file.readinto(buffer[:left])):
            copy.write(buffer[:count])
            left -= count
    return cursor.rowcount
