"""Staffing: one more of what is waited for, kept where it helps, never beyond what is allowed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.progress.snapshot import Waits
from pipeline.staffing import PERIOD_S, Post, Staffing

SLOW_SOURCE = {"read_s": 1.6, "work_s": 2.0}  # a second
FULL_WINDOW = {"window_s": 0.9, "work_s": 1.0}
BUSY = {"work_s": 2.0, "commit_s": 0.3}


def staffing(more_workers: int = 6, more_connections: int = 2) -> Staffing:
    return Staffing(Post(2, more_workers), Post(2, more_connections))


class Clock:
    """Passes time in which a run waits for the same things at some rate."""

    def __init__(self, what: Staffing) -> None:
        """Begin with the first look."""
        self.what, self.now, self.row_bytes = what, 100.0, 0.0
        self.waits: dict[str, float] = {}
        what.review(self.now, Waits(), 0)

    def passes(self, a_second: dict[str, float], rate: float, seconds: float = PERIOD_S) -> str | None:
        """Let them wait so many seconds a second, and commit at that rate."""
        self.now += seconds
        self.row_bytes += rate * seconds
        for name, spent in a_second.items():
            self.waits[name] = self.waits.get(name, 0.0) + spent * seconds
        return self.what.review(self.now, Waits(**self.waits), round(self.row_bytes))


def test_a_slow_source_gets_more_workers_while_that_helps() -> None:
    """Each that makes the run faster is kept and followed by another; the first that does not is taken back."""
    what = staffing()
    clock = Clock(what)
    assert clock.passes(SLOW_SOURCE, 100) == "3 workers now: they wait for the source 80% of their time"
    assert clock.passes(SLOW_SOURCE, 150) is None
    assert clock.passes(SLOW_SOURCE, 150) is not None
    assert what.workers == 4
    assert clock.passes(SLOW_SOURCE, 150) == "3 workers again: one more made the run no faster"
    for _ in range(5):
        assert clock.passes(SLOW_SOURCE, 150) is None
    assert (what.workers, what.connections) == (3, 2)


def test_a_full_window_gets_more_connections() -> None:
    """Where something is committed all the time and workers have no task, one more connection is tried."""
    what = staffing()
    clock = Clock(what)
    assert clock.passes(FULL_WINDOW, 100) == "3 connections now: the window is full 90% of the time"
    assert (what.workers, what.connections) == (2, 3)


def test_a_busy_run_is_left_alone() -> None:
    """Where everybody works all the time there is nothing to correct."""
    what = staffing()
    clock = Clock(what)
    for _ in range(10):
        assert clock.passes(BUSY, 100) is None
    assert (what.workers, what.connections) == (2, 2)


def test_nothing_is_judged_before_its_time() -> None:
    """Half a period says nothing, and neither does one in which nothing was committed."""
    clock = Clock(staffing())
    assert clock.passes(SLOW_SOURCE, 100, PERIOD_S / 2) is None
    clock = Clock(staffing())
    assert clock.passes(SLOW_SOURCE, 0) is None


def test_what_was_asked_for_is_not_corrected() -> None:
    """A number that the user has given stands."""
    what = staffing(0, 0)
    clock = Clock(what)
    for wait in (SLOW_SOURCE, FULL_WINDOW):
        for _ in range(3):
            assert clock.passes(wait, 100) is None
    assert (what.workers, what.connections) == (2, 2)


@given(st.lists(st.tuples(st.sampled_from([SLOW_SOURCE, FULL_WINDOW, BUSY]), st.floats(1, 1e6)), max_size=60))
def test_it_stays_within_its_bounds(periods: list[tuple[dict[str, float], float]]) -> None:
    """Whatever a run waits for, it never has fewer than it began with, nor more than allowed."""
    what = staffing()
    clock = Clock(what)
    for wait, rate in periods:
        clock.passes(wait, rate)
        assert 2 <= what.workers <= 8
        assert 2 <= what.connections <= 4
