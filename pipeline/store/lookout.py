"""Says whose lock a session of this process waits for, on a thread of its own: nobody waits in silence for a lock."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Protocol
from weakref import WeakSet

import psycopg

from pipeline.store.blockers import blockers

logger = logging.getLogger(__name__)
AFTER_S, ANEW_S = 3.0, 10.0  # of a wait, until the first word and from that to the next
_LOOK_S = 0.5


class Session(Protocol):
    """A connection that can be asked since when it has been waiting, and for another one beside it."""

    waiting_since: float | None  # by the monotonic clock; None: it waits for nothing
    another: Callable[[], psycopg.Connection]

    @property
    def info(self) -> psycopg.ConnectionInfo:
        """Its process at the server."""


class Lookout:
    """Watches sessions as long as they live; the server is asked where one has waited for `AFTER_S`, and no sooner."""

    def __init__(self) -> None:
        """Watch nobody yet."""
        self._sessions: WeakSet[Session] = WeakSet()
        self._changed = threading.Lock()  # guards the two
        self._thread: threading.Thread | None = None
        self._next_word = 0.0

    def watch(self, session: Session) -> None:
        """Watch one more."""
        with self._changed:
            self._sessions.add(session)
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="lookout", daemon=True)
                self._thread.start()

    def _look(self) -> None:
        while True:
            time.sleep(_LOOK_S)
            with self._changed:
                sessions = list(self._sessions)
            now = time.monotonic()
            waits = [(session, session.waiting_since) for session in sessions]
            late = [session for session, since in waits if since is not None and now - since > AFTER_S]
            if not late:
                self._next_word = 0.0
            elif now >= self._next_word:
                self._next_word = now + ANEW_S
                _tell(late)
            del sessions, waits, late  # none lives longer for having been looked at


def _tell(late: Sequence[Session]) -> None:
    """Say who holds these up, where the server can be asked."""
    try:
        with closing(late[0].another()) as conn:
            for blocker in blockers(conn, [session.info.backend_pid for session in late]):
                logger.warning("waiting for a lock in the database: it is held by %s", blocker)
    except Exception:  # this thread's outermost door: those who wait are told what is wrong
        logger.debug("cannot ask the database what it waits for", exc_info=True)
