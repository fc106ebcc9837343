"""The two lakes that every benchmark reads: the real ledgers repeated, and a synthetic one in the shape of pubnet."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.plan import CostModel, Gap, Plan
from workers.messages import LedgerRange
from workers.sources import FetchLimits, FoundLake, Object, Reading, find_lake

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = Path(sys.executable).with_name("ledgerfill")
REAL = ROOT.parent / "shared" / "ledgers" / "pubnet"
SCRATCH = Path("/var/tmp")  # where throw-away folders are made
FIRST = 2  # ledger of both lakes


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One lake on disk."""

    name: str
    path: Path
    ledgers: LedgerRange
    found: FoundLake

    @property
    def passphrase(self) -> str:
        """The network that its hashes are of."""
        assert self.found.manifest is not None
        return self.found.manifest.network_passphrase

    def read(self, ledgers: LedgerRange) -> Reading:
        """Read the objects of some ledgers into memory, as Python bytes."""
        reading = self.found.lake.read(ledgers)
        assert reading.failure is None, reading.failure
        objects: list[Object] = [(name, first, last, bytes(data)) for name, first, last, data in reading.objects]
        return Reading(objects, reading.stored_bytes)

    def chunks(self) -> list[LedgerRange]:
        """Cut the lake as a backfill of it does."""
        sizes = self.found.lake.sizes(range(self.ledgers.first, self.ledgers.last + 1, 37))
        plan = Plan(wanted=self.ledgers, gaps=(Gap(ledgers=self.ledgers),), cost=CostModel(sizes.items()))
        return list(plan.chunks())


def arguments(what: str | None, *, ledgers: int, rounds: int) -> argparse.Namespace:
    """Read the flags that all benchmarks have."""
    parser = argparse.ArgumentParser(description=what, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--ledgers", type=int, default=ledgers, help="of each lake")
    parser.add_argument("--rounds", type=int, default=rounds, help="in which both sides take turns")
    parser.add_argument("--lakes", type=Path, help="folder where the lakes are kept and found again")
    return parser.parse_args()


@contextmanager
def lakes(ledgers: int, kept: Path | None = None, *, only: str | None = None) -> Iterator[list[Input]]:
    """Make the lakes, or one alone, in a folder that goes away, or in `kept`, where those that are there are taken."""
    folder = kept.absolute() if kept else Path(tempfile.mkdtemp(prefix="ledgerfill-lakes-", dir=SCRATCH))
    try:
        yield [_lake(folder, name, flags, ledgers) for name, flags in _kinds() if only in (None, name)]
    finally:
        if not kept:
            shutil.rmtree(folder)


def _kinds() -> list[tuple[str, list[str]]]:
    kinds = [("synthetic", ["--shape", "pubnet"])]
    if REAL.is_dir():
        return [("real", ["--from", str(REAL)]), *kinds]
    print(f"no real ledgers: there is no folder {REAL}")
    return kinds


def _lake(folder: Path, name: str, flags: list[str], ledgers: int) -> Input:
    path = folder / f"{name}-{ledgers}"
    if not (path / "expected.json").exists():
        shutil.rmtree(path, ignore_errors=True)
        command = [
            Path(sys.executable).with_name("ledgerfill"),
            "lake",
            "make",
            path,
            "--ledgers",
            str(ledgers),
            *flags,
        ]
        subprocess.run([*command, "--start-ledger", str(FIRST)], check=True, stdout=subprocess.DEVNULL)
    return Input(
        name=name,
        path=path,
        ledgers=LedgerRange(FIRST, FIRST + ledgers - 1),
        found=find_lake(str(path), ledger=FIRST, limits=FetchLimits()),
    )
