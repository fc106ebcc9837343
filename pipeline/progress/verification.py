"""What `verify` says: `VerifyReport` of a store against its source, `ProofReport` of a source alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.progress.report import RunError
from workers.messages import LedgerRange

SIGNALLED = 128  # exit codes above it: the number of the signal that ended the run
_STAGES = ("decompress", "walk", "prove")  # of a decoder that makes no rows


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """How a range of the store compares with what its source gives."""

    source: str
    database: str  # no password
    wanted: LedgerRange
    compared: tuple[LedgerRange, ...] = ()  # and found equal
    missing: tuple[LedgerRange, ...] = ()  # that the store lacks
    rows: Mapping[str, int] = field(default_factory=dict)  # compared and equal, by table
    elapsed_s: float = 0.0
    difference: str | None = None  # the first one: table, ledger, key, column
    error: RunError | None = None  # what kept it from comparing the rest

    @property
    def ledgers(self) -> int:
        """How many ledgers are equal."""
        return sum(map(len, self.compared))

    @property
    def exit_code(self) -> int:
        """What the process ends with: 0 only when every ledger was compared and is equal."""
        return _exit_code(self.error, whole=self.difference is None and self.ledgers == len(self.wanted))


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofReport:
    """How far a range of the source is sound, by every proof that its ledgers carry, and what the proofs took."""

    source: str
    wanted: LedgerRange
    proved: tuple[LedgerRange, ...] = ()
    chunks: int = 0  # proved
    object_bytes: int = 0  # proved, as stored in the source
    plain_bytes: int = 0
    elapsed_s: float = 0.0
    cpu_s: Mapping[str, float] = field(default_factory=dict)  # see `cpu_by_stage`
    event_hash_mismatches: int = 0  # below protocol 23, where they are no error
    workers: int = 0
    peak_memory: Mapping[str, int] = field(default_factory=dict)  # bytes by process
    error: RunError | None = None  # the first ledger that is not sound, or what kept it from proving the rest

    @property
    def ledgers(self) -> int:
        """How many ledgers are sound."""
        return sum(map(len, self.proved))

    @property
    def exit_code(self) -> int:
        """What the process ends with: 0 only when every ledger was proved."""
        return _exit_code(self.error, whole=self.ledgers == len(self.wanted))

    def rate(self, amount: float) -> float:
        """Return `amount` a second of this run; 0 for a run that took no time."""
        return amount / self.elapsed_s if self.elapsed_s > 0 else 0.0


def cpu_by_stage(stages_s: Mapping[str, float], coordinator_s: float) -> dict[str, float]:
    """Return CPU seconds: of the decoder by stage, of all else that the workers did, and of the coordinator.

    `stages_s` are sums over the chunks. The decoder takes the time of its stages by the clock on the wall: while it
    had to wait for a core they may be more than the CPU of the workers, and are cut to that.
    """
    decoder = {stage: stages_s.get(stage, 0.0) for stage in _STAGES}
    workers_s, decoder_s = stages_s.get("cpu", 0.0), sum(decoder.values())
    share = min(1.0, workers_s / decoder_s) if decoder_s else 1.0
    return {
        **{stage: seconds * share for stage, seconds in decoder.items()},
        "reading": max(0.0, workers_s - decoder_s),  # with the little that Python does in a worker
        "coordinator": coordinator_s,
    }


def _exit_code(error: RunError | None, *, whole: bool) -> int:
    if error:
        return error.exit_code if error.exit_code > SIGNALLED else 1
    return 0 if whole else 1
