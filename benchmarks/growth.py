"""How time and memory of a backfill grow with its ledgers: the command as typed over growing parts of one lake.

Each run fills an empty store. Twenty thousand ledgers against two thousand: ten times the time, the same memory. A run
of one ledger shows what a start and an end take; they count, and the ratio without them stands beside. The curve is
drawn into growth.svg.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import figures
import inputs
import psycopg
from curve import Curve, drawing

from pipeline.bench import backfilling
from pipeline.bench.figures import Figure
from pipeline.bench.ledgers import Ledgers
from pipeline.bench.scratch import Scratch, scratch

COUNTS = (2_000, 5_000, 10_000, 20_000)
TURNS = 4_000  # ledgers of one length, in as many runs as that makes, at least one: of short runs the median counts
PICTURE = Path(__file__).with_suffix(".svg")
TOLERANCE = 0.10
MIB = 1 << 20
_BOOKS = "SELECT pg_current_wal_lsn() - '0/0', pg_database_size(current_database())"


@dataclass(frozen=True, slots=True)
class Grown:
    """One run, and what it left on disk."""

    figure: Figure
    wal_bytes: int
    store_bytes: int

    @property
    def private_mib(self) -> float:
        """Memory that no other process has, of the coordinator and of the largest worker, each at its highest."""
        return sum(self.figure.private.values()) / MIB


def main() -> None:
    """Run over each length, and draw the curve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--ledgers", type=int, nargs="+", default=COUNTS, help="of the runs, ascending")
    parser.add_argument("--lakes", type=Path, help="folder where the lakes are kept and found again")
    parser.add_argument("--svg", type=Path, default=PICTURE, help="where the curve is drawn")
    given = parser.parse_args()
    with inputs.lakes(max(given.ledgers), given.lakes, only="synthetic") as (lake,), scratch(inputs.SCRATCH) as ground:
        figures.title("growth: a backfill of more and more ledgers", lake.name, f"up to {len(lake.ledgers):,} ledgers")
        _read(lake)
        ledgers = Ledgers(path=lake.path, ledgers=lake.ledgers, found=lake.found)
        (start,) = _runs(ground, ledgers.first(1), 1)
        curve = [_middle(_runs(ground, ledgers.first(count), max(1, TURNS // count))) for count in given.ledgers]
    _judge(start, curve)
    points = [(each.figure.ledgers, each.figure.elapsed_s, each.figure.peak_memory_mib) for each in curve]
    given.svg.write_text(drawing(Curve(points)))


def _read(lake: inputs.Input) -> None:
    """Read every object once: the first run shall not be the only one that waits for the disk."""
    for path in lake.path.rglob("*"):
        if path.is_file():
            path.read_bytes()


def _runs(ground: Scratch, ledgers: Ledgers, turns: int) -> Iterator[Grown]:
    for _ in range(turns):
        ground.renew()
        before, _ = _books(ground.conn)
        figure = backfilling.measure(ground, ledgers, [], f"backfill of {len(ledgers.ledgers)} ledgers").figure
        after, size = _books(ground.conn)
        yield Grown(figure, after - before, size)
        _show(Grown(figure, after - before, size))


def _books(conn: psycopg.Connection) -> tuple[int, int]:
    """Return the position in WAL and the size of the store, in bytes."""
    wal, size = conn.execute(_BOOKS).fetchone() or (0, 0)
    return int(wal), int(size)


def _show(grown: Grown) -> None:
    figure, count = grown.figure, grown.figure.ledgers
    cpu = ", ".join(f"{name} {ms:.2f}" for name, ms in figure.cpu_ms.items())
    memory = ", ".join(f"{name} {size / MIB:.0f}" for name, size in figure.memory.items())
    others = figure.others_s / figure.elapsed_s
    figures.show(f"{count:,} ledgers", f"{figure.elapsed_s:.2f} s, {figure.ledgers_per_s:.0f} ledgers/s")
    print(
        f"    memory, MiB: {figure.peak_memory_mib:.0f} resident ({memory}), {grown.private_mib:.0f} private; "
        f"CPU ms a ledger: {cpu}; WAL {grown.wal_bytes / count / 1e3:.0f} kB a ledger, "
        f"store {grown.store_bytes / count / 1e3:.0f} kB; others took {others:.2f} cores",
        flush=True,
    )


def _middle(runs: Iterator[Grown]) -> Grown:
    """Return the run whose time is the median."""
    taken = sorted(runs, key=lambda each: each.figure.elapsed_s)
    return taken[len(taken) // 2]


def _judge(start: Grown, curve: Sequence[Grown]) -> None:
    """Print the ratios of the longest over the shortest."""
    shortest, longest = curve[0].figure, curve[-1].figure
    times, start_s = longest.ledgers / shortest.ledgers, start.figure.elapsed_s
    what = f"{longest.ledgers:,} over {shortest.ledgers:,} ledgers"
    _ratio(f"{what}: time, for {times:g} times the ledgers", longest.elapsed_s / shortest.elapsed_s / times)
    steady = (longest.elapsed_s - start_s) / (shortest.elapsed_s - start_s) / times
    _ratio(f"  the same without the {start_s:.2f} s of a run of one ledger", steady)
    _ratio("  CPU a ledger, all processes", sum(longest.cpu_ms.values()) / sum(shortest.cpu_ms.values()))
    _ratio("  WAL a ledger", curve[-1].wal_bytes / curve[0].wal_bytes / times)
    _ratio("  memory, resident", longest.peak_memory_mib / shortest.peak_memory_mib)
    _ratio("  memory, private", curve[-1].private_mib / curve[0].private_mib)


def _ratio(what: str, ratio: float) -> None:
    verdict = "met" if abs(ratio - 1) <= TOLERANCE else "MISSED"
    print(f"= {what:<66}{ratio:>8.3f}   1 ± {TOLERANCE:g}: {verdict}", flush=True)


if __name__ == "__main__":
    main()
