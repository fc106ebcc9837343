"""The edges of the engine's loop: commits on a thread of their own, signals as events."""

from __future__ import annotations

import os
import signal
import threading

from pipeline.actions import ReadyChunk
from pipeline.engine import CommitThread, Signals
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

    thread = CommitThread(commit)
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
    thread = CommitThread(commit)
    for first in (1, 2):
        thread.submit(ready(first))
    assert began.wait(10)
    threading.Timer(0.2, go_on.set).start()
    thread.close()
    assert carried_out == [1]
    assert open_files() == before


def test_signals_are_events_while_they_are_caught() -> None:
    """Both signals end a wait and are told in their order; the handlers of before are back afterwards."""
    before = open_files(), signal.getsignal(signal.SIGTERM)
    signals = Signals()
    with signals.caught():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.raise_signal(number)
        assert list(signals.events()) == [Interrupt(signal.SIGTERM), Interrupt(signal.SIGINT)]
        assert list(signals.events()) == []
    signals.close()
    assert (open_files(), signal.getsignal(signal.SIGTERM)) == before
