"""Follows what grows: looks for more on a thread of its own, and tells the loop of a run by events."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator

from pipeline.events import Ended, Event, Grown
from pipeline.mailbox import Mailbox

logger = logging.getLogger(__name__)
LOOK_S = 1.0  # between two looks
SILENT_S = 60.0  # without news, until it is said; then twice as long each time
_END_S = 3.0  # for a look that is under way when the run ends
Look = Callable[[], Grown | Ended | None]
"""Looks once, and returns what has come: more, the end, or nothing. What it raises ends the run."""


class Silence:
    """Says what is waited for, when nothing has come for a minute and then ever more seldom; trouble at once, too."""

    def __init__(self) -> None:
        """Begin to wait."""
        self.ended()

    def ended(self) -> None:
        """Something has come."""
        self._since, self._next_s, self._trouble = time.monotonic(), SILENT_S, ""

    def lasts(self, waiting: str) -> None:
        """Nothing has come, and nothing is wrong: say now and then what is `waiting`."""
        self._trouble = ""
        if (silent_s := self._due()) is not None:
            logger.info("%s for %.0f s", waiting, silent_s)

    def troubled(self, trouble: str) -> None:
        """Nothing can come: say why at once where that is new, and again now and then."""
        if self._due() is not None or trouble != self._trouble:
            logger.warning("%s", trouble)
        self._trouble = trouble

    def _due(self) -> float | None:
        silent_s = time.monotonic() - self._since
        if silent_s < self._next_s:
            return None
        self._next_s *= 2
        return silent_s


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
