"""The embedded PostgreSQL is set for loading while a job loads, and for serving otherwise."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import psycopg
import pytest
from pydantic import SecretStr

from pipeline.config import StoreSettings
from pipeline.store import books, locks
from pipeline.store.database import Database
from pipeline.store.embedded import EmbeddedServer, settings

SERVED, LOADED = "1GB", "4GB"  # `max_wal_size`
LOAD = """
import sys
from pipeline.config import StoreSettings
from pipeline.store import books, locks
from pipeline.store.database import Database
with Database(StoreSettings()).loading():
    print("loading", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def server(serve: Callable[..., EmbeddedServer], monkeypatch: pytest.MonkeyPatch) -> EmbeddedServer:
    """A server that runs, and is the embedded one of every `Database` from here on."""
    new = serve()
    new.ensure_running()
    monkeypatch.setenv("LEDGERFILL_HOME", str(new.home))
    return new


@pytest.fixture
def session(server: EmbeddedServer) -> Iterator[psycopg.Connection]:
    with closing(psycopg.connect(server.ensure_running(), autocommit=True)) as conn:
        yield conn


def show(conn: psycopg.Connection, setting: str) -> str:
    row = conn.execute("SELECT current_setting(%s)", [setting]).fetchone()
    assert row is not None
    return row[0]


def becomes(conn: psycopg.Connection, value: str, setting: str = "max_wal_size") -> bool:
    end = time.monotonic() + 10
    while show(conn, setting) != value and time.monotonic() < end:
        time.sleep(0.01)
    return show(conn, setting) == value


def test_a_job_that_loads_has_its_own_settings(session: psycopg.Connection):
    """A session that is open all the time sees them come and go with the job."""
    assert show(session, "max_wal_size") == SERVED
    with Database(StoreSettings()).loading():
        assert becomes(session, LOADED)
        assert show(session, "checkpoint_timeout") == "15min"
        assert show(session, "synchronous_commit") == "on"
    assert becomes(session, SERVED)


def test_the_last_that_loads_gives_the_settings_back(session: psycopg.Connection):
    """A migration beside a backfill leaves them to it, and the other way round."""
    one, two = Database(StoreSettings()), Database(StoreSettings())
    with closing(one.connect()) as held, closing(two.connect()) as other:
        backfill, migration = books.new_run(held), books.new_run(held, job="migrate history")
        with locks.hold(held, backfill), one.loading(backfill):
            with locks.hold(other, migration, lock=locks.MIGRATION["history"] + "SEP41"), two.loading(migration):
                assert becomes(session, LOADED)
            time.sleep(0.3)
            assert show(session, "max_wal_size") == LOADED
        assert becomes(session, SERVED)


def test_a_job_that_fails_gives_the_settings_back(session: psycopg.Connection):
    """Whichever way a job ends."""

    def fail() -> None:
        with Database(StoreSettings()).loading():
            assert becomes(session, LOADED)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert becomes(session, SERVED)


def test_what_was_fixed_at_the_start_stays(session: psycopg.Connection):
    """A switch changes the profile alone, whoever started the server with what else; nothing waits for a restart."""
    with Database(StoreSettings()).loading():
        assert becomes(session, LOADED)
        assert (show(session, "shared_buffers"), show(session, "fsync")) == ("16MB", "off")
    assert becomes(session, SERVED)
    waiting = session.execute("SELECT name FROM pg_settings WHERE pending_restart").fetchall()
    assert (show(session, "shared_buffers"), show(session, "fsync"), waiting) == ("16MB", "off", [])


def test_a_setting_of_the_users_own_goes_before(session: psycopg.Connection):
    """What ALTER SYSTEM has set is no job's to change."""
    session.execute("ALTER SYSTEM SET max_wal_size = '2GB'")
    with Database(StoreSettings()).loading():
        assert becomes(session, "15min", "checkpoint_timeout")
        assert show(session, "max_wal_size") == "2GB"
    assert becomes(session, "5min", "checkpoint_timeout")
    assert show(session, "max_wal_size") == "2GB"


@pytest.mark.parametrize("after", ["the next job", "the next start"])
def test_a_killed_job_leaves_loading_until(after: str, server: EmbeddedServer):
    """After a SIGKILL the server works on, set for loading, until the next job ends or it is started again."""
    job = subprocess.Popen([sys.executable, "-c", LOAD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert job.stdout is not None
    assert job.stdout.readline() == "loading\n"
    job.kill()
    job.communicate()
    with closing(psycopg.connect(server.ensure_running(), autocommit=True)) as conn:
        assert becomes(conn, LOADED)
    if after == "the next start":
        server.stop()
    else:
        with Database(StoreSettings()).loading():
            pass
    with closing(psycopg.connect(server.ensure_running(), autocommit=True)) as conn:
        assert becomes(conn, SERVED)


def test_somebody_elses_server_is_left_alone(server: EmbeddedServer, session: psycopg.Connection):
    """A server that is named by its URL is not ours to set."""
    named = Database(StoreSettings(database=SecretStr(server.ensure_running())))
    written = server.home / "store" / "postgresql.conf"
    before = written.stat()
    with named.loading():
        assert written.stat().st_ino == before.st_ino
        assert show(session, "max_wal_size") == SERVED


def test_a_switch_that_fails_is_a_warning(
    server: EmbeddedServer, session: psycopg.Connection, caplog: pytest.LogCaptureFixture
):
    """Where the file cannot be written the job goes on with the settings there are, and the log says so."""
    (server.home / "store" / "postgresql.new").mkdir()
    with caplog.at_level(logging.WARNING), Database(StoreSettings()).loading():
        assert show(session, "max_wal_size") == SERVED
    assert "keeps its present settings: the embedded PostgreSQL cannot use " in caplog.text


def test_a_server_that_does_not_run_is_not_started(server: EmbeddedServer):
    """A profile is for a running server; the next start has its own."""
    server.stop()
    server.use(settings.LOADING)
    assert server.status().state == "stopped"
