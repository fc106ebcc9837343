"""What `verify` says: `VerifyReport`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.progress.report import RunError
from workers.messages import LedgerRange

SIGNALLED = 128  # exit codes above it: the number of the signal that ended the run


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
        if self.error:
            return self.error.exit_code if self.error.exit_code > SIGNALLED else 1
        return 0 if self.difference is None and self.ledgers == len(self.wanted) else 1
