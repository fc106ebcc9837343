"""Twice the cores: which limit comes first on 1 to 32 cores, by what `ledgerfill bench --json FILE` has measured.

    model.py BENCH.json [BENCH.json …]

Each limit is a rate in ledgers/s, and the lowest is what a long run reaches; a start comes before it. The model takes
the CPU and the bare COPY of a bench, never the speed of its run; so that speed, and those of benches on other numbers
of cores, are what it is held against. It knows no contention: cores that share a memory, a cache or a lock of
PostgreSQL do less than it says.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from pipeline.bench.document import Document, read
from pipeline.bench.figures import COPY, COPY_PLAIN, RUN, RUST

CORES = (1, 2, 4, 8, 16, 32)
# Of completing a segment, what cannot be shared out: one table is frozen, then its longest index is built.
LONGEST = 0.54  # synthetic ledgers; the figures of each index are in docs/store.md
START_S = 0.9  # a run of one ledger, by growth.py: its time, and CPU by process
START_CPU_S: Mapping[str, float] = MappingProxyType({"workers": 0.15, "coordinator": 0.67, "server": 0.08})
WRITTEN_KB = 1140.0  # a ledger, to disk: WAL, tables and indexes of 20,000 ledgers, by growth.py


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What a ledger costs in a run that has started, in milliseconds, by the bench of one machine."""

    workers: Mapping[str, float]  # CPU by stage; `rest` is reading and Python
    coordinator: float  # CPU
    server: float  # CPU, the building of indexes included
    copying: float  # of one connection's time, to copy the rows alone
    completing: float  # of one connection's time, for what one of them alone can do of a segment

    @property
    def cpu(self) -> float:
        """Return the CPU of all processes."""
        return sum(self.workers.values()) + self.coordinator + self.server


def costs(bench: Document) -> Costs:
    """Return what a bench says that a ledger costs."""
    measures = {measure["key"]: measure for measure in bench["measures"]}
    cpu = {key: measures[key]["cpu_ms_per_ledger"] for key in (RUN, RUST, COPY, COPY_PLAIN)}
    started = {name: ms - START_CPU_S[name] / measures[RUN]["ledgers"] * 1e3 for name, ms in cpu[RUN].items()}
    stages = {name: ms for name, ms in cpu[RUST].items() if name != "rest"}
    return Costs(
        workers=stages | {"rest": started["workers"] - sum(stages.values())},
        coordinator=started["coordinator"],
        server=started["server"],
        copying=1e3 / measures[COPY_PLAIN]["ledgers_per_s"],
        completing=(cpu[COPY]["server"] - cpu[COPY_PLAIN]["server"]) * LONGEST,
    )


def limits(of: Costs, cores: float, disk_mb_per_s: float | None = None) -> dict[str, float]:
    """Return how many ledgers a second each resource allows; connections are as many as `auto` may come to use."""
    found = {
        "all cores": cores * 1e3 / of.cpu,
        "workers": cores * 1e3 / sum(of.workers.values()),
        "connections": max(2, cores) * 1e3 / of.copying,
        "coordinator": 1e3 / of.coordinator,
        "indexes": 1e3 / of.completing,
    }
    return found if disk_mb_per_s is None else found | {"disk": disk_mb_per_s * 1e3 / WRITTEN_KB}


def first(of: Mapping[str, float]) -> str:
    """Return the name of the lowest limit."""
    return min(of, key=lambda name: of[name])


def table(of: Costs, disk_mb_per_s: float | None) -> Iterator[str]:
    """Iterate over the lines of the model: a row for each number of cores."""
    stages = ", ".join(f"{name} {ms:.2f}" for name, ms in of.workers.items())
    yield f"CPU ms a ledger: {of.cpu:.2f}: workers {sum(of.workers.values()):.2f} ({stages}),"
    yield f"  coordinator {of.coordinator:.2f}, server {of.server:.2f}"
    yield f"one connection: copying {of.copying:.2f} ms a ledger, completing segments {of.completing:.2f}"
    names = list(limits(of, 1, disk_mb_per_s))
    yield f"{'cores':>5}{''.join(name.rjust(13) for name in names)}{'ledgers/s':>13}{'disk MB/s':>13}   first limit"
    for cores in CORES:
        found = limits(of, cores, disk_mb_per_s)
        name = first(found)
        rates = "".join(f"{rate:>13,.0f}" for rate in (*found.values(), found[name]))
        yield f"{cores:>5}{rates}{found[name] * WRITTEN_KB / 1e3:>13,.0f}   {name}"


def checks(of: Costs, benches: Sequence[Document]) -> Iterator[str]:
    """Iterate over the lines that hold the model against what each bench has really reached, its start included.

    Once for all its cores, and once for what others had left of them: where they had more than the run left, they ran
    on cores that the bench did not have.
    """
    for bench in benches:
        cores, ledgers, real = bench["machine"]["cores"], bench["ledgers"], bench["ledgers_per_s"]
        others = next(measure for measure in bench["measures"] if measure["key"] == RUN)["cores_taken_by_others"]
        busy = bench["cpu_ms_per_ledger"] * real / 1e3
        yield f"  {ledgers:,} ledgers on {cores}: the run made {real:,.0f} ledgers/s"
        for left in (cores, cores - others) if busy + others <= cores else (cores,):
            modelled = ledgers / (START_S + ledgers / min(limits(of, left).values()))
            yield f"    model with {left:.2f} cores: {modelled:,.0f}, error {modelled / real - 1:+.0%}"


def main() -> None:
    """Print a model of each bench, and hold it against all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benches", type=Path, nargs="+", metavar="BENCH.json")
    parser.add_argument("--disk", type=float, metavar="MB/S", help="what the disk under the store writes")
    given = parser.parse_args()
    benches = [read(path) for path in given.benches]
    for bench in benches:
        print(f"by the bench on {bench['machine']['cores']} cores, {bench['ledgers']:,} ledgers: {bench['source']}")
        print("\n".join(table(costs(bench), given.disk)))
        print("\n".join(checks(costs(bench), benches)), end="\n\n")


if __name__ == "__main__":
    main()
