"""The embedded PostgreSQL from making to deleting it, one home a test."""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
import stat
import subprocess
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import psycopg
import pytest

from pipeline.errors import Refused
from pipeline.store.embedded import EmbeddedServer, layout
from pipeline.store.embedded import server as embedded_server
from pipeline.store.embedded.server import ServerFailed

Serve = Callable[..., EmbeddedServer]


def ask(url: str, query: str) -> object:
    with psycopg.connect(url) as conn:
        row = conn.execute(query).fetchone()
        assert row is not None
        return row[0]


def test_a_new_home_becomes_a_server(serve: Serve):
    """One call makes the store, starts it on loopback alone and gives a URL that works."""
    url = serve().ensure_running()
    assert ask(url, "SELECT version()").startswith("PostgreSQL 18.")
    assert ask(url, "SHOW listen_addresses") == "127.0.0.1"
    assert ask(url, "SHOW unix_socket_directories") == ""


def test_a_running_server_is_used_as_it_is(serve: Serve):
    """A second call gives the same URL, of the same process."""
    server = serve()
    url, pid = server.ensure_running(), server.status().pid
    assert server.ensure_running() == url
    assert server.status().pid == pid
    assert server.running_url() == url


def test_a_running_server_starts_no_process(serve: Serve, monkeypatch: pytest.MonkeyPatch):
    """The URL of a running server is read from the folder alone; one of another PostgreSQL is refused all the same."""
    server = serve()
    url = server.ensure_running()
    with monkeypatch.context() as nothing:
        nothing.setattr(subprocess, "Popen", None)
        assert server.ensure_running() == url
    layout.write_version(server.home / "store", layout.LAYOUT, 17)
    with pytest.raises(Refused, match="was made by PostgreSQL 17"):
        server.ensure_running()


def test_the_password_is_asked_for_and_kept_private(serve: Serve):
    """Nobody gets in without the password, and only the owner of the home can read it."""
    server = serve()
    url = server.ensure_running()
    secret = url.split(":")[2].split("@")[0]
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(url.replace(secret, "another"))
    kept = server.home / "store" / "password"
    assert kept.read_text() == secret
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert ask(url, "SELECT rolpassword FROM pg_authid WHERE rolname = current_user").startswith("SCRAM-SHA-256$")


def test_the_password_appears_in_no_process_list_and_no_log(serve: Serve):
    """The password is in its own file, and in no command line, environment, log or status."""
    server = serve()
    secret = server.ensure_running().split(":")[2].split("@")[0]
    seen = (server.home / "store" / "server.log").read_text() + str(server.status())
    for process in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            try:
                seen += (process / name).read_bytes().decode(errors="replace")
            except OSError:
                continue
    assert secret not in seen


def test_a_users_store_is_durable(serve: Serve):
    """What a user gets survives a power cut: fsync, full pages, synchronous commits, checksums."""
    url = serve(durable=True).ensure_running()
    for setting in ("fsync", "full_page_writes", "synchronous_commit", "data_checksums"):
        assert ask(url, f"SHOW {setting}") == "on"


def test_rows_and_port_survive_a_stop(serve: Serve):
    """After a stop and a start the rows are there, under the same URL."""
    server = serve()
    url = server.ensure_running()
    with psycopg.connect(url) as conn:
        conn.execute("CREATE TABLE kept AS SELECT 42 AS value")
    assert server.stop() is True
    assert server.ensure_running() == url
    assert ask(url, "SELECT value FROM kept") == 42


def test_a_port_that_was_taken_meanwhile_is_not_waited_for(serve: Serve):
    """Where another program listens on the last port, the server starts on another one."""
    server = serve()
    port = int(server.ensure_running().rpartition(":")[2].split("/")[0])
    server.stop()
    with socket.create_server(("127.0.0.1", port)):
        assert f":{port}/" not in server.ensure_running()


def test_a_port_that_is_taken_at_the_very_start_is_tried_around(serve: Serve, monkeypatch: pytest.MonkeyPatch):
    """A port lost between the look and the start costs one more try, no failure."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        first = taken.getsockname()[1]
        ports = iter([first, first])
        free = embedded_server._free_port
        monkeypatch.setattr("pipeline.store.embedded.server._free_port", lambda: next(ports, None) or free())
        assert f":{first}/" not in serve().ensure_running()


def test_stop_ends_every_process_and_may_be_repeated(serve: Serve, processes: Callable[[Path], list[int]]):
    """A stop leaves no process; where nothing runs it is fine, and says so."""
    server = serve()
    assert server.stop() is False
    server.ensure_running()
    assert processes(server.home)
    assert server.stop() is True
    assert processes(server.home) == []
    assert server.stop() is False


def test_stop_in_a_home_that_is_none_finds_nothing(tmp_path: Path):
    """A file in the place of the home, or of a folder above it, holds no server that could run."""
    file = tmp_path / "file"
    file.touch()
    for home in (file, file / "home"):
        assert EmbeddedServer(home).stop() is False
        assert EmbeddedServer(home).status().state == "absent"


def test_stop_does_not_wait_for_open_sessions(serve: Serve):
    """A session that somebody left open does not keep the server up."""
    server = serve()
    with closing(psycopg.connect(server.ensure_running())) as conn:
        conn.execute("SELECT 1")
        assert server.stop() is True


def test_reset_deletes_the_store(serve: Serve):
    """After a reset there is no process and no file of the store, and the next start makes a new one."""
    server = serve()
    url = server.ensure_running()
    with psycopg.connect(url) as conn:
        conn.execute("CREATE TABLE kept AS SELECT 42 AS value")
    server.reset()
    assert server.status().state == "absent"
    assert sorted(path.name for path in server.home.iterdir()) == ["server.lock", "start.lock"]
    server.reset()
    assert ask(server.ensure_running(), "SELECT to_regclass('kept')") is None


def test_status_tells_without_touching(serve: Serve):
    """The status follows the server through its life, starts nothing and writes nothing."""
    server = serve()
    assert server.status().state == server.state() == "absent"
    assert not server.home.exists()
    url = server.ensure_running()
    found = server.status()
    assert (found.state, found.running, found.version) == ("running", True, "18.6")
    assert server.state() == "running"
    assert found.url == url.replace(url.split(":")[2].split("@")[0], "").replace(":@", "@")
    assert os.getpgid(found.pid) == found.pid
    assert found.data_bytes > 10_000_000
    assert found.unusable is None
    server.stop()
    assert (server.status().state, server.status().pid, server.running_url()) == ("stopped", None, None)
    assert server.state() == "stopped"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("layout 2\npostgresql 18\n", "has layout 2, this program knows up to 1: use a newer ledgerfill"),
        ("layout 0\npostgresql 18\n", "has layout 0, too old for this program"),
        ("layout 1\npostgresql 17\n", "was made by PostgreSQL 17, this program brings 18"),
        ("something else\n", "holds something else than a version"),
        (None, "has no VERSION file, so it is no store that this program knows"),
    ],
)
def test_a_store_of_another_version_is_refused(serve: Serve, text: str | None, message: str):
    """A newer, older or unknown folder is left as it is, with what to do; a reset helps."""
    server = serve()
    store = server.home / "store"
    store.mkdir(parents=True)
    (store / "precious").touch()
    if text is not None:
        (store / "VERSION").write_text(text)
    with pytest.raises(Refused, match=message) as refused:
        server.ensure_running()
    assert "ledgerfill store reset" in str(refused.value)
    if "too old" not in message:
        assert server.status().unusable == str(refused.value)
    assert (store / "precious").exists()
    server.reset()
    assert not store.exists()


def test_a_folder_is_brought_from_layout_to_layout(tmp_path: Path):
    """An older folder runs exactly its transitions; one that is interrupted is run again, no other is."""
    found, ran = layout.Layout(tmp_path), []
    found.store.mkdir()
    layout.write_version(found.store, 1, 18)

    def step(number: int) -> Callable[[layout.Layout], None]:
        def run(_: layout.Layout) -> None:
            ran.append(number)
            if ran == [1, 2]:
                raise KeyboardInterrupt

        return run

    transitions = {number: step(number) for number in range(4)}
    with pytest.raises(KeyboardInterrupt):
        layout.bring_up_to_date(found, 18, newest=4, transitions=transitions)
    assert layout.read_version(found.store) == (2, 18)
    layout.bring_up_to_date(found, 18, newest=4, transitions=transitions)
    assert ran == [1, 2, 2, 3]
    assert layout.read_version(found.store) == (4, 18)


def test_a_server_that_cannot_start_says_why(serve: Serve):
    """PostgreSQL's own reason is in the error, and the log's place."""
    server = serve()
    server.ensure_running()
    server.stop()
    (server.home / "store" / "data" / "postgresql.auto.conf").write_text("shared_buffers = 'a lot'\n")
    with pytest.raises(ServerFailed, match=r"did not start: .*errors.*see .*server\.log"):
        server.ensure_running()


def test_a_server_that_is_stopping_is_started_again(serve: Serve):
    """A server that is stopping is waited for, then started anew."""
    server = serve()
    url = server.ensure_running()
    os.kill(server.status().pid, signal.SIGINT)
    with suppress(psycopg.OperationalError):  # it takes the signal when it comes to it
        while ask(url, "SELECT 1") == 1:
            pass
    assert ask(server.ensure_running(), "SELECT 1") == 1
    assert server.running_url() == url


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (0, r"the embedded PostgreSQL cannot use \S+: File too large"),
        (2 << 20, r'cannot make a PostgreSQL store in \S+: could not write to file "pg_wal/\S+": File too large'),
    ],
)
def test_a_full_disk_is_an_error_with_words(serve: Serve, left: int, words: str):
    """What is refused to us or to `initdb` is said with the file's name and no more; the next call makes the store."""
    server = serve()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (left, limits[1]))  # as if no more bytes were left
    try:
        with pytest.raises(ServerFailed) as failed:
            server.ensure_running()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert re.fullmatch(words, str(failed.value))
    assert not [*server.home.glob("store*")]
    assert ask(server.ensure_running(), "SELECT 1") == 1
