"""Fixtures of the integration tests: connections to a new store, and the real lake, also behind a server that fails."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from faulty_s3 import FaultyS3
from pooling import config

from workers.messages import WorkerConfig


@pytest.fixture
def connect(store: str) -> Iterator[Callable[[], psycopg.Connection]]:
    """Return what connects to the store, in autocommit, as often as it is called; closed at the end."""
    opened: list[psycopg.Connection] = []

    def one() -> psycopg.Connection:
        opened.append(psycopg.connect(store, autocommit=True))
        return opened[-1]

    yield one
    for conn in opened:
        conn.close()


@pytest.fixture
def conn(connect: Callable[[], psycopg.Connection]) -> psycopg.Connection:
    """Return a connection to the store, in autocommit."""
    return connect()


@pytest.fixture
def pubnet(shared: Path) -> WorkerConfig:
    return config(str(shared / "ledgers/pubnet"))


@pytest.fixture
def faulty_pubnet(shared: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyS3]:
    """The real lake behind a server that fails as it is told to; workers take its address from the environment."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SKIP_SIGNATURE"):
        monkeypatch.delenv(name, raising=False)
    with FaultyS3(shared / "ledgers/pubnet").serving() as server:
        for name, value in {"ENDPOINT_URL": server.url, "ALLOW_HTTP": "true", "REGION": "us-east-2"}.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        yield server


@pytest.fixture
def real(shared: Path) -> Path:
    """The real history archive."""
    return shared / "archive/futurenet"


@pytest.fixture
def copied(real: Path, tmp_path: Path) -> Path:
    """The real archive, to be damaged."""
    shutil.copytree(real, tmp_path / "archive", copy_function=shutil.copyfile)
    for path in [tmp_path / "archive", *(tmp_path / "archive").rglob("*")]:
        path.chmod(0o755)
    return tmp_path / "archive"
