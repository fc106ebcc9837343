"""The reorder buffer: holds what came early, releases it in ledger order."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import Generic, TypeVar

from sortedcontainers import SortedDict

from workers.messages import LedgerRange

T = TypeVar("T")


class ReorderBuffer(Generic[T]):
    """Puts items that stand for ledgers in order, over one or several ranges with nothing wanted between them.

    Between calls, every held item starts after `next_ledger`, and no two overlap.
    """

    def __init__(self, ranges: Sequence[LedgerRange]) -> None:
        """Expect every ledger of `ranges` once; `ValueError` unless they ascend without overlap."""
        for below, above in pairwise(ranges):
            if below.last >= above.first:
                raise ValueError(f"ranges {below} and {above} do not ascend")
        self._ranges = tuple(ranges)
        self._held: SortedDict[int, tuple[LedgerRange, T]] = SortedDict()  # by first ledger
        self._next = ranges[0].first if ranges else None

    @property
    def next_ledger(self) -> int | None:
        """The ledger that everything held waits for; None when all were released."""
        return self._next

    @property
    def held(self) -> tuple[LedgerRange, ...]:
        """The ranges that wait, ascending."""
        return tuple(ledgers for ledgers, _ in self._held.values())

    def __len__(self) -> int:
        """Return how many items wait."""
        return len(self._held)

    def expect(self, ledgers: LedgerRange) -> None:
        """Expect more, above all that was expected before; `ValueError` for anything else."""
        if self._ranges and self._ranges[-1].last >= ledgers.first:
            raise ValueError(f"ranges {self._ranges[-1]} and {ledgers} do not ascend")
        if self._ranges and self._ranges[-1].last + 1 == ledgers.first:
            self._ranges = (*self._ranges[:-1], LedgerRange(self._ranges[-1].first, ledgers.last))
        else:
            self._ranges = (*self._ranges, ledgers)
        if self._next is None:
            self._next = ledgers.first

    def add(self, ledgers: LedgerRange, item: T) -> list[T]:
        """Take an item and return everything that is now in order, lowest first.

        `ValueError` for ledgers that were released, are held, or were never wanted: nothing has changed then.
        """
        self._refuse(ledgers)
        self._held[ledgers.first] = (ledgers, item)
        released: list[T] = []
        while self._held and self._held.peekitem(0)[0] == self._next:
            _, (done, ready) = self._held.popitem(0)
            released.append(ready)
            self._next = self._after(done.last)
        return released

    def _refuse(self, ledgers: LedgerRange) -> None:
        if self._next is None or ledgers.first < self._next:
            raise ValueError(f"ledgers {ledgers} come too late: next is {self._next}")
        if not any(ledgers.first in wanted and ledgers.last in wanted for wanted in self._around(ledgers.first)):
            raise ValueError(f"ledgers {ledgers} are in no range that is wanted")
        place = self._held.bisect_right(ledgers.first)
        for near in self._held.values()[max(0, place - 1) : place + 1]:
            if near[0].overlap(ledgers):
                raise ValueError(f"ledgers {ledgers} overlap {near[0]}, which is held")

    def _around(self, ledger: int) -> tuple[LedgerRange, ...]:
        """Return the one range that may hold `ledger`."""
        place = bisect_right(self._ranges, ledger, key=lambda wanted: wanted.first)
        return self._ranges[max(0, place - 1) : place]

    def _after(self, ledger: int) -> int | None:
        """Return the wanted ledger that follows `ledger`, over the stretches that nobody waits for."""
        place = bisect_right(self._ranges, ledger, key=lambda wanted: wanted.first)
        if ledger < self._ranges[place - 1].last:
            return ledger + 1
        return self._ranges[place].first if place < len(self._ranges) else None
