"""The history of a run: each step against a stall becomes a row, and what the run waits for can be read elsewhere."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg

from pipeline.errors import first_line
from pipeline.progress.pace import Pace, head
from pipeline.progress.printable import printable
from pipeline.progress.units import plural
from pipeline.store import books
from pipeline.store.books import NewStep, Run, Word
from pipeline.store.connection import Limits, cancel

if TYPE_CHECKING:
    from pipeline.actions import Note
    from pipeline.engine import Watcher
    from pipeline.progress.snapshot import Snapshot

logger = logging.getLogger(__name__)
EVERY_S, ANEW_S = 2.0, 10.0  # between two words; between two that are the same
MOST_WAITING = 500  # steps, while the database is away
PATIENCE_S = 3.0  # at the end of a run, for steps that still wait
_LIMITS = Limits(lock_s=5.0, statement_s=10.0)
_RETRY_S, _LONGEST_RETRY_S = 0.2, 5.0


class History:
    """A `Watcher` that passes everything on and has it written down; whoever tells it never waits for the database."""

    def __init__(self, inner: Watcher, scribe: Scribe) -> None:
        """Pass on to `inner`; `scribe` writes."""
        self._inner, self._scribe = inner, scribe
        self._pace, self._next_s = Pace(), EVERY_S
        self._word: Word | None = None
        self._said_s = 0.0  # of the run

    def progress(self, snapshot: Snapshot) -> None:
        """Say what the run waits for, when it is time; a run that is over sooner says nothing."""
        self._inner.progress(snapshot)
        self._pace.add(snapshot)
        if snapshot.elapsed_s < self._next_s:
            return
        self._next_s = snapshot.elapsed_s + EVERY_S
        word = Word(
            ledgers_done=snapshot.ledgers_done,
            ledgers_wanted=snapshot.ledgers_wanted,
            head=head(snapshot),
            waits_for=self._pace.sentence(),
        )
        if word != self._word or snapshot.elapsed_s >= self._said_s + ANEW_S:
            self._word, self._said_s = word, snapshot.elapsed_s
            self._scribe.say(word)

    def note(self, note: Note) -> None:
        """Have a row written of a step against a stall."""
        self._inner.note(note)
        self._scribe.add(note)


class Scribe:
    """Writes steps and words over one connection, on one thread; neither is there before the first of them.

    While the database is away steps wait, and of words the newest; no error leaves this class.
    """

    def __init__(self, connect: Callable[[Limits], psycopg.Connection], run: Run) -> None:
        """Do nothing yet; `connect` is called again after each trouble."""
        self._connect, self._run = connect, run
        self._thread: threading.Thread | None = None
        self._conn: psycopg.Connection | None = None
        self._trouble = "the database has not answered in time"
        self._changed = threading.Condition()  # guards what follows
        self._steps: list[tuple[int, float, Note]] = []  # number, when by the monotonic clock
        self._word: tuple[float, Word] | None = None
        self._count = self._lost = 0
        self._closing = False

    def add(self, note: Note) -> None:
        """Have a step written, after those before it."""
        with self._changed:
            self._count += 1
            if len(self._steps) < MOST_WAITING:
                self._steps.append((self._count, time.monotonic(), replace(note, why=printable(note.why))))
            else:
                self._lost += 1
            self._wake()

    def say(self, word: Word) -> None:
        """Have a word written in place of the one before it."""
        with self._changed:
            self._word = (time.monotonic(), word)
            self._wake()

    def close(self, patience_s: float = PATIENCE_S) -> None:
        """Write the steps that wait, for `patience_s` seconds at most; log how many could not be written, if any."""
        if self._thread is None:
            return
        with self._changed:
            self._word, self._closing = None, True
            self._changed.notify()
        self._thread.join(patience_s)
        with self._changed:
            lost = self._lost + len(self._steps)
            self._steps.clear()
        if self._thread.is_alive() and (conn := self._conn) and not conn.closed:
            cancel(conn)
        if lost:
            logger.warning("%s could not be written to the run's history: %s", plural(lost, "step"), self._trouble)

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="history", daemon=True)
            self._thread.start()
        self._changed.notify()

    def _work(self) -> None:
        failures = 0
        while self._wait(failures):
            try:
                self._write()
                failures = 0
            except Exception as error:  # the outermost door of this thread: the run goes on without a history
                self._trouble = first_line(error)
                failures += 1
                self._disconnect()
        self._disconnect()

    def _wait(self, failures: int) -> bool:
        """Wait for something to write, after a failure for a while first; return whether there is anything."""
        with self._changed:
            if failures:
                pause = min(_RETRY_S * 2**failures, _LONGEST_RETRY_S)
                if self._changed.wait_for(lambda: self._closing, pause):
                    self._changed.wait(_RETRY_S)
            self._changed.wait_for(lambda: self._steps or self._word or self._closing)
            return bool(self._steps or self._word)

    def _write(self) -> None:
        with self._changed:
            steps, said = self._steps.copy(), self._word
        if self._conn is None:
            self._conn = self._connect(_LIMITS)
            books.need_not_wait(self._conn)
        if steps:
            now = time.monotonic()
            books.add_steps(self._conn, self._run, [NewStep(number, now - at, note) for number, at, note in steps])
            with self._changed:
                del self._steps[: len(steps)]
        if said:
            at, word = said
            books.say(self._conn, self._run, word, time.monotonic() - at)
            with self._changed:
                self._word = None if self._word is said else self._word

    def _disconnect(self) -> None:
        if self._conn is not None:
            self._conn.close()
            self._conn = None
