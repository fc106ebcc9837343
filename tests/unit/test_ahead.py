"""Streams that run ahead: their order is kept, what they hold is bounded, and nothing runs on when the reader stops."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial

import pytest

from workers.sources.ahead import ahead


def running() -> int:
    return sum(thread.name == "ahead" for thread in threading.enumerate())


def wait_for(fact: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_streams_come_in_order_whichever_is_ready_first() -> None:
    """Each stream's pieces come whole and in order, one stream after another, the slow one first."""

    def pieces(number: int) -> Iterator[bytes]:
        for piece in range(number):
            time.sleep(0.02 if number == 3 else 0)
            yield b"%d-%d" % (number, piece)

    makers = [partial(pieces, number) for number in (3, 0, 20, 1)]
    with closing(ahead(makers, 2)) as streams:
        found = [list(stream) for stream in streams]
    assert found == [list(pieces(number)) for number in (3, 0, 20, 1)]
    assert running() == 0


def test_only_so_many_pieces_of_so_many_streams_are_made() -> None:
    """While nobody reads, no more streams run than were asked for, and each stops after a few pieces."""
    made = [0] * 5

    def pieces(number: int) -> Iterator[bytes]:
        while True:
            made[number] += 1
            yield b""

    with closing(ahead([partial(pieces, number) for number in range(5)], 3)) as streams:
        next(next(streams))
        wait_for(lambda: made == [10, 9, 9, 0, 0])  # eight that wait, one in hand, and one that was read
        time.sleep(0.3)
        assert made == [10, 9, 9, 0, 0]
        assert running() == 3
    assert running() == 0


def test_error_of_a_stream_is_its_readers() -> None:
    """What a stream raises comes after its pieces, and ends the others when the reader goes."""

    def broken() -> Iterator[bytes]:
        yield b"sound"
        raise ValueError("broken")

    def endless() -> Iterator[bytes]:
        while True:
            yield b""

    with closing(ahead([broken, endless], 2)) as streams:
        stream = next(streams)
        assert next(stream) == b"sound"
        with pytest.raises(ValueError, match="broken"):
            next(stream)
    assert running() == 0
