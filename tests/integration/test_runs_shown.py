"""What `runs` and `runs show` say of runs: the books, and nothing but the books."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import handmade
import psycopg
import pytest

from pipeline import runs as job
from pipeline.actions import Note
from pipeline.cli import runs as command
from pipeline.config import RunsSettings
from pipeline.errors import Refused
from pipeline.store import books, locks
from pipeline.store.commit import Committer
from pipeline.store.gates import SHORT, LiveSwap
from pipeline.store.swap import LIVE, StretchSwap
from workers.messages import LedgerRange, Timings

CHUNKS = (
    (100, 104, 1, 1, Timings(wait_s=0.5, walk_s=0.25, elapsed_s=1.0, cpu_s=0.5)),
    (105, 109, 2, 3, Timings(wait_s=2.0, walk_s=0.25, elapsed_s=3.0, cpu_s=0.75)),
    (120, 120, 1, 1, Timings(wait_s=0.25, walk_s=0.5, elapsed_s=2.0, cpu_s=0.25)),
)

LOST = {100: 0, 105: 2, 120: 1}  # attempts by chunk, the last one's a hedge that was slower


@pytest.fixture
def settings(store: str) -> RunsSettings:
    return RunsSettings(database=store)


def started(conn: psycopg.Connection, job: str = "backfill") -> books.Run:
    run = books.new_run(conn, job=job)
    books.start_run(conn, run, LedgerRange(100, 199), source="/lake", workers=2)
    return run


@pytest.fixture
def run(store: str, conn: psycopg.Connection, tmp_path: Path) -> books.Run:
    """A run with three chunks, of which the second took two more attempts, and the third was hedged in vain."""
    run = started(conn)
    committer = Committer(lambda: psycopg.connect(store), run)
    for first, last, worker, attempts, timings in CHUNKS:
        chunk = handmade.chunk(tmp_path, first, last)
        done = replace(chunk.done, timings=timings)
        lost = LOST[first]
        committer.commit(
            replace(chunk, worker=worker, attempts=attempts, done=done, lost_attempts=lost, lost_s=20.0 * lost)
        )
    committer.close()
    return run


def test_ledgers_that_were_gone_over_twice_are_shown_once(
    settings: RunsSettings, conn: psycopg.Connection, run: books.Run
):
    """As where one run fills the part below a protocol's history, and then the history of another from there on."""
    conn.execute("UPDATE ledgerfill.backfill_chunks SET last = 107 WHERE first = 100")
    assert job.one(settings, run.id).committed == (LedgerRange(100, 109), LedgerRange(120, 120))


def test_run_in_progress_is_summed_up(settings: RunsSettings, conn: psycopg.Connection, run: books.Run):
    """A run that holds the lock is running, and what its chunks cost so far is added up."""
    with locks.hold(conn, run):
        found = job.one(settings, run.id)
    record = found.record
    assert (record.outcome, record.wanted, record.source) == ("running", LedgerRange(100, 199), "/lake")
    assert (record.process_id, record.host, record.ended_at) == (run.process_id, run.host, None)
    assert (record.chunks, record.ledgers, record.cursor) == (3, 11, 120)
    assert found.committed == (LedgerRange(100, 109), LedgerRange(120, 120))
    assert found.rows == {"ledgers": 11, "transactions": 11, "operations": 22, "events": 33}
    assert found.more_attempts == 2
    assert found.elapsed_s > 0
    assert (found.object_bytes > 0, found.plain_bytes > found.object_bytes) == (True, True)
    assert (found.lost_attempts, found.lost_s) == (3, 60.0)
    copy_s = found.stages_s["copy"]
    assert copy_s > 0
    assert found.stages_s == {
        "copy": copy_s,
        "wait": 2.75,
        "decompress": 0.0,
        "walk": 1.0,
        "prove": 0.0,
        "encode": 0.0,
        "write": 0.0,
        "elapsed": 6.0,
        "cpu": 1.5,
    }
    assert [(chunk.ledgers.first, chunk.worker, chunk.attempts, chunk.lost_s) for chunk in found.slowest] == [
        (105, 2, 3, 40.0),
        (120, 1, 1, 20.0),
        (100, 1, 1, 0.0),
    ]
    assert found.slowest[0].stages_s["wait"] == 2.0


def test_run_that_died_ended_with_its_last_chunk(settings: RunsSettings, run: books.Run):
    """Nobody holds the lock, and no end is written: the time of a run that died is that until its last chunk."""
    found = job.one(settings, run.id)
    assert (found.record.outcome, found.record.ended_at) == ("died", None)
    assert found.record.committed_at is not None
    assert found.elapsed_s == (found.record.committed_at - found.record.started_at).total_seconds()
    assert any("(its last chunk: nobody saw its end)" in line for line in command.history_lines(found))


def test_run_that_ended_has_its_own_end(settings: RunsSettings, conn: psycopg.Connection, run: books.Run):
    """The time of a run that ended is that to its end, and the seconds of commits come from its report."""
    report = json.dumps({"chunks": 3, "ledgers": 11, "stages_s": {"commit": 1.25}})
    books.end_run(conn, run, "failed", error="gave up on ledgers 110-119", report=report)
    conn.execute("UPDATE ledgerfill.backfill_runs SET started_at = now() - interval '10 s', ended_at = now()")
    found = job.one(settings, run.id)
    assert (found.record.outcome, found.record.error, found.elapsed_s) == ("failed", "gave up on ledgers 110-119", 10.0)
    assert found.stages_s["commit"] == 1.25
    assert found.rate(found.record.ledgers) == 1.1
    lines = list(command.history_lines(found))
    assert lines[0] == f"run {run.id}  failed"
    for words in (
        "backfill of ledgers 100-199 from /lake",
        f"process {run.process_id} on {run.host}, ledgerfill ",
        "10.0 s",
        "gave up on ledgers 110-119",
        "11 ledgers in 3 chunks: 100-109, 120",
        "77: 11 ledgers, 11 transactions, 22 operations, 33 events",
        "2 beyond the first of each chunk, 1 min 0 s in 3 that came to nothing",
        "1.1 ledgers/s",
        "commit 1.2 s (elapsed 6.0 s, cpu 1.5 s)",
        "slowest    105-109 on worker 2, 3 attempts, 40.0 s in 2 that came to nothing: wait 2.0 s",
        "100-104 on worker 1: wait 0.5 s",
        "120 on worker 1, 20.0 s in 1 that came to nothing: wait 0.2 s",
    ):
        assert any(words in line for line in lines), words


def test_short_chunks_of_live_ingestion_share_a_row(
    store: str, settings: RunsSettings, conn: psycopg.Connection, tmp_path: Path
):
    """One after another they are one row, however many they are, and nothing of what they cost together is lost."""
    run = started(conn, LIVE)
    committer = Committer(lambda: psycopg.connect(store), run, swap=partial(LiveSwap, gates=()))
    ranges = [(100, 100 + SHORT), (101 + SHORT, 101 + SHORT), *((first, first) for first in range(166, 197))]
    for number, (first, last) in enumerate(ranges, 1):
        chunk = handmade.chunk(tmp_path, first, last)
        done = replace(chunk.done, timings=Timings(wait_s=0.25, elapsed_s=1.0 if last == first else 1.5))
        again = number == 5  # the fourth ledger that came alone
        lost = {"attempts": 3, "lost_attempts": 2, "lost_s": 7.5} if again else {}
        committer.commit(replace(chunk, worker=number % 2, done=done, **lost))
    committer.close()
    rows = conn.execute("SELECT first, last FROM ledgerfill.backfill_chunks ORDER BY first").fetchall()
    assert rows == [(100, 164), (165, 196)]
    with locks.hold(conn, run, lock=locks.LIVE_INGESTION):
        found = job.one(settings, run.id)
        (listed,) = job.recent(settings)
    assert found.record == listed
    assert (listed.chunks, listed.ledgers, listed.cursor) == (33, 97, 196)
    assert found.committed == (LedgerRange(100, 196),)
    assert found.rows == {"ledgers": 97, "transactions": 97, "operations": 194, "events": 291}
    assert (found.more_attempts, found.lost_attempts, found.lost_s) == (2, 2, 7.5)
    assert (found.stages_s["wait"], found.stages_s["elapsed"]) == (33 * 0.25, 1.5 + 32)
    long, short = found.slowest
    assert (long.ledgers, long.chunks) == (LedgerRange(100, 164), 1)
    assert (short.ledgers, short.chunks, short.worker, short.attempts) == (LedgerRange(165, 196), 32, 1, 34)
    (line,) = (line for line in command.history_lines(found) if "165-196" in line)
    assert "165-196 in 32 chunks, the last on worker 1, 34 attempts, 7.5 s in 2 that came to nothing: wait" in line
    assert [each["chunks"] for each in command.history_document(found)["slowest"]] == [1, 32]


def test_chunks_that_do_not_touch_have_rows_of_their_own(store: str, conn: psycopg.Connection, tmp_path: Path):
    """A row is a range without a gap, of one run; a backfill's chunks have one each."""
    for job_, first in (("live", 100), ("live", 101), ("backfill", 103), ("backfill", 104)):
        swap = partial(LiveSwap, gates=()) if job_ == "live" else StretchSwap
        committer = Committer(lambda: psycopg.connect(store), started(conn, job_), swap=swap)
        committer.commit(handmade.chunk(tmp_path, first, first))
        committer.commit(handmade.chunk(tmp_path, first + 10, first + 10))
        committer.close()
    rows = conn.execute("SELECT first, last FROM ledgerfill.backfill_chunks ORDER BY run_id, first").fetchall()
    assert rows == [(at, at) for first in (100, 101, 103, 104) for at in (first, first + 10)]


def test_chunk_of_an_older_program_is_shown(settings: RunsSettings, conn: psycopg.Connection, run: books.Run):
    """It says neither how long its copy took nor what its attempts have cost: as many are lost as were made again."""
    conn.execute("UPDATE ledgerfill.backfill_chunks SET timings = timings - '{copy_s,lost_s,lost_attempts}'::text[]")
    found = job.one(settings, run.id)
    assert (found.lost_attempts, found.lost_s, found.slowest[0].lost_attempts) == (2, 0.0, 2)
    assert "copy" not in found.stages_s


def test_programs_read_the_same(settings: RunsSettings, conn: psycopg.Connection, run: books.Run):
    """The JSON of a run has each of its sums under the names of the report."""
    books.end_run(conn, run, "success")
    document = command.history_document(job.one(settings, run.id))
    assert json.loads(json.dumps(document)) == document
    assert (document["run_id"], document["outcome"], document["range"]) == (run.id, "success", [100, 199])
    assert document["committed"] == [[100, 109], [120, 120]]
    assert (document["chunks"], document["attempts"]) == (3, 5)
    assert document["lost"] == {"attempts": 3, "seconds": 60.0}
    assert document["slowest"][0]["lost"] == {"attempts": 2, "seconds": 40.0}
    assert document["slowest"][0]["chunk"] == [105, 109]
    assert document["stages_s"]["wait"] == 2.75


def test_newest_runs_are_listed(settings: RunsSettings, conn: psycopg.Connection, run: books.Run):
    """As many as asked for, the newest first, each in a line and in JSON."""
    newer = started(conn)
    assert [record.id for record in job.recent(settings)] == [newer.id, run.id]
    (record,) = job.recent(settings.model_copy(update={"limit": 1}))
    assert record.id == newer.id
    head, first, second = command.lines(job.recent(settings))
    assert head == "runs      2"
    assert first.startswith(f"  {newer.id}  backfill 100-199  died, 0 ledgers committed in 0 chunks, began ")
    assert second.startswith(f"  {run.id}  backfill 100-199  died, 11 ledgers committed in 3 chunks, began ")
    assert command.record_document(record)["run_id"] == newer.id


def test_run_without_a_chunk_is_shown(settings: RunsSettings, conn: psycopg.Connection):
    """A run that died before its first chunk has no sums, and is no fault."""
    found = job.one(settings, started(conn).id)
    assert (found.record.chunks, found.committed, found.slowest, found.elapsed_s) == (0, (), (), 0.0)
    assert list(command.history_lines(found))[-1] == "  committed  nothing"


def test_steps_against_stalls_are_listed(settings: RunsSettings, conn: psycopg.Connection):
    """What was done about stalls stands there in order, also in a run that never committed a chunk."""
    run = started(conn)
    for number, step in enumerate(("suspect", "abort"), 1):
        note = Note(step=step, chunk=LedgerRange(100, 104), worker=number, attempt=1, elapsed_s=20.5, why="it is late")
        books.add_steps(conn, run, [books.NewStep(number, 0.0, note)])
    found = job.one(settings, run.id)
    committed, *lines = list(command.history_lines(found))[-3:]
    assert committed == "  committed  nothing"
    assert lines[0].startswith("  steps      ")
    assert [line[34:] for line in lines] == [
        f"{step}: ledgers 100-104 on worker {number}, attempt 1, after 20.5 s: it is late"
        for number, step in enumerate(("suspect", "abort"), 1)
    ]
    document = command.history_document(found)
    assert [(step["step"], step["chunk"]) for step in document["steps"]] == [
        ("suspect", [100, 104]),
        ("abort", [100, 104]),
    ]


def test_times_are_those_of_utc(store: str, conn: psycopg.Connection):
    """Whatever the time zone of the server's sessions is, what is shown as UTC is UTC."""
    started(conn)
    conn.execute("UPDATE ledgerfill.backfill_runs SET started_at = '2026-03-01 12:00:00+00'")
    elsewhere = RunsSettings(database=f"{store}?options=-c%20TimeZone%3DAsia/Tokyo")
    assert "began 2026-03-01 12:00:00Z" in list(command.lines(job.recent(elsewhere)))[1]


@pytest.mark.parametrize("number", [0, 99, 2**70])
def test_unknown_run_is_refused(settings: RunsSettings, number: int):
    """A number that no run has is named."""
    with pytest.raises(Refused, match=f"there is no run {number} in postgresql://.*: ledgerfill runs lists them"):
        job.one(settings, number)
