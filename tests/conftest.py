"""What every kind of test may ask for: a real PostgreSQL, a database of its own, the real ledgers."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from pipeline.store import version
from pipeline.store.embedded import EmbeddedServer

# Small and quick; a killed process loses nothing all the same.
SETTINGS = {"shared_buffers": "256MB", "max_wal_size": "2GB", "max_connections": "100"}
_WATCH = """
import sys, pathlib, shutil
from pipeline.store.embedded import EmbeddedServer
sys.stdin.read()
EmbeddedServer(pathlib.Path(sys.argv[1])).reset()
shutil.rmtree(pathlib.Path(sys.argv[1]).parent, ignore_errors=True)
"""


@pytest.fixture(scope="session")
def shared() -> Path:
    folder = Path(__file__).resolve().parents[1].parent / "shared"
    if not folder.exists():
        pytest.skip(f"the real ledgers are not at hand: there is no folder {folder}")
    return folder


@pytest.fixture(scope="session")
def reachable() -> Iterator[Path]:
    """A folder that an unprivileged user can reach, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="ledgerfill-tests-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The URL of a server for this session, stopped at its end; also when pytest itself is killed."""
    folder = Path(tempfile.mkdtemp(prefix="ledgerfill-server-"))
    folder.chmod(0o755)
    embedded = EmbeddedServer(folder / "home", durable=False, overrides=SETTINGS)
    watcher = subprocess.Popen(
        [sys.executable, "-c", _WATCH, str(folder / "home")], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        yield embedded.ensure_running()
    finally:
        watcher.communicate()  # closes its stdin: the one who cleans up is the same in every case
        shutil.rmtree(folder, ignore_errors=True)


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
