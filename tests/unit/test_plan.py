"""Plans cover what is missing, once, in pieces that end where they may."""

from __future__ import annotations

import time
import tracemalloc
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.plan import CHUNKS_A_WORKER, OBJECT_BYTES, ChunkSize, CostModel, Gap, Plan, missing
from workers.messages import LedgerRange


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Ranges with holes, any sizes, uneven costs."""
    first = draw(st.integers(1, 5000))
    wanted = LedgerRange(first, first + draw(st.integers(0, 3000)))
    starts = draw(st.lists(st.integers(wanted.first, wanted.last), max_size=4))
    held = [LedgerRange(start, start + draw(st.integers(0, 400))) for start in starts]
    per_object = draw(st.sampled_from([1, 1, 2, 64, 10]))
    samples = draw(st.dictionaries(st.integers(1, 9000), st.integers(0, 10_000), max_size=12))
    return Plan(
        wanted=wanted,
        gaps=tuple(Gap(ledgers=part) for part in missing(wanted, held)),
        cost=CostModel(samples.items(), ledgers_per_object=per_object),
        size=ChunkSize(
            target_bytes=draw(st.integers(1, 200_000)),
            share_bytes=draw(st.none() | st.integers(1, 200_000)),
            most_ledgers=draw(st.integers(1, 500)),
            exact_ledgers=draw(st.one_of(st.none(), st.integers(1, 500))),
            ledgers_per_object=per_object,
            border=draw(st.sampled_from([None, 64, 1000, 65_536])),
        ),
    )


@given(plans())
def test_chunks_cover_what_is_missing_exactly_once(plan: Plan):
    """Every missing ledger is in one chunk, the first and the last included, and no other ledger is."""
    covered = [ledger for chunk in plan.chunks() for ledger in chunk]
    assert covered == [ledger for gap in plan.gaps for ledger in gap.ledgers]


@given(plans())
def test_chunks_cross_no_border(plan: Plan):
    """A chunk lies in one gap and one partition, and divides no object that it does not have to."""
    per_object, border = plan.size.ledgers_per_object, plan.size.border
    for chunk in plan.chunks():
        gap = plan.gap_of(chunk.first).ledgers
        assert chunk.last in gap
        assert border is None or chunk.first // border == chunk.last // border
        ends_a_partition = border is not None and (chunk.last + 1) % border == 0
        assert (chunk.last + 1) % per_object == 0 or chunk.last == gap.last or ends_a_partition


@given(plans())
def test_chunks_are_as_large_as_they_may_be(plan: Plan):
    """A chunk costs no more than its target, and one object more would be too much, or lie behind a border."""
    size = plan.size
    for chunk in plan.chunks():
        one_object = chunk.first // size.ledgers_per_object == chunk.last // size.ledgers_per_object
        if size.exact_ledgers is not None:
            assert one_object or len(chunk) <= size.exact_ledgers
            continue
        target = min(size.target_bytes, size.share_bytes or size.target_bytes)
        assert one_object or plan.cost.bytes_of(chunk) <= target
        assert one_object or len(chunk) <= size.most_ledgers
        at_border = size.border is not None and (chunk.last + 1) % size.border == 0
        end = plan.gap_of(chunk.first).ledgers.last
        if chunk.last != end and not at_border:
            more = LedgerRange(chunk.first, min(chunk.last + size.ledgers_per_object, end))
            assert plan.cost.bytes_of(more) > target or len(more) > size.most_ledgers


@given(plans())
def test_chunks_are_counted_without_being_made(plan: Plan):
    """The count is that of the chunks."""
    assert plan.chunk_count() == sum(1 for _ in plan.chunks())


@given(plans(), st.integers(1, 9000))
def test_a_chunk_is_found_from_its_first_ledger_alone(plan: Plan, ledger: int):
    """The chunk after another begins at the next missing ledger, wherever it is asked for."""
    after = plan.after(ledger)
    assert after == next((at for gap in plan.gaps for at in gap.ledgers if at > ledger), None)
    if any(ledger in gap.ledgers for gap in plan.gaps):
        assert plan.chunk_at(ledger).first == ledger
    else:
        with pytest.raises(ValueError, match=f"ledger {ledger} is not missing"):
            plan.gap_of(ledger)


@given(plans())
def test_chunks_shrink_to_one_object_near_an_end_that_grows(plan: Plan):
    """Chunks are cut as ever, but take at most a sixteenth of what is left; the last are of one ledger, or object."""
    if not plan.gaps:
        return
    growing, end = replace(plan, grows=True), plan.gaps[-1].ledgers.last
    assert growing.chunk_count() == sum(1 for _ in growing.chunks())
    assert [ledger for chunk in growing.chunks() for ledger in chunk] == [each for g in plan.gaps for each in g.ledgers]
    for chunk in growing.chunks():
        assert chunk.last <= plan.chunk_at(chunk.first).last
        one_object = chunk.first // plan.size.ledgers_per_object == chunk.last // plan.size.ledgers_per_object
        assert one_object or len(chunk) <= max(1, (end - chunk.first) // 16)
        assert one_object or chunk.last < end - 16


def test_an_end_that_moves_far_is_reached_in_large_chunks():
    """A plan that had nothing to do when it was made cuts what comes by its cost, as any other does."""
    size = ChunkSize().for_workers(2, stored_bytes=0)
    plan = Plan(wanted=LedgerRange(2, 100), gaps=(), cost=CostModel([(2, 1000)]), size=size).growing()
    plan = plan.grown(Gap(ledgers=LedgerRange(101, 100_100)))
    assert len(plan.chunk_at(101)) == ChunkSize().most_ledgers


@given(st.integers(1, 50), st.lists(st.tuples(st.integers(0, 3), st.integers(1, 40)), min_size=1, max_size=8))
def test_growth_joins_what_goes_on(first: int, growth: list[tuple[int, int]]):
    """However an end grows, the gaps are those of the whole at once: neighbours as one, with the seams of its ends."""
    plan, covered = Plan(wanted=LedgerRange(first, first), gaps=(), grows=True), set[int]()
    for skipped, more in growth:
        low = plan.wanted.last + 1 + skipped
        plan = plan.grown(
            Gap(ledgers=LedgerRange(low, low + more - 1), below=seam(low - 1), above=seam(low + more - 1))
        )
        covered |= {*range(low, low + more)}
        assert plan.wanted == LedgerRange(first, low + more - 1)
        held = [LedgerRange(each, each) for each in plan.wanted if each not in covered]
        assert [gap.ledgers for gap in plan.gaps] == list(missing(plan.wanted, held))
        assert all((gap.below, gap.above) == (seam(gap.ledgers.first - 1), seam(gap.ledgers.last)) for gap in plan.gaps)
    assert plan.grows


def seam(ledger: int) -> bytes:
    return ledger.to_bytes(32, "big")


def test_exact_chunks_have_that_many_ledgers():
    """`--chunk-ledgers 100` makes chunks of 100, whatever they cost, and one with what is left."""
    plan = Plan(wanted=LedgerRange(5, 254), gaps=(Gap(ledgers=LedgerRange(5, 254)),), size=ChunkSize(exact_ledgers=100))
    assert [str(chunk) for chunk in plan.chunks()] == ["5-104", "105-204", "205-254"]


def test_chunks_cost_about_the_same_where_ledgers_do_not():
    """Where ledgers are ten times as large, chunks hold a tenth as many."""
    cost = CostModel([(1000, 1000), (2000, 10_000)])
    whole = LedgerRange(1, 3000)
    plan = Plan(wanted=whole, gaps=(Gap(ledgers=whole),), cost=cost, size=ChunkSize(target_bytes=100_000))
    assert len(plan.chunk_at(1)) == 100
    assert len(plan.chunk_at(2500)) == 10
    assert plan.stored_bytes == 1500 * 1000 + 1500 * 10_000


def test_a_partition_ends_a_chunk_that_no_object_does():
    """Where partitions and objects do not agree, the partition wins."""
    whole = LedgerRange(95, 130)
    size = ChunkSize(exact_ledgers=20, ledgers_per_object=10, border=104)
    plan = Plan(wanted=whole, gaps=(Gap(ledgers=whole),), size=size)
    assert [str(chunk) for chunk in plan.chunks()] == ["95-103", "104-119", "120-130"]


def test_sixty_four_million_ledgers_are_planned_in_no_time():
    """A plan of the longest range takes under a second and under 100 MB, its count and its last chunk included."""
    whole = LedgerRange(2, 64_000_000)
    cost = CostModel([(at, 1000 + at % 7919) for at in range(2, 64_000_000, 1_000_000)], ledgers_per_object=64)
    tracemalloc.start()
    began = time.perf_counter()
    plan = Plan(wanted=whole, gaps=(Gap(ledgers=whole),), cost=cost, size=ChunkSize(ledgers_per_object=64))
    count, stored, last = plan.chunk_count(), plan.stored_bytes, plan.chunk_at(64_000_000)
    seconds = time.perf_counter() - began
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count > 64_000_000 // 2000 - 1
    assert stored > 64_000_000 * 1000 // 64
    assert last.last == 64_000_000
    assert seconds < 1
    assert peak < 100 << 20


def test_without_samples_a_usual_object_is_assumed():
    """A model without samples is wrong by a factor at most, not by orders of magnitude."""
    assert CostModel().bytes_of(LedgerRange(1, 1000)) == 1000 * OBJECT_BYTES
    assert CostModel(ledgers_per_object=64).bytes_at(1) == OBJECT_BYTES


@given(st.dictionaries(st.integers(1, 300), st.integers(1, 10_000), min_size=1, max_size=8), st.integers(1, 400))
def test_the_nearest_sample_speaks_for_a_ledger(samples: dict[int, int], ledger: int):
    """A ledger costs what the nearest sample did."""
    nearest = min(abs(ledger - at) for at in samples)
    assert CostModel(samples.items()).bytes_at(ledger) in {samples.get(ledger - nearest), samples.get(ledger + nearest)}


@given(st.integers(1, 64), st.integers(1, 5000))
def test_a_short_range_has_several_chunks_a_worker(workers: int, ledgers: int):
    """Each worker gets several chunks of a range that has as many objects."""
    whole = LedgerRange(1, ledgers)
    cost = CostModel()
    size = ChunkSize().for_workers(workers, cost.bytes_of(whole))
    plan = Plan(wanted=whole, gaps=(Gap(ledgers=whole),), cost=cost, size=size)
    assert plan.chunk_count() >= min(ledgers, workers * CHUNKS_A_WORKER)
    assert all(cost.bytes_of(chunk) <= size.target_bytes for chunk in plan.chunks())


@given(
    st.integers(1, 100),
    st.integers(0, 100),
    st.lists(st.tuples(st.integers(1, 250), st.integers(0, 60)), max_size=6),
)
def test_missing_is_what_is_wanted_and_not_held(first: int, more: int, stretches: list[tuple[int, int]]):
    """Whatever stretches there are, what is missing is the difference, in as few parts as can be."""
    wanted = LedgerRange(first, first + more)
    held = [LedgerRange(start, start + length) for start, length in stretches]
    parts = missing(wanted, held)
    there = {ledger for stretch in held for ledger in stretch}
    assert [ledger for part in parts for ledger in part] == [ledger for ledger in wanted if ledger not in there]
    assert all(above.first > below.last + 1 for below, above in pairwise(parts))


@pytest.mark.parametrize(
    "places", [[(5, 9)], [(10, 31)], [(10, 15), (15, 20)], [(20, 25), (10, 15)], [(10, 15), (16, 20)]]
)
def test_gaps_out_of_place_are_refused(places: list[tuple[int, int]]):
    """Gaps ascend inside their range, with something held between them."""
    with pytest.raises(ValueError, match="out of place in a plan of ledgers 10-30"):
        Plan(wanted=LedgerRange(10, 30), gaps=tuple(Gap(ledgers=LedgerRange(*place)) for place in places))


@pytest.mark.parametrize(
    "name", ["target_bytes", "share_bytes", "most_ledgers", "exact_ledgers", "ledgers_per_object", "border"]
)
def test_sizes_below_one_are_refused(name: str):
    """A size that would never end is named."""
    with pytest.raises(ValueError, match=f"{name} is 0: at least 1"):
        ChunkSize(**{name: 0})
