"""The whole bench: what it measures, in which order, on ledgers enough for a run that lasts."""

from __future__ import annotations

import logging
import math
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from pipeline.bench import backfilling, copying, decoding, figures, layout
from pipeline.bench.decoding import Rows
from pipeline.bench.figures import Figure, Measured
from pipeline.bench.layout import Layout
from pipeline.bench.ledgers import Ledgers, Supply
from pipeline.bench.scratch import Scratch, scratch
from pipeline.config import cores
from pipeline.errors import Refused
from pipeline.planning import MOST_WAL_BYTES, TABLE_BYTES_A_STORED_BYTE
from pipeline.progress import units
from pipeline.store.embedded.settings import memory_bytes
from workers.results import ResultFolder

logger = logging.getLogger(__name__)
RUN_S, _MARGIN = 20.0, 1.1  # how long a run has to last at least, and how much longer is aimed at
_TRIAL_LEDGERS = 600  # which tell how many make such a run
_HELD_LEDGERS = 1000  # that the Rust pass goes over, at most
_PASSES = 2  # over them, by each thread
_MOST_CONNECTIONS = 8
_ROOM = 1.2  # for rows, over what the first chunk has
_LEDGER_BYTES = 256 << 10  # of an object, at most, where none was seen yet

Step = tuple[str, str, Callable[[str], Figure]]  # key, name for people, what to do under that name


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What is asked of a bench."""

    source: str | None  # a lake; None: synthetic ledgers
    ledgers: int | None  # of a run; None: what lasts `RUN_S`
    rounds: int  # in which everything is measured in turns
    folder: Path  # that the throw-away folder is made in


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """All that was measured, and on what."""

    measured: Measured
    source: str
    ledgers: int  # of a run
    copied: int  # by bare clients, the first of them
    chunk: int  # ledgers of the longest chunk, at most
    workers: int  # of the run with the program's own defaults
    connections: int
    processor: str
    memory_bytes: int
    server_version: str
    began: datetime
    took_s: float


def bench(wishes: Wishes) -> Bench:
    """Measure everything in turns; nothing is left afterwards. Raises `Refused` before it, `BackfillError` in it."""
    if not Path("/proc/self/smaps_rollup").exists():
        raise Refused("bench reads CPU and memory of processes from /proc, which this system does not have")
    began, start = datetime.now(UTC), time.monotonic()
    check_disk(wishes.folder, (wishes.ledgers or _TRIAL_LEDGERS) * _LEDGER_BYTES)
    supply = Supply(wishes.source)
    with scratch(wishes.folder) as ground:
        ledgers = _enough(ground, supply, wishes)
        rounds, course = _measured(ground, ledgers, wishes.rounds)
        return Bench(
            measured=Measured(cores=cores(), rounds=rounds),
            source=supply.name,
            ledgers=len(ledgers.ledgers),
            copied=course.copied,
            chunk=max(map(len, ledgers.chunks())),
            workers=course.chosen[0],
            connections=course.chosen[1],
            processor=_processor(),
            memory_bytes=memory_bytes(),
            server_version=ground.server_version,
            began=began,
            took_s=time.monotonic() - start,
        )


def check_disk(folder: Path, stored_bytes: int) -> None:
    """Raise `Refused` when a lake of so many bytes, the rows of it and the store will not fit under `folder`."""
    tables = int(stored_bytes * TABLE_BYTES_A_STORED_BYTE)
    needed = 2 * stored_bytes + tables + min(tables, MOST_WAL_BYTES)
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise Refused(f"cannot use {folder}: {error.strerror}: name another folder with --folder") from error
    if needed > free:
        raise Refused(
            f"too little disk for a bench: it takes about {units.size(needed)}, {units.size(free)} are free under "
            f"{folder}: name another folder with --folder, or fewer ledgers with --ledgers"
        )


def enough(short_run_ms: Mapping[str, float], cores: int) -> int:
    """Return how many ledgers make a run that lasts, by the CPU a ledger of a short one.

    No run is quicker than all cores together; what a start costs the coordinator is left out, since it is paid once.
    """
    ledger_s = sum(ms for name, ms in short_run_ms.items() if name != "coordinator") / 1e3
    return math.ceil(RUN_S * _MARGIN * cores / ledger_s)


def _enough(ground: Scratch, supply: Supply, wishes: Wishes) -> Ledgers:
    """Return as many ledgers as were asked for, or as a run needs to last."""
    count = wishes.ledgers
    if count is None:
        logger.info("a short run, to know how many ledgers make one of %.0f s", RUN_S)
        short = supply.make(ground, "short", _TRIAL_LEDGERS)
        ground.renew()
        report = backfilling.measure(ground, short, [], "a short run").report
        count = enough(report["cpu_ms_per_ledger_by_process"], cores())
        check_disk(ground.folder, report["bytes"]["stored"] * count // _TRIAL_LEDGERS)
    logger.info("%s ledgers: %s", units.count(count), supply.name)
    return supply.make(ground, "lake", count)


class _Course:
    """Everything that is measured in a round, in turns, on ledgers and rows that are ready."""

    def __init__(self, ground: Scratch, ledgers: Ledgers, ready: Sequence[Rows]) -> None:
        """Take where and on what it is measured."""
        self._ground, self._ledgers, self._ready = ground, ledgers, ready
        self._held = decoding.hold(ledgers, _HELD_LEDGERS)
        self.copied = sum(len(each.ledgers) for each in ready)
        self.tried = max(1, len(ledgers.ledgers) // 2)  # ledgers of a run with other workers and connections
        self.chosen = (0, 0)  # workers and connections that the program takes by itself

    def round(self, which: str) -> figures.Round:
        """Measure everything once."""
        found: dict[str, Figure] = {}
        for key, name, step in self._steps():
            logger.info("%s: %s", which, name)
            found[key] = step(name)
        return found

    def _steps(self) -> Iterator[Step]:
        yield from self._rust()
        yield from self._copies()
        yield from self._runs()

    def _rust(self) -> Iterator[Step]:
        for threads in dict.fromkeys((1, cores())):
            key = figures.RUST if threads == 1 else f"{figures.RUST}_{threads}"
            step = partial(decoding.measure, self._ledgers.passphrase, self._held, threads, _PASSES)
            yield key, f"Rust pass, {units.plural(threads, 'thread')}", step

    def _copies(self) -> Iterator[Step]:
        yield self._copy(figures.COPY_PLAIN, layout.PLAIN, 1, "COPY, no index")
        for connections in dict.fromkeys((1, 2, *_doubling(min(cores(), _MOST_CONNECTIONS)))):
            key = figures.COPY if connections == 1 else f"{figures.COPY}_{connections}"
            yield self._copy(key, layout.PRODUCT, connections, "COPY, indexes at the end")
        yield self._copy(figures.COPY_BEFORE, layout.BEFORE, 1, "COPY, all indexes in place")

    def _copy(self, key: str, tables: Layout, connections: int, what: str) -> Step:
        step = partial(copying.measure, self._ground, tables, self._ready, connections)
        return key, f"{what}, {units.plural(connections, 'connection')}", step

    def _runs(self) -> Iterator[Step]:
        yield figures.RUN, "backfill, as typed", self._run
        yield figures.BEFORE, "backfill, all indexes in place, 1 connection", self._run_before
        for workers, connections in crews(cores()):
            if (workers, connections) != self.chosen:
                name = f"backfill, {units.plural(workers, 'worker')}, {units.plural(connections, 'connection')}"
                flags = ["--workers", str(workers), "--connections", str(connections)]
                yield f"{figures.RUN}_{workers}_{connections}", name, partial(self._run_with, flags)

    def _run(self, name: str) -> Figure:
        self._ground.renew()
        run = backfilling.measure(self._ground, self._ledgers, [], name)
        self.chosen = (run.report["workers"], run.report["connections"])
        return run.figure

    def _run_before(self, name: str) -> Figure:
        self._ground.renew()
        layout.lay_before(self._ground.conn, self._ground.url, self._ledgers.ledgers)
        return backfilling.measure(self._ground, self._ledgers, ["--connections", "1"], name).figure

    def _run_with(self, flags: Sequence[str], name: str) -> Figure:
        self._ground.renew()
        return backfilling.measure(self._ground, self._ledgers.first(self.tried), flags, name).figure


def crews(most: int) -> list[tuple[int, int]]:
    """Return the workers and connections that whole runs are tried with: 1, 2, … of both, and all workers with each."""
    even = [(number, number) for number in _doubling(min(most, _MOST_CONNECTIONS))]
    return list(dict.fromkeys([*even, *((most, connections) for _, connections in even)]))


def _doubling(most: int) -> list[int]:
    """Return 1, 2, 4, … and `most` itself."""
    return [*(1 << power for power in range(most.bit_length()) if 1 << power < most), most]


def _measured(ground: Scratch, ledgers: Ledgers, rounds: int) -> tuple[Sequence[figures.Round], _Course]:
    """Have the rows ready that bare clients copy, of a third of the ledgers, and measure everything so many times."""
    copied = max(1, len(ledgers.ledgers) // 3)
    first = next(decoding.rows(ledgers, copied, ground.folder))
    needed = first.path.stat().st_size / len(first.ledgers) * copied * _ROOM
    first.path.unlink()
    with ResultFolder(int(needed), ground.folder) as folder:
        course = _Course(ground, ledgers, list(decoding.rows(ledgers, copied, folder.path)))
        return [course.round(f"round {number} of {rounds}") for number in range(1, rounds + 1)], course


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
