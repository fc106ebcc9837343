"""A whole backfill from a lake whose every object comes 50 ms late, against the same server without the delay: speed.

The lake is read over HTTP from `file_server.py`, once late and once not, in turns; the run is the command as typed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import figures
import inputs
import psutil

from pipeline.bench.scratch import Scratch, scratch

WORKERS = 2
DELAY_MS = 50
TARGET = 0.9


@dataclass(frozen=True, slots=True)
class Files:
    """A running file server."""

    port: int
    process: psutil.Process

    def cpu_s(self) -> float:
        """Return the CPU seconds that it has had."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


@dataclass(frozen=True, slots=True)
class Run:
    """What one run took."""

    elapsed_s: float
    waited_s: float  # for bytes, by all workers together
    files_s: float  # CPU of the file server


def main() -> None:
    """Measure both lakes."""
    given = inputs.arguments(__doc__, ledgers=8000, rounds=3)
    with inputs.lakes(given.ledgers, given.lakes) as lakes:
        for lake in lakes:
            with ExitStack() as stack:
                sides = [stack.enter_context(_files(lake, delay)) for delay in (0, DELAY_MS)]
                _measure(lake, given.rounds, sides, stack.enter_context(scratch(inputs.SCRATCH)))


def _measure(lake: inputs.Input, rounds: int, sides: list[Files], store: Scratch) -> None:
    ledgers = len(lake.ledgers)
    figures.title(f"latency: a backfill with {DELAY_MS} ms an object over one without", lake.name, f"{ledgers} ledgers")
    turns = [_turn(lake, sides, store, late_first=number % 2 == 0) for number in range(rounds)]
    for number, side in enumerate(("without delay", f"with {DELAY_MS} ms an object")):
        runs = [turn[number] for turn in turns]
        figures.show(f"{side}, ledgers/s", f"{ledgers / figures.median(run.elapsed_s for run in runs):.0f}")
        waited = figures.median(run.waited_s / run.elapsed_s / WORKERS for run in runs)
        figures.show("  of the workers' time, waiting for bytes", f"{waited:.0%}")
        files = figures.median(run.files_s for run in runs) / ledgers * 1e3
        figures.show("  CPU of the file server", f"{files:.3f} ms a ledger")
    figures.share(
        f"speed with {DELAY_MS} ms an object over the speed without",
        [prompt.elapsed_s / late.elapsed_s for prompt, late in turns],
        TARGET,
        at_least=True,
    )


def _turn(lake: inputs.Input, sides: list[Files], store: Scratch, *, late_first: bool) -> list[Run]:
    """Run once from each side; who comes first changes, since a new server makes its files for the first run."""
    step = -1 if late_first else 1
    return [_run(lake, files, store) for files in sides[::step]][::step]


@contextmanager
def _files(lake: inputs.Input, delay_ms: int) -> Iterator[Files]:
    """Serve the folder that holds the lake."""
    command = [
        sys.executable,
        Path(__file__).with_name("file_server.py"),
        lake.path.parent,
        "--delay-ms",
        str(delay_ms),
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield Files(int(process.stdout.readline()), psutil.Process(process.pid))
        process.communicate()  # closes its standard input, which ends it


def _run(lake: inputs.Input, files: Files, store: Scratch) -> Run:
    """Type the command."""
    store.renew()
    command = [inputs.PROGRAM, "backfill", "--source", f"s3://{lake.path.name}", "--workers", str(WORKERS)]
    command += ["--start-ledger", str(lake.ledgers.first), "--end-ledger", str(lake.ledgers.last)]
    environment = os.environ | {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{files.port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_SKIP_SIGNATURE": "true",
        "AWS_REGION": "us-east-1",
        "DATABASE_URL": store.url,
    }
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        before, began = files.cpu_s(), time.monotonic()
        ended = subprocess.run(
            [*command, "--report", report],
            env=environment | {"LEDGERFILL_HOME": folder},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        elapsed = time.monotonic() - began
        if ended.returncode != 0:
            raise SystemExit(f"the run ended with code {ended.returncode}:\n{ended.stdout}")
        waited = json.loads(report.read_text())["stages_s"]["wait"]
        return Run(elapsed, waited, files.cpu_s() - before)


if __name__ == "__main__":
    main()
