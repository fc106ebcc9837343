"""Completes segments: freezes and analyses them, builds their costly indexes side by side, and writes that down."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import zip_longest
from typing import TypeVar

import psycopg

from pipeline.errors import SegmentIncomplete, first_line
from pipeline.segments import Segment
from pipeline.store import locks, queries, segments
from pipeline.store.books import Run
from pipeline.store.connection import Limits, cancel, sever
from pipeline.store.reconnect import Patience, retrying
from pipeline.store.segments import Completing

logger = logging.getLogger(__name__)
_SQL = queries.load("segments")
LIMITS = Limits(statement_s=0.0)  # an index takes as long as it takes, while the server is at work on it
T = TypeVar("T")


class _ConnectionLost(psycopg.OperationalError):
    """Trying again makes sense: the connection is gone, or could not be made."""


class Finisher:
    """Completes one segment after another over several connections, each opened when it is first needed.

    What is interrupted is done by the next run: an index is there or not, and the catalogue is written last.
    """

    def __init__(
        self,
        connect: Callable[[Limits], psycopg.Connection],
        connections: int,
        *,
        run: Run | None = None,
        reconnect_s: float = 60.0,
    ) -> None:
        """Connect to nothing yet, for `run`; a connection that breaks is opened again, for `reconnect_s` seconds."""
        self._connect, self._run, self._reconnect_s = connect, run, reconnect_s
        self._connections = connections
        self._free: queue.LifoQueue[psycopg.Connection | None] = queue.LifoQueue()
        for _ in range(connections):
            self._free.put(None)
        self._open: list[psycopg.Connection] = []  # those that are closed by now among them
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix="finish")
        self._cancelled = threading.Event()

    def close(self) -> None:
        """End the threads and the connections; what is in hand is waited for, unless it was cancelled."""
        if self._cancelled.is_set():
            for conn in tuple(self._open):
                sever(conn)
        self._threads.shutdown(cancel_futures=True)
        for conn in self._open:
            conn.close()

    def cancel(self) -> None:
        """End what is in hand, from another thread; between two statements there is nothing to cancel: repeat it."""
        self._cancelled.set()
        for conn in tuple(self._open):
            if not conn.closed:
                cancel(conn)

    def finish(self, segment: Segment, kind: Completing, *more: Completing, beside: bool = False) -> None:
        """Complete the base tables of `segment`, its history, or both together, as far as they are due.

        `beside`: rows of this run may still come, as they may of others who write such tables meanwhile. Then it takes
        longer and stops nobody. Raises `SegmentIncomplete` with PostgreSQL's own words.
        """
        try:
            wanted = [each for each in (kind, *more) if segment in self._with_connection(each.due)]
            if not wanted:
                return
            what = f"{' and '.join(each.what for each in wanted)} of ledgers {segment.ledgers}"
            logger.info("building the indexes of %s", what)
            others = [each for each in wanted if beside or self._has_others(each)]
            if alone := [each for each in wanted if each not in others]:
                self._complete(segment, alone)
            for each in others:
                # By one connection: the server builds one index of a table at a time where others may be writing.
                self._with_connection(partial(each.beside, segment=segment))
            logger.info("every index of %s is built", what)
        except psycopg.Error as error:
            raise SegmentIncomplete(segment.ledgers, _reason(error)) from error

    def _has_others(self, kind: Completing) -> bool:
        return self._with_connection(lambda conn: locks.others(conn, self._run, kind.writers))

    def _complete(self, segment: Segment, kinds: Sequence[Completing]) -> None:
        # Asked before: what comes after that is not frozen.
        full = self._with_connection(lambda conn: segments.is_full(conn, segment))
        tables = [table for kind in kinds for table in reversed(kind.tables)]
        indexes = [index for each in zip_longest(*(kind.indexes for kind in kinds)) for index in each if index]
        helpers = self._connections // len(indexes)  # where an index each would leave some with nothing to do
        # First frozen: building an index would mark each row as committed, and log its page whole, once more.
        self._side_by_side(partial(segments.settle, segment=segment, table=table) for table in tables)
        self._side_by_side(partial(index.build, segment=segment, helpers=helpers) for index in indexes)
        for kind in kinds:
            self._with_connection(partial(kind.complete, segment=segment, full=full))

    def _side_by_side(self, works: Iterable[Callable[[psycopg.Connection], None]]) -> None:
        for done in [self._threads.submit(self._with_connection, work) for work in works]:
            done.result()

    def _with_connection(self, work: Callable[[psycopg.Connection], T]) -> T:
        """Do what can be done twice: again where its connection breaks."""
        patience = Patience("build indexes", self._reconnect_s)
        for attempt in retrying(patience, lambda error: isinstance(error, _ConnectionLost), cancelled=self._cancelled):
            with attempt:
                return self._once(work)
        raise AssertionError("unreachable: the loop above returns or raises")

    def _once(self, work: Callable[[psycopg.Connection], T]) -> T:
        conn = self._free.get()
        try:
            if conn is None or conn.closed:
                conn = self._connect(LIMITS)
                conn.execute(_SQL["settings"])
                self._open.append(conn)
            if self._cancelled.is_set():
                raise psycopg.OperationalError("cancelled")
            return work(conn)
        except psycopg.OperationalError as error:
            if conn is None or conn.closed:
                raise _ConnectionLost(str(error)) from error
            raise
        finally:
            self._free.put(conn)


def _reason(error: psycopg.Error) -> str:
    """Return PostgreSQL's own words; of a row that is there twice also which."""
    said = first_line(error)
    return f"{said}: {error.diag.message_detail}".rstrip(".") if error.diag.message_detail else said
