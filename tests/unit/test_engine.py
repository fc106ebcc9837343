"""The edges of the engine's loop: commits on a thread of their own, signals as events."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from pipeline import engine
from pipeline.actions import ReadyChunk
from pipeline.engine import Commits, CommitThread, Signals
from pipeline.events import CommitFailed, Committed, Interrupt
from pipeline.plan import Gap
from workers.messages import ChunkDone, LedgerRange


def ready(first: int) -> ReadyChunk:
    ledgers = LedgerRange(first, first)
    done = ChunkDone(token=first, ledgers=ledgers)
    return ReadyChunk(
        ledgers=ledgers, chunk=ledgers, gap=Gap(ledgers=ledgers), done=done, attempts=1, worker=1, previous=None
    )


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # names are all that is counted


def test_commits_are_answered_in_order_up_to_the_first_that_fails() -> None:
    """What fails is told once, and nothing behind it is carried out."""
    carried_out: list[int] = []

    def commit(chunk: ReadyChunk) -> Committed:
        carried_out.append(chunk.ledgers.first)
        if chunk.ledgers.first == 2:
            raise ZeroDivisionError
        return Committed(chunk.ledgers)

    thread = CommitThread(Commits(commit, cancel=pytest.fail))
    for first in (1, 2, 3):
        thread.submit(ready(first))
    thread._thread.join(10)
    committed, failed = thread.answers()
    assert committed == Committed(LedgerRange(1, 1))
    assert isinstance(failed, CommitFailed)
    assert isinstance(failed.error, ZeroDivisionError)
    thread.close()
    assert carried_out == [1, 2]


def test_closing_waits_for_the_commit_in_hand_alone() -> None:
    """A run that ends at once leaves no half commit behind, and begins none any more."""
    began, go_on = threading.Event(), threading.Event()
    carried_out: list[int] = []

    def commit(chunk: ReadyChunk) -> Committed:
        began.set()
        go_on.wait(10)
        carried_out.append(chunk.ledgers.first)
        return Committed(chunk.ledgers)

    before = open_files()
    thread = CommitThread(Commits(commit, cancel=pytest.fail))
    for first in (1, 2):
        thread.submit(ready(first))
    assert began.wait(10)
    threading.Timer(0.2, go_on.set).start()
    thread.close()
    assert carried_out == [1]
    assert open_files() == before


def test_closing_at_once_cancels_the_commit_in_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit that waits for the database is cancelled as often as it takes, and answered before the end."""
    monkeypatch.setattr(engine, "_GRACE_S", 0.0)
    began, cancelled, asked = threading.Event(), threading.Event(), []

    def commit(_: ReadyChunk) -> Committed:
        began.set()
        assert cancelled.wait(10)
        raise ZeroDivisionError

    def cancel() -> None:
        asked.append(None)
        if len(asked) == 2:
            cancelled.set()

    before = open_files()
    thread = CommitThread(Commits(commit, cancel))
    thread.submit(ready(1))
    assert began.wait(10)
    thread.close(at_once=True)
    assert len(asked) == 2
    assert not thread._thread.is_alive()
    assert open_files() == before


def test_closing_at_once_does_not_wait_for_a_commit_without_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that answers nothing holds nobody who wants to leave."""
    monkeypatch.setattr(engine, "_GRACE_S", 0.0)
    monkeypatch.setattr(engine, "_AT_ONCE_S", 0.2)
    began, go_on = threading.Event(), threading.Event()

    def commit(chunk: ReadyChunk) -> Committed:
        began.set()
        go_on.wait(30)
        return Committed(chunk.ledgers)

    thread = CommitThread(Commits(commit, cancel=lambda: None))
    thread.submit(ready(1))
    assert began.wait(10)
    start = time.monotonic()
    thread.close(at_once=True)
    assert time.monotonic() - start < 5
    assert "not waiting for a commit" in caplog.text
    go_on.set()
    thread._thread.join(10)
    thread.close()


@pytest.fixture
def handlers() -> Iterator[list[object]]:
    """The handlers of both signals, which are put back."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    yield before
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
def test_signals_are_events_while_they_are_caught() -> None:
    """Both signals end a wait and are told in their order; once one was heard, both are ignored from then on."""
    files, signals = open_files(), Signals()
    with signals.caught():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.raise_signal(number)
        assert list(signals.events()) == [Interrupt(signal.SIGTERM), Interrupt(signal.SIGINT)]
        assert list(signals.events()) == []
    signals.close()
    assert open_files() == files
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.raise_signal(number)  # a run that is about to end is not disturbed


def test_handlers_are_back_where_no_signal_came(handlers: list[object]) -> None:
    """A run that nobody interrupts leaves the handlers as they were."""
    signals = Signals()
    with signals.caught():
        pass
    signals.close()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
