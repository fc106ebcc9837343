"""Where a bench takes its ledgers from: real lakes in folders, those that are long enough and those that are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.bench.ledgers import SYNTHETIC, Supply
from pipeline.bench.scratch import Scratch
from pipeline.errors import Refused
from workers._decode import make_lake
from workers.messages import LedgerRange


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A lake of ledgers 2 to 31 in a folder."""
    make_lake(str(tmp_path / "lake"), ledgers=30, shape="sparse")
    return tmp_path / "lake"


@pytest.fixture
def ground(tmp_path: Path) -> Scratch:
    """A folder of a bench whose server is not needed."""
    (tmp_path / "ground").mkdir()
    return Scratch(tmp_path / "ground", None, "", 0, None)  # type: ignore[arg-type]


def test_folder_with_enough_ledgers_is_read_where_it_lies(lake: Path, ground: Scratch) -> None:
    """Its newest ledgers are taken, and nothing is copied."""
    found = Supply(str(lake)).make(ground, "lake", 20)
    assert (found.path, found.ledgers) == (lake, LedgerRange(12, 31))
    assert not list(ground.folder.iterdir())
    assert next(chunk.first for chunk in found.first(5).chunks()) == 12
    assert sum(map(len, found.first(5).chunks())) == 5


def test_lake_that_is_short_or_has_a_hole_is_repeated(lake: Path, ground: Scratch) -> None:
    """What lies in a row is not enough: a lake of its own is made of the objects that are there, and proves itself."""
    next(lake.glob("*/*--25.xdr.zst")).unlink()
    found = Supply(str(lake)).make(ground, "lake", 40)
    assert (found.path, found.ledgers) == (ground.folder / "lake", LedgerRange(2, 41))
    assert len(list((ground.folder / "sample").glob("*/*.zst"))) == 29
    assert sum(last - first + 1 for chunk in found.chunks() for _, first, last, _ in found.read(chunk).objects) == 40


def test_synthetic_ledgers_come_without_a_source(ground: Scratch) -> None:
    """Without a lake of the user's, ledgers are made up."""
    supply = Supply(None)
    assert supply.name == SYNTHETIC
    assert supply.make(ground, "lake", 3).ledgers == LedgerRange(2, 4)


def test_lake_without_ledgers_is_refused(tmp_path: Path) -> None:
    """A manifest alone is nothing to measure with."""
    make_lake(str(tmp_path / "lake"), ledgers=1, shape="sparse")
    next((tmp_path / "lake").glob("*/*.zst")).unlink()
    with pytest.raises(Refused, match="there are no ledgers in"):
        Supply(str(tmp_path / "lake"))
