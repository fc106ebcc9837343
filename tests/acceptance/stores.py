"""What a store holds, asked by SQL of the tests' own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psycopg
from lakes import FIRST, LAST
from program import Program, Running, job, wait_for

KEYS = {
    "ledgers": "sequence",
    "transactions": "id",
    "operations": "id",
    "events": "operation_id, event_index",
}


def held(database: str) -> list[tuple[int, int]]:
    """Return the stretches of a store; each table holds rows of exactly these ledgers."""
    with psycopg.connect(database) as conn:
        conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ  # one moment, also while a run goes on
        if conn.execute("SELECT to_regclass('ledgerfill.ledger_stretches')").fetchone() == (None,):
            return []
        found = conn.execute("SELECT first, last FROM ledgerfill.ledger_stretches ORDER BY first").fetchall()
        rows = [row[0] for row in conn.execute("SELECT sequence FROM ledgerfill.ledgers ORDER BY 1")]
        assert rows == [ledger for first, last in found for ledger in range(first, last + 1)]
        for table, key in list(KEYS.items())[1:]:
            strays = conn.execute(
                f"SELECT count(*) FROM ledgerfill.{table} WHERE NOT EXISTS (SELECT FROM ledgerfill.ledger_stretches "
                f"WHERE {key.split(',')[0]} >> 32 BETWEEN first AND last)"
            ).fetchone()
            assert strays == (0,), f"{table} has rows of ledgers that the store does not hold"
        return found


def digests(database: str, keys: Mapping[str, str] = KEYS) -> dict[str, tuple[int, str]]:
    """Return the count and the digest of each table's rows, in the order of their keys."""
    with psycopg.connect(database) as conn:
        return {
            table: conn.execute(
                f"SELECT count(*), md5(string_agg(md5(t::text), '' ORDER BY {key})) FROM ledgerfill.{table} t"
            ).fetchone()
            for table, key in keys.items()
        }


def sessions(database: str) -> list[str]:
    """Return the sessions that are connected to a database beside this one, and the advisory locks held in it."""
    with psycopg.connect(database) as conn:
        return [
            str(row)
            for row in conn.execute(
                "SELECT pid, state, query FROM pg_stat_activity WHERE datname = current_database() "
                "AND pid <> pg_backend_pid() AND backend_type = 'client backend' UNION ALL "
                "SELECT pid, 'lock', locktype FROM pg_locks WHERE locktype = 'advisory' "
                "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
        ]


def check(shared: Path, database: str, first: int, last: int, *flags: str) -> None:
    """Hold the store against the answers of the independent decoder."""
    command = [sys.executable, str(shared / "ledgers" / "check.py"), database, str(first), str(last), *flags]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert checked.returncode == 0, checked.stdout[-3000:] + checked.stderr
    assert checked.stdout.endswith(" passed, 0 failed\n")


def execute(database: str, query: str) -> int:
    """Run a statement and return how many rows it touched."""
    with psycopg.connect(database, autocommit=True, options="-c search_path=ledgerfill") as conn:
        return conn.execute(query).rowcount


def waiting_at_hole(ledgerfill: Program, lake: Path, hole: int, *flags: object) -> Running:
    """Start a run over a lake that lacks a ledger, and return when it has committed all before it."""
    running = ledgerfill.start("backfill", *job(lake, FIRST, LAST), "--chunk-ledgers", 4, "--workers", 2, *flags)
    wait_for(lambda: held(ledgerfill.database) == [(FIRST, hole - 1)] or running.ended())
    assert not running.ended(), running.result().stderr
    return running
