"""What the coordinator knows of a chunk on its way from the plan to the database, and of each attempt at it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from pipeline.plan import Gap
from workers.messages import ChunkDone, LedgerRange


class ChunkState(StrEnum):
    """Where a chunk stands."""

    WAITING = "waiting"  # for a worker, or for its back-off to pass
    WORK = "work"  # a worker has it, in work or queued
    HELD = "held"  # its rows are there, its turn is not
    COMMITTING = "committing"
    COMMITTED = "committed"


@dataclass(slots=True, eq=False)
class Chunk:
    """A chunk that is not committed yet, or a part of one that was split."""

    ledgers: LedgerRange
    gap: Gap
    size: int  # bytes of rows: estimated until they are there
    stored: int  # bytes in the source, estimated
    tip: int | None = None  # the newest ledger as it was opened, where more is to come
    part_of: LedgerRange | None = None  # the planned chunk that was split
    state: ChunkState = ChunkState.WAITING
    attempts: list[Attempt] = field(default_factory=list)  # that count: one and its hedge
    hedged: bool = False  # since it last waited: once, or who hangs at it would be followed by the next for ever
    errors: list[tuple[int, str]] = field(default_factory=list)  # of attempts that ended badly, by their number
    failures: int = 0  # how many, objects that are missing or not whole yet aside
    deaths: int = 0  # workers that died of it
    lost: int = 0  # attempts that were begun and came to nothing, superseded ones among them
    lost_s: float = 0.0  # of workers, in these attempts, until nobody waited for them any more
    not_before: float = 0.0
    missing_since: float | None = None
    missing_tries: int = 0
    result: Result | None = None
    in_order: bool = False  # whether everything before its result is there

    @property
    def planned(self) -> LedgerRange:
        """The planned chunk that this is, or is a part of."""
        return self.part_of or self.ledgers

    def take(self, result: Result, now: float) -> None:
        """Hold its result; its size is known from now on, and what else is under way for it is superseded."""
        self.attempts.remove(result.attempt)
        self._lose_all(now)
        self.state, self.result, self.size = ChunkState.HELD, result, result.done.row_bytes

    def wait(self, not_before: float, now: float) -> None:
        """Wait for a worker, not before a time; what is still under way for it is superseded."""
        self._lose_all(now)
        self.state, self.not_before, self.hedged = ChunkState.WAITING, not_before, False

    def lose(self, attempt: Attempt, now: float) -> None:
        """Count an attempt that comes to nothing; one that was only queued has cost nothing."""
        self.attempts.remove(attempt)
        if attempt.in_work:
            self.lost += 1
            self.lost_s += now - attempt.since

    def _lose_all(self, now: float) -> None:
        for attempt in tuple(self.attempts):
            self.lose(attempt, now)


@dataclass(frozen=True, slots=True)
class Result:
    """The rows of a chunk, or of its sound first part."""

    ledgers: LedgerRange
    done: ChunkDone
    attempt: Attempt


@dataclass(slots=True, eq=False)
class Attempt:
    """One try at one chunk by one worker."""

    token: int
    number: int
    chunk: Chunk
    worker: int
    path: str
    since: float  # when it began, or when it was the worker's turn to
    in_work: bool = False  # and not queued behind another
    suspected: bool = False
    doing: str = ""  # what its worker says that it is at, as messages have it behind what became of it

    @property
    def superseded(self) -> bool:
        """Whether nobody waits for its result any more."""
        return self not in self.chunk.attempts
