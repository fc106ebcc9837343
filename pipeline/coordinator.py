"""The coordinator: joins the rules to one machine of the form `(state, event, now) -> actions`.

It does no I/O and has no clock: the job delivers events and carries out actions, so whole runs can be simulated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import islice

from pipeline.actions import (
    Action,
    Commit,
    CompleteSegment,
    Discard,
    Finish,
    KillWorker,
    Outcome,
    StartWorker,
    Step,
    Tell,
)
from pipeline.bounds import CoordinatorConfig
from pipeline.chain import misfit
from pipeline.chunk import Attempt, Chunk, ChunkState, Result
from pipeline.commit_queue import CommitQueue
from pipeline.crew import Crew, Worker
from pipeline.dispatch import Dispatcher, note
from pipeline.errors import BackfillError, ChunkAbandoned, Interrupted, WorkersLost
from pipeline.events import CommitFailed, Committed, Ended, Event, FromWorker, Grown, Interrupt, WorkerDied
from pipeline.events import SegmentCompleted as Completed
from pipeline.events import SegmentFailed as NotCompleted
from pipeline.plan import Plan
from pipeline.progress.snapshot import Snapshot
from pipeline.segments import Segment, SegmentQueue
from pipeline.staffing import Post, Staffing
from pipeline.stall import GiveUp, TryAgain, after_failure
from pipeline.supply import MOST_ROW_BYTES, Supply
from pipeline.tally import Tally, standing
from pipeline.window import Window
from workers.messages import ChunkDone, Failure, LedgerRange, WorkerMessage


class Coordinator:
    """One run over a plan. Give it every event in the order they happen, and carry out each action it returns."""

    def __init__(
        self,
        plan: Plan,
        config: CoordinatorConfig,
        *,
        result_dir: str,
        segments: SegmentQueue | None = None,
        object_of: Callable[[int], str | None] = lambda _: None,
    ) -> None:
        """Plan to write results to files in `result_dir`, named by their token, and to complete `segments`.

        `object_of` names the object of a ledger, for who died or hung at it and could not.
        """
        self._plan, self._config = plan, config
        most = config.workers + config.more_workers
        self._chunks = most if plan.grows else sum(1 for _ in islice(plan.chunks(), most))  # what is beyond is alike
        self._supply = Supply(plan, min(MOST_ROW_BYTES, config.window_bytes // 4))
        self._object_of = object_of
        connections = Post(config.connections, config.more_connections)
        self._staffing = Staffing(Post(config.workers, config.more_workers), connections)
        self._window = Window(config.most_chunks(config.workers), config.window_bytes)
        self._crew = Crew(result_dir)
        self._dispatcher = Dispatcher(self._crew, self._window, self._supply, config.stall)
        self._hire_at = 0.0
        self._queue = CommitQueue([gap.ledgers for gap in plan.gaps], config.connections)
        self._segments = segments or SegmentQueue(None)
        self._committed_to = 0
        self._error: Exception | None = None  # what the run ends with when everything before it is committed
        self._finished = False
        self._tally = Tally()
        self._began = self._seen = 0.0
        self._actions: list[Action] = []

    def start(self, now: float) -> list[Action]:
        """Begin; over a plan without gaps the run ends here."""
        self._began = self._seen = now
        return self._advance(now)

    def handle(self, event: Event, now: float) -> list[Action]:
        """Take an event in and return what is to be done; nothing follows on the `Finish`."""
        if self._finished:
            return []
        self._count_waits(now)
        match event:
            case FromWorker(worker, message):
                self._heard(worker, message, now)
            case WorkerDied(number, reason):
                self._lost(number, f"worker died: {reason}", now, died=True)
            case Committed(ledgers, rows):
                self._committed(ledgers, rows)
            case CommitFailed(error):
                self._finish("failed", error)
            case Completed():
                self._segments.answered()
            case NotCompleted(error):
                self._segments.stop()
                self._wind_down(error)
            case Interrupt(signal):
                self._interrupt(signal)
            case Grown() | Ended():
                self._follow(event)
        return self._advance(now)

    @property
    def _most_workers(self) -> int:
        """How many workers there should be, at most one a chunk."""
        return min(self._staffing.workers, self._chunks)

    @property
    def _next_commit(self) -> int:
        """The missing ledger above the last that is committed; behind the plan's last, the one above that."""
        return self._plan.after(self._committed_to) or self._plan.wanted.last + 1

    @property
    def _at_tip(self) -> bool:
        """Whether all that there is, is done, and more is to come."""
        return self._plan.grows and self._supply.exhausted and not len(self._window) and not self._error

    def next_wake(self, now: float) -> float | None:
        """Return the seconds until a `Tick` is due, at least 0; None when only an event can change anything."""
        if self._finished:
            return None
        times = [chunk.not_before for chunk in self._window if chunk.state is ChunkState.WAITING]
        if len(self._crew) < self._most_workers:
            times.append(self._hire_at)
        times = [at for at in times if at > self._seen]  # what was past then waits for an event, not for time
        times += self._dispatcher.steps_after(self._seen)
        return max(0.0, min(times) - now) if times else None

    def snapshot(self, now: float) -> Snapshot:
        """Return how the run stands."""
        return replace(
            standing(self._tally, self._window, self._crew, now),
            elapsed_s=now - self._began,
            ledgers_wanted=self._plan.ledgers,
            at_tip=self._at_tip,
            completing=self._segments.completing,
        )

    # What follows from an event

    def _heard(self, worker: int, message: WorkerMessage, now: float) -> None:
        if isinstance(message, ChunkDone):
            self._answered(message, now)
        else:
            self._crew.heard(worker, message, now)

    def _answered(self, done: ChunkDone, now: float) -> None:
        attempt = self._crew.answered(done.token, now)
        if attempt is None:  # superseded: its file was discarded when that was known
            return
        chunk = attempt.chunk
        if attempt.superseded:
            self._discard(attempt.path)
        elif failure := misfit(chunk.ledgers, done):
            self._failed(attempt, failure, now)
        elif done.ledgers and not self._window.has_room(chunk, done.row_bytes):
            self._set_back(attempt, done.row_bytes, now)
        elif done.failure:
            self._failed(attempt, done.failure, now, done)
        else:
            self._supply.learn(chunk, done.row_bytes, now - attempt.since)
            self._dispatcher.patience.learn(chunk, done.row_bytes, now - attempt.since)
            self._hold(attempt, chunk.ledgers, done, now)

    def _failed(self, attempt: Attempt, failure: Failure, now: float, done: ChunkDone | None = None) -> None:
        """Try the chunk again, halve it, or give it up; nothing of these while another attempt may still bring it."""
        chunk = attempt.chunk
        newest = None if chunk.tip is None else self._object_of(chunk.tip)
        verdict = after_failure(self._config.stall, chunk, failure, now, newest)
        chunk.errors.append((attempt.number, failure.reason))
        others = [other.worker for other in chunk.attempts if other is not attempt]
        if others and (failure.transient or failure.missing):
            self._note("hedge", attempt, now, f"worker {others[0]} goes on alone: {failure.reason}")
            self._take_back(attempt, now, now)
        elif isinstance(verdict, TryAgain):
            if verdict.why:
                self._note("re-dispatch", attempt, now, verdict.why)
            self._take_back(attempt, verdict.not_before, now)
        elif isinstance(verdict, GiveUp):
            self._abandon(attempt, verdict.failure, now, done)
        else:
            self._take_back(attempt, now, now)
            halves = self._supply.halve(chunk)
            self._note("split", attempt, now, f"into {halves[0].ledgers} and {halves[1].ledgers}: {failure.reason}")
            self._window.split(chunk, halves)

    def _abandon(self, attempt: Attempt, failure: Failure, now: float, done: ChunkDone | None) -> None:
        """Give a chunk up: its sound part, if any, is the last thing to be committed."""
        ledgers = attempt.chunk.ledgers
        if failure.ledger is None and len(ledgers) == 1 and (key := self._object_of(ledgers.first)):
            failure = replace(failure, ledger=ledgers.first, object=key, reason=f"{failure.reason} ({key})")
        self._give_up(attempt, failure, now)
        if done and done.ledgers:
            self._hold(attempt, done.ledgers, done, now)
        else:
            self._discard(attempt.path)
            self._drop(attempt.chunk)

    def _hold(self, attempt: Attempt, ledgers: LedgerRange, done: ChunkDone, now: float) -> None:
        """Keep a result until its turn; where the hashes do not link, nothing from there on is committed."""
        result = Result(ledgers, done, attempt)
        attempt.chunk.take(result, now)
        if broken := self._queue.hold(result):
            first, failure = broken
            self._give_up(first.attempt, failure, now)
            self._drop(first.attempt.chunk)

    def _set_back(self, attempt: Attempt, row_bytes: int, now: float) -> None:
        """Drop a result that would break the window's bound: now that its size is known, it is made when it fits."""
        self._note("re-dispatch", attempt, now, f"{row_bytes} bytes of rows do not fit the window beside those held")
        self._supply.learn(attempt.chunk, row_bytes, now - attempt.since)
        attempt.chunk.size = row_bytes
        self._discard(attempt.path)
        attempt.chunk.wait(now, now)

    def _lost(self, number: int, reason: str, now: float, *, died: bool) -> None:
        """Take back what a worker had: what it was at counts as an attempt, what it had queued does not."""
        worker = self._crew.dismiss(number)
        if worker is None:
            return
        if not worker.ready:
            self._start_failed(reason, now)
        for place, attempt in enumerate(worker.tasks):
            if attempt.superseded:
                self._discard(attempt.path)
            elif place == 0:
                attempt.chunk.deaths += died
                self._failed(attempt, Failure(reason=reason + attempt.doing, transient=True), now)
            else:
                self._take_back(attempt, now, now)

    def _start_failed(self, reason: str, now: float) -> None:
        starts, stall = self._crew.failed_starts, self._config.stall
        self._hire_at = now + stall.backoff_after(starts)
        if starts >= stall.max_attempts * self._most_workers and self._crew.starting == len(self._crew):
            self._wind_down(WorkersLost(starts, reason))

    def _committed(self, ledgers: LedgerRange, rows: Mapping[str, int]) -> None:
        ready, chunk = self._queue.committed(ledgers)
        self._window.close(chunk)
        self._committed_to = ledgers.last
        self._tally.committed(ledgers, rows, ready.done)
        self._actions.append(Discard(ready.path, reusable=True))

    def _follow(self, event: Grown | Ended) -> None:
        """Go on with what has come at the end of the plan, or know that this is its end; nothing grows behind one."""
        if isinstance(event, Ended):
            self._plan = replace(self._plan, grows=False)
            if event.error and not self._error:
                self._wind_down(event.error)
        elif not self._error:
            self._plan = self._plan.grown(event.gap)
            self._supply.grow(self._plan)
            self._queue.expect(event.gap.ledgers)
            self._segments.expect(event.gap.ledgers)

    def _interrupt(self, signal: int) -> None:
        """Commit what is in order already and end; the second time, end."""
        error = Interrupted(signal)
        if isinstance(self._error, Interrupted):
            self._finish("interrupted", error)
        else:
            self._wind_down(error)

    # What follows from the state

    def _advance(self, now: float) -> list[Action]:
        """Do all that can be done now, and return it with what was decided before."""
        if not self._finished:
            self._review(now)
            self._watch(now)
            self._commit()
            self._complete(self._segments.passed(self._next_commit))
            self._staff(now)
            self._actions.extend(self._dispatcher.hand_out(self._most_workers, now))
            self._finish_if_done()
        actions, self._actions = self._actions, []
        return actions

    def _review(self, now: float) -> None:
        """Correct by what was waited for how many work and commit; who is one too many goes when it is idle."""
        if change := self._staffing.review(now, self._tally.waits, self._tally.plain_bytes):
            self._actions.append(Tell(change))
            self._queue.ahead = self._staffing.connections
            self._window.most_chunks = self._config.most_chunks(self._staffing.workers)
        for worker in self._crew.surplus(self._most_workers):
            self._kill(worker, "one fewer is wanted", now)

    def _watch(self, now: float) -> None:
        """Kill what is past its deadline, and say so of a head at half of it."""
        for worker, reason in list(self._dispatcher.overdue(now)):
            self._kill(worker, reason, now)
        self._actions.extend(self._dispatcher.suspects(now))

    def _commit(self) -> None:
        while ready := self._queue.next_commit():
            self._actions.append(Commit(ready))

    def _complete(self, given: Iterable[Segment]) -> None:
        """Ask for segments to be completed; where the run grows, its end may stand in one."""
        grows = self._plan.grows and not self._error
        self._actions += [CompleteSegment(each, beside=grows and each.past > self._next_commit) for each in given]

    def _staff(self, now: float) -> None:
        while len(self._crew) < self._most_workers and now >= self._hire_at and self._dispatcher.has_work:
            self._actions.append(StartWorker(self._crew.hire(now).number))

    # How chunks and workers leave

    def _take_back(self, attempt: Attempt, not_before: float, now: float) -> None:
        """Drop what came of an attempt; its chunk waits for another, unless one is in work already."""
        self._discard(attempt.path)
        attempt.chunk.lose(attempt, now)
        if not attempt.chunk.attempts:
            attempt.chunk.wait(not_before, now)

    def _give_up(self, attempt: Attempt, failure: Failure, now: float) -> None:
        """End the run behind a chunk: those before it go on, and what came of those after it is dropped."""
        self._note("abort", attempt, now, failure.reason)
        ledgers, errors = attempt.chunk.ledgers, attempt.chunk.errors
        before = [error for error in errors if error[0] != attempt.number]
        self._error = ChunkAbandoned(ledgers, attempt.number, failure, attempt.worker, before)
        self._supply.stop()
        for chunk in self._window.from_ledger(ledgers.last + 1):
            self._drop(chunk)

    def _wind_down(self, error: Exception) -> None:
        """End the run behind what is in order already."""
        self._error = error
        self._supply.stop()
        for chunk in [chunk for chunk in self._window if not chunk.in_order]:
            self._drop(chunk)

    def _drop(self, chunk: Chunk) -> None:
        """Let go of a chunk; a worker that is still at it may go on, its result is superseded."""
        self._window.close(chunk)
        chunk.attempts.clear()
        if chunk.result:
            self._discard(chunk.result.attempt.path)

    def _kill(self, worker: Worker, reason: str, now: float) -> None:
        self._actions.append(KillWorker(worker.number, reason))
        self._lost(worker.number, reason, now, died=False)

    def _finish_if_done(self) -> None:
        if len(self._window) or not self._supply.exhausted:
            return
        if self._at_tip:
            self._complete(self._segments.reached(self._next_commit))
            return
        if not isinstance(self._error, Interrupted):  # who ends early by a failure leaves every index behind, too
            self._complete(self._segments.begun(self._next_commit))
            if self._segments.completing:
                return
        if self._error:
            self._finish("interrupted" if isinstance(self._error, Interrupted) else "failed", self._error)
        elif self._queue.next_ledger is not None or self._tally.ledgers != self._plan.ledgers:
            done = f"{self._tally.ledgers} of {self._plan.ledgers} ledgers"
            self._finish("failed", BackfillError(f"nothing is left to do, but only {done} were committed"))
        else:
            self._finish("success")

    def _finish(self, outcome: Outcome, error: Exception | None = None) -> None:
        """End the run: kill who still writes, discard every file that is left."""
        for worker in self._crew:
            if worker.tasks:
                self._actions.append(KillWorker(worker.number, "the run ends"))
            for attempt in worker.tasks:
                self._discard(attempt.path)
        for result in filter(None, [chunk.result for chunk in self._window]):
            self._discard(result.attempt.path)
        self._finished = True
        self._actions.append(Finish(outcome, error))

    def _discard(self, path: str) -> None:
        self._actions.append(Discard(path))

    def _note(self, step: Step, attempt: Attempt, now: float, why: str) -> None:
        self._actions.append(note(step, attempt, now, why))

    def _count_waits(self, now: float) -> None:
        seconds, self._seen = now - self._seen, now
        if self._supply.exhausted and not len(self._window) and (self._segments.completing or self._at_tip):
            self._tally.rested(seconds, completing=self._segments.completing > 0)
            return
        self._tally.waited(
            seconds,
            idle=self._crew.idle,
            committing=self._queue.committing > 0,
            late=self._window.head if self._queue.held else None,
            window_full=not self._supply.exhausted,
        )
