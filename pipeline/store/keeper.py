"""Keeps the lock of a run over the end of its session: a restart or failover of the server takes the lock with it.

The run goes on then, over new connections; without its lock, another one could begin and `status` would call it dead.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing
from itertools import count
from multiprocessing.connection import wait

import psycopg

from pipeline.errors import BackfillError, RunHeld
from pipeline.store import locks
from pipeline.store.books import Run

logger = logging.getLogger(__name__)
_RETRY_S, _LONGEST_RETRY_S = 0.1, 5.0
_END_S = 3.0  # for a connection that is being made as the run ends


class Keeper:
    """Holds a run's lock while it is open, with a session of its own; `RunHeld` when another run has it.

    Who took it while there was no session is not stopped: the compare-and-swap tells which of both goes on.
    """

    def __init__(self, connect: Callable[[], psycopg.Connection], run: Run, *, lock: str = locks.BASE_TABLES) -> None:
        """Take the lock; `connect`, which has to be in autocommit, is called again when the session has ended."""
        self._connect, self._run, self._lock = connect, run, lock
        self._session = ExitStack()
        self._conn = self._hold()
        self._stop, self._stopping = os.pipe()
        self._thread = threading.Thread(target=self._watch, name="lock", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Give the lock back; one that is just being taken goes with the process."""
        os.write(self._stopping, b"\0")
        self._thread.join(_END_S)
        if not self._thread.is_alive():
            self._session.close()
            os.close(self._stop)
            os.close(self._stopping)

    def _hold(self) -> psycopg.Connection:
        with ExitStack() as stack:
            conn = stack.enter_context(closing(self._connect()))
            stack.enter_context(locks.hold(conn, self._run, lock=self._lock))
            self._session = stack.pop_all()
            return conn

    def _watch(self) -> None:
        going = True
        while going and self._stop not in wait([self._conn.fileno(), self._stop]):
            try:
                self._conn.execute("SELECT")  # a server that goes on may have told of a changed setting
            except psycopg.Error:
                self._session.close()
                going = self._held_again()

    def _held_again(self) -> bool:
        """Take the lock as soon as the server is there again; return False where the run ends before that."""
        said, what = False, locks.shown(self._lock)
        for tries in count():
            if wait([self._stop], min(_RETRY_S * 2 ** min(tries, 10), _LONGEST_RETRY_S)):
                return False
            try:
                self._conn = self._hold()
            except RunHeld as held:
                if not said:
                    logger.warning("the session that held %s for this run has ended, and now %s", what, held)
                said = True
            except (BackfillError, psycopg.Error):
                continue  # those who commit say that the server is away
            else:
                logger.info("%s is held again: the session that held it for this run had ended", what)
                return True
        raise AssertionError("unreachable: the loop above returns")
