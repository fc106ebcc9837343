"""The world around a coordinator, made up: workers, commits and a clock that jumps. A seed replays exactly.

`python tests/simulation/world.py SEED` prints what happened in a run, event by event.
"""

from __future__ import annotations

import heapq
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from random import Random

from checks import Checks
from scenario import SLOWEST, Scenario, scenario, true_hash

from pipeline.actions import (
    Action,
    Commit,
    CompleteSegment,
    Discard,
    Dispatch,
    Finish,
    KillWorker,
    ReadyChunk,
    StartWorker,
)
from pipeline.coordinator import Coordinator
from pipeline.errors import BackfillError
from pipeline.events import (
    CommitFailed,
    Committed,
    Ended,
    Event,
    FromWorker,
    Grown,
    Interrupt,
    SegmentCompleted,
    SegmentFailed,
    Tick,
    WorkerDied,
)
from pipeline.segments import Segment, SegmentQueue
from workers.messages import ChunkDone, ChunkStarted, Failure, LedgerRange, Ready, Section, Task, Timings

MOST_STEPS = 4000
MOST_SECONDS = 2000.0


@dataclass
class SimWorker:
    """A worker process: what it has to do, and whether it can."""

    number: int
    alive: bool = True
    tasks: list[Task] = field(default_factory=list)
    mail: float = 0.0  # when its last message arrives; a pipe keeps the order

    def writes(self, path: str) -> bool:
        """Return whether it is at, or has queued, the task with that file."""
        return any(task.path == path for task in self.tasks)


class World:
    """Carries out a coordinator's actions and delivers what comes of them, late, twice, or never."""

    def __init__(self, what: Scenario, trace: Callable[[str], object] = lambda _: None, now: float = 1000.0) -> None:
        """Set a scenario up on a clock that does not begin at 0; `trace` gets a line for each event and action."""
        self.what, self.trace = what, trace
        self.draw = Random(what.seed ^ 0x5EED)
        segments = SegmentQueue([gap.ledgers for gap in what.plan.gaps], what.due)
        self.coordinator = Coordinator(what.plan, what.config, result_dir="/results", segments=segments)
        self.checks = Checks(what)
        self.now = self.began = now
        self.agenda: list[tuple[float, int, Callable[[], Event | None]]] = []
        self.order = count()
        self.outside = 0  # how much of the agenda comes from outside
        self.workers: dict[int, SimWorker] = {}
        self.commits: list[ReadyChunk] = []
        self.commits_done = 0
        self.commit_free = self.complete_free = self.now
        self.segments_done, self.segments_over = 0, False
        self.files: set[str] = set()
        self.finish: Finish | None = None

    def run(self) -> Finish:
        """Run to the end and return it; `AssertionError` as soon as a promise is broken."""
        for number, at in enumerate(self.what.faults.interrupts):
            self.from_outside(at, Interrupt(15 if number else 2))
        for at, gap in self.what.growth.gaps:
            self.from_outside(at, Grown(gap))
        if self.what.growth.ends_at is not None:
            lost = BackfillError("the source is gone") if self.what.growth.error else None
            self.from_outside(self.what.growth.ends_at, Ended(lost))
        self.carry_out(self.coordinator.start(self.now))
        for _ in range(MOST_STEPS):
            if self.finish:
                break
            self.step()
        assert self.finish, f"no end after {MOST_STEPS} steps"
        assert self.coordinator.handle(Tick(), self.now) == [], "something follows the end"
        assert self.coordinator.next_wake(self.now) is None, "it wants to wake up after the end"
        self.checks.at_the_end(self.finish, self.files)
        return self.finish

    @property
    def next_at(self) -> float:
        """When the next thing happens, or the coordinator wants to be woken."""
        wake = self.coordinator.next_wake(self.now)
        times = [] if wake is None else [self.now + wake]
        return min(times + [at for at, *_ in self.agenda[:1]])

    def step(self) -> None:
        """Let the next thing happen, or the time pass to when the coordinator wants to be woken."""
        wake = self.coordinator.next_wake(self.now)
        assert wake is None or wake >= 0, f"wakes {wake} s ago"
        at = self.now + wake if wake is not None else None
        if at is None and len(self.agenda) == self.outside:
            assert self.coordinator.snapshot(self.now).at_tip, "it waits for ever"
            assert self.agenda, "nobody ends it"
        if not self.agenda or (at is not None and at < self.agenda[0][0]):
            self.now, event = at or 0.0, Tick()
        else:
            self.now, _, happen = heapq.heappop(self.agenda)
            event = happen()
        assert self.now - self.began < MOST_SECONDS, f"no end after {MOST_SECONDS} s"
        if event is None:
            return
        self.trace(f"{self.now - self.began:9.3f} {event}")
        self.checks.before(event)
        self.carry_out(self.coordinator.handle(event, self.now))

    def later(self, seconds: float, happen: Callable[[], Event | None]) -> None:
        """Let something happen in a while."""
        heapq.heappush(self.agenda, (self.now + seconds, next(self.order), happen))

    def from_outside(self, seconds: float, event: Event) -> None:
        """Let something happen that no run may count on."""

        def happen() -> Event:
            self.outside -= 1
            return event

        self.outside += 1
        self.later(seconds, happen)

    def carry_out(self, actions: list[Action]) -> None:
        """Do what the coordinator wants."""
        for action in actions:
            self.trace(f"{'':9}   {action}")
            assert self.finish is None, f"{action} follows the end"
            self.checks.action(action)
            match action:
                case StartWorker(number):
                    self.start(SimWorker(number, mail=self.now))
                case Dispatch(number, task):
                    self.send(number, task)
                case KillWorker(number):
                    self.die(self.workers[number], "killed")
                case Commit(chunk):
                    assert chunk.path in self.files, f"{chunk.path} is gone before its commit"
                    self.commit(chunk)
                case CompleteSegment(segment=segment):
                    self.complete_free = max(self.complete_free, self.now) + self.draw.choice([0.01, 1.0, 20.0])
                    self.later(self.complete_free - self.now, lambda segment=segment: self.completed(segment))
                case Discard(path):
                    writers = [w.number for w in self.workers.values() if w.alive and w.writes(path)]
                    assert not writers, f"{path} is removed while worker {writers} writes it"
                    self.files.discard(path)
                case Finish():
                    self.finish = action
        self.checks.after(self.coordinator.snapshot(self.now))

    # Workers

    def storm(self, likely: float) -> bool:
        """Return whether a fault of that chance strikes now."""
        return self.draw.random() < likely and self.now - self.began < self.what.faults.storm_s

    def start(self, worker: SimWorker) -> None:
        """A process begins; it may never come up."""
        self.workers[worker.number] = worker
        faults = self.what.faults
        if faults.workers_never_start or self.storm(faults.start_dies):
            self.later(self.draw.uniform(0, 0.3), lambda: self.die(worker, "exited with code 1"))
        elif not self.storm(faults.start_hangs):
            self.say(worker, Ready(pid=worker.number), self.draw.uniform(0, 0.3))
            if self.storm(faults.idle_dies):
                self.later(self.draw.uniform(0, 5), lambda: self.die(worker, "killed by SIGTERM"))

    def say(self, worker: SimWorker, message: Ready | ChunkStarted | ChunkDone, seconds: float = 0.0) -> None:
        """A message is on its way from now on; a kill does not stop it."""
        worker.mail = max(worker.mail, self.now + seconds) + self.draw.choice([0.0, 0.01, 0.3])
        self.later(worker.mail - self.now, lambda: FromWorker(worker.number, message))

    def die(self, worker: SimWorker, reason: str) -> None:
        """A process ends; what it has said still arrives, then word of its end."""
        if worker.alive:
            worker.alive = False
            worker.mail = max(worker.mail, self.now) + self.draw.choice([0.0, 0.01, 0.3])
            self.later(worker.mail - self.now, lambda: WorkerDied(worker.number, reason))

    def send(self, number: int, task: Task) -> None:
        """A task reaches its worker, unless that is dead already."""
        worker = self.workers[number]
        worker.tasks.append(task)
        if worker.alive and len(worker.tasks) == 1:
            self.begin(worker)

    def begin(self, worker: SimWorker) -> None:
        """A worker turns to its next task."""
        task, faults = worker.tasks[0], self.what.faults
        if not self.storm(0.02):
            self.say(worker, ChunkStarted(token=task.token))
        self.files.add(task.path)
        if self.storm(faults.hang):
            return  # it never says a word again
        pace = self.what.pace_s * self.draw.choice([0.2, 1, 1, 1, SLOWEST])
        self.later(pace, lambda: self.end(worker, task))

    def end(self, worker: SimWorker, task: Task) -> None:
        """A worker comes to the end of its task, if it still lives."""
        if not worker.alive:
            return
        faults = self.what.faults
        fatal = faults.first_in(task.ledgers, "poison", "tar")
        damage = self.damage(task.ledgers)
        if fatal is not None and (damage is None or damage.ledger is None or fatal <= damage.ledger):
            if fatal == faults.poison:
                self.die(worker, "killed by SIGSEGV")
            return
        if self.storm(faults.die):
            self.die(worker, "killed by SIGKILL (out of memory?)")
            return
        self.files.add(task.path)
        done = self.result(task, damage)
        self.say(worker, done)
        if self.storm(faults.duplicate):
            self.say(worker, done)
        worker.tasks.pop(0)
        if worker.tasks:
            self.begin(worker)

    def damage(self, ledgers: LedgerRange) -> Failure | None:
        """Return what is wrong with the first bad ledger among these, or what strikes by chance."""
        faults = self.what.faults
        bad = faults.first_in(ledgers, "corrupt", "hole")
        if bad is not None and bad == faults.corrupt:
            return Failure(reason=f"corrupt ledger {bad}", transient=False, ledger=bad)
        if bad is not None:
            return Failure(reason=f"ledger {bad} is missing", transient=False, missing=True, ledger=bad)
        if self.storm(faults.transient):
            return Failure(reason="connection reset", transient=True, ledger=self.draw.choice([*ledgers]))
        if self.storm(faults.missing):
            lost = self.draw.choice([*ledgers])
            return Failure(reason=f"ledger {lost} is missing", transient=False, missing=True, ledger=lost)
        return None

    def result(self, task: Task, damage: Failure | None) -> ChunkDone:
        """Return a worker's answer: the whole chunk, or its sound first part and the damage."""
        first, last = task.ledgers.first, task.ledgers.last
        if damage and damage.ledger is not None:
            last = damage.ledger - 1
        if self.storm(self.what.faults.misfit):
            last -= 1
            damage = None
        if last < first:
            return ChunkDone(token=task.token, ledgers=None, failure=damage)
        forged = first == self.what.faults.forged
        size = sum(self.what.bytes_of(ledger) for ledger in range(first, last + 1))
        return ChunkDone(
            token=task.token,
            ledgers=LedgerRange(first, last),
            failure=damage,
            path=task.path,
            sections=(Section(table="ledgers", rows=last - first + 1, offset=0, length=size),),
            previous_hash=b"\1" * 32 if forged else true_hash(first - 1),
            first_hash=true_hash(first),
            last_hash=true_hash(last),
            plain_bytes=size,
            timings=Timings(wait_s=self.what.reading * self.what.pace_s, elapsed_s=self.what.pace_s),
        )

    # Commits

    def commit(self, chunk: ReadyChunk) -> None:
        """A transaction begins after the one before it."""
        self.commits.append(chunk)
        self.commit_free = max(self.commit_free, self.now) + self.draw.uniform(0, self.what.commit_s)
        self.later(self.commit_free - self.now, self.commit_answer)

    def commit_answer(self) -> Event | None:
        """The database answers, unless it is in doubt; after a failure it never does again."""
        if not self.commits:
            return None
        answer = self.write(self.commits[0])
        if isinstance(answer, CommitFailed):
            self.commits.clear()
        elif answer:
            del self.commits[0]
        return answer

    def write(self, chunk: ReadyChunk) -> Committed | CommitFailed | None:
        """A transaction ends."""
        if self.commits_done == self.what.faults.commit_fails_after:
            return CommitFailed(BackfillError("the database said no"))
        self.commits_done += 1
        return Committed(chunk.ledgers, {"ledgers": len(chunk.ledgers)})

    # Segments

    def completed(self, segment: Segment) -> Event | None:
        """A segment has every index; after one that failed none is heard of any more."""
        if self.segments_over:
            return None
        if self.segments_done + 1 == self.what.faults.failing_segment:
            self.segments_over = True
            return SegmentFailed(BackfillError("the disk is full"))
        self.segments_done += 1
        return SegmentCompleted(segment)


if __name__ == "__main__":
    given = scenario(int(sys.argv[1]))
    print(given)
    print(World(given, print).run())
