"""What falls out of the retention against a real PostgreSQL: beside who commits, and with nothing left of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import handmade
import psycopg
from cursoring import run_of, wait_until_waiting

from pipeline.plan import Gap
from pipeline.store import below, cursors, retention, stretches
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


def test_a_jump_of_several_stops_nobody_who_takes_them_in_order(store: str, conn: psycopg.Connection):
    """Who holds the lower of two cursors, and then takes the other, never waits for a jump that waits for him."""
    run = run_of(conn, "migrate history")
    ids = ("SEP50", "SEP41")
    keys = [cursors.key(each, "history") for each in ids]
    conn.execute("INSERT INTO ledgerfill.protocols (id, claims_assets) VALUES ('SEP41', true), ('SEP50', false)")
    for each in ids:
        cursors.begin(conn, each, "history", 100, None, run)
    below.keep(conn, 121)

    def catch_up(conn: psycopg.Connection) -> None:
        for each in ids:
            below.catch_up(conn, each, run)

    lock = "SELECT FROM ledgerfill.ingest_store WHERE key = %s FOR UPDATE"
    with ThreadPoolExecutor(1) as beside, psycopg.connect(store, autocommit=True) as other:
        with conn.transaction(), psycopg.connect(store, autocommit=True) as looks:
            conn.execute(lock, [keys[1]])
            jump = beside.submit(catch_up, other)
            wait_until_waiting(looks, 1)
            conn.execute(lock, [keys[0]])
        jump.result(30)
    assert [each.value for each in cursors.read(conn, keys).values()] == [120, 120]


def test_a_history_begins_with_what_is_kept_of_it(store: str, conn: psycopg.Connection, tmp_path: Path):
    """Ledgers that are filled in below later have no history, and nothing shall say that they do."""
    run = run_of(conn, "migrate history")
    conn.execute("INSERT INTO ledgerfill.protocols (id, claims_assets) VALUES ('SEP41', true), ('SEP50', false)")
    cursors.begin(conn, "SEP41", "history", 100, handmade.hash_of(99), run)
    cursors.begin(conn, "SEP50", "history", 100, handmade.hash_of(99), run)
    conn.execute("UPDATE ledgerfill.ingest_store SET value = 103 WHERE key = %s", [GATE.key])
    connect = partial(psycopg.connect, store, autocommit=True)
    with closing(Committer(connect, run_of(conn, LIVE), swap=partial(LiveSwap, gates=()))) as committer:
        committer.commit(handmade.chunk(tmp_path, 100, 103, gap=Gap(ledgers=LedgerRange(100, 103))))
    retention.trim(conn, 102)
    begins = "SELECT id, history_from FROM ledgerfill.protocols ORDER BY id"
    assert conn.execute(begins).fetchall() == [("SEP41", 102), ("SEP50", 102)]
    keys = [cursors.key(each, "history") for each in ("SEP41", "SEP50")]
    for each in ("SEP41", "SEP50"):
        below.catch_up(conn, each, run)
    assert [each.value for each in cursors.read(conn, keys).values()] == [103, 101]
    assert cursors.read(conn, keys)[keys[1]].hash == handmade.hash_of(101)
