"""The books of runs and chunks: what `status` reads, also while a run is in progress."""

from __future__ import annotations

import json
from pathlib import Path

import handmade
import psycopg

from pipeline.store import books, locks
from pipeline.store.commit import Committer
from workers.messages import TABLES, LedgerRange


def started(conn: psycopg.Connection, job: str = "backfill") -> books.Run:
    run = books.new_run(conn, job=job)
    books.start_run(conn, run, LedgerRange(100, 199), source="/lake", workers=2)
    return run


def test_run_is_counted_while_it_goes_on(store: str, conn: psycopg.Connection, tmp_path: Path):
    """A run in progress shows its cursor and how much it has committed, and its last chunk with what it cost."""
    run = started(conn)
    committer = Committer(lambda: psycopg.connect(store), run)
    chunks = [handmade.chunk(tmp_path, first, first + 4) for first in (100, 105)]
    for chunk in chunks:
        committer.commit(chunk)
    committer.close()
    with locks.hold(conn, run):
        (record,) = books.recent_runs(conn)
    assert (record.outcome, record.wanted, record.source, record.workers) == (
        "running",
        LedgerRange(100, 199),
        "/lake",
        2,
    )
    assert (record.cursor, record.chunks, record.ledgers) == (109, 2, 10)
    last = conn.execute(
        "SELECT last, worker, attempts, operations, timings -> 'decompress_s', committed_at "
        "FROM ledgerfill.backfill_chunks WHERE run_id = %s AND first = 105",
        [run.id],
    ).fetchone()
    assert last == (109, 1, 1, 10, 0.0, record.committed_at)


def test_run_has_the_range_that_it_has_reached(store: str, conn: psycopg.Connection, tmp_path: Path):
    """What a run was begun for is exceeded by one that follows what grows, chunk by chunk, and by no other."""
    run = started(conn, "live")
    committer = Committer(lambda: psycopg.connect(store), run)
    seen = []
    for first in (190, 199, 200, 205):
        committer.commit(handmade.chunk(tmp_path, first, first + 4 if first != 199 else 199))
        seen.append(books.recent_runs(conn)[0].wanted)
    committer.close()
    assert seen == [LedgerRange(100, last) for last in (199, 199, 204, 209)]


def test_end_is_written_down(conn: psycopg.Connection):
    """How a run ended, with its message and its report, stays in the books."""
    run = started(conn)
    books.end_run(conn, run, "failed", error="gave up", report=json.dumps({"chunks": 3, "ledgers": 40}))
    (record,) = books.recent_runs(conn, limit=10**20)  # more than PostgreSQL can count to
    assert (record.outcome, record.error, record.ended_at is not None) == ("failed", "gave up", True)
    assert (record.chunks, record.ledgers) == (3, 40)  # no chunk was counted for it: there is none
    assert conn.execute("SELECT report FROM ledgerfill.backfill_runs").fetchone() == ({"chunks": 3, "ledgers": 40},)


def test_run_that_died_is_told_from_one_that_runs(conn: psycopg.Connection):
    """A run without an end that does not hold a lock has died; the next run of its job writes that down."""
    dead, live, same = started(conn), started(conn, "live"), started(conn)
    with locks.hold(conn, live, lock="live"), locks.hold(conn, same, lock="same"):
        assert [record.outcome for record in books.recent_runs(conn)] == ["running", "running", "died"]
        run = started(conn)
        outcomes = dict(conn.execute("SELECT id, outcome FROM ledgerfill.backfill_runs").fetchall())
    assert outcomes == {dead.id: "died", live.id: None, same.id: None, run.id: None}


def test_run_that_died_ended_with_its_last_chunk(store: str, conn: psycopg.Connection, tmp_path: Path):
    """Nobody saw the end of a run that was killed: it counts as ended when it last committed, with what it had."""
    dead = started(conn)
    committer = Committer(lambda: psycopg.connect(store), dead)
    for first in (100, 105):
        committer.commit(handmade.chunk(tmp_path, first, first + 4))
    committer.close()
    started(conn)
    _, record = books.recent_runs(conn)
    assert (record.outcome, record.cursor, record.chunks, record.ledgers) == ("died", 109, 2, 10)
    assert record.ended_at == record.committed_at


def test_newest_runs_come_first(conn: psycopg.Connection):
    """Of many runs the newest are listed, as many as asked for."""
    runs = [started(conn) for _ in range(4)]
    assert [record.id for record in books.recent_runs(conn, limit=2)] == [runs[3].id, runs[2].id]


def test_a_run_in_progress_is_shown_however_many_came_after(conn: psycopg.Connection):
    """Live ingestion runs for months, beside migrations that come and go."""
    live, *after = (started(conn, job) for job in ("live", "backfill", "backfill", "backfill"))
    for run in after:
        books.end_run(conn, run, outcome="success")
    with locks.hold(conn, live, lock=locks.LIVE_INGESTION):
        assert [record.id for record in books.recent_runs(conn, limit=2)] == [after[2].id, after[1].id, live.id]
    assert [record.id for record in books.recent_runs(conn, limit=2)] == [after[2].id, after[1].id]


def test_tables_are_measured(store: str, conn: psycopg.Connection, tmp_path: Path):
    """The size of each big table counts its partitions and indexes; one without any takes nothing."""
    assert books.table_bytes(conn) == dict.fromkeys((*TABLES, "state_changes"), 0)
    committer = Committer(lambda: psycopg.connect(store), started(conn))
    committer.commit(handmade.chunk(tmp_path, 100, 104))
    committer.close()
    measured = books.table_bytes(conn)
    assert all(measured[table] >= 16_384 for table in TABLES)
    conn.execute("VACUUM (ANALYZE)")
    assert books.table_bytes(conn) == {table: exact(conn, table) for table in TABLES} | {"state_changes": 0}


def exact(conn: psycopg.Connection, table: str) -> int:
    """Measure the rows and indexes of a table's only partition, what is too long for a row included."""
    row = conn.execute(
        "SELECT sum(pg_relation_size(f.oid))::int8 FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhrelid "
        "JOIN pg_class f ON f.oid IN (p.oid, p.reltoastrelid) "
        "OR f.oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = p.oid) "
        "WHERE i.inhparent = to_regclass('ledgerfill.' || %s)",
        [table],
    ).fetchone()
    assert row is not None
    return int(row[0])
