"""What a run takes of the machine: CPU of the coordinator and of what it started, private memory at its peak."""

from __future__ import annotations

import os
import select
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_LOOK_S = 0.2


@dataclass(slots=True)
class Usage:
    """CPU seconds and, by process, the most bytes of memory that it shared with no other."""

    own_s: float = 0.0
    children_s: float = 0.0
    peaks: dict[str, int] = field(default_factory=dict)

    @classmethod
    def until_end(cls, process: subprocess.Popen[Any]) -> Usage:
        """Look at a coordinator and its workers until it ends, and wait for it."""
        usage = cls()
        coordinator = psutil.Process(process.pid)
        while not _ended(process.pid, _LOOK_S):
            usage._look(coordinator)
        # It has ended and is not waited for: its account is final and still there, with that of all it waited for.
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        user, system, children_user, children_system = (int(field) * _TICK_S for field in fields[11:15])
        usage.own_s, usage.children_s = user + system, children_user + children_system
        process.wait()
        return usage

    def _look(self, coordinator: psutil.Process) -> None:
        self._keep("coordinator", coordinator.pid)
        try:
            below = coordinator.children(recursive=True)
        except psutil.NoSuchProcess:
            return
        for child in below:
            self._keep(f"worker {child.pid}", child.pid)  # the forkserver is smaller than any

    def _keep(self, name: str, pid: int) -> None:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:  # it has just ended
            return
        private = sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Private_"))
        self.peaks[name] = max(self.peaks.get(name, 0), private)


def machine_s() -> float:
    """Return the CPU seconds that everybody on this machine has had so far."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq)


def _ended(pid: int, wait_s: float) -> bool:
    """Wait for a child for a moment, and tell whether it has ended; it is left to be waited for."""
    descriptor = os.pidfd_open(pid)
    try:
        return bool(select.select([descriptor], [], [], wait_s)[0])
    finally:
        os.close(descriptor)
