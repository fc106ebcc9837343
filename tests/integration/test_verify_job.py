"""The job `verify` in this process: where its connection breaks, where there is no store, and without any database."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pipeline import backfill, prove, verify
from pipeline.actions import Note
from pipeline.config import BackfillSettings, VerifySettings
from pipeline.errors import Refused
from pipeline.progress.report import RunInfo, RunReport
from pipeline.progress.snapshot import Snapshot
from workers._decode import make_lake

CUT = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'ledgerfill'
"""


class Silent:
    """An observer that is told everything and says nothing."""

    def started(self, run: RunInfo) -> None:
        """A run begins."""

    def progress(self, snapshot: Snapshot) -> None:
        """It goes on."""

    def note(self, note: Note) -> None:
        """It takes a step against a stall."""

    def finished(self, report: RunReport) -> None:
        """It has ended."""


class Cutting(Silent):
    """Ends every session of the program as soon as anything is seen."""

    def __init__(self, store: str) -> None:
        """Remember where."""
        self._store = store

    def progress(self, snapshot: Snapshot) -> None:  # noqa: ARG002  # an observer's signature
        """Cut."""
        with psycopg.connect(self._store, autocommit=True) as conn:
            conn.execute(CUT)


class Seeing(Silent):
    """Keeps the last that it saw."""

    seen: Snapshot

    def progress(self, snapshot: Snapshot) -> None:
        """Keep it."""
        self.seen = snapshot


def test_verify_whose_connection_was_cut_says_so(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not compared is no success, and the report says what broke."""
    monkeypatch.setenv("LEDGERFILL_HOME", str(tmp_path))
    make_lake(str(tmp_path / "lake"), ledgers=20, first=2, shape="sparse")
    given = {"source": str(tmp_path / "lake"), "database": store, "start_ledger": 2, "end_ledger": 21, "workers": 1}
    backfill.run(BackfillSettings(**given), Silent())
    report = verify.run(VerifySettings(**given, chunk_ledgers=1), Cutting(store))
    assert report.exit_code == 1
    assert report.error is not None
    assert "terminating connection" in report.error.message
    assert report.missing == ()


def test_verify_makes_no_store(database: str, tmp_path: Path) -> None:
    """Against a database without a store it is refused, and the database is as empty as before."""
    make_lake(str(tmp_path / "lake"), ledgers=3, shape="sparse")
    settings = VerifySettings(source=str(tmp_path / "lake"), start_ledger=2, database=database)
    with pytest.raises(Refused, match="there is no store in"):
        verify.run(settings, Silent())
    with psycopg.connect(database) as conn:
        assert conn.execute("SELECT count(*) FROM pg_namespace WHERE nspname = 'ledgerfill'").fetchone() == (0,)


def test_verify_without_rights_is_refused(store: str, tmp_path: Path) -> None:
    """A user who may not read the store is told so before anything is computed, as in a backfill."""
    make_lake(str(tmp_path / "lake"), ledgers=3, shape="sparse")
    with psycopg.connect(store, autocommit=True) as owner:
        owner.execute("CREATE ROLE may_not_read LOGIN PASSWORD 'may-not-read'")
        try:
            url = make_conninfo(store, user="may_not_read", password="may-not-read")
            settings = VerifySettings(source=str(tmp_path / "lake"), start_ledger=2, database=url)
            with pytest.raises(Refused, match="this user may not use the store: permission denied for schema"):
                verify.run(settings, Silent())
        finally:
            owner.execute("DROP ROLE may_not_read")


def test_proving_makes_no_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All ledgers are done, and not one byte of rows came of them."""
    monkeypatch.setenv("LEDGERFILL_HOME", str(tmp_path / "home"))
    make_lake(str(tmp_path / "lake"), ledgers=20, first=2, shape="sparse")
    settings = VerifySettings(source=str(tmp_path / "lake"), start_ledger=2, workers=1, no_database=True)
    observer = Seeing()
    report = prove.run(settings, observer)
    assert (report.exit_code, report.ledgers) == (0, 20)
    assert (observer.seen.ledgers_done, observer.seen.row_bytes, observer.seen.events) == (20, 0, 0)
    assert observer.seen.plain_bytes == report.plain_bytes > 0


def test_proving_imports_nothing_of_postgresql(tmp_path: Path) -> None:
    """What is not there cannot be touched, and takes no time to load."""
    make_lake(str(tmp_path / "lake"), ledgers=3, first=2, shape="sparse")
    code = "import sys; from pipeline.__main__ import main; print(main(sys.argv[1:]), 'psycopg' in sys.modules)"
    flags = ["verify", "--no-database", "--source", str(tmp_path / "lake"), "--start-ledger", "2"]
    ended = subprocess.run([sys.executable, "-c", code, *flags], check=True, capture_output=True, text=True, timeout=60)
    assert ended.stdout.endswith("0 False\n"), ended.stdout + ended.stderr
