"""The loop of a run, which joins rules, workers, commits and clock: it delivers events and carries out actions."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Protocol

from pipeline import interrupts
from pipeline.actions import Action, Commit, Discard, Dispatch, Finish, KillWorker, Note, ReadyChunk, StartWorker
from pipeline.config import EngineSettings
from pipeline.coordinator import Coordinator
from pipeline.events import CommitFailed, Committed, Event, FromWorker, Interrupt, Tick, WorkerDied
from pipeline.plan import Plan
from pipeline.planning import coordinator_config
from pipeline.progress.snapshot import Snapshot
from pipeline.source import OpenSource
from workers.pool import Pool, WorkerGone
from workers.results import ResultFolder

logger = logging.getLogger(__name__)
SNAPSHOT_S = 0.25  # how often observers see the run
_GRACE_S, _AT_ONCE_S = 0.5, 3.0  # what a commit has before it is cancelled, and then, where a run ends at once


class Watcher(Protocol):
    """What the engine tells of a run while it goes on."""

    def progress(self, snapshot: Snapshot) -> None:
        """See where the run stands, a few times a second."""

    def note(self, note: Note) -> None:
        """See a step against a stall."""


@dataclass(frozen=True, slots=True)
class Commits:
    """What is done with chunks whose turn has come."""

    commit: Callable[[ReadyChunk], Committed]  # called in ledger order, on one thread that is not the main one
    cancel: Callable[[], None]  # ends the one in hand, from the main thread: a second interrupt does not wait for it


def drive(
    plan: Plan,
    settings: EngineSettings,
    source: OpenSource,
    home: Path,
    commits: Commits,
    watcher: Watcher,
) -> Finish:
    """Run `plan` with worker processes of its own, and return how it ended; nothing of it is left behind then."""
    with ResultFolder(settings.window_bytes, home) as folder, Pool(source.worker_config) as pool:
        coordinator = Coordinator(plan, coordinator_config(settings), result_dir=str(folder.path))
        return Engine(coordinator, pool, CommitThread(commits), watcher).run()


class CommitThread:
    """Carries out commits in the order given, on a thread of its own, so that the loop never waits for the database.

    After the first that fails nothing is carried out any more: one `CommitFailed` answers all that are left.
    """

    def __init__(self, commits: Commits) -> None:
        """Start the thread; `commit` is called on it alone, `cancel` never."""
        self._commits = commits
        self._todo: queue.SimpleQueue[ReadyChunk | None] = queue.SimpleQueue()
        self._answers: deque[Committed | CommitFailed] = deque()
        self.readable, self._wake = os.pipe()
        self._thread = threading.Thread(target=self._run, name="commit", daemon=True)
        self._thread.start()

    def submit(self, chunk: ReadyChunk) -> None:
        """Ask for one more commit, after those before it."""
        self._todo.put(chunk)

    def answers(self) -> Iterator[Committed | CommitFailed]:
        """Iterate over what was answered since the last call; `readable` has a byte for each."""
        while self._answers:
            os.read(self.readable, 1)
            yield self._answers.popleft()

    def close(self, *, at_once: bool = False) -> None:
        """End the thread after the commit it is in; what was asked for behind that is left undone.

        `at_once`: cancel that commit if it takes long, and leave it to itself if even that does not end it.
        """
        with contextlib.suppress(queue.Empty):
            while True:
                self._todo.get_nowait()
        self._todo.put(None)
        if at_once and not self._ended_at_once():
            logger.warning("not waiting for a commit that does not end")
            return  # it may still write to the pipe
        self._thread.join()
        os.close(self.readable)
        os.close(self._wake)

    def _ended_at_once(self) -> bool:
        self._thread.join(_GRACE_S)
        end = time.monotonic() + _AT_ONCE_S
        while self._thread.is_alive() and time.monotonic() < end:
            self._commits.cancel()  # again and again: between two statements it finds nothing to cancel
            self._thread.join(0.1)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (chunk := self._todo.get()) is not None:
            try:
                answer: Committed | CommitFailed = self._commits.commit(chunk)
            except Exception as error:  # a thread's outermost door: what it is gets decided where the run ends
                answer = CommitFailed(error)
            self._answers.append(answer)
            os.write(self._wake, b"\0")
            if isinstance(answer, CommitFailed):
                return


class Signals:
    """Interrupts as events, and as a readable file descriptor that ends a wait."""

    def __init__(self) -> None:
        """Prepare the pipe; nothing is caught before `caught`."""
        self.readable, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        self._received: deque[int] = deque()
        self._heard = False

    @contextlib.contextmanager
    def caught(self) -> Iterator[None]:
        """Catch them meanwhile; outside the main thread, where Python delivers none, do nothing.

        Once one was heard, all are ignored from then on: the end is coming, and what it clears away must not be cut
        short by who asks for it again.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._receive) for number in interrupts.heeded()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, signal.SIG_IGN if self._heard else handler)

    def close(self) -> None:
        """Close the pipe; no signal is caught any more."""
        os.close(self.readable)
        os.close(self._wake)

    def events(self) -> Iterator[Interrupt]:
        """Iterate over the signals received since the last call."""
        while self._received:
            os.read(self.readable, 1)
            yield Interrupt(self._received.popleft())

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        self._heard = True
        interrupts.received(number)
        self._received.append(number)
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake, b"\0")


class Engine:
    """One run: `run` returns how it ended, when all workers are idle or gone and no commit is outstanding."""

    def __init__(self, coordinator: Coordinator, pool: Pool, commits: CommitThread, watcher: Watcher) -> None:
        """Join the parts of a run; the pool is the caller's to close."""
        self._coordinator, self._pool, self._commits, self._watcher = coordinator, pool, commits, watcher
        self._signals = Signals()
        self._finish: Finish | None = None
        self._shown = 0.0

    def run(self) -> Finish:
        """Deliver events and carry out actions until the coordinator finishes."""
        try:
            with self._signals.caught():
                self._carry_out(self._coordinator.start(time.monotonic()))
                while self._finish is None:
                    for event in self._wait():
                        self._carry_out(self._coordinator.handle(event, time.monotonic()))
                    self._show()
                return self._finish
        finally:
            # After one interrupt no commit is outstanding here; after two, one may be.
            self._commits.close(at_once=self._finish is not None and self._finish.outcome == "interrupted")
            self._signals.close()

    def _wait(self) -> list[Event]:
        """Wait for something to happen, at most until a deadline or the next look at the run."""
        wake = self._coordinator.next_wake(time.monotonic())
        timeout = SNAPSHOT_S if wake is None else min(max(wake, 0.0), SNAPSHOT_S)
        said = self._pool.wait(timeout, [self._commits.readable, self._signals.readable])
        events: list[Event] = [*self._signals.events(), *self._commits.answers()]
        for worker, message in said:
            if isinstance(message, WorkerGone):
                events.append(WorkerDied(worker, message.reason))
            else:
                events.append(FromWorker(worker, message))
        return events or [Tick()]

    def _carry_out(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Dispatch(worker, task):
                    self._pool.send(worker, task)
                case Commit(chunk):
                    self._commits.submit(chunk)
                case Discard(path):
                    Path(path).unlink(missing_ok=True)
                case StartWorker(worker):
                    self._pool.start(worker)
                case KillWorker(worker, reason):
                    self._pool.kill(worker, reason)
                case Note():
                    self._watcher.note(action)
                case Finish():
                    self._finish = action

    def _show(self) -> None:
        now = time.monotonic()
        if self._finish is not None or now - self._shown >= SNAPSHOT_S:
            self._shown = now
            self._watcher.progress(self._coordinator.snapshot(now))
