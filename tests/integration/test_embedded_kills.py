"""The embedded PostgreSQL when whoever starts it, or the server itself, is killed, and when two start it at once."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from pipeline.config import StoreSettings
from pipeline.store.connection import DatabaseUnreachable
from pipeline.store.database import Database
from pipeline.store.embedded import EmbeddedServer

Serve = Callable[..., EmbeddedServer]
START = """
import logging, sys
from pathlib import Path
from pipeline.store.embedded import EmbeddedServer
logging.basicConfig(level="INFO")
print(EmbeddedServer(Path(sys.argv[1]), durable=False).ensure_running(), flush=True)
sys.stdin.read()
"""


def starter(home: Path) -> subprocess.Popen[str]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", START, str(home)], **pipes)


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.002)


def fill(url: str, rows: int = 1000) -> None:
    with psycopg.connect(url) as conn:
        conn.execute("CREATE TABLE kept AS SELECT generate_series(1, %s) AS value", [rows])


def count(url: str) -> int:
    with psycopg.connect(url) as conn:
        return conn.execute("SELECT count(*) FROM kept").fetchone()[0]


def kill_server(server: EmbeddedServer, processes: Callable[[Path], list[int]]) -> None:
    def killed_all() -> bool:
        left = processes(server.home)
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left

    until(killed_all)


def test_the_server_outlives_a_starter_that_is_killed(serve: Serve):
    """After a SIGKILL of its starter the server goes on, in a session of its own, and the next start finds it."""
    server = serve()
    process = starter(server.home)
    url = process.stdout.readline().strip()
    with psycopg.connect(url) as conn:
        kill(process)
        pid = server.status().pid
        assert os.getsid(pid) not in (os.getsid(0), process.pid)
        assert conn.execute("SELECT 1").fetchone() == (1,)
    assert server.ensure_running() == url
    assert server.status().pid == pid


@pytest.mark.parametrize("moment", ["making", "starting"])
def test_a_starter_that_is_killed_on_the_way_leaves_nothing_half_done(serve: Serve, moment: str):
    """Killed while the store is made or the server starts, the next start waits for what runs on and succeeds."""
    server = serve()
    mark = server.home / {"making": "store.new/data/base", "starting": "store/server.log"}[moment]
    process = starter(server.home)
    until(mark.exists)
    kill(process)
    assert process.stdout.closed or not process.stdout.read()
    fill(server.ensure_running())
    assert (server.home / "store" / "VERSION").read_text() == "layout 1\npostgresql 18\n"


def test_a_log_that_was_made_but_not_given_away_is_given_away(serve: Serve):
    """A starter killed between making the server's log and handing it to the server's user spoils no later start."""
    server = serve()
    server.ensure_running()
    server.stop()
    log = server.home / "store" / "server.log"
    log.unlink()
    log.touch(mode=0o600)
    server.ensure_running()
    assert log.read_text()


def test_two_starters_at_once_share_one_server(serve: Serve):
    """Of two commands that start at once one makes and starts the server, the other waits and uses it."""
    server = serve()
    first, second = starter(server.home), starter(server.home)
    urls = {process.stdout.readline() for process in (first, second)}
    words = "".join(process.communicate()[1] for process in (first, second))
    assert len(urls) == 1
    assert words.count("making a PostgreSQL store") == 1
    assert words.count("waiting for another process that starts or stops") == 1


def test_a_killed_server_recovers_what_was_committed(serve: Serve, processes: Callable[[Path], list[int]]):
    """After a SIGKILL of every server process the next start recovers: what was committed is there."""
    server = serve()
    fill(server.ensure_running())
    kill_server(server, processes)
    assert server.status().state == "stopped"
    assert count(server.ensure_running()) == 1000


@pytest.fixture
def ours(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Database:
    """The embedded database of a command, its server running."""
    server = serve()
    server.ensure_running()
    monkeypatch.setenv("LEDGERFILL_HOME", str(server.home))
    monkeypatch.delenv("LEDGERFILL_DATABASE", raising=False)
    return Database(StoreSettings())


def test_whoever_connects_again_starts_a_killed_server(
    ours: Database, processes: Callable[[Path], list[int]], caplog: pytest.LogCaptureFixture
):
    """Connections of one run that come back at once, on threads of their own, find one server, set for loading."""
    with ours.loading():
        ours.connect().close()
        kill_server(ours.embedded, processes)
        with socket.socket() as other, ThreadPoolExecutor(3) as threads, caplog.at_level(logging.WARNING):
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # also while connections to it linger
            other.bind(("127.0.0.1", port_of(ours.url)))  # the port is another's now
            conns = [done.result() for done in [threads.submit(ours.connect) for _ in range(3)]]
        assert len({conn.info.port for conn in conns}) == 1
        assert caplog.text.count("the embedded PostgreSQL has died: starting it again") == 1
        until(lambda: conns[0].execute("SHOW max_wal_size").fetchone() == ("4GB",))
        for conn in conns:
            conn.close()


def port_of(url: str) -> int:
    return int(conninfo_to_dict(url)["port"])


@pytest.mark.parametrize("end", ["stop", "reset"])
def test_a_server_that_was_stopped_stays_so(ours: Database, end: str):
    """What somebody has stopped or deleted in the midst of a run is not started or made again by it."""
    ours.connect().close()
    getattr(ours.embedded, end)()
    with pytest.raises(DatabaseUnreachable):
        ours.connect()
    assert ours.embedded.state() == {"stop": "stopped", "reset": "absent"}[end]


def test_recovery_is_waited_for_with_words(
    serve: Serve,
    processes: Callable[[Path], list[int]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    """A recovery that takes long is waited for; meanwhile the log says for what, with the server's last words."""
    monkeypatch.setattr("pipeline.store.embedded.wait._FIRST_WORD_S", 0.5)
    server = serve()
    with psycopg.connect(server.ensure_running(), autocommit=True) as conn:
        # Recovery that asks for archived files, each of which takes its time and is not there.
        for setting in ("wal_level = replica", "hot_standby = off", "restore_command = 'sleep 0.7; false'"):
            conn.execute(f"ALTER SYSTEM SET {setting}")
    server.stop()
    fill(server.ensure_running())
    kill_server(server, processes)
    (server.home / "store" / "data" / "recovery.signal").touch()
    with caplog.at_level(logging.INFO):
        began = time.monotonic()
        url = server.ensure_running()
    assert time.monotonic() - began > 1.4
    assert "waiting for the embedded PostgreSQL to" in caplog.text
    assert "consistent recovery state reached" in caplog.text
    assert count(url) == 1000


def test_orphans_of_a_killed_postmaster_are_waited_for(serve: Serve, processes: Callable[[Path], list[int]]):
    """While a session of a killed postmaster still works in the folder no new server starts there."""
    server = serve()
    url = server.ensure_running()
    fill(url)
    with closing(psycopg.connect(url, autocommit=True)) as conn:
        busy = threading.Thread(target=work_on, args=(conn,))
        busy.start()
        time.sleep(0.2)  # it computes, and does not look whether its postmaster lives
        os.kill(server.status().pid, signal.SIGKILL)
        orphan = conn.info.backend_pid
        until(lambda: server.status().state == "stopped")
        assert orphan in processes(server.home)
        assert count(server.ensure_running()) == 1000
        assert orphan not in processes(server.home)
        busy.join()


def work_on(conn: psycopg.Connection) -> None:
    with suppress(psycopg.OperationalError):
        conn.execute("SELECT count(*) FROM generate_series(1, 6000000) a")


@pytest.fixture
def adopting() -> Iterator[None]:
    """While it holds, orphans become children of this process, which does not reap them."""
    set_child_subreaper = 36
    libc = ctypes.CDLL(None)
    libc.prctl(set_child_subreaper, 1)
    yield
    libc.prctl(set_child_subreaper, 0)


@pytest.mark.usefixtures("adopting")
def test_a_zombie_postmaster_does_not_count_as_running(serve: Serve, processes: Callable[[Path], list[int]]):
    """A killed postmaster that nobody reaps keeps its number, and does not keep the next server from starting."""
    server = serve()
    fill(server.ensure_running())
    zombie = server.status().pid
    kill_server(server, processes)
    try:
        until(lambda: Path(f"/proc/{zombie}/stat").read_text().split()[2] == "Z")
        assert server.status().state == "stopped"
        assert server.stop() is False
        assert count(server.ensure_running()) == 1000
    finally:
        server.stop()
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def test_a_number_used_again_is_not_taken_for_the_server(serve: Serve, processes: Callable[[Path], list[int]]):
    """Where another process of the server's user has a dead postmaster's number, the server starts and it lives on."""
    server = serve()
    fill(server.ensure_running())
    file = server.home / "store" / "data" / "postmaster.pid"
    owner = file.stat().st_uid
    kill_server(server, processes)
    other = subprocess.Popen(["sleep", "60"], user=owner)
    try:
        _, *rest = file.read_text().splitlines()
        file.write_text("\n".join([str(other.pid), *rest]) + "\n")
        assert server.status().state == "stopped"
        assert server.stop() is False
        assert count(server.ensure_running()) == 1000
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_server_started_by_hand_is_used_and_never_doubled(serve: Serve):
    """A server that an operator started with pg_ctl is recognised by its processes, used, and stopped."""
    server = serve()
    url = server.ensure_running()
    fill(url)
    command = Path(f"/proc/{server.status().pid}/cmdline").read_bytes().split(b"\0")[:-1]
    owner = (server.home / "store" / "data").stat().st_uid
    server.stop()
    by_hand = subprocess.Popen(command, user=owner, cwd="/", stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        until(lambda: server.status().pid == by_hand.pid)
        assert server.ensure_running() == url
        assert server.status().pid == by_hand.pid
    finally:
        threading.Timer(0.5, by_hand.wait).start()
        assert server.stop() is True
