"""`verify --no-database` with 2 workers, from its start to its end, against the Rust pass alone on 2 threads: speed.

Both make every proof and no rows, in turns over the same lake. The Rust side is two processes that hold the objects of
half the lake each in memory; the run starts, finds its source and reads it like any other.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import figures
import inputs
import rust

from pipeline.usage import machine_s

WORKERS = 2
TARGET = 0.85


@dataclass(frozen=True, slots=True)
class Turn:
    """One side's turn: seconds from start to end, CPU seconds of its own, and of everybody meanwhile."""

    elapsed_s: float
    own_s: float
    machine_s: float

    @property
    def others(self) -> float:
        """The share of the cores that somebody else had."""
        return max(0.0, self.machine_s - self.own_s) / self.elapsed_s / len(os.sched_getaffinity(0))


def main() -> None:
    """Measure both lakes."""
    given = inputs.arguments(__doc__, ledgers=20000, rounds=3)
    with inputs.lakes(given.ledgers, given.lakes) as lakes:
        for lake in lakes:
            _measure(lake, given.rounds)


def _measure(lake: inputs.Input, rounds: int) -> None:
    ledgers, cut = len(lake.ledgers), lake.chunks()
    figures.title("prove: a run without rows over the Rust pass alone", lake.name, f"{ledgers} ledgers")
    middle = len(cut) // WORKERS
    sides = [rust.Alone(lake, cut[:middle]), rust.Alone(lake, cut[middle:])]
    turns = []
    for number in range(rounds + 1):  # the first fills buffers and the page cache, and does not count
        turn = (_alone(sides), *_run(lake))
        if number:
            turns.append(turn)
    for side in sides:
        side.close()
    _show("Rust alone", ledgers, [alone for alone, _, _ in turns])
    _show("the run", ledgers, [run for _, run, _ in turns])
    figures.show("the run by its own clock, ledgers/s", f"{figures.median(rate for _, _, rate in turns):.0f}")
    figures.share(
        "ledgers a second, the run over Rust alone",
        [alone.elapsed_s / run.elapsed_s for alone, run, _ in turns],
        TARGET,
        at_least=True,
    )


def _show(what: str, ledgers: int, turns: Sequence[Turn]) -> None:
    speed = figures.median(ledgers / turn.elapsed_s for turn in turns)
    figures.show(f"{what}, ledgers/s", f"{speed:.0f}")
    figures.show(f"{what}, CPU", f"{figures.median(turn.own_s for turn in turns) / ledgers * 1e3:.3f} ms a ledger")
    others = figures.median(turn.others for turn in turns)
    figures.show(f"{what}, cores taken by others", f"{others:.0%}{' TOO BUSY' if others > 0.1 else ''}")


def _alone(sides: Sequence[rust.Alone]) -> Turn:
    """Pass over the lake, each side over its half at the same time."""
    with ThreadPoolExecutor(len(sides)) as threads:
        machine, began = machine_s(), time.monotonic()
        spent = list(threads.map(lambda side: side.prove(), sides))
        return Turn(time.monotonic() - began, sum(each.cpu_s for each in spent), machine_s() - machine)


def _run(lake: inputs.Input) -> tuple[Turn, float]:
    """Type the command; return its turn and the ledgers a second that its report says."""
    command = [inputs.PROGRAM, "verify", "--no-database", "--source", lake.path, "--workers", str(WORKERS)]
    command += ["--start-ledger", str(lake.ledgers.first), "--end-ledger", str(lake.ledgers.last)]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        environment = os.environ | {"LEDGERFILL_HOME": folder}
        before, machine, began = os.times(), machine_s(), time.monotonic()
        ended = subprocess.run([*command, "--report", report], env=environment, check=False, capture_output=True)
        elapsed, machine, after = time.monotonic() - began, machine_s() - machine, os.times()
        if ended.returncode:
            raise SystemExit(f"the run ended with code {ended.returncode}:\n{ended.stderr.decode()}")
        own = after.children_user + after.children_system - before.children_user - before.children_system
        return Turn(elapsed, own, machine), json.loads(report.read_text())["rates"]["ledgers_per_s"]


if __name__ == "__main__":
    main()
