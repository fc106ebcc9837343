"""How a run stands at one moment: all that a display, a log line or a report may want to know."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.chunk import ChunkState
from workers.messages import LedgerRange


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """Seconds spent waiting, by who waited for what; from these follows what limits a run."""

    workers_s: float = 0.0  # worker-seconds without a task, counted over all workers
    commit_s: float = 0.0  # in which nothing was being committed
    head_s: float = 0.0  # of these, in which results were held behind a head that was late
    window_s: float = 0.0  # in which a worker had no task because the window was full
    read_s: float = 0.0  # in which committed chunks' workers waited for bytes to arrive
    work_s: float = 0.0  # which committed chunks took, `read_s` included
    complete_s: float = 0.0  # in which every ledger was committed and indexes were built; not counted above
    more_s: float = 0.0  # in which every ledger that there was, was committed, and more were to come; likewise


@dataclass(frozen=True, slots=True)
class HeadWait:
    """A chunk that held up all that was ready behind it."""

    ledgers: LedgerRange
    worker: int | None
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """How a run stands; every count is of this run alone."""

    elapsed_s: float
    ledgers_wanted: int  # missing when the run began
    ledgers_done: int
    transactions: int  # rows committed
    operations: int
    events: int
    object_bytes: int  # of the committed ledgers, as stored
    plain_bytes: int
    row_bytes: int
    window: tuple[tuple[LedgerRange, ChunkState], ...]  # in ledger order, some that are committed first
    head: LedgerRange | None
    head_age_s: float  # since the head's attempt began; 0 when it is not in work
    head_worker: int | None
    head_attempt: int  # 0 when it is not in work
    workers_busy: int
    workers_idle: int
    workers_starting: int
    held_bytes: int  # of rows, behind the head
    at_tip: bool = False  # everything that there is, is committed, and more is to come
    completing: int = 0  # segments whose indexes are being built, or wait for it
    waits: Waits
    worst_head: HeadWait | None = None  # that was waited for longest

    @property
    def window_open(self) -> bool:
        """Whether a chunk is still to be committed."""
        return any(state != ChunkState.COMMITTED for _, state in self.window)
