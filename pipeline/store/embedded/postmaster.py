"""What `postmaster.pid` says, and whether the process it names is the server of this folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Postmaster:
    """The first process of a server, as it wrote itself down."""

    pid: int
    port: int  # 0 until it listens
    state: str  # `starting`, `ready`, `stopping`; empty before it says


def read(data: Path) -> Postmaster | None:
    """Return what `postmaster.pid` says, also of a process that is gone; None where there is none to read."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
        return Postmaster(
            pid=abs(int(lines[0])),
            port=int(lines[3] or 0) if len(lines) > 3 else 0,  # noqa: PLR2004  # the fourth line
            state=lines[7].strip() if len(lines) > 7 else "",  # noqa: PLR2004  # the eighth line
        )
    except (OSError, ValueError, IndexError):  # none, or it is being written
        return None


def serving(data: Path) -> Postmaster | None:
    """Return the postmaster that has this folder, or None: a zombie has none, nor has a number used again."""
    found = read(data)
    return found if found is not None and _has(found.pid, data) else None


def blocks_start(pid: int) -> bool:
    """Return whether PostgreSQL would take a process, whatever it is, for a postmaster that lives: zombies too."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's: PostgreSQL sees through most of these, and nothing is lost by being careful
    return True


def _has(pid: int, data: Path) -> bool:
    """Return whether a process lives and works in `data`, as every process of a server does."""
    if not _PROC.exists():  # a system without it: as pg_ctl does, trust the number
        return blocks_start(pid)
    try:
        if (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] in "ZX":
            return False
        return _works_in(pid, data)
    except OSError:
        return False


def _works_in(pid: int, data: Path) -> bool:
    try:
        return (_PROC / str(pid) / "cwd").stat().st_ino == data.stat().st_ino
    except PermissionError:  # root without CAP_SYS_PTRACE, in a container: a command line is open to everyone
        return os.fsencode(data) in (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
