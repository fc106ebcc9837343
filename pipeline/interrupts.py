"""The signals that end a run in order, and what becomes of the streams when a terminal is closed."""

from __future__ import annotations

import os
import signal
import stat

_ALL = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def heeded() -> tuple[signal.Signals, ...]:
    """Return those to heed: a SIGHUP that whoever started this has ignored (`nohup`) stays ignored."""
    return tuple(each for each in _ALL if each != signal.SIGHUP or signal.getsignal(each) is not signal.SIG_IGN)


def received(number: int) -> None:
    """Prepare for the end that a signal asks for: a closed terminal takes no more words, so they go to nowhere."""
    if number != signal.SIGHUP:
        return
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        if stat.S_ISCHR(os.fstat(stream).st_mode):
            os.dup2(nowhere, stream)
    os.close(nowhere)
