"""`ledgerfill plan` reads the settings of a server that is not ours, and says which hold the load back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from pipeline.store import advice
from pipeline.store.embedded import EmbeddedServer

PROGRAM = Path(sys.executable).with_name("ledgerfill")
Start = Callable[..., str]


@pytest.fixture
def start(reachable: Path, tmp_path: Path) -> Iterator[Start]:
    """Starts a server with settings and returns its URL."""
    server = EmbeddedServer(reachable / f"{tmp_path.name}-advised")

    def started(**overrides: str) -> str:
        server.stop()
        always = {"shared_buffers": "128MB", "autovacuum": "off"}  # its workers are sessions that come and go
        return EmbeddedServer(server.home, overrides=always | overrides).ensure_running()

    yield started
    server.reset()


def plan(folder: Path, *more: str, home: Path | None = None) -> tuple[list[str], dict[str, object]]:
    """Return what `plan` prints, and its report."""
    lake, report = folder / "lake", folder / "plan.json"
    environment = {name: value for name, value in os.environ.items() if "LEDGERFILL" not in name}
    environment["LEDGERFILL_HOME"] = str(home or folder / "home")
    if not lake.exists():
        make = [PROGRAM, "lake", "make", lake, "--ledgers", "10", "--shape", "sparse"]
        subprocess.run(make, env=environment, check=True, capture_output=True, timeout=60)
    command = [PROGRAM, "plan", "--source", lake, "--start-ledger", "2", "--report", report, *more]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines(), json.loads(report.read_text())


def test_settings_that_hold_back_are_named(start: Start, tmp_path: Path):
    """Each with its value, a better one and why, as text and as JSON; a good server is one line."""
    bad = start(max_wal_size="64MB", wal_buffers="512kB", max_connections="9", checkpoint_timeout="30s")
    lines, report = plan(tmp_path, "--database", bad, "--connections", "3")
    first = next(number for number, line in enumerate(lines) if line.startswith("  settings"))
    assert [line[13:].partition(":")[0] for line in lines[first:]] == [
        "max_connections is 9, better 12 (after a restart)",
        "max_wal_size is 64MB, better 4GB",
        "checkpoint_timeout is 30s, better 5min",
        "wal_buffers is 512kB, better 16MB (after a restart)",
    ]
    assert "a run takes up to 9 connections, 6 are free now" in lines[first]
    assert report["settings"][1] == {
        "name": "max_wal_size",
        "present": "64MB",
        "proposed": "4GB",
        "reason": "the less WAL between checkpoints, the more pages are written to it whole again",
        "restart": False,
    }

    good = start(max_wal_size="4GB", wal_buffers="16MB")
    lines, report = plan(tmp_path, "--database", good)
    assert lines[-1] == "  settings   none of the server's holds the load back"
    assert report["settings"] == []


def test_our_own_server_needs_no_advice(serve: Callable[[], EmbeddedServer], tmp_path: Path):
    """The embedded server has its settings from the program, which says nothing of them."""
    server = serve()
    server.ensure_running()
    lines, report = plan(tmp_path, home=server.home)
    assert not [line for line in lines if "settings" in line]
    assert report["settings"] is None


def test_what_the_rules_know_any_user_may_read(database: str):
    """A user without any right is told the same."""
    with closing(psycopg.connect(database, autocommit=True)) as conn:
        everything = [each.name for each in advice.ask(conn, 1000)]
        conn.execute("DROP ROLE IF EXISTS advised")
        conn.execute("CREATE ROLE advised")
        try:
            conn.execute("SET ROLE advised")
            assert [each.name for each in advice.ask(conn, 1000)] == everything
        finally:
            conn.execute("RESET ROLE")
            conn.execute("DROP ROLE advised")
    assert {"fsync", "max_wal_size", "max_connections"} <= set(everything)
