"""Lanes: threads that carry out jobs side by side and answer in the order in which these were given."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from pipeline.events import Event
from pipeline.mailbox import Mailbox

logger = logging.getLogger(__name__)
_GRACE_S, _AT_ONCE_S = 0.5, 3.0  # what jobs have before they are cancelled, and then, where a run ends at once

J = TypeVar("J")
Turn = Callable[[], None]
"""Waits until every job before this one has been answered; `Abandoned` where one has failed or the lanes close."""


class Abandoned(Exception):
    """A job before this one has failed, or nobody waits for it any more: it leaves everything as it was."""


class Lanes(Generic[J]):
    """As many threads as there are lanes, each of which carries out one job at a time, given its turn.

    Jobs are taken in the order given. What may happen ahead is done before `turn()`, what must be in order after it.
    After the first that fails nothing more is carried out: one `failed(error)` answers it and all behind it.
    """

    def __init__(
        self,
        lanes: Sequence[Callable[[J, Turn], Event]],
        failed: Callable[[Exception], Event],
        cancel: Callable[[], None],
    ) -> None:
        """Start the threads; `cancel` is called on the thread that closes, to end at once what is in hand."""
        self._failed, self._cancel = failed, cancel
        self._todo: queue.SimpleQueue[tuple[int, J] | None] = queue.SimpleQueue()
        self._answers = Mailbox()
        self._given = self._answered = 0
        self._over = False
        self._turns = threading.Condition()
        self.readable = self._answers.readable
        self._threads = [threading.Thread(target=self._run, args=(lane,), daemon=True) for lane in lanes]
        for thread in self._threads:
            thread.start()

    def submit(self, job: J) -> None:
        """Ask for one more job, behind those before it."""
        self._todo.put((self._given, job))
        self._given += 1

    def answers(self) -> Iterator[Event]:
        """Iterate over what was answered since the last call; `readable` has a byte for each."""
        return self._answers.taken()

    def close(self, *, at_once: bool = False) -> None:
        """End the threads after what they have in hand; what was asked for behind that is left undone.

        `at_once`: cancel what is in hand if it takes long, and leave it to itself if even that does not end it.
        """
        while not self._todo.empty():
            self._todo.get()
        for _ in self._threads:
            self._todo.put(None)
        if at_once and not self._ended_at_once():
            logger.warning("not waiting for what the database does not end")
            return  # it may still write to the pipe
        for thread in self._threads:
            thread.join()
        self._answers.close()

    def _ended_at_once(self) -> bool:
        self._end()
        end = time.monotonic() + _GRACE_S
        self._join(end)
        end += _AT_ONCE_S
        while self._alive() and time.monotonic() < end:
            self._cancel()  # again and again: between two statements it finds nothing to cancel
            self._join(time.monotonic() + 0.1)
        return not self._alive()

    def _alive(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def _join(self, until: float) -> None:
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _run(self, lane: Callable[[J, Turn], Event]) -> None:
        while not self._over and (given := self._todo.get()) is not None:
            number, job = given
            try:
                self._answer(number, self._carry_out(lane, job, number))
            except Abandoned:
                return

    def _carry_out(self, lane: Callable[[J, Turn], Event], job: J, number: int) -> Event:
        def turn() -> None:
            self._wait_for(number)

        try:
            answer = lane(job, turn)
        except Abandoned:
            raise
        except Exception as error:  # a thread's outermost door: what it is gets decided where the run ends
            turn()
            self._end()
            return self._failed(error)
        turn()
        return answer

    def _wait_for(self, number: int) -> None:
        with self._turns:
            self._turns.wait_for(lambda: self._over or self._answered == number)
            if self._over:
                raise Abandoned

    def _answer(self, number: int, answer: Event) -> None:
        self._answers.put(answer)
        with self._turns:
            self._answered = number + 1
            self._turns.notify_all()

    def _end(self) -> None:
        with self._turns:
            self._over = True
            self._turns.notify_all()
