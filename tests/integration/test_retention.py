"""What falls out of the retention against a real PostgreSQL: beside who commits, and with nothing left of it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import handmade
import psycopg
from cursoring import run_of

from pipeline.plan import Gap
from pipeline.store import cursors, retention, stretches
from pipeline.store.commit import Committer
from pipeline.store.gates import Gate, LiveSwap
from pipeline.store.swap import LIVE
from workers.messages import LedgerRange
from workers.protocols.sep41 import PROTOCOL as SEP41

GATE = Gate(SEP41, "history")
STOP = """
    CREATE FUNCTION public.stop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        PERFORM pg_advisory_xact_lock(1);
        RETURN NULL;
    END $$;
    CREATE TRIGGER stop AFTER UPDATE OF last ON ledgerfill.ledger_stretches FOR EACH ROW EXECUTE FUNCTION public.stop();
"""
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


def wait_until_waiting(conn: psycopg.Connection, sessions: int) -> None:
    deadline = time.monotonic() + 30
    while conn.execute(WAITING).fetchone() != (sessions,):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_no_two_wait_for_each_other(store: str, conn: psycopg.Connection, tmp_path: Path):
    """Ledgers fall out while live ingestion is between its stretch and its cursors: one goes after the other."""
    cursors.make(conn, GATE.key, 102, handmade.hash_of(102), run_of(conn, "migrate history"))
    connect = partial(psycopg.connect, store, autocommit=True)
    committer = Committer(connect, run_of(conn, LIVE), swap=partial(LiveSwap, gates=(GATE,)))
    gap = Gap(ledgers=LedgerRange(100, 103))
    committer.commit(handmade.chunk(tmp_path, 100, 102, gap=gap))
    conn.execute(STOP)
    conn.execute("SELECT pg_advisory_lock(1)")
    with ThreadPoolExecutor(2) as both, connect() as other:
        commit = both.submit(committer.commit, handmade.chunk(tmp_path, 103, 103, gap=gap))
        wait_until_waiting(conn, 1)
        trim = both.submit(retention.trim, other, 102)
        wait_until_waiting(conn, 2)
        conn.execute("SELECT pg_advisory_unlock(1)")
        assert commit.result(30).rows["ledgers"] == 1
        trim.result(30)
    assert [each.ledgers for each in stretches.held(conn)] == [LedgerRange(102, 103)]
    assert cursors.read(conn, [GATE.key])[GATE.key].value == 103
    committer.close()
