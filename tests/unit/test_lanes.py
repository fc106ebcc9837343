"""Lanes: jobs side by side, in turn from a point on, answered in the order given, and an end that waits for no one."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

import pytest

from pipeline import lanes
from pipeline.events import CommitFailed, Committed, Event
from pipeline.lanes import Lanes, Turn
from workers.messages import LedgerRange

Work = Callable[[int, Turn], None]


def made(work: Work, *, count: int = 1, cancel: Callable[[], None] = pytest.fail) -> Lanes[int]:
    """Return lanes that answer a number with ledgers of that number once `work` is done."""

    def lane(number: int, turn: Turn) -> Event:
        work(number, turn)
        return Committed(LedgerRange(number, number))

    return Lanes([lane] * count, CommitFailed, cancel)


def answered(given: Lanes[int], count: int) -> list[Event]:
    """Wait for so many answers."""
    found: list[Event] = []
    end = time.monotonic() + 10
    while len(found) < count and time.monotonic() < end:
        found += given.answers()
        time.sleep(0.001)
    return found


def numbers(events: list[Event]) -> list[int]:
    return [event.ledgers.first for event in events if isinstance(event, Committed)]


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # names are all that is counted


@pytest.mark.parametrize("count", [1, 2, 3])
def test_what_follows_the_turn_happens_in_order(count: int) -> None:
    """However long each takes before its turn, what comes after it is done one by one, in the order given."""
    done: list[int] = []
    inside = threading.Semaphore(1)

    def work(number: int, turn: Turn) -> None:
        time.sleep(0.004 * (number % 3))
        turn()
        assert inside.acquire(blocking=False), "two had their turn at once"
        done.append(number)
        time.sleep(0.001)
        inside.release()

    given = made(work, count=count)
    for number in range(1, 31):
        given.submit(number)
    assert numbers(answered(given, 30)) == done == list(range(1, 31))
    given.close()


def test_what_comes_before_the_turn_happens_side_by_side() -> None:
    """Two lanes are in their first part at once: neither would go on without the other."""
    both = threading.Barrier(2, timeout=10)

    def work(_: int, turn: Turn) -> None:
        both.wait()
        turn()

    given = made(work, count=2)
    for number in (1, 2):
        given.submit(number)
    assert numbers(answered(given, 2)) == [1, 2]
    given.close()


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("ahead", [True, False])
def test_a_failure_is_told_in_its_turn_and_ends_all_behind_it(count: int, ahead: bool) -> None:
    """What fails, before its turn or after it, is answered behind those before; nothing behind it has a turn."""
    done: list[int] = []

    def work(number: int, turn: Turn) -> None:
        if number == 1:
            time.sleep(0.05)
        if number == 2 and ahead:
            raise ZeroDivisionError
        turn()
        if number == 2:
            raise ZeroDivisionError
        done.append(number)

    given = made(work, count=count)
    for number in (1, 2, 3, 4):
        given.submit(number)
    committed, failed = answered(given, 2)
    assert numbers([committed]) == [1]
    assert isinstance(failed, CommitFailed)
    assert isinstance(failed.error, ZeroDivisionError)
    given.close()
    assert not list(given.answers())
    assert done == [1]


def test_closing_waits_for_what_is_in_hand_alone() -> None:
    """A run that ends leaves no half job behind, and begins none any more."""
    began, go_on = threading.Event(), threading.Event()
    done: list[int] = []

    def work(number: int, _: Turn) -> None:
        began.set()
        go_on.wait(10)
        done.append(number)

    before = open_files()
    given = made(work)
    for number in (1, 2):
        given.submit(number)
    assert began.wait(10)
    threading.Timer(0.2, go_on.set).start()
    given.close()
    assert done == [1]
    assert open_files() == before


def test_closing_at_once_cancels_what_is_in_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that waits for the database is cancelled as often as it takes, and has ended then."""
    monkeypatch.setattr(lanes, "_GRACE_S", 0.0)
    began, cancelled, asked = threading.Event(), threading.Event(), []

    def work(_: int, __: Turn) -> None:
        began.set()
        assert cancelled.wait(10)
        raise ZeroDivisionError

    def cancel() -> None:
        asked.append(None)
        if len(asked) == 2:
            cancelled.set()

    before = open_files()
    given = made(work, cancel=cancel)
    given.submit(1)
    assert began.wait(10)
    given.close(at_once=True)
    assert len(asked) == 2
    assert open_files() == before


def test_closing_at_once_ends_who_waits_for_a_turn() -> None:
    """A lane whose turn will not come is not waited for."""
    go_on, waiting = threading.Event(), threading.Event()

    def work(number: int, turn: Turn) -> None:
        if number == 1:
            go_on.wait(10)
        waiting.set()
        turn()
        pytest.fail("nobody has a turn any more")

    given = made(work, count=2, cancel=go_on.set)
    for number in (1, 2):
        given.submit(number)
    assert waiting.wait(10)
    given.close(at_once=True)
    assert not list(given.answers())


def test_closing_at_once_does_not_wait_for_a_job_without_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that answers nothing holds nobody who wants to leave."""
    monkeypatch.setattr(lanes, "_GRACE_S", 0.0)
    monkeypatch.setattr(lanes, "_AT_ONCE_S", 0.2)
    began, go_on = threading.Event(), threading.Event()

    def work(_: int, __: Turn) -> None:
        began.set()
        go_on.wait(30)

    given = made(work, cancel=lambda: None)
    given.submit(1)
    assert began.wait(10)
    start = time.monotonic()
    given.close(at_once=True)
    assert time.monotonic() - start < 5
    assert "not waiting for what" in caplog.text
    go_on.set()
    for thread in given._threads:
        thread.join(10)
    given.close()
