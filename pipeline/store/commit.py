"""Commit: one transaction a chunk with its rows, its stretch and its record; a lost acknowledgement is looked up.

Rows are copied ahead, or staged where they merge with what is there; from the compare-and-swap of the stretch on,
chunks go one after another in ledger order.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from itertools import count
from uuid import UUID, uuid4

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from pipeline.actions import ReadyChunk
from pipeline.classification import Classifier
from pipeline.errors import CommitRefused, Refused, Unclassified, first_line
from pipeline.events import Committed
from pipeline.lanes import Turn
from pipeline.segments import Segment
from pipeline.store import blockers, queries, segments
from pipeline.store.books import Run
from pipeline.store.connection import cancel
from pipeline.store.copying import copy
from pipeline.store.reconnect import Patience, retrying
from pipeline.store.swap import StretchSwap, Swap, SwapLost
from workers.messages import TABLES, Section

logger = logging.getLogger(__name__)
_SQL = queries.load("commit")
_TRIES_AT_ROWS = 20  # a stretch that others extend and merge all the time may be missed, but not so often


class RowsThere(Exception):
    """Rows with the keys of a chunk are in its segment: somebody, or this very commit, has brought them before."""

    what = "rows of no stretch stand at their place"


class RoomGone(Exception):
    """A table of a chunk's segment is gone since it was made: retention drops it once everybody has passed it."""

    what = "a table for them is gone"


class Committer:
    """Commits chunks over one connection, and knows after it broke whether its last commit had landed.

    Several may work side by side, each on a thread of its own: they copy at once and commit in turn.
    Between calls no transaction is open. `close()` ends its connection.
    """

    def __init__(
        self,
        connect: Callable[[], psycopg.Connection],
        run: Run,
        *,
        swap: Callable[[ReadyChunk, Run, UUID], Swap] = StretchSwap,
        reconnect_s: float = 60.0,
    ) -> None:
        """Connect; `connect` is called again when the connection breaks, for `reconnect_s` seconds at most.

        `swap`: how the job keeps its progress; unless given, as stretches of the base tables.
        """
        self._connect, self._run, self._swap, self._reconnect_s = connect, run, swap, reconnect_s
        self._epoch = 0
        self._session = {"pid": 0, "started": None}  # as the server knows it
        self._cancelled = threading.Event()
        self._segment: Segment | None = None  # that is known to be there
        self._classifier = Classifier()
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

    def commit(self, chunk: ReadyChunk, turn: Turn = lambda: None) -> Committed:
        """Write `chunk`, of one segment, and return the rows by table as PostgreSQL counted them.

        `turn` is called when its rows are copied, and again where that is done again: before it returns, every chunk
        before this one is committed, and what it raises leaves nothing of this one behind.
        Raises `CursorTaken` or `HandedOff` when somebody else has written these ledgers, `BrokenSeam` when they do not
        link to their neighbours, `CursorMoved` when the stretch that they go on from is gone, `RowsDiffer` when
        PostgreSQL counted other rows than the worker, `CommitRefused` with PostgreSQL's or a plug-in's words for all
        else; nothing is written then.
        """
        try:
            return self._until_answered(chunk, turn)
        except psycopg.Error as error:
            raise CommitRefused(chunk.ledgers, first_line(error)) from error
        except OSError as error:  # somebody has removed the file of its rows
            place = f"its rows in {error.filename}: " if error.filename else ""
            raise CommitRefused(chunk.ledgers, f"{place}{error.strerror}") from error

    def _until_answered(self, chunk: ReadyChunk, turn: Turn) -> Committed:
        swap = self._swap(chunk, self._run, uuid4())
        patience = Patience(f"commit ledgers {chunk.ledgers}", self._reconnect_s)
        turn = patience.without(turn)  # the chunk before may be connecting again for as long
        for attempt in retrying(patience, self._lost_connection, cancelled=self._cancelled):
            with attempt:
                if self._conn.closed:
                    self._conn = self._reconnected()
                return self._once(chunk, swap, turn)
        raise AssertionError("unreachable: the loop above returns or raises")

    def _once(self, chunk: ReadyChunk, swap: Swap, turn: Turn) -> Committed:
        for tries in count(1):
            self._make_room(chunk, swap)
            try:
                return Committed(chunk.ledgers, self._transact(chunk, swap, turn), swap.left_alone)
            except psycopg.errors.LockNotAvailable:  # an index of a full segment may take longer than a session waits
                if self._cancelled.is_set() or not blockers.builds(self._conn):
                    raise
            except (SwapLost, RowsThere, RoomGone) as lost:
                self._segment = None
                turn()
                if swap.explain(self._conn):
                    logger.info("ledgers %s had been committed: the acknowledgement was lost", chunk.ledgers)
                    rows = {each.table: each.rows for each in _rows(chunk)} | swap.merged
                    return Committed(chunk.ledgers, rows, swap.left_alone)
                if isinstance(lost, RowsThere | RoomGone) and tries >= _TRIES_AT_ROWS:
                    raise CommitRefused(chunk.ledgers, f"{lost.what}: {lost}") from lost
                # Another run's stretch came to touch these ledgers, was merged with its neighbour or went away while it
                # was looked at: nothing is lost by it.
                logger.info("trying again to commit ledgers %s: a stretch beside them has changed", chunk.ledgers)
        raise AssertionError("unreachable: the loop above returns or raises")

    def _transact(self, chunk: ReadyChunk, swap: Swap, turn: Turn) -> dict[str, int]:
        with self._conn.transaction():
            start = time.monotonic()
            try:
                rows = copy_rows(self._conn, chunk)
                staged = stage_rows(self._conn, chunk, swap)
                swap.write_ahead(self._conn)
            except psycopg.errors.UniqueViolation as error:
                # Of rows, `ledgers` come first and have their key all the time: another transaction's are waited for.
                raise RowsThere(first_line(error)) from error
            except psycopg.errors.UndefinedTable as error:
                raise RoomGone(first_line(error)) from error
            copy_s = time.monotonic() - start
            turn()
            swap.carry_out(self._conn, self._epoch)
            if _rest(chunk):
                self._merge(chunk, swap, staged)
            swap.record(self._conn, copy_s)
        return rows | swap.merged

    def _merge(self, chunk: ReadyChunk, swap: Swap, staged: list[str]) -> None:
        """Merge what is staged; what a plug-in is at fault for is the chunk's."""
        try:
            swap.merge(self._conn, staged, self._classifier)
        except (Refused, Unclassified) as error:
            raise CommitRefused(chunk.ledgers, str(error)) from error

    def _make_room(self, chunk: ReadyChunk, swap: Swap) -> None:
        """Have its segment: outside of the chunk's transaction, for who makes a table waits for others that do."""
        segment = Segment.of(chunk.ledgers.first)
        if segment != self._segment:
            swap.make_room(self._conn)
            self._segment = segment

    def _reconnected(self) -> psycopg.Connection:
        conn = self._connect()
        conn.autocommit = True  # what is only read shall not need the acknowledgement of a COMMIT
        conn.execute(_SQL["settings"])
        # The server may not know yet that the connection before has broken: what that left open would be waited for.
        conn.execute(_SQL["end_former"], self._session)
        self._session = conn.cursor(row_factory=dict_row).execute(_SQL["session"]).fetchone() or self._session
        self._epoch += 1
        return conn

    def _lost_connection(self, error: BaseException) -> bool:
        """Return whether trying again makes sense: the connection is gone, and with it the answer."""
        # `InternalError` is what a session ends with that had to wait for its turn longer than the server lets it,
        # `OSError` what psycopg may raise where the socket breaks while it waits for it.
        return isinstance(error, psycopg.OperationalError | psycopg.InternalError | OSError) and self._conn.closed


def copy_rows(conn: psycopg.Connection, chunk: ReadyChunk) -> dict[str, int]:
    """Copy the rows of a chunk's file into its segment and return how many PostgreSQL counted in each table."""
    rows, segment = {}, Segment.of(chunk.ledgers.first)
    for section in _rows(chunk):
        into = queries.template(_SQL["copy"], {"part": sql.Identifier(segments.part(section.table, segment))})
        rows[section.table] = copy(conn, into, section, chunk)
    return rows


def stage_rows(conn: psycopg.Connection, chunk: ReadyChunk, swap: Swap) -> list[str]:
    """Stage what is merged with what the store has until its turn comes, and return the sections that have rows."""
    staged = []
    for section in _rest(chunk):
        if into := swap.copy_into(conn, section.table):
            copy(conn, into, section, chunk)
            staged.append(section.table)
    return staged


def _rows(chunk: ReadyChunk) -> list[Section]:
    return [section for section in chunk.done.sections if section.table in TABLES]


def _rest(chunk: ReadyChunk) -> list[Section]:
    return [section for section in chunk.done.sections if section.table not in TABLES and section.rows]
