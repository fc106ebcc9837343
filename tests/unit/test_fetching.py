"""One reading shared by threads: the order of its objects, and where it ends."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from workers.messages import Failure, LedgerRange
from workers.sources import Object
from workers.sources.fetching import Fetching

OBJECTS = [LedgerRange(first, first + 1) for first in range(2, 22, 2)]


def fetched(held: LedgerRange) -> Object:
    return f"KEY {held}", held.first, held.last, bytes(held.first)


def test_objects_come_in_order_whoever_fetched_them() -> None:
    """Threads that end in any order give the objects in theirs, with all their bytes counted."""

    def fetch(held: LedgerRange) -> Object:
        time.sleep((22 - held.first) / 500)
        return fetched(held)

    fetching = Fetching(OBJECTS, fetch)
    with ThreadPoolExecutor(4) as threads:
        for _ in range(4):
            threads.submit(fetching.take)
    reading = fetching.reading()
    assert reading.objects == [fetched(held) for held in OBJECTS]
    assert (reading.stored_bytes, reading.failure) == (sum(held.first for held in OBJECTS), None)


def test_first_failure_ends_a_reading() -> None:
    """What was fetched before the first object that failed is kept, and nothing more is asked for."""
    asked: list[int] = []
    both = threading.Barrier(2)

    def fetch(held: LedgerRange) -> Object | Failure:
        asked.append(held.first)
        if held.first < 6:
            return fetched(held)
        both.wait(10)  # two fail at once, the later one first or not
        time.sleep(0.05 if held.first == 6 else 0)
        return Failure(reason=f"no {held}", transient=False, ledger=held.first)

    fetching = Fetching(OBJECTS, fetch)
    with ThreadPoolExecutor(2) as threads:
        for _ in range(2):
            threads.submit(fetching.take)
    reading = fetching.reading()
    assert reading.objects == [fetched(held) for held in OBJECTS[:2]]
    assert reading.failure is not None
    assert reading.failure.ledger == 6
    assert sorted(asked) == [2, 4, 6, 8]


def test_reader_that_is_too_slow_leaves_the_rest() -> None:
    """A reader takes no more objects when its time is over; the next one goes on where it stopped."""

    def fetch(held: LedgerRange) -> Object:
        time.sleep(0.02)
        return fetched(held)

    fetching = Fetching(OBJECTS, fetch)
    fetching.take(0)
    assert fetching.left == len(OBJECTS)
    fetching.take(0.03)
    assert 0 < fetching.left < len(OBJECTS)
    fetching.take()
    assert len(fetching.reading().objects) == len(OBJECTS)
