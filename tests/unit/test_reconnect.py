"""Work that is done again when its connection breaks: how long, and what is logged of it."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from pipeline.store.reconnect import Patience, retrying


def work(
    fails: int,
    *,
    limit_s: float = 5.0,
    first_takes_s: float = 0.0,
    waits_s: float = 0.0,
    error: type[Exception] = ConnectionError,
) -> int:
    """Return at which attempt work succeeds that fails so often before."""
    number = 0
    patience = Patience("count", limit_s)
    wait = patience.without(lambda: time.sleep(waits_s))
    lost = lambda raised: isinstance(raised, ConnectionError)  # noqa: E731  # too short for a name of its own
    for attempt in retrying(patience, lost, cancelled=threading.Event()):
        with attempt:
            number += 1
            time.sleep(first_takes_s if number == 1 else 0.0)
            wait()
            if number <= fails:
                raise error(f"gone {number}\nand more")
    return number


def test_a_lost_connection_is_said_once_with_its_reason(caplog: pytest.LogCaptureFixture):
    """The first error is logged in one line; those that follow within seconds are not."""
    with caplog.at_level(logging.WARNING):
        assert work(3) == 4
    assert [record.message for record in caplog.records] == ["connecting again to count: gone 1"]


def test_long_work_has_the_whole_time_to_connect_again():
    """The limit counts from the first lost connection, not from when the work began."""
    assert work(1, limit_s=0.2, first_takes_s=0.3) == 2


def test_waiting_for_others_does_not_count():
    """Who waits for others, with a connection that breaks meanwhile, has the whole time all the same."""
    assert work(3, limit_s=1.5, waits_s=0.75) == 4


def test_it_gives_up_at_its_limit():
    """Then the last error is raised."""
    with pytest.raises(ConnectionError, match="gone"):
        work(1000, limit_s=0.2)


def test_what_is_no_lost_connection_is_raised_at_once():
    """Other errors are nobody's to try again."""
    with pytest.raises(ZeroDivisionError):
        work(1, error=ZeroDivisionError)
