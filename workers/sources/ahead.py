"""Streams that run ahead of their reader, each in a thread of its own, by a bounded number of pieces."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator

_PIECES = 8  # a stream
_ASKING_S = 0.1  # how often a stream that is full looks whether anybody still reads
_ENDING_S = 1.0  # for all threads, which may hang in a request


class _Stopped(Exception):
    """Nobody reads any more."""


class _Stream(threading.Thread):
    def __init__(self, pieces: Callable[[], Iterable[bytes]], stopped: threading.Event) -> None:
        super().__init__(name="ahead", daemon=True)
        self._pieces, self._stopped = pieces, stopped
        self._ready: queue.Queue[bytes | BaseException | None] = queue.Queue(_PIECES)
        self.start()

    def run(self) -> None:
        """Put piece after piece, then None or the error."""
        with contextlib.suppress(_Stopped):
            try:
                for piece in self._pieces():
                    self._put(piece)
                self._put(None)
            except Exception as error:  # an edge: it is the reader's
                self._put(error)

    def read(self) -> Iterator[bytes]:
        """Iterate over the pieces; raises what making them raised."""
        while (piece := self._ready.get()) is not None:
            if isinstance(piece, BaseException):
                raise piece
            yield piece

    def _put(self, piece: bytes | BaseException | None) -> None:
        while not self._stopped.is_set():
            with contextlib.suppress(queue.Full):
                self._ready.put(piece, timeout=_ASKING_S)
                return
        raise _Stopped


def ahead(makers: Iterable[Callable[[], Iterable[bytes]]], streams: int) -> Generator[Iterator[bytes]]:
    """Iterate over the streams in order, so many of them under way at once; each is read before the next.

    Close the generator (`contextlib.closing`) to end the threads early.
    The reader's own thread makes no request, so it heeds signals at once.
    """
    stopped, left, running = threading.Event(), iter(makers), deque[_Stream]()
    try:
        while True:
            while len(running) < streams and (maker := next(left, None)) is not None:
                running.append(_Stream(maker, stopped))
            if not running:
                return
            yield running[0].read()
            running.popleft()
    finally:
        stopped.set()
        deadline = time.monotonic() + _ENDING_S
        for stream in running:
            stream.join(max(0.0, deadline - time.monotonic()))
