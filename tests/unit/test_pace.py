"""How fast a run is, how long it will take, and what limits it."""

from __future__ import annotations

import pytest
from snapshots import snapshot

from pipeline.chunk import ChunkState
from pipeline.progress.pace import SPAN_S, Pace, head, limit, rows
from pipeline.progress.snapshot import HeadWait, Snapshot, Waits
from workers.messages import LedgerRange


def paced(*moments: Snapshot) -> Pace:
    pace = Pace()
    for moment in moments:
        pace.add(moment)
    return pace


def test_rate_is_that_of_the_last_half_minute() -> None:
    """What was slow long ago does not make the rate of now slow."""
    pace = Pace()
    for second in range(100):
        pace.add(snapshot(float(second), 0 if second < 60 else (second - 60) * 10))
    assert pace.span_s == pytest.approx(SPAN_S, abs=1.0)
    assert pace.rate(lambda each: each.ledgers_done) == pytest.approx(10)
    assert pace.rate(rows) == pytest.approx(100)


def test_time_left_follows_from_the_rate() -> None:
    """600 ledgers at 40 a second take 15 seconds; before the first one, nobody knows."""
    assert paced(snapshot(0, 0), snapshot(10, 400)).seconds_left() == pytest.approx(15)
    assert paced(snapshot(0, 0), snapshot(10, 0)).seconds_left() is None
    assert Pace().seconds_left() is None


@pytest.mark.parametrize(
    ("waits", "sentence"),
    [
        (
            Waits(commit_s=9, head_s=8, work_s=20),
            "waiting for ledgers 100-109 on worker 3, attempt 2, for 12.5 s: 2 chunks",
        ),
        (Waits(commit_s=0.5, work_s=20), "the database is the limit"),
        (Waits(commit_s=5, read_s=16, work_s=20), "the source is the limit: workers wait for its bytes 80%"),
        (Waits(commit_s=5, window_s=8, work_s=20), "the window is the limit"),
        (Waits(commit_s=5, read_s=1, work_s=20), "the workers are the limit"),
    ],
)
def test_sentence_names_what_the_run_waits_for(waits: Waits, sentence: str) -> None:
    """Each way to be slow has a sentence of its own."""
    pace = paced(snapshot(0, 0, waits=Waits()), snapshot(10, 400, waits=waits))
    assert pace.sentence().startswith(sentence)


def test_sentence_before_the_first_chunk() -> None:
    """A run that has not begun to commit says what it is doing."""
    assert Pace().sentence() == "starting"
    assert paced(snapshot(0, 0, workers_busy=0, workers_starting=2)).sentence() == "starting 2 workers"
    assert paced(snapshot(0, 0)).sentence() == "waiting for the first chunk"
    committing = ((LedgerRange(100, 109), ChunkState.COMMITTING),)
    assert paced(snapshot(0, 0, window=committing)).sentence() == "waiting for the first chunk to be committed"


def test_head_is_named_wherever_it_is() -> None:
    """With a worker, without one, on its way to the database, and when there is none."""
    assert head(snapshot(1, 1)) == "ledgers 100-109 on worker 3, attempt 2, for 12.5 s"
    assert head(snapshot(1, 1, head_worker=None)) == "ledgers 100-109, in no worker's hands yet"
    committing = ((LedgerRange(100, 109), ChunkState.COMMITTING),)
    assert head(snapshot(1, 1, head_worker=None, window=committing)) == "ledgers 100-109, being committed"
    assert head(snapshot(1, 1, head=None)) == "no ledger"


def test_a_run_that_only_builds_indexes_says_so() -> None:
    """When every chunk is committed, what is waited for are indexes, and no head or worker."""
    last = snapshot(10, 1000, window=((LedgerRange(1, 9), ChunkState.COMMITTED),), head=None, completing=2)
    assert paced(snapshot(0, 0), last).sentence() == "every ledger is committed: building the indexes of 2 segments"


@pytest.mark.parametrize(
    ("waits", "sentence"),
    [
        (Waits(complete_s=60), "building indexes was the limit: 1 min 0 s behind the last commit"),
        (
            Waits(commit_s=90, head_s=60),
            "late chunks were the limit: results waited for one 60% of the time, "
            "the longest for ledgers 100-109 on worker 3, 40.0 s",
        ),
        (Waits(commit_s=10, head_s=8), "the database was the limit: something was being committed 90% of the time"),
        (Waits(commit_s=20, complete_s=40), "the database was the limit: something was being committed 67%"),
        (Waits(commit_s=80, read_s=160, work_s=200), "the source was the limit: workers waited for its bytes 80%"),
        (Waits(commit_s=45, window_s=60), "the window was the limit: workers had no task while it was full"),
        (Waits(commit_s=80, work_s=200), "the workers were the limit: nothing was there to commit 80% of the time"),
    ],
)
def test_limit_of_a_whole_run(waits: Waits, sentence: str) -> None:
    """At the end one sentence says what the run has waited for most, over all of its time."""
    worst = HeadWait(LedgerRange(100, 109), 3, 40.0)
    assert limit(snapshot(100, 1000, waits=waits, worst_head=worst)).startswith(sentence)
