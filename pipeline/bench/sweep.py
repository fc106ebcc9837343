"""Waits for a bench to end, however it does; then ends what it had started and its server, and deletes its folder.

A program of its own, in a session of its own: `sweep.py FOLDER`; its standard input ends with the bench. What a bench
starts works in FOLDER, and is known by that.
"""

import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

_TERM_S, _KILL_S = 10.0, 5.0  # within which a process ends when it is asked to, and when it is not


def main() -> None:
    """Wait, and sweep."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.read()
    folder = Path(sys.argv[1])
    _end(folder, signal.SIGTERM, _TERM_S)
    _end(folder, signal.SIGKILL, _KILL_S)
    from pipeline.store.embedded import EmbeddedServer  # here: what waits needs nothing

    try:
        EmbeddedServer(folder / "home").reset()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _end(folder: Path, number: signal.Signals, wait_s: float) -> None:
    """Send a signal to all that work in the folder, and wait for a while."""
    for pid in _working(folder):
        with suppress(ProcessLookupError):
            os.kill(pid, number)
    end = time.monotonic() + wait_s
    while _working(folder) and time.monotonic() < end:
        time.sleep(0.02)


def _working(folder: Path) -> list[int]:
    """Return the processes whose working folder it is; the server's is one further down."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has just ended, or is somebody else's
            if (process / "cwd").readlink() == folder:
                found.append(int(process.name))
    return found


if __name__ == "__main__":
    main()
