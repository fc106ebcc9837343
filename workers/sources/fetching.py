"""One reading of several objects, shared by threads; what arrives in any order is returned in theirs."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from math import inf

from workers.messages import Failure, LedgerRange
from workers.sources.reading import Object, Reading


class Fetching:
    """The objects of one reading, shared by the threads that fetch them: each takes the next when it is done with one.

    So no thread is woken for an object that another can have at once.
    """

    def __init__(self, objects: Iterable[LedgerRange], fetch: Callable[[LedgerRange], Object | Failure]) -> None:
        """Take the objects in ascending order, and what fetches one."""
        self._left = deque(enumerate(objects))
        self._fetch = fetch
        self._fetched: list[Object | Failure | None] = [None] * len(self._left)

    @property
    def left(self) -> int:
        """How many objects nobody has taken yet."""
        return len(self._left)

    def take(self, limit_s: float = inf) -> None:
        """Fetch one object after another, until none is left or the time is over; behind one that failed none is."""
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            try:
                place, held = self._left.popleft()
            except IndexError:
                return
            self._fetched[place] = fetched = self._fetch(held)
            if isinstance(fetched, Failure):
                self._left.clear()

    def reading(self) -> Reading:
        """Return what was fetched, up to the first that failed; all threads are done."""
        read: list[Object] = []
        stored = 0
        for fetched in self._fetched:
            if fetched is None or isinstance(fetched, Failure):
                return Reading(read, stored, fetched)
            read.append(fetched)
            stored += len(memoryview(fetched[3]))
        return Reading(read, stored)
