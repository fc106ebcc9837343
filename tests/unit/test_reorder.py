"""The reorder buffer against a naive model, step by step."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pipeline.reorder import ReorderBuffer
from workers.messages import LedgerRange

EARLIEST, LATEST = 1, 300


class ReorderMachine(RuleBasedStateMachine):
    """Adds pieces of some ranges in any order, wrong ones among them."""

    @initialize(lengths=st.lists(st.tuples(st.integers(1, 3), st.integers(1, 60)), min_size=1, max_size=4))
    def begin(self, lengths: list[tuple[int, int]]) -> None:
        """Want a few ranges with something between them, or next to each other."""
        self.ranges: list[LedgerRange] = []
        first = EARLIEST
        for skipped, length in lengths:
            first += skipped - 1
            self.ranges.append(LedgerRange(first, first + length - 1))
            first += length
        self.buffer = ReorderBuffer[str](self.ranges)
        self.wanted = [ledger for part in self.ranges for ledger in part]  # not released yet
        self.held: dict[int, LedgerRange] = {}

    def free(self) -> list[int]:
        """Return the ledgers that are neither released nor held."""
        taken = {ledger for part in self.held.values() for ledger in part}
        return [ledger for ledger in self.wanted if ledger not in taken]

    @precondition(lambda self: self.free())
    @rule(data=st.data(), most=st.integers(1, 12), front=st.booleans())
    def add(self, data: st.DataObject, most: int, front: bool) -> None:
        """A piece that fits is held or released, and everything that waited for it follows in order."""
        free = self.free()
        first = free[0] if front else data.draw(st.sampled_from(free))
        home = next(part for part in self.ranges if first in part)
        last = first
        while last - first + 1 < most and last + 1 in home and last + 1 in free:
            last += 1
        piece = LedgerRange(first, last)
        self.held[first] = piece
        expected = []
        while self.wanted and self.wanted[0] in self.held:
            released = self.held.pop(self.wanted[0])
            expected.append(str(released))
            del self.wanted[: len(released)]
        assert self.buffer.add(piece, str(piece)) == expected

    @rule(skipped=st.integers(0, 2), length=st.integers(1, 20))
    def expect_more(self, skipped: int, length: int) -> None:
        """More is wanted above all that was; what goes on from the last range is one with it."""
        first = self.ranges[-1].last + 1 + skipped
        more = LedgerRange(first, first + length - 1)
        self.buffer.expect(more)
        self.ranges.append(LedgerRange(self.ranges.pop().first, more.last) if not skipped else more)
        self.wanted += more

    @rule(first=st.integers(EARLIEST, LATEST), length=st.integers(1, 40))
    def add_what_does_not_fit(self, first: int, length: int) -> None:
        """A piece that was released, is held or was never wanted is refused, and changes nothing."""
        piece = LedgerRange(first, first + length - 1)
        at_home = any(piece.first in part and piece.last in part for part in self.ranges)
        if at_home and set(piece) <= set(self.free()):
            return
        with pytest.raises(ValueError, match=f"ledgers {piece} "):
            self.buffer.add(piece, "never")

    @invariant()
    def agrees_with_the_model(self) -> None:
        """It waits for the first ledger not released; what it holds comes after that and does not overlap."""
        if not hasattr(self, "buffer"):
            return
        assert self.buffer.next_ledger == (self.wanted[0] if self.wanted else None)
        assert self.buffer.held == tuple(self.held[first] for first in sorted(self.held))
        assert len(self.buffer) == len(self.held)


TestReorder = pytest.mark.slow(ReorderMachine.TestCase)
TestReorder.settings = settings(max_examples=500, stateful_step_count=100, deadline=None)


def test_chunk_behind_a_gap_is_held():
    """A chunk that comes early waits; the missing one releases both, in order."""
    buffer = ReorderBuffer[str]([LedgerRange(1, 30)])
    assert buffer.add(LedgerRange(11, 20), "second") == []
    assert buffer.add(LedgerRange(1, 10), "first") == ["first", "second"]
    assert buffer.next_ledger == 21


def test_stretches_that_are_there_already_are_jumped_over():
    """The last ledger of one range releases what waits at the start of the next."""
    buffer = ReorderBuffer[str]([LedgerRange(1, 10), LedgerRange(50, 60)])
    assert buffer.add(LedgerRange(50, 60), "above") == []
    assert buffer.add(LedgerRange(1, 10), "below") == ["below", "above"]
    assert buffer.next_ledger is None


def test_what_is_expected_comes_above_all_before():
    """A range that ends where it grows goes on there; one that is not above all others is refused."""
    buffer = ReorderBuffer[str]([LedgerRange(1, 10)])
    assert buffer.add(LedgerRange(1, 10), "first") == ["first"]
    assert buffer.next_ledger is None
    buffer.expect(LedgerRange(11, 12))
    assert buffer.next_ledger == 11
    with pytest.raises(ValueError, match="1-12 and 12-20 do not ascend"):
        buffer.expect(LedgerRange(12, 20))
    buffer.expect(LedgerRange(13, 20))
    assert buffer.add(LedgerRange(11, 20), "over the border of growth") == ["over the border of growth"]


def test_ranges_that_overlap_are_refused():
    """No ledger is wanted twice."""
    with pytest.raises(ValueError, match="1-10 and 10-20 do not ascend"):
        ReorderBuffer[str]([LedgerRange(1, 10), LedgerRange(10, 20)])
