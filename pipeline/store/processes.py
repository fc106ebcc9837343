"""Whether a process that signed a lock still lives; a number used again by another process does not count."""

from __future__ import annotations

import os
from pathlib import Path


def started(process_id: int) -> str:
    """Return when a process of this machine started, to be compared; empty when it is gone or cannot be told."""
    try:
        stat = Path(f"/proc/{process_id}/stat").read_text()
    except OSError:
        return ""
    # The second field is the program's name in parentheses and may hold anything: count from its end.
    state, *fields = stat.rpartition(")")[2].split()
    return "" if state in "ZX" else f"{_boot()} {fields[18]}"


def lives(process_id: int, process_started: str) -> bool:
    """Return whether the process that started then is still there."""
    if process_started:
        return started(process_id) == process_started
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is there, and somebody else's
    return True


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
