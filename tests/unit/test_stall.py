"""The stall rules as tables: when an attempt is late, and what follows a failed one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.chunk import Attempt, Chunk
from pipeline.plan import Gap
from pipeline.stall import GiveUp, Late, Patience, Split, StallConfig, TryAgain, after_failure
from workers.messages import Failure, LedgerRange

LEDGERS = LedgerRange(100, 199)
RESET = Failure(reason="connection reset", transient=True, ledger=150)
HUNG = Failure(reason="no result after 20 s, worker killed", transient=True)
DIED = Failure(reason="worker died: killed by SIGSEGV", transient=True)
CORRUPT = Failure(reason="corrupt ledger 150", transient=False, ledger=150)
DAMAGED = Failure(reason="corrupt ledger 150", transient=False, ledger=150, object="F--150", offset=7)
MISSING = Failure(reason="ledger 150 is missing", transient=False, missing=True, ledger=150)


def chunk(*, stored: int = 1, size: int = 1, ledgers: LedgerRange = LEDGERS) -> Chunk:
    return Chunk(ledgers=ledgers, gap=Gap(ledgers=LEDGERS), size=size, stored=stored)


@pytest.mark.parametrize(
    ("age_s", "expected"),
    [
        (0.0, Late.NO),
        (29.9, Late.NO),
        (30.0, Late.SUSPECT),
        (44.9, Late.SUSPECT),
        (45.0, Late.HEDGE),
        (59.9, Late.HEDGE),
        (60.0, Late.OVERDUE),
        (900.0, Late.OVERDUE),
    ],
)
def test_lateness(age_s: float, expected: Late):
    """Suspect at half of the deadline, to be hedged at three quarters, overdue at its end."""
    patience = Patience(StallConfig(floor_s=60.0))
    begun = Attempt(token=1, number=1, chunk=chunk(), worker=1, path="/1", since=1000.0)
    assert patience.lateness(begun, 1000.0 + age_s) is expected


@pytest.mark.parametrize(("now", "at"), [(1000.0, 1030.0), (1030.0, 1045.0), (1045.0, 1060.0), (1060.0, 1060.0)])
def test_the_next_step_is_when_lateness_changes(now: float, at: float):
    """Whoever sleeps until then wakes up to something to do, and not before."""
    patience = Patience(StallConfig(floor_s=60.0))
    begun = Attempt(token=1, number=1, chunk=chunk(), worker=1, path="/1", since=1000.0)
    assert patience.next_step_at(begun, now) == at


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
def test_the_first_deadline_goes_by_bytes_and_ledgers(stored_bytes: int, ledgers: int, deadline_s: float):
    """A large chunk may take longer than a small one, and so may one of many small objects, from floor to ceiling."""
    config = StallConfig(floor_s=20.0, ceiling_s=600.0, slow_bytes_per_s=1000, slow_ledgers_per_s=10)
    given = chunk(stored=stored_bytes, ledgers=LedgerRange(1, ledgers))
    assert Patience(config).deadline_s(given) == deadline_s


def test_the_deadline_follows_what_chunks_have_cost():
    """Steady chunks bring it to twice their pace, a slow one brings it up; failures double it up to the ceiling."""
    patience = Patience(StallConfig(floor_s=1.0, ceiling_s=600.0, slow_bytes_per_s=100))
    given = chunk(stored=1000, size=3000)
    assert patience.deadline_s(given) == 10.0  # assumed
    patience.learn(given, 3000, elapsed_s=4.0)
    assert patience.deadline_s(given) == 2 * (4 + 4 * 2)  # RFC 6298: a first deviation of half the mean
    for _ in range(40):
        patience.learn(given, 3000, elapsed_s=4.0)
    assert patience.deadline_s(given) == pytest.approx(8.0, rel=0.01)
    assert patience.deadline_s(chunk(stored=2000, size=6000)) == pytest.approx(16.0, rel=0.01)
    given.failures = 3
    assert patience.deadline_s(given) == pytest.approx(64.0, rel=0.01)
    given.failures = 99
    assert patience.deadline_s(given) == 600.0
    given.failures = 0
    patience.learn(given, 3000, elapsed_s=12.0)
    assert patience.deadline_s(given) == pytest.approx(2 * (4 + 8 / 8 + 4 * 8 / 4), rel=0.02)


def test_back_off_doubles_up_to_its_ceiling():
    """Each repetition waits twice as long as the one before, and none for ever."""
    config = StallConfig(backoff_s=1.0, backoff_ceiling_s=30.0)
    assert [config.backoff_after(tries) for tries in (1, 2, 3, 4, 5, 6, 10_000)] == [1, 2, 4, 8, 16, 30, 30]


@pytest.mark.parametrize(
    ("failures", "deaths", "failure", "expected"),
    [
        (0, 0, RESET, TryAgain(11.0, RESET.reason)),
        (1, 0, RESET, TryAgain(12.0, RESET.reason)),
        (2, 0, RESET, TryAgain(14.0, RESET.reason)),
        (3, 0, RESET, GiveUp(RESET)),
        (0, 0, CORRUPT, GiveUp(CORRUPT)),
        (3, 0, CORRUPT, GiveUp(CORRUPT)),
        (0, 1, RESET, TryAgain(11.0, RESET.reason)),
    ],
)
def test_after_failure(failures: int, deaths: int, failure: Failure, expected: TryAgain | Split | GiveUp):
    """What is transient is tried `max_attempts` times with back-off, what is permanent never again."""
    failed = chunk()
    failed.failures, failed.deaths = failures, deaths
    assert after_failure(StallConfig(max_attempts=4, max_deaths=2), failed, failure, now=10.0) == expected


@pytest.mark.parametrize("failure", [HUNG, DIED])
def test_what_names_no_ledger_is_split(failure: Failure):
    """Who hung or died could not say at which ledger: after all attempts the chunk is halved, and a half at once."""
    failed = chunk()
    failed.failures = 2
    assert after_failure(StallConfig(), failed, failure, now=0.0) == Split()
    half = chunk()
    half.part_of = LEDGERS
    assert after_failure(StallConfig(), half, failure, now=0.0) == Split()


def test_a_single_ledger_has_all_attempts_again():
    """Splitting ends at one ledger, which is given up when it has failed as often as a whole chunk may."""
    config, last = StallConfig(), chunk(ledgers=LedgerRange(150, 150))
    last.part_of = LEDGERS
    verdicts = [after_failure(config, last, HUNG, now=0.0) for _ in range(3)]
    assert verdicts == [TryAgain(1.0, HUNG.reason), TryAgain(2.0, HUNG.reason), GiveUp(HUNG)]


def test_a_ledger_that_kills_its_workers_is_poison():
    """A ledger that too many workers died of is given up before its attempts are used up, and the reason says so."""
    config, failed = StallConfig(max_attempts=9, max_deaths=3), chunk(ledgers=LedgerRange(150, 150))
    failed.deaths = 3
    verdict = after_failure(config, failed, DIED, now=0.0)
    assert isinstance(verdict, GiveUp)
    assert verdict.failure.reason == "poison, 3 workers died of it, the last: worker died: killed by SIGSEGV"
    many = chunk()
    many.deaths = 3
    assert after_failure(config, many, DIED, now=0.0) == Split()


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


def test_a_damaged_newest_object_is_asked_for_until_the_deadline():
    """Who writes it may be about to end: it is tried as what is missing, which is said once, and is damage then."""
    config, failed, now = StallConfig(hole_deadline_s=10.0, backoff_s=1.0), chunk(), 50.0
    found = []
    while isinstance(verdict := after_failure(config, failed, DAMAGED, now, newest="F--150"), TryAgain):
        found.append((verdict.not_before - now, verdict.why))
        now = verdict.not_before
    why = "corrupt ledger 150: the newest object may not be whole yet, 10 s are left to it"
    assert found == [(1, why), (2, ""), (4, ""), (3, "")]
    assert failed.failures == 0
    assert verdict == GiveUp(replace(DAMAGED, reason="corrupt ledger 150, still damaged after 10 s and 5 tries"))


@pytest.mark.parametrize(
    ("failure", "newest"),
    [
        (DAMAGED, "E--151"),  # there is a later one
        (DAMAGED, None),  # no more is to come
        (CORRUPT, None),  # of no object
        (replace(DAMAGED, reason="access to object F--150 denied", offset=None), "F--150"),
    ],
)
def test_other_damage_is_given_up_at_once(failure: Failure, newest: str | None):
    """Damage of any other object stays, and so does what is no damage."""
    assert after_failure(StallConfig(), chunk(), failure, now=5.0, newest=newest) == GiveUp(failure)


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
