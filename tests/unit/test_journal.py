"""The log lines of a run where there is no terminal."""

from __future__ import annotations

import logging

import pytest
from snapshots import snapshot

from pipeline.actions import Note
from pipeline.progress.journal import EVERY_S, Journal
from pipeline.progress.report import RunInfo, RunReport
from workers.messages import LedgerRange


@pytest.fixture(autouse=True)
def _info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "pipeline")


def test_progress_is_logged_at_least_each_minute(caplog: pytest.LogCaptureFixture) -> None:
    """Ten minutes of snapshots make a line at least each minute, and not one for each."""
    journal = Journal()
    for quarter in range(4 * 600):
        journal.progress(snapshot(quarter / 4, quarter // 4))
    lines = [record for record in caplog.messages if record.startswith("progress: ")]
    assert EVERY_S <= 60
    assert 10 <= len(lines) <= 60


def test_nothing_is_logged_where_nothing_comes(caplog: pytest.LogCaptureFixture) -> None:
    """At the newest ledger a line comes after the next ledger, and of indexes that are built meanwhile."""
    journal = Journal(every_s=1)
    for elapsed_s, ledgers, completing in ((2, 0, 0), (4, 5, 0), (6, 5, 0), (8, 5, 1), (10, 5, 0), (12, 6, 0)):
        journal.progress(snapshot(elapsed_s, ledgers, at_tip=True, completing=completing))
    assert [line.split(" of ")[0] for line in caplog.messages] == [f"progress: {ledgers}" for ledgers in (5, 5, 6)]


def test_progress_line_says_what_a_display_would(caplog: pytest.LogCaptureFixture) -> None:
    """Ledgers, rates, time left, head and limit are in one line."""
    journal = Journal(every_s=1)
    journal.progress(snapshot(0, 0))
    journal.progress(snapshot(10, 400))
    assert caplog.messages == [
        "progress: 400 of 1,000 ledgers (40.0 %), 40 ledgers/s, 160 events/s, 400 rows/s, 40.0 MB/s, 15.0 s left; "
        "head: ledgers 100-109 on worker 3, attempt 2, for 12.5 s; the workers are the limit: they decode all the time"
    ]


def test_start_steps_and_end_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """What is about to be done, each step against a stall, and how it ended."""
    journal = Journal()
    journal.started(
        RunInfo(
            run_id=7,
            source="./lake",
            database="embedded",
            wanted=LedgerRange(2, 101),
            held=(LedgerRange(2, 11),),
            chunks=9,
            workers=2,
            window_chunks=8,
            window_bytes=512_000_000,
        )
    )
    journal.note(
        Note(step="suspect", chunk=LedgerRange(12, 21), worker=2, attempt=1, elapsed_s=10.25, why="half its deadline")
    )
    journal.finished(RunReport(outcome="failed", committed=(LedgerRange(12, 13),), elapsed_s=61))
    assert caplog.messages == [
        "run 7: ledgers 2-101 from ./lake into embedded, 10 ledgers held already, 9 chunks to go with 2 workers, "
        "window of 8 chunks (512.0 MB)",
        "suspect: ledgers 12-21 on worker 2, attempt 1, after 10.2 s: half its deadline",
        "failed: 2 ledgers committed in 1 min 1 s",
    ]
