"""What the coordinator knows of a chunk on its way from the plan to the database, and of each attempt at it."""

from __future__ import annotations

from dataclasses import dataclass
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
    """A chunk that is not committed yet."""

    ledgers: LedgerRange
    gap: Gap
    size: int  # bytes of rows: estimated until they are there
    stored: int  # bytes in the source, estimated
    state: ChunkState = ChunkState.WAITING
    attempt: Attempt | None = None  # whose result counts; all others are superseded
    failures: int = 0  # attempts that ended badly, missing objects aside
    deaths: int = 0  # workers that died of it
    not_before: float = 0.0
    missing_since: float | None = None
    missing_tries: int = 0
    result: Result | None = None
    in_order: bool = False  # whether everything before its result is there

    def take(self, result: Result) -> None:
        """Hold its result; its size is known from now on."""
        self.state, self.attempt, self.result, self.size = ChunkState.HELD, None, result, result.done.row_bytes

    def wait(self, not_before: float) -> None:
        """Wait for a worker, not before a time; what is still under way for it is superseded."""
        self.state, self.attempt, self.not_before = ChunkState.WAITING, None, not_before


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
    deadline_s: float
    since: float  # when it began, or when it was the worker's turn to
    suspected: bool = False

    @property
    def superseded(self) -> bool:
        """Whether nobody waits for its result any more."""
        return self.chunk.attempt is not self
