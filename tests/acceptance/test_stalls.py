"""A chunk that holds everything up: each step against it is said, and in the end its ledger is named or committed."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
from lakes import FIRST, LAST, key, mend
from program import Program, job, wait_for
from stores import held

HANGS = 31
BOTH = ("--protocol-id", "SEP41", "--protocol-id", "SEP50")
FLAGS = ("--chunk-ledgers", 4, "--workers", 2, "--stall-floor", 1, "--stall-ceiling", 1, "--fetch-timeout", 1)
STEP = re.compile(r"WARNING (suspect|hedge|re-dispatch|split|abort): ledgers (\S+) on worker")


def hang(lake: Path) -> None:
    """Put a pipe in the place of an object: who opens it waits for a writer that never comes."""
    (lake / key(HANGS)).unlink()
    os.mkfifo(lake / key(HANGS))


def test_a_read_that_never_ends_is_isolated_and_named(
    ledgerfill: Program, core_lake: Path, shared: Path, tmp_path: Path
) -> None:
    """Suspect, hedge, re-dispatch, split, abort: all before the ledger is committed, and the same command resumes."""
    hang(core_lake)
    report = tmp_path / "report.json"
    ended = ledgerfill("backfill", *job(core_lake, FIRST, LAST), *FLAGS, "--report", report, timeout_s=120.0)
    assert ended.returncode == 1
    steps = STEP.findall(ended.stderr)
    assert [step for step, _ in steps[:4]] == ["suspect", "hedge", "hedge", "suspect"], ended.stderr
    assert ("split", "30-33") in steps
    assert ("split", "30-31") in steps
    assert steps[-1] == ("abort", f"{HANGS}")
    last = ended.stderr.split("ledgerfill: ")[-1]
    assert f"gave up on ledger {HANGS} at attempt " in last
    assert f"no result after 1 s, worker killed ({key(HANGS)}); attempt 1: no result after 1 s, worker killed" in last
    assert f"--end-ledger {LAST}" in ended.stderr + ended.stdout
    assert held(ledgerfill.database) == [(FIRST, HANGS - 1)]
    told: dict[str, Any] = json.loads(report.read_text())
    assert [step["step"] for step in told["steps"]] == [step for step, _ in steps]

    (core_lake / key(HANGS)).unlink()
    mend(core_lake, shared, HANGS)
    resumed = ledgerfill("backfill", *job(core_lake, FIRST, LAST), *FLAGS)
    assert resumed.returncode == 0, resumed.stderr
    assert held(ledgerfill.database) == [(FIRST, LAST)]


@pytest.mark.parametrize("words", [("live",), ("migrate", "current-state", *BOTH)], ids=["live", "migrate"])
def test_other_jobs_isolate_it_as_well(
    ledgerfill: Program, core_lake: Path, shared: Path, words: tuple[str, ...]
) -> None:
    """The same steps, the same ledger named, and the same command resumes behind what was done below it."""
    migrates = words[0] == "migrate"
    command = (*words, "--source", core_lake, "--start-ledger", FIRST, "--until-tip", *FLAGS)
    for before in (("backfill", *job(core_lake, FIRST, LAST)), ("setup", *BOTH)) if migrates else ():
        done = ledgerfill(*before)
        assert done.returncode == 0, done.stderr
    hang(core_lake)
    ended = ledgerfill(*command, timeout_s=120.0)
    assert ended.returncode == 1
    steps = STEP.findall(ended.stderr)
    assert {"suspect", "hedge", "split"} <= {step for step, _ in steps}
    assert steps[-1] == ("abort", f"{HANGS}")
    assert f"gave up on ledger {HANGS} at attempt " in ended.stderr.split("ledgerfill: ")[-1]
    assert far(ledgerfill, migrates) == HANGS - 1

    (core_lake / key(HANGS)).unlink()
    mend(core_lake, shared, HANGS)
    resumed = ledgerfill(*command)
    assert resumed.returncode == 0, resumed.stderr
    assert far(ledgerfill, migrates) == LAST


def far(ledgerfill: Program, migrates: bool) -> int:
    """Return the ledger that cursors, or the store's only stretch, stand at."""
    if not migrates:
        [(_, last)] = held(ledgerfill.database)
        return last
    with psycopg.connect(ledgerfill.database) as conn:
        [(value,)] = conn.execute("SELECT DISTINCT value FROM ledgerfill.ingest_store").fetchall()
        return int(value)


def test_a_hedge_saves_the_run_from_a_read_that_never_ends(ledgerfill: Program, core_lake: Path, shared: Path) -> None:
    """One reader hangs, a second one that is given the same chunk does not: nobody waits for the first one's end."""
    hang(core_lake)
    flags = ("--chunk-ledgers", 4, "--workers", 2, "--stall-floor", 8)
    running = ledgerfill.start("backfill", *job(core_lake, FIRST, LAST), *flags)
    wait_for(lambda: held_so_far(ledgerfill) == [(FIRST, 29)])
    time.sleep(1)  # its reader is there: it has been at it while the chunks before were committed
    (core_lake / key(HANGS)).unlink()
    mend(core_lake, shared, HANGS)
    ended = running.result()
    assert ended.returncode == 0, ended.stderr
    steps = STEP.findall(ended.stderr)
    assert steps[:2] == [("suspect", "30-33"), ("hedge", "30-33")]
    behind = set(steps[2:])  # at most the chunk that the late worker was given to do next
    assert len(behind) <= 1, ended.stderr
    assert {step for step, _ in behind} <= {"hedge"}
    assert held(ledgerfill.database) == [(FIRST, LAST)]


def test_a_run_that_was_stopped_blames_no_worker(ledgerfill: Program, core_lake: Path, shared: Path) -> None:
    """Stopped for longer than its deadlines and continued, a run goes on where it was: no attempt has failed by it."""
    hang(core_lake)
    running = ledgerfill.start(
        "backfill", *job(core_lake, FIRST, LAST), "--chunk-ledgers", 4, "--workers", 2, "--stall-floor", 8
    )
    wait_for(lambda: held_so_far(ledgerfill) == [(FIRST, 29)])
    time.sleep(1)
    running.send_to_all(signal.SIGSTOP)
    (core_lake / key(HANGS)).unlink()
    mend(core_lake, shared, HANGS)
    time.sleep(10)
    running.send_to_all(signal.SIGCONT)
    ended = running.result()
    assert ended.returncode == 0, ended.stderr
    assert "the run stood still for 1" in ended.stderr
    assert "re-dispatch" not in ended.stderr
    assert held(ledgerfill.database) == [(FIRST, LAST)]


def held_so_far(ledgerfill: Program) -> list[tuple[int, int]]:
    """Return what is committed while the run may not have made its tables yet."""
    try:
        return held(ledgerfill.database)
    except psycopg.Error:
        return []
