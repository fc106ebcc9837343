"""Embedded servers with homes of their own, ended after each test whatever happened in it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.store.embedded import EmbeddedServer

SMALL = {"shared_buffers": "16MB", "max_wal_size": "1GB"}


@pytest.fixture
def serve(reachable: Path) -> Iterator[Callable[..., EmbeddedServer]]:
    """Returns a new server object, of a home of its own unless one is named; nothing is started."""
    made: list[EmbeddedServer] = []
    numbers = itertools.count()

    def new(home: Path | None = None, *, durable: bool = False, **more: object) -> EmbeddedServer:
        folder = home or reachable / f"home-{id(made)}-{next(numbers)}"
        made.append(EmbeddedServer(folder, durable=durable, overrides=SMALL, **more))
        return made[-1]

    yield new
    for server in made:
        server.reset()


@pytest.fixture
def processes() -> Callable[[Path], list[int]]:
    """Returns the processes that work in a home's data folder."""

    def working_in(home: Path) -> list[int]:
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if (process / "cwd").readlink().is_relative_to(home):
                    found.append(int(process.name))
            except OSError:
                continue
        return found

    return working_in
