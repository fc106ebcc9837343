"""The local executor: a process a worker, its pipes shared with nobody, so that a kill harms no other."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import pickle
import resource
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from types import ModuleType
from typing import Any

import tenacity

from workers import entry
from workers.frames import FrameReader
from workers.logs import LogRelay
from workers.messages import Task, WorkerConfig, WorkerMessage

_CONTEXT = multiprocessing.get_context("forkserver")
# A killed process is gone in milliseconds, unless a dead network mount holds it in the kernel; a forkserver answers in
# milliseconds, unless it was stopped (SIGSTOP).
_JOIN_S = 5.0
_UNTOLD = 255  # the exit code of whom no forkserver has told; a worker's own are 0 and 1
_open_pools: set[int] = set()
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerGone:
    """A worker's process has ended: the last thing that is heard of it."""

    reason: str  # `killed by SIGKILL (out of memory?)`
    exitcode: int | None  # negative: the signal that ended it


@dataclass(slots=True)
class _Slot:
    process: ForkServerProcess
    reader: FrameReader
    killed_for: str | None = None


class Pool:
    """Worker processes by number. Not thread-safe; to be used from the main thread, to whose life workers are bound.

    A worker lives until it is killed, dies or the pool is closed; it is heard of until its `WorkerGone`.
    """

    def __init__(self, config: WorkerConfig) -> None:
        """Start the forkserver: workers come out of it in milliseconds."""
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("a pool starts from the main thread: the kernel ends its workers with the thread")
        self._config = config
        self._slots: dict[int, _Slot] = {}
        self._closed = False
        _allow_many_files()
        _open_pools.add(id(self))
        _start_forkserver()
        self._logs = LogRelay()

    def __enter__(self) -> Pool:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def start(self, worker: int) -> None:
        """Start a worker under a number that no living one has; it says `Ready` when it is.

        Waits for the forkserver, for a replaced one where it has died or does not answer.
        """
        if worker in self._slots:
            raise ValueError(f"worker {worker} is there already")
        ours, theirs = _CONTEXT.Pipe(duplex=True)
        records = self._logs.add()
        process = _CONTEXT.Process(
            target=entry.main,
            args=(self._config, theirs, records, logging.getLogger("workers").getEffectiveLevel()),
            name=f"worker-{worker}",
            daemon=True,
        )
        _start_process(process)
        theirs.close()
        records.close()
        self._slots[worker] = _Slot(process, FrameReader(ours))

    def send(self, worker: int, task: Task) -> None:
        """Send a task; to a worker that is gone it is lost, and `wait` tells of that."""
        slot = self._slots.get(worker)
        if slot is not None:
            with contextlib.suppress(OSError):
                slot.reader.connection.send(task)

    def kill(self, worker: int, reason: str = "") -> None:
        """Kill a worker: on return its process has ended. `wait` delivers what it said before, then `WorkerGone`."""
        slot = self._slots.get(worker)
        if slot is not None:
            slot.killed_for = reason
            slot.process.kill()
            slot.process.join(_JOIN_S)

    def wait(
        self, timeout: float | None, extra: Sequence[Connection | int] = ()
    ) -> list[tuple[int, WorkerMessage | WorkerGone]]:
        """Wait until a worker says something or ends, `extra` has something to read, or `timeout` seconds are over.

        Returns what each worker said, in its order. Without workers and `extra` only the timeout ends it.
        """
        owners = {slot.reader.connection: worker for worker, slot in self._slots.items()}
        sentinels = {slot.process.sentinel: worker for worker, slot in self._slots.items()}
        ready = wait([*owners, *sentinels, *extra], timeout)
        ended = {sentinels[item] for item in ready if isinstance(item, int) and item in sentinels}
        heard: list[tuple[int, WorkerMessage | WorkerGone]] = []
        for item in ready:
            if isinstance(item, Connection) and item in owners and owners[item] not in ended:
                worker = owners[item]
                heard += [(worker, message) for message in self._listen(worker)]
        for worker in sorted(ended):
            heard += [(worker, message) for message in self._bury(worker)]
        return heard

    def _listen(self, worker: int) -> list[WorkerMessage | WorkerGone]:
        """Read what is there; a worker that has closed its pipe without ending has broken its only duty."""
        slot = self._slots[worker]
        heard: list[WorkerMessage | WorkerGone] = _messages(slot.reader.read())
        if slot.reader.ended:
            slot.process.kill()
            heard += self._bury(worker)
        return heard

    def _bury(self, worker: int) -> list[WorkerMessage | WorkerGone]:
        """Hear a dead worker's last words, then let go of it."""
        slot = self._slots.pop(worker)
        heard: list[WorkerMessage | WorkerGone] = _messages(slot.reader.drain())
        slot.process.join(_JOIN_S)
        exitcode = slot.process.exitcode
        heard.append(WorkerGone(reason=_reason(exitcode, slot.killed_for), exitcode=exitcode))
        _let_go(slot)
        return heard

    def pids(self) -> dict[int, int]:
        """Return the process id of each living worker."""
        return {worker: slot.process.pid for worker, slot in self._slots.items() if slot.process.pid is not None}

    def close(self) -> None:
        """Kill all workers and wait for their ends; with the last pool the forkserver ends too. Twice is once."""
        if self._closed:
            return
        self._closed = True
        for slot in self._slots.values():
            slot.process.kill()
        until = time.monotonic() + _JOIN_S
        for slot in self._slots.values():
            slot.process.join(max(0.0, until - time.monotonic()))
        ended = all(slot.process.exitcode is not None for slot in self._slots.values())
        for slot in self._slots.values():
            _let_go(slot)
        self._slots.clear()
        self._logs.close()
        _open_pools.discard(id(self))
        if ended and not _open_pools:  # it would wait for one that the kernel holds
            _stop_forkserver()


@contextlib.contextmanager
def started_ahead() -> Iterator[None]:
    """Start the forkserver now, so that it loads what workers need while their coordinator gets ready.

    It ends on leaving where no pool has it. To be used from the main thread, like a pool.
    """
    _start_forkserver()
    try:
        yield
    finally:
        if not _open_pools:
            _stop_forkserver()


def _messages(frames: list[bytes]) -> list[WorkerMessage | WorkerGone]:
    return [pickle.loads(frame) for frame in frames]  # noqa: S301  # from a process of our own


def _let_go(slot: _Slot) -> None:
    slot.reader.connection.close()
    with contextlib.suppress(ValueError):  # it outlived its SIGKILL by `_JOIN_S`: the kernel holds it
        slot.process.close()


def _reason(exitcode: int | None, killed_for: str | None) -> str:
    if killed_for is not None:
        return f"killed: {killed_for}" if killed_for else "killed"
    if exitcode is not None and exitcode < 0:
        name = signal.Signals(-exitcode).name
        return f"killed by {name}{' (out of memory?)' if -exitcode == signal.SIGKILL else ''}"
    if exitcode == _UNTOLD:
        return "ended with the process that starts workers"
    return "closed its pipe" if exitcode is None else f"exited with code {exitcode}"


def _allow_many_files() -> None:
    """Open as many files as the machine lets: a worker takes five descriptors, and 1,024 are a common limit."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # no limit at all, where the kernel has one of its own
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _start_forkserver() -> None:
    """Start the forkserver, deaf to SIGINT from its first instruction: an interrupt is sent to the whole group."""
    _CONTEXT.set_forkserver_preload(["workers.preload"])
    resource_tracker.ensure_running()  # first, since it would lift the mask
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@tenacity.retry(
    retry=tenacity.retry_if_exception_type(
        (ConnectionError, EOFError)
    ),  # the forkserver has died and is not yet found dead
    stop=tenacity.stop_after_delay(2 * _JOIN_S),
    wait=tenacity.wait_fixed(0.02),
    reraise=True,
)
def _start_process(process: ForkServerProcess) -> None:
    _start_forkserver()  # a no-op while it lives
    with _bare_main_module(), _answering_forkserver():
        process.start()


@contextlib.contextmanager
def _answering_forkserver() -> Iterator[None]:
    """Kill the forkserver where what is asked of it inside takes too long: who waits for it hears that."""
    pid = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]  # there since 3.4, and its only name

    def kill() -> None:
        logger.warning("the process that starts workers has not answered in %g s: starting another", _JOIN_S)
        os.kill(pid, signal.SIGKILL)

    timer = threading.Timer(_JOIN_S, kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _stop_forkserver() -> None:
    """End and reap the two helpers that multiprocessing would leave to the end of this process."""
    # Any: what is used of the two has no public name.
    helpers: list[Any] = [forkserver._forkserver, resource_tracker._resource_tracker]
    for pid in (helpers[0]._forkserver_pid, helpers[1]._pid):
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                # Else they wait for the end of a pipe, which a process that a plug-in has forked may hold open.
                os.kill(pid, signal.SIGKILL)
    for helper in helpers:
        helper._stop()  # there since 3.9, for this very use


@contextlib.contextmanager
def _bare_main_module() -> Iterator[None]:
    """Keep a new worker from importing the command line again: multiprocessing sends it to look for `__main__`."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
