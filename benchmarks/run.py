"""The whole run, 2 workers, server on the same cores, against the roofline of that run; its CPU and its memory.

The roofline is what the machine could do if nothing but the unavoidable were done, and no core ever idle:
cores over (CPU a ledger of the Rust pass + CPU a ledger of bare COPY, client and server), taken on the same ledgers
right before each run. The run is the command as typed, from its start to its end.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import chunks
import figures
import inputs
import rust
import server
from usage import Usage, machine_s

from pipeline.store import partitions

WORKERS = 2
ROOFLINE, OVERHEAD = 0.6, 0.05
MB = 1e6


@dataclass(frozen=True, slots=True)
class Roofline:
    """CPU seconds that all ledgers of a lake cannot do without."""

    rust_s: float
    client_s: float
    server_s: float
    client_whole_s: float  # with its start and its connection

    def rate(self, ledgers: int) -> float:
        """Return ledgers a second on all cores."""
        return ledgers * len(os.sched_getaffinity(0)) / (self.rust_s + self.client_s + self.server_s)


@dataclass(frozen=True, slots=True)
class Run:
    """What one run took."""

    elapsed_s: float
    server_s: float  # CPU, as the next three
    coordinator_s: float
    workers_s: float  # and the forkserver
    peaks: dict[str, int]  # private memory at its highest, bytes by process
    machine_s: float  # CPU, of everybody
    plain_bytes: int  # read

    @property
    def own_s(self) -> float:
        """CPU of the run, its server's included."""
        return self.coordinator_s + self.workers_s + self.server_s


def main() -> None:
    """Measure both lakes."""
    given = inputs.arguments(__doc__, ledgers=8000, rounds=3)
    with inputs.lakes(given.ledgers, given.lakes) as lakes:
        for lake in lakes:
            with server.store() as store:
                _measure(lake, given.rounds, store)


def _measure(lake: inputs.Input, rounds: int, store: server.Store) -> None:
    cut, ledgers = lake.chunks(), len(lake.ledgers)
    figures.title("run: a whole backfill over its roofline", lake.name, f"{ledgers} ledgers in {len(cut)} chunks")
    partitions.ensure(store.conn, lake.ledgers)
    turns = []
    for _ in range(rounds):
        limit = _roofline(lake, store)
        turns.append((limit, run := _run(lake, store)))
        _show_turn(ledgers, limit, run)
    figures.share(
        "ledgers a second over the roofline",
        [ledgers / run.elapsed_s / limit.rate(ledgers) for limit, run in turns],
        ROOFLINE,
        at_least=True,
    )
    figures.share(
        "coordinator beyond a bare COPY client, of the run's CPU",
        [(run.coordinator_s - limit.client_whole_s) / (run.coordinator_s + run.workers_s) for limit, run in turns],
        OVERHEAD,
    )
    _show_memory(max(len(chunk) for chunk in cut), ledgers, [run for _, run in turns])


def _show_turn(ledgers: int, limit: Roofline, run: Run) -> None:
    def each(seconds: float) -> str:
        return f"{seconds / ledgers * 1e3:.3f}"

    limits = " + ".join(map(each, (limit.rust_s, limit.client_s, limit.server_s)))
    figures.show("roofline: ms a ledger of Rust + COPY client + server", limits)
    spent = " + ".join(map(each, (run.workers_s, run.coordinator_s, run.server_s)))
    figures.show("run: ms a ledger of workers + coordinator + server", spent)
    figures.show("roofline, ledgers/s", f"{limit.rate(ledgers):.0f}")
    figures.show("run, ledgers/s", f"{ledgers / run.elapsed_s:.0f}")
    cores = len(os.sched_getaffinity(0)) * run.elapsed_s
    figures.show("of the cores, kept busy by the run", f"{run.own_s / cores:.0%}")
    others = max(0.0, run.machine_s - run.own_s) / cores
    figures.show("of the cores, taken by others", f"{others:.0%}{' TOO BUSY' if others > 0.1 else ''}")


def _show_memory(most: int, ledgers: int, runs: list[Run]) -> None:
    plain = max(run.plain_bytes for run in runs) / ledgers * most
    for name in ("coordinator", "worker"):
        allowed = 150 * MB + (3 * plain if name == "worker" else 0)
        peak = max(size for run in runs for process, size in run.peaks.items() if process.startswith(name))
        figures.show(f"private memory of the {name} at its peak", f"{peak / MB:.0f} MB")
        figures.share(f"private memory of the {name} over {allowed / MB:.0f} MB", [peak / MB / (allowed / MB)], 1.0)


def _roofline(lake: inputs.Input, store: server.Store) -> Roofline:
    """Pass over the lake in Rust and let a bare client copy the rows, chunk by chunk."""
    store.empty()
    alone = rust.Alone(lake, lake.chunks())
    command = [sys.executable, str(Path(__file__).with_name("client.py")), store.url]
    client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert client.stdin is not None
    assert client.stdout is not None
    copy_s = rust_s = 0.0
    before = store.cpu_s()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        for number, done in enumerate(chunks.decoded(lake, Path(folder))):
            rust_s += alone.one(number).cpu_s
            sections = (f"{part.table} {part.offset} {part.length}" for part in done.sections)
            print(done.path, *sections, file=client.stdin, flush=True)
            copy_s += float(client.stdout.readline())
            Path(done.path).unlink()
    client.stdin.close()
    whole_s = Usage.until_end(client).own_s
    client.stdout.close()
    alone.close()
    return Roofline(rust_s, copy_s, store.cpu_s() - before, whole_s)


def _run(lake: inputs.Input, store: server.Store) -> Run:
    """Type the command."""
    store.empty()
    command = [inputs.PROGRAM, "backfill", "--source", lake.path, "--start-ledger", str(lake.ledgers.first)]
    command += ["--end-ledger", str(lake.ledgers.last), "--workers", str(WORKERS)]
    with tempfile.TemporaryDirectory() as folder:
        report, log = Path(folder) / "report.json", Path(folder) / "log"
        environment = os.environ | {"DATABASE_URL": store.url, "LEDGERFILL_HOME": folder}
        before, machine, began = store.cpu_s(), machine_s(), time.monotonic()
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*command, "--report", report], env=environment, stdout=out, stderr=subprocess.STDOUT
            )
            usage = Usage.until_end(process)
        elapsed, machine = time.monotonic() - began, machine_s() - machine
        if process.returncode != 0:
            raise SystemExit(f"the run ended with code {process.returncode}:\n{log.read_text()}")
        return Run(
            elapsed_s=elapsed,
            server_s=store.cpu_s() - before,
            coordinator_s=usage.own_s,
            workers_s=usage.children_s,
            peaks=usage.peaks,
            machine_s=machine,
            plain_bytes=json.loads(report.read_text())["bytes"]["plain"],
        )


if __name__ == "__main__":
    main()
