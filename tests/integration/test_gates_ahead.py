"""The gates of live ingestion: which are served, and history that is copied ahead where one is sure to be open."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import psycopg
from cursoring import changed, run_of

from pipeline.classification import Classifier
from pipeline.store import contracts, cursors
from pipeline.store.commit import Committer
from pipeline.store.gates import FAR, NEAR, Gate, LiveSwap, served
from pipeline.store.swap import LIVE
from workers.protocols.sep41 import PROTOCOL as SEP41

GATE = Gate(SEP41, "history")
TAKE_BACK = "UPDATE ledgerfill.ingest_store SET value = 103, job = 'migrate history', run_id = 1"


def seen(conn: psycopg.Connection) -> list[int]:
    query = "SELECT (operation_id >> 32)::int4 FROM ledgerfill.state_changes ORDER BY 1"
    return [ledger for (ledger,) in conn.execute(query)]


def test_the_history_is_copied_ahead_once_the_gate_was_passed(store: str, conn, tmp_path: Path):
    """The ledgers that pass it first are copied after the swap; a gate that is taken back all the same stays shut."""
    cursors.make(conn, GATE.key, 99, None, run_of(conn, "migrate history"))
    connect = partial(psycopg.connect, store, autocommit=True)
    committer = Committer(connect, run_of(conn, LIVE), swap=partial(LiveSwap, gates=(GATE,)))
    ahead: list[list[int]] = []

    def turn(then: str = "SELECT 1") -> None:
        ahead.append(seen(committer._conn))
        conn.execute(then)

    assert committer.commit(changed(tmp_path, 100, 101), turn).rows == {"state_changes": 2}
    assert committer.commit(changed(tmp_path, 102, 102), turn).rows == {"state_changes": 1}
    assert ahead == [[], [100, 101, 102]]
    rows = committer.commit(changed(tmp_path, 103, 103), partial(turn, TAKE_BACK)).rows
    assert rows.get("state_changes", 0) == 0
    assert ahead[2] == [100, 101, 102, 103]
    assert seen(conn) == [100, 101, 102]
    assert conn.execute("SELECT last FROM ledgerfill.ledger_stretches").fetchone() == (103,)
    committer.close()


def test_a_cursor_that_is_far_behind_costs_nothing(conn: psycopg.Connection):
    """Workers make nothing for it before it comes close; then for longer, so that it is not given up at once again."""
    known = Classifier({"SEP41": SEP41})
    contracts.add(conn, ["SEP41"], known)
    assert served(conn, known.protocols, 100) == ()  # no migration has begun
    cursors.make(conn, GATE.key, 99, None, run_of(conn, "migrate history"))
    assert served(conn, known.protocols, 99 + NEAR) == (GATE,)
    assert served(conn, known.protocols, 100 + NEAR) == ()
    assert served(conn, known.protocols, 99 + FAR, [GATE]) == (GATE,)
    assert served(conn, known.protocols, 100 + FAR, [GATE]) == ()
    assert served(conn, {}, 100) == ()
