"""Waiting without a limit, but not in silence."""

from __future__ import annotations

import logging
import re
import time
from pathlib import Path

logger = logging.getLogger(__name__)
_POLL_S = 0.02
_FIRST_WORD_S, _WORD_S = 3.0, 10.0
_TAIL_BYTES = 4096


class Wait:
    """One wait for something of the server's; its log says how far it is."""

    def __init__(self, awaited: str, log: Path) -> None:
        """Say what is waited for, and where the server writes."""
        self._awaited, self._log = awaited, log
        self._began = time.monotonic()
        self._next_word = self._began + _FIRST_WORD_S

    def pause(self) -> None:
        """Sleep for a moment; from time to time log what is waited for, with the server's last words."""
        now = time.monotonic()
        if now >= self._next_word:
            self._next_word = now + _WORD_S
            logger.info("waiting for %s, %.0f s so far: %s", self._awaited, now - self._began, self._last_words())
        time.sleep(_POLL_S)

    def _last_words(self) -> str:
        try:
            with self._log.open("rb") as file:
                file.seek(max(0, file.seek(0, 2) - _TAIL_BYTES))
                return last_line(file.read().decode(errors="replace"))
        except OSError:
            return ""


def last_line(text: str) -> str:
    """Return the last line that is not empty."""
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")


def failure_in(said: str) -> str:
    """Return what a server, or `initdb`, gave as its reason among all that it said."""
    for reason in (r"(?:FATAL|PANIC):\s+(.*)", r"error:\s+(.*)", r"(child process was .*)"):
        if found := re.findall(reason, said):
            return str(found[-1])
    return last_line(said) or "it said nothing"
