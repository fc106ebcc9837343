"""What a plug-in in Python alone costs that wants the mints, about 1 % of the events: CPU and time.

A worker's chunk with its history and state over the same chunk with what any migration reads of contracts: CPU, in
turns, chunk by chunk. Then `migrate history` and `migrate current-state` as typed, over those of a plug-in that wants
nothing: CPU of the workers, their start with pyarrow included, and time.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import figures
import inputs
import mints
import psycopg
from worker import through_python

from pipeline.bench.scratch import Scratch, scratch
from workers import allocator
from workers._decode import Decoder
from workers.entry import Worker
from workers.messages import CONTRACTS
from workers.protocols.plug_in import PlugIn

TARGET = 1.1
WORKERS = 2
_ENTRY = "[ledgerfill.protocols]\nmints = mints:MINTS\nnothing = mints:NOTHING\n"
_AGAIN = """
    DELETE FROM ledgerfill.ingest_store;
    UPDATE ledgerfill.protocols SET history_from = NULL, current_state_from = NULL;
    TRUNCATE ledgerfill.state_changes, ledgerfill.mints_got, ledgerfill.nothing_got
"""


@dataclass(frozen=True, slots=True)
class Spent:
    """Two migrations: seconds from start to end, and CPU seconds of their workers."""

    elapsed_s: float
    workers_s: float


def main() -> None:
    """Measure both lakes."""
    given = inputs.arguments(__doc__, ledgers=2000, rounds=5)
    allocator.keep_freed_memory()  # as a worker does
    with inputs.lakes(given.ledgers, given.lakes) as lakes, _installed():
        for lake in lakes:
            with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
                _chunks(lake, given.rounds, Path(folder))
            with scratch(inputs.SCRATCH) as ground:
                _migrations(lake, given.rounds, ground)


@contextmanager
def _installed() -> Iterator[None]:
    """Have both plug-ins beside the program."""
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "mints-1.0.dist-info"
        told.mkdir()
        (told / "METADATA").write_text("Metadata-Version: 2.1\nName: mints\nVersion: 1.0\n")
        (told / "entry_points.txt").write_text(_ENTRY)
        os.environ["PYTHONPATH"] = os.pathsep.join((folder, str(Path(__file__).parent)))
        yield


def _chunks(lake: inputs.Input, rounds: int, folder: Path) -> None:
    chunks = lake.chunks()[:16]
    readings = [lake.read(chunk) for chunk in chunks]
    figures.title("plugin: a worker's chunk with a plug-in over one without, CPU", lake.name, f"{len(chunks)} chunks")
    plug_in = PlugIn(mints.MINTS, [*mints.MINTS.history, "mints_got"])
    sides = [_worker(lake, []), _worker(lake, [plug_in])]
    ratios, spent = [], [[], []]
    for number in range(rounds + 1):  # the first fills buffers and does not count
        turn = [0.0, 0.0]
        for chunk, reading in zip(chunks, readings, strict=True):
            for side, worker in enumerate(sides):
                turn[side] += through_python(worker, chunk, reading, folder / str(side))
        if number:
            ratios.append(turn[1] / turn[0])
            for side in (0, 1):
                spent[side].append(turn[side])
    ledgers = sum(map(len, chunks))
    for name, side in (("without", 0), ("with the plug-in", 1)):
        figures.show(name, f"{figures.median(spent[side]) / ledgers * 1e3:.3f} ms a ledger")
    figures.share("with the plug-in over without, CPU", ratios, TARGET)


def _worker(lake: inputs.Input, plug_ins: Sequence[PlugIn]) -> Worker:
    wanted = [plug_in.wanted for plug_in in plug_ins]
    decoder = Decoder(lake.passphrase, tables=CONTRACTS, wanted=wanted)
    return Worker(lake.found.lake, decoder, print, plug_ins)


def _migrations(lake: inputs.Input, rounds: int, ground: Scratch) -> None:
    title = "plugin: migrations of a plug-in over those of one that wants nothing"
    source = ("--source", lake.path, "--start-ledger", str(lake.ledgers.first))
    both = ("--protocol-id", "MINTS", "--protocol-id", "NOTHING")
    for command in (("backfill", *source), ("setup", *both)):
        _run(ground, *command)
    figures.title(title, lake.name, f"{len(lake.ledgers)} ledgers, {WORKERS} workers")
    turns: list[tuple[Spent, Spent]] = []
    for _ in range(rounds + 1):  # the first fills the page cache and does not count
        turns.append((_migrated(lake, ground, "MINTS"), _migrated(lake, ground, "NOTHING")))
        with psycopg.connect(ground.url) as conn:
            rows = conn.execute("SELECT count(*) FROM ledgerfill.state_changes").fetchone()
            conn.execute(_AGAIN)
    figures.show("rows of history", f"{rows[0] if rows else 0:,}")
    for name, side in (("wants nothing", 1), ("wants the mints", 0)):
        elapsed, cpu = zip(*((turn[side].elapsed_s, turn[side].workers_s) for turn in turns[1:]), strict=True)
        told = f"{figures.median(elapsed):.2f} s, {figures.median(cpu) / len(lake.ledgers) / 2 * 1e3:.3f} ms a ledger"
        figures.show(f"{name}: time, CPU of the workers", told)
    figures.share("CPU of the workers", [one.workers_s / none.workers_s for one, none in turns[1:]], TARGET)
    figures.share("time", [one.elapsed_s / none.elapsed_s for one, none in turns[1:]], TARGET)


def _migrated(lake: inputs.Input, ground: Scratch, name: str) -> Spent:
    flags = ("--source", lake.path, "--protocol-id", name, "--until-tip", "--workers", str(WORKERS))
    began, workers_s = time.monotonic(), 0.0
    for kind in (("history",), ("current-state", "--start-ledger", str(lake.ledgers.first))):
        report = ground.folder / "report.json"
        _run(ground, "migrate", *kind, *flags, "--report", report)
        said = json.loads(report.read_text())
        workers_s += said["cpu_ms_per_ledger_by_process"]["workers"] * said["ledgers"] / 1e3
    return Spent(time.monotonic() - began, workers_s)


def _run(ground: Scratch, *command: str | Path) -> None:
    with ground.child(*command) as process:
        process.wait()
    ground.require_success(process, command[0] if isinstance(command[0], str) else command[0].name)


if __name__ == "__main__":
    main()
