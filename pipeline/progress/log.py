"""Log lines on standard error: UTC, one line a record whatever strangers wrote into it, no password."""

from __future__ import annotations

import logging
import sys
import time

from pipeline.progress.printable import printable

OURS = ("pipeline", "workers")


class LineFormatter(logging.Formatter):
    """Writes a record, its traceback included, as one line."""

    def __init__(self) -> None:
        """Fix the form."""
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        """Escape what could steer a terminal or forge a line."""
        return printable(super().format(record))


def configure(level: str, handler: logging.Handler | None = None) -> None:
    """Log our own records from `level` on, and warnings of other libraries than psycopg; replaces what was set before.

    Without a `handler`, to standard error.
    """
    handler = handler or logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("psycopg").setLevel(logging.ERROR)  # what it passes over as a connection breaks is said by us
    set_level(level)


def set_level(level: str) -> None:
    """Log our own records from `level` on."""
    for name in OURS:
        logging.getLogger(name).setLevel(level.upper())
