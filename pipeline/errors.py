"""The few ways a run can end without success. Each carries its exit code; messages are lower case, with numbers and units."""

from __future__ import annotations

from workers.messages import Failure, LedgerRange


class BackfillError(Exception):
    """A run that did not succeed: `exit_code` 1."""

    exit_code = 1


class Refused(BackfillError):
    """Refused before the start, for wrong usage or a source or store that cannot serve: `exit_code` 2."""

    exit_code = 2


class RunHeld(BackfillError):
    """Another run holds this store's cursor: `exit_code` 3."""

    exit_code = 3


class ChunkAbandoned(BackfillError):
    """A chunk failed for good; everything before it is committed."""

    def __init__(self, ledgers: LedgerRange, attempts: int, failure: Failure, worker: int | None = None) -> None:
        """Say which ledgers, after how many attempts and why."""
        self.ledgers, self.attempts, self.failure, self.worker = ledgers, attempts, failure, worker
        where = "" if worker is None else f" on worker {worker}"
        super().__init__(f"gave up on ledgers {ledgers} at attempt {attempts}{where}: {failure.reason}")


class CursorMoved(BackfillError):
    """The compare-and-swap found another value than this run's own last commit."""


class Interrupted(BackfillError):
    """A signal ended the run: `exit_code` is 128 + its number."""

    def __init__(self, signal: int) -> None:
        """Keep the signal for the exit code."""
        self.signal = signal
        self.exit_code = 128 + signal
        super().__init__(f"interrupted by signal {signal}")
