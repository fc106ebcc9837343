"""What tests of cursors share: a migration's committer, its chunks, and what became of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import handmade
import psycopg

from pipeline.actions import ReadyChunk
from pipeline.plan import Gap
from pipeline.store import books, cursors
from pipeline.store.books import Run
from pipeline.store.commit import Committer
from pipeline.store.cursors import CursorSwap
from workers.messages import TABLES, LedgerRange, Section

BOTH = ("SEP41", "SEP50")
KEYS = [cursors.key(each, "current_state") for each in BOTH]
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


def run_of(conn: psycopg.Connection, job: str = "migrate current-state") -> Run:
    run = books.new_run(conn, job=job)
    books.start_run(conn, run, LedgerRange(1, 1_000_000), source="handmade", workers=1)
    return run


def made(conn: psycopg.Connection, value: int, run: Run, known: bytes | None = None) -> None:
    """Make both cursors at `value`."""
    for each in KEYS:
        cursors.make(conn, each, value, known, run)


class WrittenDown(CursorSwap):
    """Has a row of what each chunk is for, in its transaction, where the test has made a table for that."""

    def carry_out(self, conn: psycopg.Connection, epoch: int) -> None:
        """Swap, and write the row."""
        super().carry_out(conn, epoch)
        for key in self._protocols:
            conn.execute("INSERT INTO public.written VALUES (%s, %s, %s, false)", (key, *self.ends))

    @property
    def ends(self) -> tuple[int, int]:
        """First and last ledger."""
        return self.chunk.ledgers.first, self.chunk.ledgers.last


def committer(
    connect: Callable[[], psycopg.Connection],
    run: Run,
    ids: Sequence[str] = BOTH,
    swap: type[CursorSwap] = CursorSwap,
    **settings: float,
) -> Committer:
    keys = {cursors.key(each, "current_state"): each for each in ids}
    return Committer(connect, run, swap=partial(swap, keys=keys), **settings)


def chunk(folder: Path, first: int, last: int, branch: str = "") -> ReadyChunk:
    """Return a chunk without rows."""
    gap = Gap(ledgers=LedgerRange(first, last))
    bare = handmade.chunk(folder, first, last, gap=gap, branch=branch, rows={table: [] for table in TABLES})
    return replace(bare, done=replace(bare.done, sections=()))


def changed(folder: Path, first: int, last: int, *, asked: bytes = b"\1" * 32) -> ReadyChunk:
    """Return a chunk with a certain change a ledger, and one of the contract `asked`, which is a stranger."""
    bare, sections, content = chunk(folder, first, last), [], b""
    for side, table, contract in ((0, "sep41_certain_changes", bytes(32)), (1, "sep41_state_changes", asked)):
        rows = [
            [b"SEP41", handmade.int8(handmade.toid(ledger, 1, 1)), handmade.int4(side), contract, handmade.ACCOUNT,
             handmade.int2(1), handmade.int2(2), handmade.numeric(7), None, None, None, None]
            for ledger in range(first, last + 1)
        ]  # fmt: skip
        stream = handmade.stream(rows)
        sections.append(Section(table=table, rows=len(rows), offset=len(content), length=len(stream)))
        content += stream
    Path(bare.path).write_bytes(content)
    return replace(bare, done=replace(bare.done, sections=tuple(sections)))


def standing(conn: psycopg.Connection) -> list[tuple[int, str]]:
    """Return where the cursors stand, and whose they are."""
    return [(cursor.value, cursor.job) for cursor in cursors.read(conn, KEYS).values()]


def committed(conn: psycopg.Connection) -> list[tuple[int, int]]:
    """Return the chunks that are in the books, from below."""
    return [tuple(row) for row in conn.execute("SELECT first, last FROM ledgerfill.backfill_chunks ORDER BY first")]


def take_over(conn: psycopg.Connection, run: Run, ledger: int, keys: Sequence[str] = KEYS) -> list[str]:
    """Do what live ingestion does in the transaction of a ledger, and return the cursors that stood right below it."""
    query = """
        UPDATE ledgerfill.ingest_store SET value = %s, hash = %s, job = 'live', run_id = %s, epoch = 1,
            commit_id = gen_random_uuid() WHERE key = %s AND value = %s"""
    names = (ledger, handmade.hash_of(ledger), run.id)
    return [each for each in keys if conn.execute(query, (*names, each, ledger - 1)).rowcount]


def wait_until_waiting(conn: psycopg.Connection, sessions: int) -> None:
    """Wait until so many sessions wait for a lock."""
    deadline = time.monotonic() + 30
    while conn.execute(WAITING).fetchone() != (sessions,):
        assert time.monotonic() < deadline
        time.sleep(0.01)
