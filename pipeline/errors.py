"""The few ways a run can end without success. Each carries its exit code; messages are lower case, with numbers."""

from __future__ import annotations

from collections.abc import Sequence
from signal import SIGINT

from workers.messages import Failure, LedgerRange


def first_line(error: BaseException | None) -> str:
    """Return the first line of what an error says, or its type: PostgreSQL's go on with positions and hints."""
    return next(iter(str(error).splitlines()), type(error).__name__).strip()


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

    def __init__(
        self,
        ledgers: LedgerRange,
        attempts: int,
        failure: Failure,
        worker: int | None = None,
        before: Sequence[tuple[int, str]] = (),
    ) -> None:
        """Say which ledgers, after how many attempts and why; `before`: earlier attempts, each with its error."""
        self.ledgers, self.attempts, self.failure, self.worker = ledgers, attempts, failure, worker
        what = f"ledger {ledgers}" if len(ledgers) == 1 else f"ledgers {ledgers}"
        where = "" if worker is None else f" on worker {worker}"
        told = "".join(f"; attempt {number}: {reason}" for number, reason in before)
        super().__init__(f"gave up on {what} at attempt {attempts}{where}: {failure.reason}{told}")


class WorkersLost(BackfillError):
    """No worker could be started."""

    def __init__(self, starts: int, reason: str) -> None:
        """Say how many starts in a row failed, and why the last did."""
        self.starts = starts
        super().__init__(f"no worker could be started, {starts} in a row failed, the last: {reason}")


class CursorMoved(BackfillError):
    """The compare-and-swap found another value than this run's own last commit."""

    def __init__(self, ledgers: LedgerRange, standing: Sequence[LedgerRange], oldest: int = 0) -> None:
        """Say which ledgers could not be written, which stretches stand at their place, or what is the oldest kept."""
        self.ledgers, self.standing, self.oldest = ledgers, tuple(standing), oldest
        found = f"found {', '.join(map(str, standing))} there" if standing else "found none there"
        if oldest > ledgers.first:
            found += f", and ledger {oldest} is the oldest that is kept"
        super().__init__(f"cannot commit ledgers {ledgers}: the stretch that ended below them has changed; {found}")


class CursorElsewhere(BackfillError):
    """The cursor of a protocol neither stands right below these ledgers nor was moved over them by anybody."""

    def __init__(self, ledgers: LedgerRange, key: str, value: int) -> None:
        """Say which ledgers could not be written, and where which cursor stands."""
        self.ledgers, self.key, self.value = ledgers, key, value
        super().__init__(f"cannot commit ledgers {ledgers}: {key} stands at ledger {value}, not right below them")


class CursorMissing(BackfillError):
    """The cursor of a protocol is not in the store."""

    def __init__(self, ledgers: LedgerRange, key: str, protocol_id: str) -> None:
        """Say which ledgers could not be written for want of which cursor."""
        self.ledgers, self.key, self.protocol_id = ledgers, key, protocol_id
        super().__init__(
            f"cannot commit ledgers {ledgers}: there is no {key}; set the protocol up first: "
            f"ledgerfill setup --protocol-id {protocol_id}"
        )


class PartGone(BackfillError):
    """Another run has come to the end of the part below a history: `exit_code` 3."""

    exit_code = 3

    def __init__(self, ledgers: LedgerRange, key: str, protocol_id: str) -> None:
        """Say which ledgers could not be written, for which cursor is gone."""
        self.ledgers, self.key, self.protocol_id = ledgers, key, protocol_id
        super().__init__(
            f"cannot commit ledgers {ledgers}: another run has come to the end of what lies below the history of "
            f"{protocol_id}: there is no {key} any more"
        )


class CursorTaken(BackfillError):
    """Another run has written ledgers that this one was about to commit: `exit_code` 3."""

    exit_code = 3

    def __init__(self, ledgers: LedgerRange, held: LedgerRange, job: str, run_id: int) -> None:
        """Say which ledgers, and whose they are."""
        self.ledgers, self.held, self.job, self.run_id = ledgers, held, job, run_id
        super().__init__(f"cannot commit ledgers {ledgers}: {job} run {run_id} has written ledgers {held}")


class HandedOff(BackfillError):
    """Live ingestion has written these ledgers: the job is done, `exit_code` 0."""

    exit_code = 0

    def __init__(self, ledgers: LedgerRange, last: int, protocol_ids: Sequence[str] = ()) -> None:
        """Say where live ingestion stands; `protocol_ids`: only these protocols are in its hands."""
        self.ledgers, self.last, self.protocol_ids = ledgers, last, tuple(protocol_ids)
        what = f" {' and '.join(protocol_ids)}" if protocol_ids else ""
        super().__init__(f"live ingestion has taken over{what} at ledgers {ledgers} and stands at ledger {last}")


class FallenOut(BackfillError):
    """Live ingestion no longer keeps these ledgers: their history is nobody's matter."""

    def __init__(self, ledgers: LedgerRange, oldest: int) -> None:
        """Say from which ledger on they are kept."""
        self.ledgers, self.oldest = ledgers, oldest
        super().__init__(f"ledgers {ledgers} are no longer kept: the oldest of the store is ledger {oldest}")


class BrokenSeam(BackfillError):
    """A ledger names another hash for the one before it than that one has in the store."""

    def __init__(self, ledger: int, named: bytes, found: bytes) -> None:
        """Say which ledger does not link, with both hashes."""
        self.ledger, self.named, self.found = ledger, named, found
        super().__init__(
            f"ledger {ledger} does not link to ledger {ledger - 1}: "
            f"it names hash {named.hex()}, but that ledger has {found.hex()}"
        )


class CommitRefused(BackfillError):
    """PostgreSQL or a plug-in refused a chunk, or PostgreSQL was away for too long; nothing of it is committed."""

    def __init__(self, ledgers: LedgerRange, reason: str) -> None:
        """Say which ledgers, and what PostgreSQL or the plug-in said."""
        self.ledgers, self.reason = ledgers, reason
        super().__init__(f"cannot commit ledgers {ledgers}: {reason}")


class Unclassified(BackfillError):
    """A contract code that several protocols claim, or at which a plug-in fails: it comes into no store."""


class SegmentIncomplete(BackfillError):
    """Every ledger is committed, but indexes are missing: the next run builds them."""

    def __init__(self, ledgers: LedgerRange, reason: str) -> None:
        """Say which segment, and what PostgreSQL said."""
        self.ledgers, self.reason = ledgers, reason
        super().__init__(f"cannot build the indexes of the segment of ledgers {ledgers}: {reason}")


class RowsDiffer(BackfillError):
    """PostgreSQL counted other rows than the worker had written; nothing of the chunk is committed."""

    def __init__(self, ledgers: LedgerRange, table: str, wanted: int, found: int) -> None:
        """Say which table, with both counts."""
        self.ledgers, self.table, self.wanted, self.found = ledgers, table, wanted, found
        super().__init__(f"cannot commit ledgers {ledgers}: {table} took {found} rows where the worker wrote {wanted}")


class Interrupted(BackfillError):
    """A signal ended the run: `exit_code` is 128 + its number."""

    def __init__(self, signal: int) -> None:
        """Keep the signal for the exit code."""
        self.signal = signal
        self.exit_code = 128 + signal
        super().__init__(f"interrupted by signal {signal}")

    @classmethod
    def of(cls, error: BaseException) -> Interrupted:
        """Return the signal that stands behind `KeyboardInterrupt`, or `SystemExit` with 128 and its number."""
        code = error.code if isinstance(error, SystemExit) else None
        return cls(code - 128 if isinstance(code, int) else SIGINT)


class RowsUnlike(BackfillError):
    """A row of the store is not what its source gives."""


class ArchiveUnsound(BackfillError):
    """An archive that lacks an object, or holds one that is not what its hash says; nothing of it is used."""

    def __init__(self, archive: str, what: str) -> None:
        """Say which archive, and what is wrong with which object."""
        self.archive = archive
        super().__init__(f"archive {archive}: {what}")
