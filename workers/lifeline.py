"""A worker never outlives the coordinator: the kernel kills it, and it watches for itself as well.

`PR_SET_PDEATHSIG` follows the thread that forked, so the forkserver has to be started from the main thread.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from multiprocessing.connection import wait

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Have the kernel send this process SIGKILL when its parent ends (Linux; elsewhere only the watch is left).

    So it is with what this process forks, as a plug-in may.
    """
    os.register_at_fork(after_in_child=_die_with_parent)
    _die_with_parent()


def _die_with_parent() -> None:
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "cannot set PR_SET_PDEATHSIG")


def watch_coordinator() -> None:
    """End this process at once when the process that asked for it is gone, whatever it is doing."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_watch, args=(parent.sentinel,), name="lifeline", daemon=True).start()


def _watch(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
