"""Two file locks beside the data: one for whoever starts or stops, one that the server's processes hold."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger(__name__)


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock for who starts, stops or deletes: a second one waits, and says so."""
    with _opened(path) as descriptor:
        if not _taken(descriptor):
            logger.info("waiting for another process that starts or stops the embedded PostgreSQL")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


@contextmanager
def inherited(path: Path) -> Iterator[int]:
    """Give a descriptor with the lock: whoever inherits it holds the lock until the last of them has ended.

    So the lock tells whether any process has the folder, orphans of a killed postmaster included, whatever numbers
    the processes have.
    """
    with _opened(path) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor


def in_use(path: Path) -> bool:
    """Return whether a process holds the lock."""
    if not path.exists():
        return False
    with _opened(path) as descriptor:
        return not _taken(descriptor)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
