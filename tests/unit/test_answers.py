"""What `plan` and `status` say."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

from pipeline.actions import Note
from pipeline.cli import plan, status
from pipeline.progress.status import RunSeen, Status, StretchHeld
from pipeline.progress.survey import Survey
from pipeline.store.advice import Advice
from pipeline.store.books import Said, StepRecord, Word
from workers.messages import LedgerRange

SURVEY = Survey(
    source="./la\x1bke",
    database="embedded",
    network_passphrase="Test",
    wanted=LedgerRange(2, 1001),
    held=(LedgerRange(2, 101),),
    gaps=(LedgerRange(102, 1001),),
    chunk_count=15,
    chunks=lambda: iter([LedgerRange(102, 161)]),
    workers=2,
    window_chunks=8,
    object_bytes=126_000_000,
    sampled_objects=64,
    disk_needed_bytes=500_000_000,
    disk_free_bytes=400_000_000,
    memory_bytes=900_000_000,
)
BEGAN = datetime(2026, 6, 19, 12, tzinfo=UTC)
STATUS = Status(
    database="embedded",
    server_version="18.6",
    store_version=1,
    network_passphrase="Te\x1bst",
    size_bytes=2_000_000,
    stretches=(StretchHeld(ledgers=LedgerRange(2, 101), last_hash=b"\xab" * 32, run_id=1),),
    runs=(
        RunSeen(
            run_id=2, job="backfill", outcome="running", wanted=LedgerRange(2, 200), started_at=BEGAN, host="h", pid=7
        ),
        RunSeen(
            run_id=1,
            job="backfill",
            outcome="failed",
            wanted=LedgerRange(2, 150),
            started_at=BEGAN,
            ended_at=BEGAN.replace(minute=2),
            cursor=101,
            chunks=4,
            ledgers=100,
            error="gave up\x1b[2J",
        ),
    ),
)


def test_plan_says_what_a_backfill_would_do_and_take() -> None:
    """Range, stretches held, missing, chunks, bytes, disk, memory and time; too little disk is said."""
    assert list(plan.lines(SURVEY)) == [
        r"ledgers 2-1001 from ./la\x1bke into embedded",
        "  network    Test",
        "  held       2-101",
        "  missing    900 ledgers: 102-1001",
        "  chunks     15, about 60 ledgers (8.4 MB) each (--chunks lists them)",
        "  workers    2, window of 8 chunks",
        "  to read    about 126.0 MB, by 64 samples",
        "  disk       about 500.0 MB needed, 400.0 MB free",
        "  memory     up to 900.0 MB needed, free space unknown",
        "  too little disk: backfill would refuse this range",
    ]


def test_plan_names_settings_that_hold_back() -> None:
    """A line each, with what it is, what is better and why; one line where there is none."""
    advice = (
        Advice("max_wal_size", "64MB", "4GB", "few checkpoints"),
        Advice("wal_buffers", "4MB", "16MB", "full", restart=True),
    )
    assert list(plan.lines(replace(SURVEY, advice=advice)))[-3:-1] == [
        "  settings   max_wal_size is 64MB, better 4GB: few checkpoints",
        "             wal_buffers is 4MB, better 16MB (after a restart): full",
    ]
    assert list(plan.lines(replace(SURVEY, advice=())))[-2] == "  settings   none of the server's holds the load back"


def test_plan_of_a_range_that_is_there_says_so() -> None:
    """Nothing missing is nothing to do."""
    held = Survey(
        source="./lake", database="db", network_passphrase="Test", wanted=LedgerRange(2, 9), held=(LedgerRange(2, 9),)
    )
    assert list(plan.lines(held))[-1] == "  missing    nothing: there is nothing to do"


def test_plan_is_json_too() -> None:
    """The same facts for programs."""
    read = json.loads(json.dumps(plan.document(SURVEY)))
    assert (read["range"], read["held"], read["missing"]) == ([2, 1001], [[2, 101]], [[102, 1001]])
    assert read["disk_bytes"] == {"needed": 500_000_000, "free": 400_000_000}


def test_status_names_stretches_and_runs() -> None:
    """What is held, who runs since when and where, how others ended and how far they came."""
    assert list(status.lines(STATUS)) == [
        "database  embedded",
        "  server   PostgreSQL 18.6",
        "  store    version 1, 2.0 MB",
        r"  network  Te\x1bst",
        "stretches 1",
        f"  2-101  100 ledgers, last hash {'ab' * 32}",
        "runs      2",
        "  2  backfill 2-200  running, 0 ledgers committed, nothing yet, began 2026-06-19 12:00:00Z, process 7 on h",
        "    has not said yet what it waits for",
        r"  1  backfill 2-150  failed, 100 ledgers committed, up to 101, began 2026-06-19 12:00:00Z, took 2 min 0 s: "
        r"gave up\x1b[2J",
    ]


def test_status_of_nothing_says_that() -> None:
    """No server, or no store in it, is a sentence of its own."""
    assert "does not run" in list(status.lines(Status(database="embedded")))[-1]
    assert "none yet" in list(status.lines(Status(database="d", server_version="18.6")))[-1]


def test_status_is_json_too() -> None:
    """The same facts for programs."""
    read = json.loads("".join(status.json_lines(STATUS)))
    assert read["stretches"] == [{"ledgers": [2, 101], "last_hash": "ab" * 32, "run_id": 1}]
    assert [run["outcome"] for run in read["runs"]] == ["running", "failed"]


SAID = Said(
    Word(
        ledgers_done=28,
        ledgers_wanted=1044,
        head="ledgers 30-33 on worker 1, attempt 2, for 14.0 s",
        waits_for="waiting for ledgers 30-33",
    ),
    BEGAN.replace(minute=1),
    2.04,
)
LATE = StepRecord(
    BEGAN, Note(step="suspect", chunk=LedgerRange(30, 33), worker=1, attempt=2, elapsed_s=10.04, why="late\x1b[2J")
)


def test_status_says_what_a_run_waits_for() -> None:
    """What the run in progress said last, how long ago, and its newest steps as the log has them."""
    running = replace(STATUS.runs[0], said=SAID, steps=(LATE,))
    found = list(status.lines(replace(STATUS, runs=(running, STATUS.runs[1]))))
    assert found[-3:-1] == [
        "    said 2.0 s ago: 28 of 1,044 ledgers; head: ledgers 30-33 on worker 1, attempt 2, for 14.0 s; "
        "waiting for ledgers 30-33",
        r"    2026-06-19 12:00:00Z suspect: ledgers 30-33 on worker 1, attempt 2, after 10.0 s: late\x1b[2J",
    ]
    read = json.loads("".join(status.json_lines(replace(STATUS, runs=(running, STATUS.runs[1])))))["runs"]
    assert read[0]["said"] == {
        "at": "2026-06-19T12:01:00+00:00",
        "age_s": 2.04,
        "ledgers_done": 28,
        "ledgers_wanted": 1044,
        "head": "ledgers 30-33 on worker 1, attempt 2, for 14.0 s",
        "waits_for": "waiting for ledgers 30-33",
    }
    assert [(step["at"], step["step"], step["chunk"], step["worker"]) for step in read[0]["steps"]] == [
        ("2026-06-19T12:00:00+00:00", "suspect", [30, 33], 1)
    ]
    assert (read[1]["said"], read[1]["steps"]) == (None, [])


def test_status_says_which_indexes_are_due() -> None:
    """A range a line, with who builds them: the run in progress where there is one, else the next."""
    due = replace(STATUS, unindexed=(LedgerRange(1, 65_535), LedgerRange(131_072, 262_143)))
    assert [line for line in status.lines(due) if "indexes" in line] == [
        "indexes are due for ledgers 1-65535: the run in progress builds them",
        "indexes are due for ledgers 131072-262143: the run in progress builds them",
    ]
    assert "the next backfill builds them" in "".join(status.lines(replace(due, runs=STATUS.runs[1:])))
    assert json.loads("".join(status.json_lines(due)))["indexes_due"] == [[1, 65_535], [131_072, 262_143]]
    above = replace(STATUS.runs[0], job="live", wanted=LedgerRange(262_143, 262_200))
    assert [line.split(": ")[1] for line in status.lines(replace(due, runs=(above,))) if "indexes" in line] == [
        "the next backfill builds them",  # below its range
        "the run in progress builds them",
    ]


def test_status_says_which_indexes_of_the_history_are_due() -> None:
    """Of a killed migration the next builds them; one in progress its own, and live ingestion what it takes over."""
    due = replace(STATUS, history_unindexed=(LedgerRange(1, 65_535),))

    def builder(*jobs: str) -> str:
        runs = tuple(replace(STATUS.runs[0], job=job) for job in jobs)
        said = [line for line in status.lines(replace(due, runs=runs)) if "indexes" in line]
        assert len(said) == 1
        return said[0].removeprefix("indexes of the history are due for ledgers 1-65535: the ")

    next_builds = "next migrate history builds them"
    assert builder("backfill", "migrate current-state") == next_builds
    assert builder("migrate history", "live") == "run in progress builds them"
    assert builder("live") == f"{next_builds}, unless live ingestion takes the history over before"
    read = json.loads("".join(status.json_lines(due)))
    assert (read["history_indexes_due"], read["indexes_due"]) == ([[1, 65_535]], [])
