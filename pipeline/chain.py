"""The hash chain at the seams: between chunks, and between a gap and the ledgers that the store has around it."""

from __future__ import annotations

from pipeline.plan import Gap
from workers.messages import ChunkDone, Failure, LedgerRange


def broken_link(gap: Gap, ledgers: LedgerRange, done: ChunkDone, previous: bytes | None) -> Failure | None:
    """Return what is wrong where `ledgers` meet their neighbours, or None.

    `previous` is the hash of the ledger before them, None where it is not known.
    """
    if previous is not None and done.previous_hash != previous:
        return _broken(ledgers.first, done.previous_hash, ledgers.first - 1, previous, done.first_object)
    if gap.above is not None and ledgers.last == gap.ledgers.last and done.last_hash != gap.above:
        return _broken(ledgers.last + 1, gap.above, ledgers.last, done.last_hash, done.last_object)
    return None


def broken(ledger: int, names: bytes, before: int, has: bytes, found_in: str) -> str:
    """Say that a ledger names another hash than the one before it has, and where one of the two was found."""
    where = f" (found in {found_in})" if found_in else ""
    return f"broken hash chain: ledger {ledger} follows {names.hex()}, but ledger {before} is {has.hex()}{where}"


def _broken(ledger: int, names: bytes, before: int, has: bytes, found_in: str) -> Failure:
    reason = broken(ledger, names, before, has, found_in)
    return Failure(reason=reason, transient=False, ledger=ledger, object=found_in or None)


def misfit(chunk: LedgerRange, done: ChunkDone) -> Failure | None:
    """Return what is wrong with an answer that covers other ledgers than were asked for, or None.

    Less than the chunk is right only with a failure that says why, and only from its first ledger on.
    """
    got = done.ledgers
    whole = got == chunk
    part = done.failure is not None and (got is None or (got.first == chunk.first and got.last < chunk.last))
    if part or (whole and done.failure is None):
        return None
    reason = f"worker answered with ledgers {got} when asked for {chunk}, failure: {done.failure}"
    return Failure(reason=reason, transient=True, ledger=chunk.first)
