"""The stall rules as tables: when an attempt is late, and what follows a failed one."""

from __future__ import annotations

import pytest

from pipeline.chunk import Attempt, Chunk
from pipeline.plan import Gap
from pipeline.stall import GiveUp, Late, StallConfig, TryAgain, after_failure, lateness, next_step_at
from workers.messages import Failure, LedgerRange

LEDGERS = LedgerRange(100, 199)
RESET = Failure(reason="connection reset", transient=True)
CORRUPT = Failure(reason="corrupt ledger 150", transient=False, ledger=150)
MISSING = Failure(reason="ledger 150 is missing", transient=False, missing=True, ledger=150)


def chunk() -> Chunk:
    return Chunk(ledgers=LEDGERS, gap=Gap(ledgers=LEDGERS), size=1, stored=1)


def attempt(*, suspected: bool = False) -> Attempt:
    begun = Attempt(token=1, number=1, chunk=chunk(), worker=1, path="/1", deadline_s=60.0, since=1000.0)
    begun.suspected = suspected
    return begun


@pytest.mark.parametrize(
    ("age_s", "holds_head", "suspected", "expected"),
    [
        (0.0, True, False, Late.NO),
        (29.9, True, False, Late.NO),
        (30.0, True, False, Late.SUSPECT),
        (30.0, False, False, Late.NO),
        (59.9, True, False, Late.SUSPECT),
        (59.9, True, True, Late.NO),
        (59.9, False, False, Late.NO),
        (60.0, True, True, Late.OVERDUE),
        (60.0, True, False, Late.OVERDUE),
        (60.0, False, False, Late.OVERDUE),
    ],
)
def test_lateness(age_s: float, holds_head: bool, suspected: bool, expected: Late):
    """The head is suspect once, at half of its deadline; every attempt is overdue at its end."""
    assert lateness(attempt(suspected=suspected), 1000.0 + age_s, holds_head=holds_head) is expected


@pytest.mark.parametrize("holds_head", [True, False])
@pytest.mark.parametrize("suspected", [True, False])
def test_the_next_step_is_when_lateness_changes(holds_head: bool, suspected: bool):
    """Whoever sleeps until then wakes up to something to do, and not before."""
    late = attempt(suspected=suspected)
    at = next_step_at(late, holds_head=holds_head)
    assert lateness(late, at - 0.001, holds_head=holds_head) is Late.NO
    assert lateness(late, at, holds_head=holds_head) is not Late.NO


@pytest.mark.parametrize(
    ("stored_bytes", "ledgers", "deadline_s"),
    [
        (0, 1, 20.0),
        (1000 * 19, 1, 20.0),
        (1000 * 21, 1, 21.0),
        (1000 * 600, 1, 600.0),
        (1 << 40, 1, 600.0),
        (1000, 199, 20.0),
        (1000, 210, 21.0),
        (1000 * 22, 210, 22.0),
        (1000, 10_000, 600.0),
    ],
)
def test_the_deadline_goes_by_bytes_and_ledgers(stored_bytes: int, ledgers: int, deadline_s: float):
    """A large chunk may take longer than a small one, and so may one of many small objects, from floor to ceiling."""
    config = StallConfig(floor_s=20.0, ceiling_s=600.0, slow_bytes_per_s=1000, slow_ledgers_per_s=10)
    assert config.deadline_s(stored_bytes, ledgers) == deadline_s


def test_back_off_doubles_up_to_its_ceiling():
    """Each repetition waits twice as long as the one before, and none for ever."""
    config = StallConfig(backoff_s=1.0, backoff_ceiling_s=30.0)
    assert [config.backoff_after(tries) for tries in (1, 2, 3, 4, 5, 6, 10_000)] == [1, 2, 4, 8, 16, 30, 30]


@pytest.mark.parametrize(
    ("failures", "deaths", "failure", "expected"),
    [
        (0, 0, RESET, TryAgain(11.0)),
        (1, 0, RESET, TryAgain(12.0)),
        (2, 0, RESET, TryAgain(14.0)),
        (3, 0, RESET, GiveUp(RESET)),
        (0, 0, CORRUPT, GiveUp(CORRUPT)),
        (3, 0, CORRUPT, GiveUp(CORRUPT)),
        (0, 1, RESET, TryAgain(11.0)),
    ],
)
def test_after_failure(failures: int, deaths: int, failure: Failure, expected: TryAgain | GiveUp):
    """What is transient is tried `max_attempts` times with back-off, what is permanent never again."""
    failed = chunk()
    failed.failures, failed.deaths = failures, deaths
    assert after_failure(StallConfig(max_attempts=4, max_deaths=2), failed, failure, now=10.0) == expected


def test_a_chunk_that_kills_its_workers_is_poison():
    """A chunk that too many workers died of is given up before its attempts are used up, and the reason says so."""
    failed = chunk()
    failed.deaths = 3
    died = Failure(reason="worker died: killed by SIGSEGV", transient=True)
    verdict = after_failure(StallConfig(max_attempts=9, max_deaths=3), failed, died, now=0.0)
    assert isinstance(verdict, GiveUp)
    assert verdict.failure.reason == "poison, 3 workers died of it, the last: worker died: killed by SIGSEGV"


def test_a_missing_object_is_asked_for_until_its_deadline():
    """A hole is no failed attempt: it is tried with back-off, a last time at the deadline, then given up."""
    config, failed, now = StallConfig(hole_deadline_s=10.0, backoff_s=1.0), chunk(), 50.0
    waits = []
    while isinstance(verdict := after_failure(config, failed, MISSING, now), TryAgain):
        waits.append(verdict.not_before - now)
        now = verdict.not_before
    assert waits == [1, 2, 4, 3]
    assert failed.failures == 0
    assert verdict.failure.reason == "ledger 150 is missing, still missing after 10 s and 5 tries"
    assert verdict.failure.ledger == 150


def test_a_hole_deadline_of_nothing_gives_up_at_once():
    """`--hole-deadline 0` asks for nothing twice."""
    assert isinstance(after_failure(StallConfig(hole_deadline_s=0), chunk(), MISSING, now=5.0), GiveUp)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"floor_s": 30.0, "ceiling_s": 20.0}, "floor 30 s is not between 0 and the ceiling 20 s"),
        ({"floor_s": 0.0}, "floor 0 s is not between 0 and the ceiling 600 s"),
        ({"backoff_s": 5.0, "backoff_ceiling_s": 1.0}, "back-off 5 s is not between 0 and its ceiling 1 s"),
        ({"max_attempts": 0}, "max_attempts is 0: at least 1"),
        ({"max_deaths": 0}, "max_deaths is 0: at least 1"),
        ({"hole_deadline_s": -1.0}, "hole_deadline_s is -1: at least 0"),
        ({"slow_bytes_per_s": 0}, "slow_bytes_per_s is 0: more than 0"),
        ({"start_deadline_s": 0}, "start_deadline_s is 0: more than 0"),
    ],
)
def test_settings_that_contradict_are_refused(wrong: dict[str, float], said: str):
    """Limits that cannot hold together are refused at the start, with the numbers."""
    with pytest.raises(ValueError, match=said):
        StallConfig(**wrong)
