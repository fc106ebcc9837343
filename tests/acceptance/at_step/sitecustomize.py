"""Kills a worker at a named step of its life, once in a run: every Python process that finds this on its path does it.

The product knows nothing of it. The interpreter itself tells of each call and return (`sys.setprofile`), so the code
that runs is the real one; of all processes only those that are forked listen, which are the workers.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

STEP = os.environ["KILL_STEP"]  # what the interpreter tells of, as `name` puts it
OF = os.environ["KILL_OF"]  # `worker-1`, or the first ledger of a chunk
HOW = os.environ["KILL_HOW"]
MARK = Path(os.environ["KILL_MARK"])  # made by the kill: there is no second one
HOLD = os.environ.get("KILL_HOLD")  # first ledger of a chunk that is not worked on before that
HOLD_AT, HOLD_S = "call workers.entry:Worker.work", 10.0
HALF_FILE_BYTES = 4096
DYING = threading.Lock()  # from the mark to the death no other thread of the worker goes on


def listen() -> None:
    """Look at all that this process does from now on."""
    threading.setprofile(look)
    sys.setprofile(look)


def look(frame: FrameType, event: str, what: Any) -> None:
    """Kill this process if this is the step, or have it wait for the kill if that is meant."""
    step = name(frame, event, what)
    if step == HOLD_AT and chunk(frame) == HOLD:
        deadline = time.monotonic() + HOLD_S
        while not killed() and time.monotonic() < deadline:
            time.sleep(0.002)
    if step == STEP and OF in (chunk(frame), worker()):
        with DYING:
            if marked():
                end(frame)


def name(frame: FrameType, event: str, what: Any) -> str:
    """Name what happens: event, module and function, then the C function that it calls, then the message that it says.

    For example `c_call multiprocessing.connection:Connection._send write ChunkDone`.
    """
    said = f"{event} {frame.f_globals.get('__name__')}:{frame.f_code.co_qualname}"
    if event.startswith("c_"):
        said += f" {getattr(what, '__name__', what)}"
    if said.endswith("Connection._send write"):
        said += f" {type(found(frame, 'obj')).__name__}"
    return said


def found(frame: FrameType | None, *names: str) -> Any:
    """Return a local variable of the innermost function that has one of these."""
    while frame is not None:
        for each in names:
            if each in frame.f_locals:
                return frame.f_locals[each]
        frame = frame.f_back
    return None


def chunk(frame: FrameType) -> str:
    """Return the first ledger of the chunk that this is about."""
    about = found(frame, "task", "wanted", "ledgers")
    ledgers = getattr(about, "ledgers", about)
    return str(getattr(ledgers, "first", None))


def worker() -> str:
    """Return the name of this process, by which its pool has started it."""
    return sys.modules["multiprocessing.process"].current_process().name


def killed() -> bool:
    """Return whether the kill was done, to another process."""
    with DYING:
        return MARK.exists()


def marked() -> bool:
    """Return whether the kill is this one's to do."""
    try:
        MARK.open("x").close()
    except FileExistsError:
        return False
    return True


def end(frame: FrameType) -> None:
    """Kill this process, now or in the midst of what it is about to write."""
    if HOW == "in the midst of the file":  # the kernel does it, behind so many bytes
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (HALF_FILE_BYTES, HALF_FILE_BYTES))
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        return
    if HOW == "in the midst of the answer":
        answer = frame.f_locals["buf"]
        os.write(frame.f_locals["self"].fileno(), answer[: len(answer) // 2])
    os.kill(os.getpid(), signal.SIGKILL)


os.register_at_fork(after_in_child=listen)
