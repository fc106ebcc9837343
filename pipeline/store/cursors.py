"""Cursors of protocols: how far each migration is. A chunk's commit moves those that it serves, all or none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

import psycopg
from psycopg import sql

from pipeline.actions import ReadyChunk
from pipeline.errors import BrokenSeam, CursorElsewhere, CursorMissing, CursorTaken, HandedOff, PartGone
from pipeline.store import queries
from pipeline.store.books import Run
from pipeline.store.swap import LIVE, Swap, SwapLost
from workers.messages import LedgerRange

_SQL = queries.load("cursors")
SINCE = 5  # store version
Kind = Literal["history", "current_state"]
Way = Kind | Literal["history_below"]  # that a cursor goes: a history has a second one while its part below is filled
JOBS: dict[Kind, str] = {"history": "migrate history", "current_state": "migrate current-state"}


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last ledger whose data is in, and who wrote it."""

    key: str
    value: int
    hash: bytes | None  # of that ledger; None where the store did not know it as the cursor was made
    job: str
    run_id: int


@dataclass(frozen=True, slots=True)
class Late:
    """Contracts that were not known in time: up to a ledger the data of their protocol has nothing of what they did."""

    protocol_id: str
    kind: Kind
    ledger: int
    contracts: int


def key(protocol_id: str, way: Way) -> str:
    """Return the key of a protocol's cursor in `ingest_store`."""
    return f"protocol_{protocol_id}_{way}_cursor"


def read(conn: psycopg.Connection, keys: Sequence[str]) -> dict[str, Cursor]:
    """Return those of some cursors that are here, by key."""
    if not keys:  # as every chunk asks where no protocol is served
        return {}
    return {row[0]: Cursor(*row) for row in conn.execute(_SQL["read"], {"keys": list(keys)})}


def taken_over(conn: psycopg.Connection, protocol_ids: Iterable[str], kind: Kind, tip: int) -> list[str]:
    """Return those of some protocols whose data up to `tip` is in by the hand of live ingestion."""
    ids = {key(each, kind): each for each in protocol_ids}
    found = read(conn, list(ids)).values()
    return [ids[cursor.key] for cursor in found if cursor.job == LIVE and cursor.value >= tip]


def take(conn: psycopg.Connection, keys: Iterable[str]) -> list[Cursor]:
    """Return those of some cursors that are here, under lock: taken in the order in which everybody does."""
    return [Cursor(*row) for row in conn.execute(_SQL["take"], {"keys": list(keys)})]


def make(conn: psycopg.Connection, new: str, value: int, known: bytes | None, run: Run) -> bool:
    """Make a cursor at `value`, whose ledger has the hash `known`, and return True; one that is here stays as it is."""
    names = {"key": new, "value": value, "hash": known, "job": run.job, "run_id": run.id}
    return conn.execute(_SQL["make"], names).rowcount == 1


def swap(conn: psycopg.Connection, wanted: str, names: Mapping[str, object], epoch: int) -> bool:
    """Return whether a cursor stood right below a chunk, by its `names`, and now stands at its end."""
    return conn.execute(_SQL["swap"], {**names, "key": wanted, "epoch": epoch}).rowcount == 1


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a protocol is."""

    classification: str
    begins: int | None  # first ledger of the migration; None: it has not begun
    cursor: Cursor | None


def standing(conn: psycopg.Connection, protocol_id: str, kind: Kind) -> Standing | None:
    """Return how far a protocol is; None: it is not set up."""
    row = conn.execute(_filled("protocol", kind), {"id": protocol_id}).fetchone()
    if row is None:
        return None
    classification, begins = row
    name = key(protocol_id, kind)
    return Standing(classification, begins, read(conn, [name]).get(name))


def spans(conn: psycopg.Connection, oldest: int) -> dict[tuple[str, str], LedgerRange]:
    """Return the ledgers whose data is in, by protocol and kind; `oldest`: the first ledger that is kept."""
    rows = conn.execute(_SQL["spans"], {"oldest": oldest}).fetchall()
    return {(each, kind): LedgerRange(first, last) for each, kind, first, last in rows if first <= last}


def late(conn: psycopg.Connection) -> list[Late]:
    """Return where contracts that the caller's transaction has made known are late: what they did was passed."""
    return [Late(*row) for row in conn.execute(_SQL["late"])]


def begin(conn: psycopg.Connection, protocol_id: str, kind: Kind, first: int, known: bytes | None, run: Run) -> None:
    """Begin a migration at `first`, or go on with one; `known`: hash of the ledger before. In one transaction."""
    with conn.transaction():
        conn.execute(_filled("begin", kind), {"id": protocol_id, "first": first})
        make(conn, key(protocol_id, kind), first - 1, known, run)


def say(conn: psycopg.Connection, protocol_ids: Iterable[str], kind: Kind, status: str) -> None:
    """Write down how far a migration of protocols is."""
    for each in protocol_ids:
        conn.execute(_filled("say", kind), {"id": each, "status": status})


def _filled(query: str, kind: Kind) -> sql.Composed:
    names = {"begins": sql.Identifier(f"{kind}_from"), "status": sql.Identifier(f"{kind}_migration_status")}
    return queries.template(_SQL[query], names)


class CursorSwap(Swap):
    """Cursors that stand right below a chunk go on to its last ledger, all in the transaction of its rows."""

    def __init__(self, chunk: ReadyChunk, run: Run, commit_id: UUID, *, keys: Mapping[str, str]) -> None:
        """Take the protocols whose cursors these are, by their keys."""
        super().__init__(chunk, run, commit_id)
        # In one order for everybody who swaps several: so no two wait for each other.
        self._protocols = dict(sorted(keys.items()))

    def carry_out(self, conn: psycopg.Connection, epoch: int) -> None:
        """Swap every cursor; `SwapLost` where one does not stand right below the chunk."""
        if not all(swap(conn, each, self.names, epoch) for each in self._protocols):
            raise SwapLost

    def since(self, conn: psycopg.Connection) -> int:  # noqa: ARG002  # another swap has to ask
        """Return the first ledger of the gap: this run has committed all from there on."""
        return self.chunk.gap.ledgers.first

    def explain(self, conn: psycopg.Connection) -> bool:
        """Return whether this very commit had landed before; False means that nothing stands in its way any more.

        Raises what else a lost swap means: `HandedOff`, `CursorTaken`, `CursorMissing`, `PartGone`, `CursorElsewhere`
        or `BrokenSeam`. Live ingestion takes each cursor over on its own: others of the chunk may still be this job's.
        """
        standing = {cursor.key: cursor for cursor in take(conn, self._protocols)}
        if self.landed(conn):  # whoever has gone on from it meanwhile
            return True
        for each, protocol_id in self._protocols.items():
            if each not in standing:
                gone = PartGone if each == key(protocol_id, "history_below") else CursorMissing
                raise gone(self.chunk.ledgers, each, protocol_id)
        handed_off = [cursor for cursor in standing.values() if self._handed_off(cursor)]
        if handed_off:
            ids = [self._protocols[cursor.key] for cursor in handed_off]
            raise HandedOff(self.chunk.ledgers, last=min(cursor.value for cursor in handed_off), protocol_ids=ids)
        return False

    def _handed_off(self, cursor: Cursor) -> bool:
        """Return whether live ingestion has written the chunk's ledgers; False where the cursor is right below them.

        Raises why it is anywhere else.
        """
        ledgers, previous_hash = self.chunk.ledgers, self.chunk.done.previous_hash
        if cursor.value == ledgers.first - 1:
            if cursor.hash is not None and cursor.hash != previous_hash:
                raise BrokenSeam(ledgers.first, named=previous_hash, found=cursor.hash)
            return False
        if cursor.job == LIVE and cursor.value >= ledgers.last:
            return True
        if cursor.run_id != self.run.id and cursor.value >= ledgers.first:
            held = LedgerRange(ledgers.first, cursor.value)
            raise CursorTaken(ledgers, held=held, job=cursor.job, run_id=cursor.run_id)
        raise CursorElsewhere(ledgers, cursor.key, cursor.value)
