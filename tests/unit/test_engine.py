"""The edges of the engine's loop: signals as events."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from pipeline.engine import Signals
from pipeline.events import Interrupt


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # names are all that is counted


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
