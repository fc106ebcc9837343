"""What whole runs need: the real command with a home of its own, lakes of real and of made ledgers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from lakes import CORE, FIRST, LAST, core_ledgers, key, write_lake
from program import Program
from stores import check, digests


@pytest.fixture
def ledgerfill(tmp_path: Path, database: str) -> Iterator[Program]:
    """The command `ledgerfill`, its database an empty one, its home in this test's own folder."""
    program = Program(tmp_path / "home", database)
    program.home.mkdir()
    yield program
    program.end()


@pytest.fixture
def core_lake(tmp_path: Path, shared: Path) -> Path:
    """A lake of the core stream's ledgers 2 to 45, each of a few kilobytes, that a test may damage."""
    return write_lake(tmp_path / "lake", core_ledgers(shared))


@pytest.fixture(scope="session")
def filled_once(shared: Path, new_database: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of the database of a store that holds the whole of that lake."""
    folder, database = tmp_path_factory.mktemp("filled"), new_database("template0")
    program = Program(folder / "home", database)
    ended = program.backfill(write_lake(folder / "lake", core_ledgers(shared)), FIRST, LAST)
    assert ended.returncode == 0, ended.stderr
    return database.rpartition("/")[2]


@pytest.fixture
def filled(
    ledgerfill: Program, filled_once: str, new_database: Callable[[str], str], drop_database: Callable[[str], None]
) -> Iterator[Program]:
    """A store of this test's own that holds the whole of that lake."""
    ledgerfill.database = new_database(filled_once)
    yield ledgerfill
    ledgerfill.end()
    drop_database(ledgerfill.database)


@pytest.fixture
def hole(core_lake: Path) -> int:
    """A ledger that the lake lacks: a run stands there until it is put back."""
    (core_lake / key(30)).unlink()
    return 30


@pytest.fixture(scope="session")
def undisturbed_core(
    shared: Path,
    new_database: Callable[[str], str],
    drop_database: Callable[[str], None],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[int, int], dict[str, tuple[int, str]]]:
    """Returns the digests of an undisturbed run over ledgers of that lake: what the independent decoder says."""

    @cache
    def of(first: int, last: int) -> dict[str, tuple[int, str]]:
        folder, database = tmp_path_factory.mktemp("undisturbed"), new_database("template0")
        lake = write_lake(folder / "lake", core_ledgers(shared))
        ended = Program(folder / "home", database).backfill(lake, first, last)
        assert ended.returncode == 0, ended.stderr
        check(shared, database, first, last, "--file", CORE)
        found = digests(database)
        drop_database(database)
        return found

    return of
