"""Who works at what: each worker's next chunk, who is late, and which chunk a second one may try meanwhile."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.actions import Action, Dispatch, Note, Step
from pipeline.chunk import Attempt, Chunk, ChunkState
from pipeline.crew import Crew, Worker
from pipeline.stall import Late, Patience, StallConfig
from pipeline.supply import Supply
from pipeline.window import Window


class Dispatcher:
    """Hands chunks of the window and of the supply to the crew; the lowest that may be worked on goes first."""

    def __init__(self, crew: Crew, window: Window, supply: Supply, stall: StallConfig) -> None:
        """Hand out what the window admits."""
        self._crew, self._window, self._supply = crew, window, supply
        self._start_deadline_s = stall.start_deadline_s
        self.patience = Patience(stall)

    @property
    def has_work(self) -> bool:
        """Whether a chunk waits for a worker, now or later."""
        return not self._supply.exhausted or any(chunk.state is ChunkState.WAITING for chunk in self._window)

    def overdue(self, now: float) -> Iterator[tuple[Worker, str]]:
        """Iterate over the workers to kill, each with the reason."""
        for worker in self._crew:
            attempt = worker.in_work
            if not worker.ready and now >= worker.since + self._start_deadline_s:
                yield worker, f"worker had not started after {self._start_deadline_s:g} s"
            elif attempt and self.patience.lateness(attempt, now) is Late.OVERDUE:
                yield worker, f"no result after {self._deadline(attempt)}, worker killed"

    def suspects(self, now: float) -> Iterator[Note]:
        """Iterate over those that everything waits for, each once."""
        for worker in self._crew:
            attempt = worker.in_work
            if attempt and not attempt.suspected and worker.has(self._window.head) and self._is_late(attempt, now):
                attempt.suspected = True
                end = f"the worker is killed after {self._deadline(attempt)}"
                yield note("suspect", attempt, now, f"no result yet{attempt.doing}, everything waits for it; {end}")

    def hand_out(self, most: int, now: float) -> Iterator[Action]:
        """Give `most` workers the head's hedge, then chunk after chunk; who is still idle hedges what else is late."""
        late = [worker for worker in self._crew if worker.in_work and self._is_very_late(worker.in_work, now)]
        alone = [each.chunk for worker in late for each in worker.tasks if each.chunk.attempts == [each]]
        alone = sorted((chunk for chunk in alone if not chunk.hedged), key=lambda chunk: chunk.ledgers.first)
        if alone and alone[0] is self._window.head and (worker := self._crew.free(most, late)):
            yield from self._hedge(worker, alone.pop(0), now)
        while (worker := self._crew.free(most, late)) and (chunk := self._next_chunk(now)):
            yield self._give(worker, chunk, now)
        while alone and (worker := self._crew.free(most, late, idle=True)):
            yield from self._hedge(worker, alone.pop(0), now)

    def steps_after(self, seen: float) -> Iterator[float]:
        """Iterate over the times, after what was `seen`, at which a worker is later than before."""
        for worker in self._crew:
            if not worker.ready:
                yield worker.since + self._start_deadline_s
            elif attempt := worker.in_work:
                yield self.patience.next_step_at(attempt, seen)

    def _hedge(self, worker: Worker, chunk: Chunk, now: float) -> Iterator[Action]:
        """Have a second worker at a chunk: the first result counts."""
        at_it, chunk.hedged = chunk.attempts[0], True
        yield self._give(worker, chunk, now)
        why = f"worker {at_it.worker} has brought no result after {now - at_it.since:.1f} s: the first of both counts"
        yield note("hedge", chunk.attempts[-1], now, why)

    def _give(self, worker: Worker, chunk: Chunk, now: float) -> Dispatch:
        return Dispatch(worker.number, self._crew.give(worker, chunk, now))

    def _next_chunk(self, now: float) -> Chunk | None:
        """Return the lowest chunk that may be worked on now; none is overtaken because it does not fit."""
        chunk = self._window.waiting(now)
        if chunk:
            return chunk if self._window.serves(chunk) else None
        return self._supply.open_next(self._window)

    def _is_late(self, attempt: Attempt, now: float) -> bool:
        return self.patience.lateness(attempt, now) is not Late.NO

    def _is_very_late(self, attempt: Attempt, now: float) -> bool:
        return self.patience.lateness(attempt, now) in (Late.HEDGE, Late.OVERDUE)

    def _deadline(self, attempt: Attempt) -> str:
        return f"{round(self.patience.deadline_s(attempt.chunk), 1):g} s"


def note(step: Step, attempt: Attempt, now: float, why: str) -> Note:
    """Return a step that concerns an attempt."""
    return Note(
        step=step,
        chunk=attempt.chunk.ledgers,
        worker=attempt.worker,
        attempt=attempt.number,
        elapsed_s=now - attempt.since,
        why=why,
    )
