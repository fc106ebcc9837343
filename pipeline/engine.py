"""The loop of a run, which joins rules, workers, commits and clock: it delivers events and carries out actions."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Protocol

from pipeline import interrupts
from pipeline.actions import (
    Action,
    Commit,
    CompleteSegment,
    Discard,
    Dispatch,
    Finish,
    KillWorker,
    Note,
    ReadyChunk,
    StartWorker,
    Tell,
)
from pipeline.clock import RunClock
from pipeline.config import EngineSettings
from pipeline.coordinator import Coordinator
from pipeline.events import (
    CommitFailed,
    Committed,
    Event,
    FromWorker,
    Interrupt,
    SegmentCompleted,
    SegmentFailed,
    Tick,
    WorkerDied,
)
from pipeline.follower import Follower, Look
from pipeline.lanes import Lanes, Turn
from pipeline.plan import Plan
from pipeline.planning import coordinator_config
from pipeline.progress.snapshot import Snapshot
from pipeline.segments import Segment, SegmentQueue
from pipeline.source import OpenSource
from workers.pool import Pool, WorkerGone
from workers.results import ResultFolder

logger = logging.getLogger(__name__)
_SPARE_FILES = 4  # of committed chunks; the next tasks mostly come with the very commit
SNAPSHOT_S = 0.25  # how often observers see the run


class Watcher(Protocol):
    """What the engine tells of a run while it goes on."""

    def progress(self, snapshot: Snapshot) -> None:
        """See where the run stands, a few times a second."""

    def note(self, note: Note) -> None:
        """See a step against a stall."""


Completer = Callable[[CompleteSegment], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """What is done with chunks whose turn has come, and with segments that are complete."""

    commits: Sequence[Callable[[ReadyChunk, Turn], Committed]]  # called side by side, each on a thread of its own
    complete: Completer | None = None  # called on one more
    due: Sequence[Segment] = ()  # left incomplete by earlier runs
    cancel: Callable[[], None]  # ends all in hand, from the main thread: a second interrupt does not wait for it
    look: Look | None = None  # for a plan that grows: what has come


def drive(
    plan: Plan,
    settings: EngineSettings,
    source: OpenSource,
    home: Path,
    writing: Writing,
    watcher: Watcher,
) -> Finish:
    """Run `plan` with worker processes of its own, and return how it ended; nothing of it is left behind then."""
    gaps = [gap.ledgers for gap in plan.gaps] if writing.complete else None
    with ResultFolder(settings.window_bytes, home) as folder, Pool(source.worker_config) as pool:
        coordinator = Coordinator(
            plan,
            coordinator_config(settings),
            result_dir=str(folder.path),
            segments=SegmentQueue(gaps, writing.due),
            object_of=source.object_of,
        )
        return Engine(coordinator, pool, writing, watcher).run()


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

    def __init__(self, coordinator: Coordinator, pool: Pool, writing: Writing, watcher: Watcher) -> None:
        """Join the parts of a run; the pool is the caller's to close."""
        self._coordinator, self._pool, self._watcher = coordinator, pool, watcher
        self._commits = Lanes(writing.commits, CommitFailed, writing.cancel)
        self._completions = Lanes([_completing(writing.complete)], SegmentFailed, writing.cancel)
        self._follower = Follower(writing.look)
        self._signals = Signals()
        self._finish: Finish | None = None
        self._spare: list[str] = []
        self._clock = RunClock()
        self._shown = 0.0

    def run(self) -> Finish:
        """Deliver events and carry out actions until the coordinator finishes."""
        try:
            with self._signals.caught():
                self._carry_out(self._coordinator.start(self._clock()))
                while self._finish is None:
                    for event in self._wait():
                        self._carry_out(self._coordinator.handle(event, self._clock()))
                    self._show()
                return self._finish
        finally:
            # After one interrupt no commit is outstanding here, but a segment may be in hand; after two, both may be.
            at_once = self._finish is not None and self._finish.outcome == "interrupted"
            self._completions.close(at_once=at_once)
            self._commits.close(at_once=at_once)
            self._follower.close()
            self._signals.close()

    def _wait(self) -> list[Event]:
        """Wait for something to happen, at most until a deadline or the next look at the run."""
        wake = self._coordinator.next_wake(self._clock())
        timeout = SNAPSHOT_S if wake is None else min(max(wake, 0.0), SNAPSHOT_S)
        pipes = [each.readable for each in (self._commits, self._completions, self._signals, self._follower)]
        said = self._pool.wait(timeout, pipes)
        events: list[Event] = [*self._signals.events(), *self._commits.answers(), *self._completions.answers()]
        events += self._follower.events()
        for worker, message in said:
            if isinstance(message, WorkerGone):
                events.append(WorkerDied(worker, message.reason))
            else:
                events.append(FromWorker(worker, message))
        return events or [Tick()]

    def _carry_out(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case StartWorker() | Dispatch() | KillWorker():
                    self._direct(action)
                case Commit(chunk):
                    self._commits.submit(chunk)
                case CompleteSegment():
                    self._completions.submit(action)
                case Discard(path, reusable):
                    self._let_go(path, reusable=reusable)
                case Note():
                    self._watcher.note(action)
                case Tell(what):
                    logger.info(what)
                case Finish():
                    self._finish = action

    def _direct(self, action: StartWorker | Dispatch | KillWorker) -> None:
        match action:
            case StartWorker(worker):
                self._pool.start(worker)
            case Dispatch(worker, task):
                if self._spare:
                    with contextlib.suppress(FileNotFoundError):  # a run without rows makes no files
                        Path(self._spare.pop()).rename(task.path)
                self._pool.send(worker, task)
            case KillWorker(worker, reason):
                self._pool.kill(worker, reason)

    def _let_go(self, path: str, *, reusable: bool) -> None:
        """Remove a file, or keep it for a next task: writing over memory costs a third of taking it anew."""
        if reusable and len(self._spare) < _SPARE_FILES:
            self._spare.append(path)
        else:
            Path(path).unlink(missing_ok=True)

    def _show(self) -> None:
        now = self._clock()
        if self._finish is not None or now - self._shown >= SNAPSHOT_S:
            self._shown = now
            self._watcher.progress(self._coordinator.snapshot(now))


def _completing(complete: Completer | None) -> Callable[[CompleteSegment, Turn], SegmentCompleted]:
    def completed(wanted: CompleteSegment, _: Turn) -> SegmentCompleted:
        if complete is not None:
            complete(wanted)
        return SegmentCompleted(wanted.segment)

    return completed
