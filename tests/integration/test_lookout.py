"""A lock that somebody else holds is named to who waits for it."""

from __future__ import annotations

import threading
import time

import psycopg
import pytest

from pipeline.store.blockers import of_program
from pipeline.store.connection import connect


def test_who_holds_a_lock_is_named_while_it_is_waited_for(store: str, caplog: pytest.LogCaptureFixture):
    """Within seconds it is logged, and seen from elsewhere; it is not said of who waits for nothing."""
    with psycopg.connect(store, application_name="somebody") as holder, connect(store) as conn:
        holder.execute("LOCK TABLE ledgerfill.ledgers")
        waiting = threading.Thread(target=conn.execute, args=("SELECT FROM ledgerfill.ledgers",))
        waiting.start()
        named = (
            f"process {holder.info.backend_pid} of the server, user {holder.info.user}, somebody, idle in transaction"
        )
        deadline = time.monotonic() + 10
        while f"waiting for a lock in the database: it is held by {named} since " not in caplog.text:
            assert time.monotonic() < deadline, caplog.text
            time.sleep(0.05)
        with psycopg.connect(store, autocommit=True) as other:
            assert [str(blocker).split(" since ")[0] for blocker in of_program(other)] == [named]
            holder.rollback()
            waiting.join()
            assert of_program(other) == []
