"""What the coordinator is told: frozen dataclasses, matched by type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.plan import Gap
from pipeline.segments import Segment
from workers.messages import LedgerRange, WorkerMessage


@dataclass(frozen=True, slots=True)
class FromWorker:
    """A worker said something."""

    worker: int
    message: WorkerMessage


@dataclass(frozen=True, slots=True)
class WorkerDied:
    """A worker is gone, by itself or because it was killed; everything that it said before was delivered before."""

    worker: int
    reason: str  # `killed by signal 9 (out of memory?)`


@dataclass(frozen=True, slots=True)
class Committed:
    """The lowest commit that was asked for and not yet answered is in the database."""

    ledgers: LedgerRange
    rows: Mapping[str, int] = field(default_factory=dict)  # by table, as the database counted them
    left_alone: Mapping[str, int] = field(default_factory=dict)  # events of contracts that are none of a protocol's


@dataclass(frozen=True, slots=True)
class CommitFailed:
    """The lowest commit that was asked for failed for good; this answers every one behind it too: none will follow."""

    error: Exception


@dataclass(frozen=True, slots=True)
class SegmentCompleted:
    """The lowest segment that was to be completed and not yet answered has every index."""

    segment: Segment


@dataclass(frozen=True, slots=True)
class SegmentFailed:
    """A segment could not be completed; this answers every one behind it too: none will follow."""

    error: Exception


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Somebody wants the run to end: once in order, twice at once."""

    signal: int


@dataclass(frozen=True, slots=True)
class Grown:
    """What the run follows has more ledgers: a gap above all that was known."""

    gap: Gap


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing more comes of what the run follows; `error` where it cannot be followed any longer."""

    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Tick:
    """Nothing happened; time went by."""


Event = (
    FromWorker
    | WorkerDied
    | Committed
    | CommitFailed
    | SegmentCompleted
    | SegmentFailed
    | Interrupt
    | Grown
    | Ended
    | Tick
)
