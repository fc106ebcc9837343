"""Segments: the store's big tables in pieces of ledgers, and in which order a run completes them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from workers.messages import MAX_LEDGER, LedgerRange

SEGMENT_LEDGERS = 1 << 16


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """One piece of every big table, named by its first ledger, a multiple of `SEGMENT_LEDGERS`."""

    first: int

    @classmethod
    def of(cls, ledger: int) -> Segment:
        """Return the segment that holds a ledger."""
        return cls(ledger // SEGMENT_LEDGERS * SEGMENT_LEDGERS)

    @property
    def past(self) -> int:
        """The ledger above its last."""
        return self.first + SEGMENT_LEDGERS

    @property
    def ledgers(self) -> LedgerRange:
        """Every ledger that it can hold: there is no ledger 0."""
        return LedgerRange(max(self.first, 1), min(self.past - 1, MAX_LEDGER))


def segments(ledgers: LedgerRange) -> Iterator[Segment]:
    """Iterate over the segments that hold `ledgers`, ascending."""
    return map(Segment, range(Segment.of(ledgers.first).first, ledgers.last + 1, SEGMENT_LEDGERS))


def joined(ascending: Iterable[Segment]) -> tuple[LedgerRange, ...]:
    """Return the ledgers of segments, those of neighbours as one range."""
    ranges: list[LedgerRange] = []
    for ledgers in (segment.ledgers for segment in ascending):
        begins = ranges and ranges[-1].last + 1 == ledgers.first
        ranges.append(LedgerRange(ranges.pop().first if begins else ledgers.first, ledgers.last))
    return tuple(ranges)


class SegmentQueue:
    """The segments that a run has to complete: each is given out once, when nothing more of the run goes into it.

    Where the run grows, the one that its end stands in is so before, too: it is about to be read.
    """

    def __init__(self, gaps: Sequence[LedgerRange] | None, due: Sequence[Segment] = ()) -> None:
        """Take the missing ledgers (None: it completes nothing), and the segments that earlier runs left incomplete."""
        self._completes, gaps = gaps is not None, gaps or ()
        self._planned = {segment for gap in gaps for segment in segments(gap)}
        self._due = frozenset(due)
        self._waiting = sorted(self._planned | self._due)
        self._given: set[Segment] = set()  # at least once
        self._unanswered: deque[Segment] = deque()

    @property
    def completing(self) -> int:
        """How many were given out and not answered yet."""
        return len(self._unanswered)

    def expect(self, ledgers: LedgerRange) -> None:
        """Take more missing ledgers, above all others; a segment that was given out before is so once more."""
        if self._completes:
            more = {*segments(ledgers)}
            self._planned |= more
            self._waiting = sorted({*self._waiting, *more})

    def answered(self) -> None:
        """Note that the first that was given out and not answered yet is complete."""
        self._unanswered.popleft()

    def stop(self) -> None:
        """Give out nothing more, and expect no answer."""
        self._waiting.clear()
        self._unanswered.clear()

    def reached(self, next_ledger: int) -> list[Segment]:
        """Give out what is begun where a run waits for `next_ledger`, unless it was before: its end comes later."""
        return self._give([each for each in self._waiting if each.first < next_ledger and each not in self._given])

    def passed(self, next_ledger: int) -> list[Segment]:
        """Give out what lies below the next ledger to be committed, and what the run never touches."""
        return self._give_out(lambda segment: segment.past <= next_ledger)

    def begun(self, next_ledger: int) -> list[Segment]:
        """Give out all that was due or that a run which ends before `next_ledger` may have begun; then nothing more."""
        given = self._give_out(lambda segment: segment in self._due or segment.first <= next_ledger)
        self._waiting.clear()
        return given

    def _give_out(self, wanted: Callable[[Segment], bool]) -> list[Segment]:
        given = [segment for segment in self._waiting if segment not in self._planned or wanted(segment)]
        self._waiting = [segment for segment in self._waiting if segment not in given]
        return self._give(given)

    def _give(self, given: list[Segment]) -> list[Segment]:
        self._given.update(given)
        self._unanswered.extend(given)
        return given
