"""The supply opens what fits, in order, and guesses sizes from what it has seen."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.plan import FOLDED_BYTES, TARGET_BYTES, ChunkSize, CostModel, Gap, Plan
from pipeline.supply import ROW_BYTES_A_STORED_BYTE, Supply
from pipeline.window import Window
from workers.messages import LedgerRange


def supply(*gaps: tuple[int, int]) -> Supply:
    parts = tuple(Gap(ledgers=LedgerRange(*gap)) for gap in gaps)
    wanted = LedgerRange(parts[0].ledgers.first, parts[-1].ledgers.last)
    return Supply(Plan(wanted=wanted, gaps=parts, cost=CostModel([(1, 100)]), size=ChunkSize(exact_ledgers=10)))


def test_chunks_come_in_order_and_end():
    """Every gap's chunks are opened once, lowest first, each with its gap; then there is nothing more."""
    source, window = supply((1, 15), (31, 40)), Window(10, 1 << 30)
    opened = []
    while chunk := source.open_next(window):
        opened.append((str(chunk.ledgers), str(chunk.gap.ledgers)))
    assert opened == [("1-10", "1-15"), ("11-15", "1-15"), ("31-40", "31-40")]
    assert source.exhausted
    assert len(window) == 3


def test_a_chunk_and_its_halves_know_the_newest_ledger_of_a_plan_that_grows():
    """By it is known whether an object may still be being written; a plan that ends has none."""
    plan = Plan(wanted=LedgerRange(1, 30), gaps=(Gap(ledgers=LedgerRange(21, 30)),))
    tips = []
    for each in (plan, plan.growing()):
        source = Supply(replace(each, size=ChunkSize(exact_ledgers=10, ledgers_per_object=10)))
        chunk = source.open_next(Window(10, 1 << 30))
        assert chunk
        tips.append([chunk.tip, *(half.tip for half in source.halve(chunk))])
    assert tips == [[None] * 3, [30] * 3]


def test_a_full_window_keeps_the_next_chunk_back():
    """What does not fit is offered again later, and is not skipped."""
    source, window = supply((1, 30)), Window(1, 1 << 30)
    first = source.open_next(window)
    assert first
    assert source.open_next(window) is None
    assert not source.exhausted
    window.close(first)
    second = source.open_next(window)
    assert second
    assert second.ledgers == LedgerRange(11, 20)


def test_sizes_are_learned_from_results():
    """Before the first result a usual ratio is assumed; then that of all results so far."""
    source, window = supply((1, 30)), Window(10, 1 << 30)
    first = source.open_next(window)
    assert first
    assert (first.stored, first.size) == (1000, 1000 * ROW_BYTES_A_STORED_BYTE)
    source.learn(first, 500, elapsed_s=1.0)
    second = source.open_next(window)
    assert second
    assert second.size == 500


@pytest.mark.parametrize(
    ("row_bytes", "elapsed_s", "ledgers"),
    [
        (3000, 1.0, 10),  # as planned
        (8000, 1.0, 6),  # 800 bytes of rows a ledger, 5,000 a commit
        (50_000, 1.0, 1),
        (1 << 40, 1.0, 1),  # at least an object
        (3000, 16.0, 5),  # 1.6 s a ledger, 8 s an attempt
        (3000, 1000.0, 1),
        (0, 0.0, 10),
    ],
)
def test_chunks_shrink_where_they_cost_much(row_bytes: int, elapsed_s: float, ledgers: int):
    """A commit's rows and an attempt's time are bounded by what the last chunks have cost, and grow back with it."""
    gap = Gap(ledgers=LedgerRange(1, 1000))
    plan = Plan(wanted=gap.ledgers, gaps=(gap,), cost=CostModel([(1, 100)]), size=ChunkSize(target_bytes=1000))
    source, window = Supply(plan, most_row_bytes=5000), Window(100, 1 << 50)
    first = source.open_next(window)
    assert first
    assert first.ledgers == LedgerRange(1, 10)
    source.learn(first, row_bytes, elapsed_s)
    second = source.open_next(window)
    assert second
    assert len(second.ledgers) == ledgers
    for _ in range(200):
        source.learn(second, len(second.ledgers) * 300, elapsed_s=0.1)
    third = source.open_next(window)
    assert third
    assert len(third.ledgers) == 10


def test_the_first_chunks_are_small():
    """How long a chunk takes is not known yet, and a worker that hangs at a large one would be noticed late."""
    whole = LedgerRange(1, 4000)
    plan = Plan(wanted=whole, gaps=(Gap(ledgers=whole),), size=ChunkSize(target_bytes=FOLDED_BYTES))
    source, window = Supply(plan), Window(100, 1 << 50)
    first, second = source.open_next(window), source.open_next(window)
    assert first
    assert second
    assert {first.stored, second.stored} == {TARGET_BYTES}
    source.learn(first, 1000, elapsed_s=0.1)
    third = source.open_next(window)
    assert third
    assert third.stored == FOLDED_BYTES


def test_the_lower_half_goes_on_with_what_the_chunk_has_cost():
    """What attempts at a chunk have cost before it was halved is counted once, with what its lower half costs."""
    source = supply((1, 10))
    chunk = source.open_next(Window(9, 1 << 40))
    assert chunk
    chunk.lost, chunk.lost_s = 3, 60.0
    lower, upper = source.halve(chunk)
    assert (lower.ledgers.first, lower.lost, lower.lost_s) == (1, 3, 60.0)
    assert (upper.lost, upper.lost_s) == (0, 0.0)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 40)), min_size=1, max_size=8),
    st.lists(st.integers(0, 9), min_size=8, max_size=8),
)
def test_growth_is_handed_out_once(growth: list[tuple[int, int]], pauses: list[int]):
    """However the growth is cut, and however much was handed out before, every ledger comes once, in order."""
    plan, window = Plan(wanted=LedgerRange(1, 1), gaps=(), grows=True), Window(1 << 20, 1 << 50)
    source, wanted, got = Supply(plan), list[int](), list[int]()

    def open_some(most: int) -> None:
        for _ in range(most):
            if chunk := source.open_next(window):
                got.extend(chunk.ledgers)
                assert all(each in chunk.gap.ledgers for each in chunk.ledgers)

    for (skipped, more), opened in zip(growth, pauses, strict=False):
        first = plan.wanted.last + 1 + skipped
        plan = plan.grown(Gap(ledgers=LedgerRange(first, first + more - 1)))
        wanted += range(first, first + more)
        source.grow(plan)
        assert not source.exhausted
        open_some(opened)
    open_some(1 << 10)
    assert source.exhausted
    assert got == wanted


def test_a_supply_that_was_stopped_opens_nothing():
    """After a failure or an interrupt nothing more is opened."""
    source = supply((1, 30))
    source.stop()
    assert source.exhausted
    assert source.open_next(Window(10, 1 << 30)) is None
