"""The clock of a run: it stands still while nobody looks at the run, so that one that was stopped blames no worker."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)
STOPPED_S = 5.0  # between two looks, which come several times a second


class RunClock:
    """Seconds since some moment, never descending, without those in which the process was stopped (SIGSTOP, Ctrl-Z).

    Between two calls that are further apart than `STOPPED_S` no time passes: deadlines are counted by this clock.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Begin now, by the clock of the machine."""
        self._monotonic = monotonic
        self._seen, self._left_out_s = monotonic(), 0.0

    def __call__(self) -> float:
        """Return the time, and log it where some was left out."""
        before, self._seen = self._seen, self._monotonic()
        if (stopped_s := self._seen - before) > STOPPED_S:
            self._left_out_s += stopped_s
            logger.warning("the run stood still for %.1f s: deadlines are put off as long", stopped_s)
        return self._seen - self._left_out_s
