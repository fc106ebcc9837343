"""Work that is done again when its connection breaks: for how long, how often, and what is said of it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import tenacity

from pipeline.errors import first_line

logger = logging.getLogger(__name__)
_WORD_S = 10.0  # between two log lines of one work


def retrying(
    patience: Patience, lost: Callable[[BaseException], bool], *, cancelled: threading.Event
) -> tenacity.Retrying:
    """Return the attempts at a work: one more after each error that is `lost` to be the link's.

    They go on until `patience` is over, or until `cancelled`; then the last error is raised.
    """
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(lost),
        stop=lambda _: patience.over() or cancelled.is_set(),
        sleep=tenacity.sleep_using_event(cancelled),
        wait=tenacity.wait_random_exponential(multiplier=0.1, max=5.0),
        before_sleep=patience.say,
        reraise=True,
    )


class Patience:
    """How long one work, `commit ledgers 2-9`, has been without its connection: `limit_s` seconds at most.

    It counts from the first error on, however long the work had taken until then.
    """

    def __init__(self, what: str, limit_s: float) -> None:
        """Begin with a connection."""
        self._what, self._limit_s = what, limit_s
        self._since: float | None = None
        self._next_word = 0.0

    def over(self) -> bool:
        """Count from the first call on; return whether it is time to give up."""
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        return now - self._since >= self._limit_s

    def without(self, wait: Callable[[], None]) -> Callable[[], None]:
        """Return `wait` such that its time does not count: others are waited for, not the connection."""

        def uncounted() -> None:
            start = time.monotonic()
            try:
                wait()
            finally:
                if self._since is not None:
                    self._since += time.monotonic() - start

        return uncounted

    def say(self, state: tenacity.RetryCallState) -> None:
        """Say why at the first time, and then only now and then: a server that recovers refuses for a while."""
        now = time.monotonic()
        if now >= self._next_word:
            self._next_word = now + _WORD_S
            error = state.outcome.exception() if state.outcome else None
            reason = first_line(error)
            logger.warning("connecting again to %s: %s", self._what, reason)
