"""Segments: which hold a range, and in which order a run completes them."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pipeline.segments import SEGMENT_LEDGERS, Segment, SegmentQueue, joined, segments
from workers.messages import MAX_LEDGER, LedgerRange

LEDGERS = st.integers(1, 8 * SEGMENT_LEDGERS)
SEGMENTS = st.integers(0, 8).map(lambda number: Segment(number * SEGMENT_LEDGERS))


def test_segments_lie_side_by_side() -> None:
    """A border is the first ledger of a segment; the first lacks ledger 0, the last what no number reaches."""
    assert Segment.of(SEGMENT_LEDGERS - 1).ledgers == LedgerRange(1, SEGMENT_LEDGERS - 1)
    assert Segment.of(SEGMENT_LEDGERS).ledgers == LedgerRange(SEGMENT_LEDGERS, 2 * SEGMENT_LEDGERS - 1)
    assert Segment.of(MAX_LEDGER).ledgers.last == MAX_LEDGER
    borders = LedgerRange(SEGMENT_LEDGERS - 1, SEGMENT_LEDGERS)
    assert list(segments(borders)) == [Segment(0), Segment(SEGMENT_LEDGERS)]


@given(st.sets(SEGMENTS).map(sorted))
def test_neighbours_are_joined(some: list[Segment]) -> None:
    """The ranges hold these segments and no others, and none touches the next."""
    ranges = joined(some)
    assert [segment for each in ranges for segment in segments(each)] == some
    assert all(one.last + 1 < other.first for one, other in pairwise(ranges))


def gaps_of(edges: list[int]) -> list[LedgerRange]:
    """Return ranges that ascend and do not touch."""
    ordered = sorted(set(edges))
    return [LedgerRange(first, last) for first, last in zip(ordered[::2], ordered[1::2], strict=False)]


@given(st.lists(LEDGERS, max_size=8).map(gaps_of), st.lists(SEGMENTS), st.lists(LEDGERS).map(sorted))
def test_each_is_given_out_once_when_the_run_is_past_it(
    gaps: list[LedgerRange], due: list[Segment], heads: list[int]
) -> None:
    """A segment comes once, never while a missing ledger of it is to be committed; at the end all have come."""
    queue, came = SegmentQueue(gaps, due), []
    for head in [*heads, MAX_LEDGER + 1]:
        now = queue.passed(head)
        came += now
        rest = [LedgerRange(max(gap.first, head), gap.last) for gap in gaps if gap.last >= head]
        assert not {segment for part in rest for segment in segments(part)} & set(now)
    assert sorted(came) == sorted({*due, *(segment for gap in gaps for segment in segments(gap))})


def test_what_no_chunk_goes_into_is_completed_at_once() -> None:
    """What an earlier run has left, and this one does not touch, waits for nothing."""
    queue = SegmentQueue([LedgerRange(1, 10)], [Segment(SEGMENT_LEDGERS)])
    assert queue.passed(1) == [Segment(SEGMENT_LEDGERS)]


def test_where_the_tip_stands_the_segment_is_given_out_before_its_end() -> None:
    """The segment of a tip is given out once, and once more when it is passed."""
    queue = SegmentQueue([LedgerRange(1, 10)])
    assert queue.passed(11) == []
    assert queue.reached(11) == [Segment(0)]
    assert queue.completing == 1
    queue.expect(LedgerRange(11, SEGMENT_LEDGERS - 1))
    assert queue.reached(12) == []
    queue.answered()
    assert queue.completing == 0
    assert queue.reached(13) == []
    assert queue.passed(SEGMENT_LEDGERS) == [Segment(0)]


def test_what_was_due_is_given_out_once_more_where_the_run_grows_into_it() -> None:
    """What an earlier run has left is completed at the start, not at each tip, and when it is passed."""
    queue = SegmentQueue([], [Segment(0)])
    assert queue.passed(11) == [Segment(0)]
    queue.expect(LedgerRange(11, SEGMENT_LEDGERS - 1))
    assert queue.reached(12) == []
    assert queue.passed(SEGMENT_LEDGERS) == [Segment(0)]


def test_a_run_that_completes_nothing_grows_as_well() -> None:
    """Where no segment is this run's matter none is given out."""
    queue = SegmentQueue(None)
    queue.expect(LedgerRange(1, SEGMENT_LEDGERS))
    assert queue.reached(10) == queue.passed(SEGMENT_LEDGERS) == queue.begun(MAX_LEDGER) == []


GROWTH = st.lists(st.tuples(st.integers(0, 2), st.integers(1, SEGMENT_LEDGERS + 2)), min_size=1, max_size=6)


@given(GROWTH)
def test_at_each_tip_every_segment_with_rows_has_its_indexes(growth: list[tuple[int, int]]) -> None:
    """However a run grows, all behind its tip was given out, at most twice."""
    queue, last, came = SegmentQueue([]), 0, list[Segment]()
    for skipped, more in growth:
        grown = LedgerRange(last + skipped + 1, last + skipped + more)
        queue.expect(grown)
        last = grown.last
        came += [*queue.passed(last + 1), *queue.reached(last + 1)]
        assert {*segments(grown)} <= set(came)
    assert max(Counter(came).values()) <= 2


def test_a_run_that_ends_early_completes_what_it_has_begun() -> None:
    """Up to the one that holds the next ledger, and behind it only what was due before; then none, however asked."""
    due = Segment(3 * SEGMENT_LEDGERS)
    queue = SegmentQueue([LedgerRange(1, 4 * SEGMENT_LEDGERS)], [due])
    assert queue.begun(SEGMENT_LEDGERS + 5) == [Segment(0), Segment(SEGMENT_LEDGERS), due]
    assert queue.begun(MAX_LEDGER) == []
    assert queue.passed(MAX_LEDGER) == []
