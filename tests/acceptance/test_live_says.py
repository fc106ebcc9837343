"""What live ingestion says while it goes on: what it waits for, and what it can no longer write."""

from __future__ import annotations

import signal
from pathlib import Path

import documented
import psycopg
import pytest
from growing import GrowingLake
from lakes import FIRST
from migrated import BOTH, HISTORY, STATE
from program import Program, Running, ended_well, job
from test_live import following, wait_until_held

FORGET = "DELETE FROM ledgerfill.ingest_store WHERE key = 'protocol_SEP41_history_cursor'"


@pytest.fixture
def lake(core_lake: Path, tmp_path: Path) -> GrowingLake:
    return GrowingLake(core_lake, tmp_path / "growing", FIRST)


def logged(running: Running) -> str:
    """Interrupt, and return what it has said besides its report."""
    running.send(signal.SIGTERM)
    return running.result().stderr


@pytest.mark.parametrize("taken_out", [False, True])
def test_a_cursor_that_is_removed_meanwhile_is_missed(ledgerfill: Program, lake: GrowingLake, taken_out: bool):
    """Alone or with its protocol, by the page on operating: it is said once, and everything else goes on."""
    lake.reach(20)
    ended_well(ledgerfill, "backfill", *job(lake, FIRST))
    ended_well(ledgerfill, "setup", *BOTH)
    ended_well(ledgerfill, *STATE, *job(lake, FIRST), *BOTH, "--until-tip")
    ended_well(ledgerfill, *HISTORY, "--source", lake, *BOTH, "--until-tip")
    running = following(ledgerfill, lake)
    lake.reach(21)
    wait_until_held(ledgerfill, running, (FIRST, 21))
    with psycopg.connect(ledgerfill.database or "") as conn:
        conn.execute(documented.taking_out("SEP41") if taken_out else FORGET)
    for newest in (22, 25):
        lake.reach(newest)
        wait_until_held(ledgerfill, running, (FIRST, newest))
    told = logged(running)
    said = "the {} of SEP41 is written no more: its cursor, protocol_SEP41_{}_cursor, was removed from the store\n"
    for kind, times in (("history", 1), ("current_state", int(taken_out))):
        assert told.count(said.format(kind.replace("_", " "), kind)) == times
    with psycopg.connect(ledgerfill.database or "") as conn:
        left = dict(conn.execute("SELECT key, value FROM ledgerfill.ingest_store").fetchall())
    assert set(left.values()) == {25}
    assert len(left) == 2 if taken_out else 3
