"""The job `backfill` in this process: what it refuses, and what the books say of it afterwards."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from pipeline import backfill
from pipeline.actions import Note
from pipeline.config import BackfillSettings
from pipeline.errors import Refused
from pipeline.progress.report import RunInfo, RunReport
from pipeline.progress.snapshot import Snapshot
from workers._decode import make_lake

FIRST, LAST = 2, 21


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


class Interrupting(Silent):
    """Behaves as a signal does that comes while nobody catches it."""

    def progress(self, snapshot: Snapshot) -> None:  # noqa: ARG002  # an observer's signature
        """The first thing that is seen of the run."""
        raise KeyboardInterrupt


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "lake"
    make_lake(str(folder), ledgers=LAST - FIRST + 1, first=FIRST, shape="sparse")
    return folder


@pytest.fixture
def settings(lake: Path, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LEDGERFILL_HOME", str(tmp_path))
    given = {"source": str(lake), "database": store, "start_ledger": FIRST, "end_ledger": LAST, "workers": 1}
    return lambda **more: BackfillSettings(**given | more)


def last_run(conn: psycopg.Connection) -> tuple[str, str | None, dict[str, object] | None]:
    return conn.execute("SELECT outcome, error, report FROM ledgerfill.backfill_runs ORDER BY id DESC").fetchone()


def test_books_keep_the_report(settings, conn: psycopg.Connection) -> None:
    """How a run ended, and all that its report says, stands in the store as well."""
    report = backfill.run(settings(), Silent())
    outcome, error, kept = last_run(conn)
    assert (report.outcome, outcome, error) == ("success", "success", None)
    assert report.complete
    assert kept is not None
    assert (kept["range"], kept["committed"], kept["rows"]) == ([FIRST, LAST], [[FIRST, LAST]], dict(report.rows))


def test_genesis_is_refused(settings, conn: psycopg.Connection) -> None:
    """A lake never has ledger 1: nobody has to wait for it as for a hole."""
    with pytest.raises(Refused, match="a lake begins with ledger 2"):
        backfill.run(settings(start_ledger=1), Silent())
    assert last_run(conn) is None


def test_run_that_ended_at_a_hole_is_not_complete(settings, lake: Path) -> None:
    """There is something left to do, so there is a command that does it."""
    (hole,) = lake.glob("*/*--15.xdr.zst")
    hole.rename(lake / "away")
    try:
        report = backfill.run(settings(hole_deadline_s=0.1), Silent())
    finally:
        (lake / "away").rename(hole)
    assert (report.outcome, report.missing[-1].last, report.complete) == ("failed", LAST, False)


def test_run_that_a_signal_broke_off_is_written_down_as_interrupted(settings, conn: psycopg.Connection) -> None:
    """A signal that comes where none is caught is no failure of the run."""
    with pytest.raises(KeyboardInterrupt):
        backfill.run(settings(), Interrupting())
    assert last_run(conn)[:2] == ("interrupted", "interrupted by signal 2")


@pytest.mark.parametrize("trusted", [FIRST, LAST])
def test_trusted_hash_is_held_against_what_is_there(settings, conn: psycopg.Connection, trusted: int) -> None:
    """A ledger that the store holds under another hash than the trusted one is refused: it is never computed anew."""
    backfill.run(settings(), Silent())
    (right,) = conn.execute("SELECT hash FROM ledgerfill.ledgers WHERE sequence = %s", [trusted]).fetchone()
    with pytest.raises(Refused, match=f"--trusted-hash says that ledger {trusted} is {'ab' * 32}"):
        backfill.run(settings(trusted=((trusted, b"\xab" * 32),)), Silent())
    assert backfill.run(settings(trusted=((trusted, right),)), Silent()).outcome == "success"
