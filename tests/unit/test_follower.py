"""Following what grows: what a look says comes as events, in its order, and the end is told once."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from pipeline import follower
from pipeline.events import Ended, Event, Grown
from pipeline.follower import Follower, Silence
from pipeline.plan import Gap
from workers.messages import LedgerRange

GROWN = Grown(Gap(ledgers=LedgerRange(1, 10)))


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks follow each other at once, and the end has little patience."""
    monkeypatch.setattr(follower, "LOOK_S", 0.001)
    monkeypatch.setattr(follower, "_END_S", 0.2)


def looking(*says: Event | Exception | None) -> tuple[Callable[[], Event | None], list[int]]:
    """A look that says these one after another, and how often it was asked."""
    left, asked = iter(says), list[int]()

    def look() -> Event | None:
        asked.append(1)
        said = next(left, None)
        if isinstance(said, Exception):
            raise said
        return said

    return look, asked


def heard(following: Follower, most: int) -> Iterator[Event]:
    """Iterate over what comes, as the loop of a run does: the descriptor says that there is something."""
    while most:
        assert select.select([following.readable], [], [], 10)[0], "nothing comes"
        for event in following.events():
            most -= 1
            yield event


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # names are all that is counted


def test_growth_comes_in_order_up_to_the_end() -> None:
    """What has come is told as it comes, nothing where nothing has; after the end nobody looks again."""
    files, (look, asked) = open_files(), looking(GROWN, None, GROWN, Ended(), GROWN)
    with closing(Follower(look)) as following:
        assert list(heard(following, 3)) == [GROWN, GROWN, Ended()]
        following._thread.join(10)
        assert not select.select([following.readable], [], [], 0)[0]
    assert len(asked) == 4
    assert open_files() == files


def test_what_a_look_raises_is_the_end() -> None:
    """An exception does not cross to the loop as one: it is an end with that error, and the last that is told."""
    broken = ValueError("no such bucket")
    look, asked = looking(GROWN, broken, GROWN)
    with closing(Follower(look)) as following:
        assert list(heard(following, 2)) == [GROWN, Ended(broken)]
        following._thread.join(10)
    assert len(asked) == 2


def test_a_look_that_hangs_is_left_to_itself() -> None:
    """A run that ends does not wait for it for long, and what it says at last disturbs nobody."""
    hangs, goes_on = threading.Event(), threading.Event()

    def look() -> Event:
        hangs.set()
        goes_on.wait()
        return GROWN

    following = Follower(look)
    assert hangs.wait(10)
    since = time.monotonic()
    following.close()
    assert time.monotonic() - since < 5
    goes_on.set()
    following._thread.join(10)
    assert list(following.events()) == [GROWN]
    following._told.close()


def test_a_run_that_ends_is_not_looked_for_any_more() -> None:
    """Closing ends the wait for the next look."""
    look, asked = looking()
    following = Follower(look)
    while not asked:
        time.sleep(0.001)
    following.close()
    assert not following._thread.is_alive()


def test_without_a_look_nothing_is_followed() -> None:
    """A run over a range that does not grow has no thread for it, and leaves no descriptor."""
    files, threads = open_files(), threading.active_count()
    with closing(Follower(None)) as following:
        assert threading.active_count() == threads
        assert list(following.events()) == []
    assert open_files() == files


def test_silence_is_said_ever_more_seldom_and_trouble_at_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where nothing can come, nobody is told that nothing has come; what is wrong is said again as long as it lasts."""
    now = [0.0]
    monkeypatch.setattr(follower.time, "monotonic", lambda: now[0])
    caplog.set_level("INFO", "pipeline.follower")
    silence = Silence()
    for second in range(1, 301):
        now[0] = float(second)
        if second < 200:
            silence.troubled("no server")
        else:
            silence.lasts("waiting for ledger 7")
    said = [(record.levelname, record.message) for record in caplog.records]
    assert said == [("WARNING", "no server")] * 3 + [("INFO", "waiting for ledger 7 for 240 s")]
    silence.ended()
    silence.troubled("no server")
    assert len(caplog.records) == 5
