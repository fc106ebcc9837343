"""What every kind of test may ask for: a real PostgreSQL, a database of its own, the real ledgers."""

from __future__ import annotations

import itertools
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from pipeline.store import version
from pipeline.store.embedded import EmbeddedServer

# Small and quick; a killed process loses nothing all the same.
SETTINGS = {"shared_buffers": "256MB", "max_wal_size": "2GB", "max_connections": "100"}
# Waits for this process to end, however it does, then ends every server under the folder and deletes it.
_CLEAN_UP = """
import sys, pathlib, shutil
from pipeline.store.embedded import EmbeddedServer
sys.stdin.read()
folder = pathlib.Path(sys.argv[1])
for lock in folder.rglob("server.lock"):
    EmbeddedServer(lock.parent).reset()
shutil.rmtree(folder, ignore_errors=True)
"""


@pytest.fixture(scope="session")
def shared() -> Path:
    folder = Path(__file__).resolve().parents[1].parent / "shared"
    if not folder.exists():
        pytest.skip(f"the real ledgers are not at hand: there is no folder {folder}")
    return folder


@pytest.fixture(scope="session")
def reachable() -> Iterator[Path]:
    """A folder that an unprivileged user can reach, unlike pytest's own; nothing of it is left, nor a server in it."""
    folder = Path(tempfile.mkdtemp(prefix="ledgerfill-tests-"))
    folder.chmod(0o755)
    command = [sys.executable, "-c", _CLEAN_UP, str(folder)]
    cleaner = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    yield folder
    cleaner.communicate()  # closes its stdin


@pytest.fixture(scope="session")
def server(reachable: Path) -> str:
    """The URL of a server for this session."""
    return EmbeddedServer(reachable / "server", durable=False, overrides=SETTINGS).ensure_running()


@pytest.fixture(scope="session")
def new_database(server: str) -> Iterator[Callable[[str], str]]:
    """Makes databases from a template and returns their URLs."""
    numbers = itertools.count(1)
    with psycopg.connect(server, autocommit=True) as conn:

        def make(template: str) -> str:
            name = f"test_{next(numbers)}"
            conn.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*map(sql.Identifier, (name, template))))
            return f"{server.rpartition('/')[0]}/{name}"

        yield make


@pytest.fixture(scope="session")
def drop_database(server: str) -> Callable[[str], None]:
    def drop(url: str) -> None:
        with psycopg.connect(server, autocommit=True) as conn:
            name = sql.Identifier(url.rpartition("/")[2])
            conn.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))

    return drop


@pytest.fixture
def database(new_database: Callable[[str], str], drop_database: Callable[[str], None]) -> Iterator[str]:
    """The URL of an empty database, dropped after the test."""
    url = new_database("template0")
    yield url
    drop_database(url)


@pytest.fixture(scope="session")
def store_template(new_database: Callable[[str], str]) -> str:
    """The name of a database with the schema of this program's version."""
    url = new_database("template0")
    with psycopg.connect(url, autocommit=True) as conn:
        version.bring_up_to_date(conn)
    return url.rpartition("/")[2]


@pytest.fixture
def store(
    new_database: Callable[[str], str], drop_database: Callable[[str], None], store_template: str
) -> Iterator[str]:
    """The URL of a store without a ledger, dropped after the test."""
    url = new_database(store_template)
    yield url
    drop_database(url)


@pytest.fixture
def serve(reachable: Path, tmp_path: Path) -> Iterator[Callable[..., EmbeddedServer]]:
    """Returns a new server object, of a home of its own unless one is named; nothing is started."""
    made: list[EmbeddedServer] = []

    def new(home: Path | None = None, *, durable: bool = False, **more: Any) -> EmbeddedServer:  # any argument of it
        folder = home or reachable / f"{tmp_path.name}-{len(made)}"
        made.append(EmbeddedServer(folder, durable=durable, overrides={"shared_buffers": "16MB"}, **more))
        return made[-1]

    yield new
    for server in made:
        server.reset()


@pytest.fixture
def processes() -> Callable[[Path], list[int]]:
    """Returns the processes that work in a home's data folder."""

    def works_in(process: Path, home: Path) -> bool:
        try:
            return (process / "cwd").readlink().is_relative_to(home)
        except OSError:  # it has ended, or is a zombie
            return False

    def working_in(home: Path) -> list[int]:
        return [int(process.name) for process in Path("/proc").glob("[0-9]*") if works_in(process, home)]

    return working_in
