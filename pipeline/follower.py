"""Follows what grows: looks for more on a thread of its own, and tells the loop of a run by events."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from pipeline.events import Ended, Event, Grown
from pipeline.mailbox import Mailbox

LOOK_S = 1.0  # between two looks
_END_S = 3.0  # for a look that is under way when the run ends
Look = Callable[[], Grown | Ended | None]
"""Looks once, and returns what has come: more, the end, or nothing. What it raises ends the run."""


class Follower:
    """Looks every second until nothing more comes; without a `look` there is nothing to follow."""

    def __init__(self, look: Look | None) -> None:
        """Begin to look, after the first second."""
        self._look = look
        self._told = Mailbox()
        self.readable = self._told.readable
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follow", daemon=True)
        if look is not None:
            self._thread.start()

    def events(self) -> Iterator[Event]:
        """Iterate over what has come since the last call; `readable` has a byte for each."""
        return self._told.taken()

    def close(self) -> None:
        """Look no more; a look that hangs is left to itself."""
        self._closing.set()
        if self._thread.ident is not None:
            self._thread.join(_END_S)
        if not self._thread.is_alive():  # else it may still write to the pipe
            self._told.close()

    def _run(self) -> None:
        assert self._look is not None  # noqa: S101 - else it is not started
        told: Grown | Ended | None = None
        while not isinstance(told, Ended) and not self._closing.wait(LOOK_S):
            try:
                told = self._look()
            except Exception as error:  # a thread's outermost door: the run ends with it
                told = Ended(error)
            if told is not None:
                self._told.put(told)
