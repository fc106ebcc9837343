"""The crew: which workers there are and what each was given; a worker's number is never used again."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import islice

from pipeline.chunk import Attempt, Chunk, ChunkState
from workers.messages import ChunkStarted, PlugInCalled, Ready, Task, WorkerMessage

TASKS_A_WORKER = 2  # one in work, one to read ahead for


@dataclass(slots=True, eq=False)
class Worker:
    """One process; `tasks[0]` is in work, `tasks[1]` queued."""

    number: int
    since: float  # when it was started
    ready: bool = False
    tasks: list[Attempt] = field(default_factory=list)

    @property
    def in_work(self) -> Attempt | None:
        """What it is at."""
        return self.tasks[0] if self.tasks else None

    def has(self, chunk: Chunk | None) -> bool:
        """Return whether it is at that chunk, or has it queued."""
        return any(attempt.chunk is chunk for attempt in self.tasks)


class Crew:
    """The living workers, and every attempt that was not answered yet, by its token."""

    def __init__(self, result_dir: str) -> None:
        """Begin with nobody; results are to be written to `result_dir`, each under its token."""
        self._result_dir = result_dir
        self._workers: dict[int, Worker] = {}
        self._attempts: dict[int, Attempt] = {}
        self._hired = self._tokens = 0
        self.failed_starts = 0  # in a row

    def __len__(self) -> int:
        """Return how many workers live, those that are starting included."""
        return len(self._workers)

    def __iter__(self) -> Iterator[Worker]:
        """Iterate in the order of their start."""
        return iter(tuple(self._workers.values()))

    @property
    def busy(self) -> int:
        """How many have something in work."""
        return sum(1 for worker in self._workers.values() if worker.tasks)

    @property
    def starting(self) -> int:
        """How many have not said yet that they are up."""
        return sum(1 for worker in self._workers.values() if not worker.ready)

    @property
    def idle(self) -> int:
        """How many are up and have nothing to do."""
        return sum(1 for worker in self._workers.values() if worker.ready and not worker.tasks)

    def hire(self, now: float) -> Worker:
        """Add a worker that is about to start."""
        self._hired += 1
        worker = Worker(number=self._hired, since=now)
        self._workers[worker.number] = worker
        return worker

    def heard(self, number: int, message: WorkerMessage, now: float) -> None:
        """Take in what a worker says of itself; what it has done is for `answered`."""
        if isinstance(message, ChunkStarted):
            self.began(message.token, now)
        elif isinstance(message, PlugInCalled):
            if attempt := self._attempts.get(message.token):
                attempt.doing = f" while plug-in {message.plug_in} was at work"
        elif isinstance(message, Ready):
            self.ready(number)

    def ready(self, number: int) -> None:
        """Note that a worker has started; nothing follows for one that is gone."""
        if worker := self._workers.get(number):
            worker.ready = True
            self.failed_starts = 0

    def dismiss(self, number: int) -> Worker | None:
        """Forget a worker and what it was given, and return it; None when it is gone already."""
        worker = self._workers.pop(number, None)
        if worker is None:
            return None
        if not worker.ready:
            self.failed_starts += 1
        for attempt in worker.tasks:
            del self._attempts[attempt.token]
        return worker

    def free(self, most: int, late: Collection[Worker] = (), *, idle: bool = False) -> Worker | None:
        """Return the worker to give the next task: an idle one, else the one that has been at its only task longest.

        Only the first `most` get one, and none that is `late` with what it has. Nothing is queued while a worker is
        starting: it will be idle in a moment.
        """
        tasks = 1 if self.starting or idle else TASKS_A_WORKER
        first = islice(self._workers.values(), most)
        open_to_more = [each for each in first if each.ready and len(each.tasks) < tasks and each not in late]
        return min(open_to_more, key=_turn, default=None)

    def surplus(self, most: int) -> list[Worker]:
        """Return those behind the first `most` that are idle."""
        return [worker for worker in islice(self, most, None) if worker.ready and not worker.tasks]

    def give(self, worker: Worker, chunk: Chunk, now: float) -> Task:
        """Make a chunk the next that a worker has to do, as one more attempt, and return the task to send."""
        self._tokens += 1
        attempt = Attempt(
            token=self._tokens,
            number=chunk.failures + len(chunk.attempts) + 1,
            chunk=chunk,
            worker=worker.number,
            path=f"{self._result_dir}/{self._tokens}",
            since=now,
            in_work=not worker.tasks,
        )
        chunk.attempts.append(attempt)
        chunk.state = ChunkState.WORK
        worker.tasks.append(attempt)
        self._attempts[attempt.token] = attempt
        return Task(token=attempt.token, attempt=attempt.number, ledgers=chunk.ledgers, path=attempt.path)

    def began(self, token: int, now: float) -> None:
        """Count an attempt's deadline from now."""
        if attempt := self._attempts.get(token):
            attempt.since, attempt.in_work = now, True

    def answered(self, token: int, now: float) -> Attempt | None:
        """Take an attempt off its worker, whose next one's turn it is; None for a token that nobody waits for."""
        attempt = self._attempts.pop(token, None)
        if attempt is None:
            return None
        tasks = self._workers[attempt.worker].tasks
        tasks.remove(attempt)
        if tasks:
            tasks[0].since, tasks[0].in_work = max(tasks[0].since, now), True
        return attempt


def _turn(worker: Worker) -> tuple[int, float]:
    return len(worker.tasks), worker.tasks[0].since if worker.tasks else 0.0
