"""What to do about an attempt that is late or has failed: the rules, given `now`.

The steps are suspect, (hedge,) re-dispatch, (split,) abort. Those in brackets are not taken yet; their places are
`Late`, between suspect and overdue, and `after_failure`, before giving up.
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
    # An attempt slower than either is late, between floor and ceiling: by its stored bytes, and by its ledgers, for a
    # request takes its time however little it fetches.
    slow_bytes_per_s: float = 64 << 10
    slow_ledgers_per_s: float = 20.0
    max_attempts: int = 3
    max_deaths: int = 3  # workers that die of one chunk make it poison
    backoff_s: float = 1.0  # doubles with each repetition
    backoff_ceiling_s: float = 30.0
    hole_deadline_s: float = 60.0  # how long a missing object is asked for again
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

    def deadline_s(self, stored_bytes: int, ledgers: int) -> float:
        """Return how long one attempt at so many ledgers, of so many stored bytes together, may take."""
        slow_s = max(stored_bytes / self.slow_bytes_per_s, ledgers / self.slow_ledgers_per_s)
        return min(max(slow_s, self.floor_s), self.ceiling_s)

    def backoff_after(self, tries: int) -> float:
        """Return the seconds to wait before trying again after `tries` failed, from 1."""
        return float(min(self.backoff_s * 2 ** min(tries - 1, 30), self.backoff_ceiling_s))


class Late(Enum):
    """How late an attempt is."""

    NO = "in time"
    SUSPECT = "past half of its deadline, and everything waits for it"
    OVERDUE = "past its deadline"


def lateness(attempt: Attempt, now: float, *, holds_head: bool) -> Late:
    """Return which step an attempt in work asks for; `SUSPECT` once, and only where the head waits for it."""
    if now >= attempt.since + attempt.deadline_s:
        return Late.OVERDUE
    if holds_head and not attempt.suspected and now >= attempt.since + attempt.deadline_s / 2:
        return Late.SUSPECT
    return Late.NO


def next_step_at(attempt: Attempt, *, holds_head: bool) -> float:
    """Return when `lateness` changes next."""
    half = holds_head and not attempt.suspected
    return attempt.since + (attempt.deadline_s / 2 if half else attempt.deadline_s)


@dataclass(frozen=True, slots=True)
class TryAgain:
    """The whole chunk once more, not before a time."""

    not_before: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The chunk has failed for good."""

    failure: Failure


def after_failure(config: StallConfig, chunk: Chunk, failure: Failure, now: float) -> TryAgain | GiveUp:
    """Count a failed attempt against its chunk, and return what follows: transient or permanent is decided here."""
    if failure.missing:
        return _after_missing(config, chunk, failure, now)
    chunk.failures += 1
    if not failure.transient:
        return GiveUp(failure)
    if chunk.deaths >= config.max_deaths:
        return GiveUp(replace(failure, reason=f"poison, {chunk.deaths} workers died of it, the last: {failure.reason}"))
    if chunk.failures >= config.max_attempts:
        return GiveUp(failure)
    return TryAgain(now + config.backoff_after(chunk.failures))


def _after_missing(config: StallConfig, chunk: Chunk, failure: Failure, now: float) -> TryAgain | GiveUp:
    if chunk.missing_since is None:
        chunk.missing_since = now
    chunk.missing_tries += 1
    ends = chunk.missing_since + config.hole_deadline_s
    if now >= ends:
        waited = now - chunk.missing_since
        reason = f"{failure.reason}, still missing after {waited:.0f} s and {chunk.missing_tries} tries"
        return GiveUp(replace(failure, reason=reason))
    # The last look comes at the deadline, not a back-off after it.
    return TryAgain(min(now + config.backoff_after(chunk.missing_tries), ends))
