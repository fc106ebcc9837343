"""What a run tells people before, during and after: `RunInfo`, `Observer`, `RunReport`, and the report as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal, Protocol

from pipeline.errors import ChunkAbandoned
from pipeline.progress.printable import printable_lines
from workers.messages import LedgerRange

if TYPE_CHECKING:
    from pipeline.actions import Note
    from pipeline.progress.snapshot import Snapshot

Outcome = Literal["success", "handed_off", "failed", "interrupted", "refused"]
HELD = 3  # exit code: another run has the store


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """What is known of a run as it starts."""

    run_id: int
    source: str
    database: str  # as people may see it: no password
    wanted: LedgerRange
    held: tuple[LedgerRange, ...] = ()  # of the range, before this run
    chunks: int = 0
    workers: int = 0
    window_chunks: int = 0
    window_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunError:
    """Why a run is no success, as far as it is known where."""

    kind: str  # the error's class
    message: str
    exit_code: int
    chunk: LedgerRange | None = None
    worker: int | None = None
    attempts: int | None = None
    ledger: int | None = None
    object: str | None = None
    offset: int | None = None  # bytes

    @classmethod
    def of(cls, error: BaseException) -> RunError:
        """Keep what an exception says; one that is none of ours counts as a failure, exit code 1.

        Strangers' bytes in it become text that a terminal, JSON and PostgreSQL can take.
        """
        kind, exit_code = type(error).__name__, getattr(error, "exit_code", 1)
        message = printable_lines(str(error)) or kind
        if not isinstance(error, ChunkAbandoned):
            return cls(kind=kind, message=message, exit_code=exit_code)
        why = error.failure
        return cls(
            kind=kind,
            message=message,
            exit_code=exit_code,
            chunk=error.ledgers,
            worker=error.worker,
            attempts=error.attempts,
            ledger=why.ledger,
            object=why.object,
            offset=why.offset,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """What a run did, however it ended. Everything but the outcome has a default, so that a refused run has one too."""

    outcome: Outcome
    job: str = "backfill"
    protocol_ids: tuple[str, ...] = ()  # that the job was for
    source: str = ""
    database: str = ""  # no password
    run_id: int | None = None
    wanted: LedgerRange | None = None
    held: tuple[LedgerRange, ...] = ()  # of the range, before this run
    committed: tuple[LedgerRange, ...] = ()  # by this run, in order
    missing: tuple[LedgerRange, ...] = ()  # of the range, after this run
    chunks: int = 0  # committed
    attempts: int = 0  # tasks that workers began
    rows: Mapping[str, int] = field(default_factory=dict)  # committed, by table
    object_bytes: int = 0  # committed, as stored in the source
    plain_bytes: int = 0
    row_bytes: int = 0
    started_at: datetime | None = None
    elapsed_s: float = 0.0
    stages_s: Mapping[str, float] = field(default_factory=dict)  # summed over workers: wait, decompress, …, commit
    steps: tuple[Note, ...] = ()  # against stalls
    limit: str | None = None  # what the run has waited for most, in a sentence
    event_hash_mismatches: int = 0  # below protocol 23, where they are no error
    left_alone: Mapping[str, int] = field(default_factory=dict)  # events that look like a protocol's and are not
    workers: int = 0
    connections: int = 0  # that copied side by side
    cpu_s: Mapping[str, float] = field(default_factory=dict)  # by process: `coordinator`, `workers`, `server` if ours
    peak_memory: Mapping[str, int] = field(default_factory=dict)  # bytes by process: `coordinator`, `worker 1`, …
    versions: Mapping[str, str] = field(default_factory=dict)  # what the caller knows, such as `postgresql`
    error: RunError | None = None
    complete: bool = False  # nothing of the range is left to do, no index either, however the run ended
    resume: str | None = None  # the exact command

    @property
    def ledgers(self) -> int:
        """How many ledgers this run committed."""
        return sum(map(len, self.committed))

    @property
    def exit_code(self) -> int:
        """What the process ends with: never 0 over missing data."""
        match self.outcome:
            case "success" | "handed_off":
                return 1 if self.missing else 0
            case "failed":  # what would have been refused before the start, too; only a held store stays held
                return HELD if self.error and self.error.exit_code == HELD else 1
        return self.error.exit_code if self.error and self.error.exit_code else 1

    @property
    def cpu_ms_per_ledger(self) -> dict[str, float]:
        """Milliseconds of CPU a ledger by process; empty where no ledger was committed."""
        return {name: seconds / self.ledgers * 1e3 for name, seconds in self.cpu_s.items() if self.ledgers}

    @property
    def peak_memory_mib(self) -> float:
        """Resident MiB of coordinator and workers together, each at its highest."""
        return sum(self.peak_memory.values()) / (1 << 20)

    def rate(self, amount: float) -> float:
        """Return `amount` a second of this run; 0 for a run that took no time."""
        return amount / self.elapsed_s if self.elapsed_s > 0 else 0.0


class Observer(Protocol):
    """Told of a run by the one loop that drives it; must return at once and never raise."""

    def started(self, run: RunInfo) -> None:
        """Learn what is about to be done."""

    def progress(self, snapshot: Snapshot) -> None:
        """Learn how far it is, about four times a second."""

    def note(self, note: Note) -> None:
        """Learn of a step against a stall."""

    def finished(self, report: RunReport) -> None:
        """Learn how it ended; called once, also when it failed."""
