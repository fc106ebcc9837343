"""What live ingestion says while it goes on: what it waits for, and what it can no longer write."""

from __future__ import annotations

import re
import signal
import time
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


@pytest.mark.slow
def test_a_wait_is_said_and_a_lake_that_is_away_is_waited_for(ledgerfill: Program, lake: GrowingLake):
    """After a minute it is said that nothing is new; why nothing can come is said once, and then it goes on."""
    lake.reach(12)
    running = following(ledgerfill, lake, "--start-ledger", FIRST)
    wait_until_held(ledgerfill, running, (FIRST, 12))
    time.sleep(63)
    away = lake.folder.rename(lake.folder.with_name("away"))
    time.sleep(18)  # longer than between two listings
    away.rename(lake.folder)
    lake.reach(13)
    wait_until_held(ledgerfill, running, (FIRST, 13))
    told = logged(running)
    waits = rf" INFO waiting for ledger 13: nothing new in {re.escape(str(lake))} for 6\d s\n"
    assert len(re.findall(waits, told)) == told.count("nothing new") == 1
    gone = f" WARNING cannot look for the next ledger: there is no ledger any more in {lake}\n"
    assert told.count(gone) == told.count(" WARNING ") == 1
