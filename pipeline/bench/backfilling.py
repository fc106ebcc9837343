"""Whole backfills as typed: the command in a process of its own, from its start to its end, and all that it takes."""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import usage
from pipeline.bench.figures import Figure
from pipeline.bench.ledgers import Ledgers
from pipeline.bench.scratch import Scratch
from pipeline.errors import BackfillError

_LOOK_S = 0.2  # between two looks at the memory of a run


@dataclass(frozen=True, slots=True)
class Run:
    """A run that ended well, and its own report."""

    figure: Figure
    report: dict[str, Any]  # JSON


def measure(scratch: Scratch, ledgers: Ledgers, flags: Sequence[str], name: str) -> Run:
    """Run the command over `ledgers` into the store as it is."""
    report = scratch.folder / "report.json"
    command: list[str | Path] = ["backfill", "--source", ledgers.path, "--report", report, *flags]
    command += ["--start-ledger", str(ledgers.ledgers.first), "--end-ledger", str(ledgers.ledgers.last)]
    before, machine, began = scratch.cpu_s(), usage.machine_s(), time.monotonic()
    with scratch.child(*command) as process:
        taken = _until_end(process)
    elapsed, server = time.monotonic() - began, scratch.cpu_s() - before
    scratch.require_success(process, name)
    found = json.loads(report.read_text())
    cpu = {"workers": taken.ended_s, "coordinator": taken.own_s, "server": server}
    figure = Figure(
        name=name,
        ledgers=found["ledgers"],
        elapsed_s=elapsed,
        rows=sum(found["rows"].values()),
        plain_bytes=found["bytes"]["plain"],
        cpu_s=cpu,
        memory=found["peak_memory_bytes"],
        private=taken.private,
        others_s=max(0.0, usage.machine_s() - machine - sum(cpu.values())),
    )
    return Run(figure, found)


@dataclass(frozen=True, slots=True)
class _Taken:
    own_s: float  # CPU of the coordinator
    ended_s: float  # CPU of all that it started: the forkserver and the workers
    private: dict[str, int]


def _until_end(process: subprocess.Popen[bytes]) -> _Taken:
    """Look at the memory of a run until it ends, and take its CPU before it is waited for."""
    private: defaultdict[str, int] = defaultdict(int)
    while not _ended(process.pid, _LOOK_S):
        for name, size in _private(process.pid):
            private[name] = max(private[name], size)
    # It has ended and is not waited for: its account is final and still there, with that of all it waited for.
    spent = usage.spent(process.pid)
    process.wait()
    if spent is None:
        raise BackfillError("the run's account is gone before it was read")
    return _Taken(spent.own_s, spent.ended_s, dict(private))


def _private(coordinator: int) -> Iterator[tuple[str, int]]:
    yield "coordinator", usage.private_bytes(coordinator)
    for child in usage.below(coordinator):
        yield "worker", usage.private_bytes(child)  # the forkserver is smaller than any


def _ended(pid: int, wait_s: float) -> bool:
    """Wait for a child for a moment, and tell whether it has ended; it is left to be waited for."""
    descriptor = os.pidfd_open(pid)
    try:
        return bool(select.select([descriptor], [], [], wait_s)[0])
    finally:
        os.close(descriptor)
