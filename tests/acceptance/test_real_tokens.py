"""Real ledgers through the whole program as typed, up to tokens: each store equals a serial fold on stellar-sdk."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from lakes import MERGED, PUBNET, SINGLE, STREAMS, plain, records
from migrated import BOTH, HISTORY, STATE, statuses
from program import Program, ended_well
from stores import check
from token_fold import COLUMNS, books, held, rows

LAKES = {  # folder, first and last ledger
    f"pubnet-{first}": ("pubnet", first, last) for first, last in (PUBNET, *((each, each) for each in SINGLE))
} | {"testnet": ("testnet", 997, 998)}
CHANGES = {  # in the histories; what is not listed has none, as its ledgers speak of no token
    "core-221f1cad327fb891.xdr": 8,
    "core-9de975c631418bb4.xdr": 102,
    "core-d1522d4667822bc2.xdr": 22,
    "core-fdce9caeb61c5f3a.xdr": 29,
    "pubnet-51000294": 1395,
    "pubnet-63092982": 13_973,
}


@dataclass(frozen=True)
class Stretch:
    """Ledgers in a row: where they are read, of which network they are, and how the answers name them."""

    source: Sequence[object]  # flags
    network: str
    first: int
    last: int
    answers: Sequence[str]  # flags of `check.py`
    raw: Callable[[], list[bytes]]


def of_stream(shared: Path, name: str) -> Stretch:
    first, last, network = STREAMS.get(name, (62, 62, MERGED[1]))
    file = shared / "ledgers" / "streams" / name
    source = ("--source", f"stream:{file}", "--network-passphrase", network)
    return Stretch(
        source, network, first, last, ("--file", f"streams/{name}"), lambda: records(file)[: last - first + 1]
    )


def of_lake(shared: Path, name: str) -> Stretch:
    folder, first, last = LAKES[name]
    lake = shared / "ledgers" / folder
    manifest = json.loads((lake / ".config.json").read_text())

    def raw() -> list[bytes]:
        files = (next(lake.rglob(f"*--{ledger}.xdr.zst")) for ledger in range(first, last + 1))
        return [plain(file.read_bytes())[12:] for file in files]  # behind the head of the batch

    return Stretch(("--source", lake), manifest["networkPassphrase"], first, last, (), raw)


@pytest.fixture(scope="session")
def set_up(
    new_database: Callable[[str], str], drop_database: Callable[[str], None], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The name of a database without a ledger, in which both protocols were set up."""
    database = new_database("template0")
    program = Program(tmp_path_factory.mktemp("set-up") / "home", database)
    program.home.mkdir()
    ended_well(program, "setup", *BOTH)
    yield database.rpartition("/")[2]
    drop_database(database)


@pytest.fixture
def ready(
    set_up: str, new_database: Callable[[str], str], drop_database: Callable[[str], None], tmp_path: Path
) -> Iterator[Program]:
    """The command, with such a database of its own."""
    program = Program(tmp_path / "home", new_database(set_up))
    program.home.mkdir()
    yield program
    program.end()
    drop_database(program.database)


@pytest.mark.parametrize("name", [*STREAMS, MERGED[0], *LAKES])
def test_every_real_ledger_comes_to_what_a_serial_fold_has(ready: Program, shared: Path, name: str) -> None:
    """Backfilled and migrated, both at once, each table of tokens has the rows of the books, and the answers hold."""
    of = of_lake(shared, name) if name in LAKES else of_stream(shared, name)
    with ThreadPoolExecutor(1) as pool:
        kept = pool.submit(lambda: books(of.network, of.raw()))
        filled = ready.backfill(*of.source[1:2], of.first, of.last, *of.source[2:], "--workers", 2)
        assert filled.returncode == 0, filled.stderr
        left_alone = migrate(ready, of)
        check(shared, ready.database, of.first, of.last, *of.answers)
    expected = rows(kept.result())
    assert len(expected["state_changes"]) == CHANGES.get(name, 0)
    for table in COLUMNS:
        assert Counter(held(ready.database, table)) == Counter(expected[table]), table
    assert left_alone == [+kept.result().left_alone] * 2
    assert statuses(ready) == statuses(ready, "history") == ["success", "success"]


def migrate(ready: Program, of: Stretch) -> list[dict[str, int]]:
    """Migrate history and state at the same time; return which events each has left alone."""
    each = ((*HISTORY, "history.json"), (*STATE, "--start-ledger", of.first, "state.json"))
    flags, folder = (*of.source, *BOTH, "--until-tip", "--chunk-ledgers", 5, "--report"), ready.home.parent
    for running in [ready.start(*words, *flags, folder / report) for *words, report in each]:
        ended = running.result()
        assert ended.returncode == 0, ended.stderr
    return [json.loads((folder / report).read_text())["left_alone"] for *_, report in each]
