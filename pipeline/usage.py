"""What processes take of the machine, read from /proc: CPU seconds, also of children that ended, and private memory."""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
TICK_S = 1 / os.sysconf("SC_CLK_TCK")  # what the kernel counts CPU in
_LOOKS = 5  # at a server whose processes end meanwhile


@dataclass(frozen=True, slots=True)
class Spent:
    """CPU seconds of one process so far."""

    parent: int
    own_s: float
    ended_s: float  # of those of its children that it has waited for, theirs included


def spent(pid: int) -> Spent | None:
    """Return what a process has spent, also one that has ended and is not waited for; None where there is none."""
    try:
        # The second field is the program's name in parentheses and may hold anything: count from its end.
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    user, system, children_user, children_system = (int(ticks) * TICK_S for ticks in fields[11:15])
    return Spent(int(fields[1]), user + system, children_user + children_system)


def below(pid: int) -> dict[int, Spent]:
    """Return the processes that descend from `pid`, by their numbers, with what each has spent."""
    found = {int(path.name): spent(int(path.name)) for path in _PROC.iterdir() if path.name.isdigit()}
    parents = {number: each.parent for number, each in found.items() if each}
    family, grown = {pid}, True
    while grown:
        young = {number for number, parent in parents.items() if parent in family} - family
        family |= young
        grown = bool(young)
    return {number: each for number, each in found.items() if each and number in family and number != pid}


def tree_s(pid: int) -> float | None:
    """Return the CPU seconds of a process, of all below it and of those that have ended.

    None where there is no such process, or no /proc to ask.
    """
    if not _PROC.exists():
        return None
    before = spent(pid)
    for _ in range(_LOOKS):
        living, after = below(pid), spent(pid)
        if before is None or after is None or before.ended_s == after.ended_s:
            break
        before = after  # one has ended in between: it would count twice, or not at all
    if after is None:
        return None
    return after.own_s + after.ended_s + sum(each.own_s + each.ended_s for each in living.values())


def machine_s() -> float:
    """Return the CPU seconds that everybody on this machine has had so far."""
    user, nice, system, _idle, _iowait, irq, softirq = (
        int(ticks) * TICK_S for ticks in (_PROC / "stat").read_text().split("\n", 1)[0].split()[1:8]
    )
    return user + nice + system + irq + softirq


def peak_bytes() -> int:
    """Return the most bytes that were resident in this process since its program began.

    `ru_maxrss` also counts what the process held before that: the whole of a large one that has started it.
    """
    try:
        lines = (_PROC / "self" / "status").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):  # no /proc, or none that says so
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def private_bytes(pid: int) -> int:
    """Return the bytes of memory that a process shares with no other; 0 where there is none to be asked."""
    try:
        lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Private_"))
