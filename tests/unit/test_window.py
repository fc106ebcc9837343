"""The window's bounds, in chunks and in bytes, and the place that the head always has."""

from __future__ import annotations

import pytest

from pipeline.chunk import Attempt, Chunk, ChunkState, Result
from pipeline.plan import Gap
from pipeline.window import Window
from workers.messages import ChunkDone, LedgerRange


def chunk(first: int, size: int, *, held: bool = False, state: ChunkState = ChunkState.WORK) -> Chunk:
    ledgers = LedgerRange(first, first + 9)
    made = Chunk(ledgers=ledgers, gap=Gap(ledgers=ledgers), size=size, stored=1, state=state)
    if held:
        attempt = Attempt(token=first, number=1, chunk=made, worker=1, path="/1", since=0.0)
        made.result, made.state = Result(ledgers, ChunkDone(token=first, ledgers=ledgers), attempt), ChunkState.HELD
    return made


def window(*chunks: Chunk, most_chunks: int = 4, most_bytes: int = 100) -> Window:
    made = Window(most_chunks, most_bytes)
    for each in chunks:
        made.open(each)
    return made


def test_an_empty_window_takes_any_chunk():
    """The first chunk is the head, and the head has a place whatever it takes."""
    assert window(most_chunks=1, most_bytes=1).admits(1 << 40)


@pytest.mark.parametrize(("size", "admitted"), [(50, True), (51, False)])
def test_bytes_are_bounded_behind_the_head(size: int, admitted: bool):
    """What is behind the head fits in the bound, in work or held; what the head takes does not count."""
    assert window(chunk(1, 1_000_000), chunk(11, 30), chunk(21, 20, held=True)).admits(size) is admitted


def test_chunks_are_bounded():
    """No more chunks are open than the window has places, however small they are."""
    open_chunks = [chunk(first, 0) for first in (1, 11, 21)]
    assert window(*open_chunks).admits(0)
    assert not window(*open_chunks, chunk(31, 0)).admits(0)


def test_a_result_too_large_for_the_bound_has_no_room():
    """Real sizes count against results alone: the estimates of what is in work give way."""
    late, head = chunk(21, 60), chunk(1, 10)
    bounded = window(head, chunk(11, 60, held=True), late)
    assert bounded.has_room(late, 40)
    assert not bounded.has_room(late, 41)
    assert bounded.has_room(head, 1 << 40)


def test_only_the_head_is_served_when_bytes_run_out():
    """A chunk that waits to be worked on again is handed out when all that is open fits, the head always."""
    head, again = chunk(1, 500, state=ChunkState.WAITING), chunk(11, 101, state=ChunkState.WAITING)
    bounded = window(head, again)
    assert bounded.serves(head)
    assert not bounded.serves(again)
    bounded.close(head)
    assert bounded.serves(again)


def test_the_lowest_chunk_that_waits_comes_first():
    """A chunk whose back-off is not over is passed over, and comes first when it is."""
    resting, ready = chunk(11, 1, state=ChunkState.WAITING), chunk(21, 1, state=ChunkState.WAITING)
    resting.not_before = 5.0
    bounded = window(ready, chunk(1, 1), resting)
    assert bounded.waiting(4.9) is ready
    assert bounded.waiting(5.0) is resting


def test_chunks_from_a_ledger_on():
    """Those that start at a ledger or above it, in order, as when everything behind a failure is dropped."""
    first, second, third = chunk(1, 1), chunk(11, 1), chunk(21, 1)
    assert window(third, first, second).from_ledger(11) == [second, third]
    assert window(third, first, second).head is first
