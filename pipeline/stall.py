"""What to do about an attempt that is late or has failed: the rules, given `now`.

Suspect, hedge, re-dispatch, split, abort, one step at a time: the first two while an attempt is in work (`Patience`),
the others when it has ended without a result (`after_failure`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from pipeline.chunk import Attempt, Chunk
from workers.messages import Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class StallConfig:
    """How long an attempt may take and how often it is repeated; `ValueError` where two settings contradict."""

    floor_s: float = 20.0
    ceiling_s: float = 600.0
    # Assumed until the first results are there, between floor and ceiling: by stored bytes, and by ledgers, for a
    # request takes its time however little it fetches.
    slow_bytes_per_s: float = 64 << 10
    slow_ledgers_per_s: float = 20.0
    max_attempts: int = 3
    max_deaths: int = 3  # workers that die of one chunk make it poison
    backoff_s: float = 1.0  # doubles with each repetition
    backoff_ceiling_s: float = 30.0
    hole_deadline_s: float = 60.0  # how long an object that is missing, or not whole yet, is asked for again
    start_deadline_s: float = 60.0  # from a worker's start to its first word

    def __post_init__(self) -> None:
        """Refuse what cannot hold together, with both numbers."""
        if not 0 < self.floor_s <= self.ceiling_s:
            raise ValueError(f"stall floor {self.floor_s:g} s is not between 0 and the ceiling {self.ceiling_s:g} s")
        if not 0 < self.backoff_s <= self.backoff_ceiling_s:
            raise ValueError(
                f"back-off {self.backoff_s:g} s is not between 0 and its ceiling {self.backoff_ceiling_s:g} s"
            )
        for name in ("max_attempts", "max_deaths"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: at least 1")
        for name in ("slow_bytes_per_s", "slow_ledgers_per_s", "start_deadline_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name):g}: more than 0")
        if self.hole_deadline_s < 0:
            raise ValueError(f"hole_deadline_s is {self.hole_deadline_s:g}: at least 0")

    def backoff_after(self, tries: int) -> float:
        """Return the seconds to wait before trying again after `tries` failed, from 1."""
        return float(min(self.backoff_s * 2 ** min(tries - 1, 30), self.backoff_ceiling_s))


class Late(Enum):
    """How late an attempt is."""

    NO = "in time"
    SUSPECT = "past half of its deadline"
    HEDGE = "past three quarters of it: a second worker may be given the same chunk"
    OVERDUE = "past its deadline: its worker is killed"


_FROM = {Late.SUSPECT: 0.5, Late.HEDGE: 0.75, Late.OVERDUE: 1.0}  # share of the deadline


class Patience:
    """How long an attempt may take, by what attempts have been costing: seconds a byte, as stored and of rows.

    The rule is that of retransmission timeouts (RFC 6298) with such a pace for a round trip: mean and mean deviation
    are smoothed by 1/8 and 1/4, and an attempt is late four deviations above the mean. It is killed at twice that,
    which doubles with each attempt at its chunk that has failed.
    """

    def __init__(self, config: StallConfig) -> None:
        """Know nothing yet: the rates of `config` are assumed."""
        self._config = config
        self._mean: float | None = None
        self._deviation = 0.0

    def learn(self, chunk: Chunk, row_bytes: int, elapsed_s: float) -> None:
        """Note what a whole chunk has cost."""
        pace = elapsed_s / max(1, chunk.stored + row_bytes)
        if self._mean is None:
            self._mean, self._deviation = pace, pace / 2
        else:
            self._deviation += (abs(pace - self._mean) - self._deviation) / 4
            self._mean += (pace - self._mean) / 8

    def deadline_s(self, chunk: Chunk) -> float:
        """Return the seconds after which an attempt at `chunk` is given up, as things stand."""
        config = self._config
        if self._mean is None:
            likely = max(chunk.stored / config.slow_bytes_per_s, len(chunk.ledgers) / config.slow_ledgers_per_s)
        else:
            likely = 2 * (self._mean + 4 * self._deviation) * (chunk.stored + chunk.size)
        return min(max(likely * float(2 ** min(chunk.failures, 30)), config.floor_s), config.ceiling_s)

    def lateness(self, attempt: Attempt, now: float) -> Late:
        """Return how late an attempt in work is."""
        return next((late for late in reversed(_FROM) if now >= self._at(attempt, late)), Late.NO)

    def next_step_at(self, attempt: Attempt, now: float) -> float:
        """Return when `lateness` changes next."""
        times = [self._at(attempt, late) for late in _FROM]
        return next((at for at in times if at > now), times[-1])

    def _at(self, attempt: Attempt, late: Late) -> float:
        return attempt.since + self.deadline_s(attempt.chunk) * _FROM[late]


@dataclass(frozen=True, slots=True)
class TryAgain:
    """The whole chunk once more, not before a time."""

    not_before: float
    why: str = ""  # nothing where that was said before


@dataclass(frozen=True, slots=True)
class Split:
    """Each half on its own: which of its ledgers fails is not known yet."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The chunk has failed for good."""

    failure: Failure


def after_failure(
    config: StallConfig, chunk: Chunk, failure: Failure, now: float, newest: str | None = None
) -> TryAgain | Split | GiveUp:
    """Count a failed attempt against its chunk, and return what follows: transient or permanent is decided here.

    A half of a chunk that has failed often enough is tried once, down to a single ledger, which has all attempts again.
    `newest`: the object that was the newest as the chunk was opened, where more is to come. Who writes it may not have
    ended by then: what is damaged there counts like what is missing.
    """
    if failure.missing or (failure.offset is not None and failure.object == newest):
        return _after_missing(config, chunk, failure, now)
    chunk.failures += 1
    if not failure.transient:
        return GiveUp(failure)
    poison = chunk.deaths >= config.max_deaths
    unknown = failure.ledger is None and len(chunk.ledgers) > 1
    if unknown and (chunk.part_of or poison or chunk.failures >= config.max_attempts):
        return Split()
    if poison:
        return GiveUp(replace(failure, reason=f"poison, {chunk.deaths} workers died of it, the last: {failure.reason}"))
    if chunk.failures >= config.max_attempts:
        return GiveUp(failure)
    return TryAgain(now + config.backoff_after(chunk.failures), failure.reason)


def _after_missing(config: StallConfig, chunk: Chunk, failure: Failure, now: float) -> TryAgain | GiveUp:
    if chunk.missing_since is None:
        chunk.missing_since = now
    chunk.missing_tries += 1
    ends = chunk.missing_since + config.hole_deadline_s
    if now >= ends:
        waited = now - chunk.missing_since
        still = f"still {'missing' if failure.missing else 'damaged'} after {waited:.0f} s"
        return GiveUp(replace(failure, reason=f"{failure.reason}, {still} and {chunk.missing_tries} tries"))
    # The last look comes at the deadline, not a back-off after it.
    again = min(now + config.backoff_after(chunk.missing_tries), ends)
    if failure.missing:
        return TryAgain(again, failure.reason)
    unfinished = f"{failure.reason}: the newest object may not be whole yet, {ends - now:.0f} s are left to it"
    return TryAgain(again, unfinished if chunk.missing_tries == 1 else "")
