"""What the coordinator wants done, in the order given: frozen dataclasses, matched by type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.plan import Gap
from pipeline.segments import Segment
from workers.messages import ChunkDone, LedgerRange, Task

Step = Literal["suspect", "hedge", "re-dispatch", "split", "abort"]
"""The steps against a stall, in the words of logs, reports and the run's history."""

Outcome = Literal["success", "failed", "interrupted"]
"""The ways a run ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyChunk:
    """A chunk whose turn it is: its rows lie in a file, its hashes link to everything before it."""

    ledgers: LedgerRange  # what to commit: the sound ledgers, fewer than the chunk's when a failure follows
    chunk: LedgerRange  # as it was planned
    gap: Gap
    done: ChunkDone
    attempts: int
    lost_attempts: int = 0  # that were begun and came to nothing
    lost_s: float = 0.0  # of workers, in these
    worker: int
    previous: bytes | None  # hash of the ledger before, committed or held; None: nothing is known of it

    @property
    def path(self) -> str:
        """The file with the rows."""
        return self.done.path


@dataclass(frozen=True, slots=True)
class StartWorker:
    """Start a worker under a number that was never used before."""

    worker: int


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Send a task to a worker that is ready."""

    worker: int
    task: Task


@dataclass(frozen=True, slots=True)
class KillWorker:
    """Kill a worker: it writes to no file any more when the next action is carried out."""

    worker: int
    reason: str


@dataclass(frozen=True, slots=True)
class Commit:
    """Commit a chunk after those asked for before it; answered by `Committed` or `CommitFailed`, in this order.

    Its rows may be copied ahead, beside those of others; the cursor moves in the order given.
    """

    chunk: ReadyChunk


@dataclass(frozen=True, slots=True)
class CompleteSegment:
    """Build what a segment lacks; answered by `SegmentCompleted` or `SegmentFailed`."""

    segment: Segment
    beside: bool = False  # chunks may still go into it: otherwise none of this run does any more


@dataclass(frozen=True, slots=True)
class Discard:
    """Let go of a result file, which may not exist; exactly one for each task dispatched."""

    path: str
    reusable: bool = False  # nobody writes to it any more: another task's rows may be written over it


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One step against a stall: for the log, the report and the run's history."""

    step: Step
    chunk: LedgerRange
    worker: int | None
    attempt: int
    elapsed_s: float
    why: str


@dataclass(frozen=True, slots=True)
class Tell:
    """Something that people may want to know of the run, and that nothing follows from."""

    what: str


@dataclass(frozen=True, slots=True)
class Finish:
    """The last action of a run; `error` says why it is no success (an `Interrupted` when a signal ended it)."""

    outcome: Outcome
    error: Exception | None = None


Action = StartWorker | Dispatch | KillWorker | Commit | CompleteSegment | Discard | Note | Tell | Finish
