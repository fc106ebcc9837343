"""A coordinator driven by hand: its chunks are of ten ledgers, its answers and its clock are the test's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from pipeline.actions import Action, Commit, CompleteSegment, Discard, Dispatch, Finish, Note, StartWorker
from pipeline.bounds import CoordinatorConfig
from pipeline.coordinator import Coordinator
from pipeline.events import Committed, Ended, Event, FromWorker, Grown, SegmentCompleted, Tick
from pipeline.plan import ChunkSize, Gap, Plan
from pipeline.segments import Segment, SegmentQueue
from pipeline.stall import StallConfig
from workers.messages import ChunkDone, Failure, LedgerRange, Ready, Section, Task

STALL = StallConfig(
    floor_s=60.0, ceiling_s=60.0, max_attempts=3, backoff_s=1.0, hole_deadline_s=10.0, start_deadline_s=30.0
)
RESET = Failure(reason="connection reset", transient=True, ledger=15)
CORRUPT = Failure(reason="corrupt ledger 15", transient=False, ledger=15)


def hash_of(ledger: int) -> bytes:
    return ledger.to_bytes(32, "big")


class Run:
    """A coordinator over chunks of ten ledgers, and a clock that is set by hand."""

    def __init__(  # noqa: PLR0913  # each test names the one or two that it is about
        self,
        *gaps: Gap | tuple[int, int],
        workers: int = 1,
        window: int | None = 20,
        window_bytes: int = 1 << 30,
        ahead: int = 2,
        object_of: Callable[[int], str | None] = lambda _: None,
        tip: int | None = None,
        due: Sequence[Segment] | None = None,
    ) -> None:
        """Start over these gaps; up to a `tip` that moves, and completing segments where some may be `due`."""
        parts = tuple(gap if isinstance(gap, Gap) else Gap(ledgers=LedgerRange(*gap)) for gap in gaps)
        wanted = LedgerRange(1, tip or (parts[-1].ledgers.last if parts else 10))
        size = ChunkSize(exact_ledgers=10, border=None)
        plan = Plan(wanted=wanted, gaps=parts, size=size, grows=tip is not None)
        segments = SegmentQueue(None if due is None else [gap.ledgers for gap in parts], due or ())
        config = CoordinatorConfig(
            workers=workers, window_chunks=window, window_bytes=window_bytes, connections=ahead, stall=STALL
        )
        self.coordinator = Coordinator(plan, config, result_dir="/r", segments=segments, object_of=object_of)
        self.now = 0.0
        self.acknowledged = 0
        self.tasks: dict[int, Task] = {}
        self.all: list[Action] = []
        self.keep(self.coordinator.start(self.now))

    def keep(self, actions: list[Action]) -> list[Action]:
        """Remember what is wanted."""
        self.all += actions
        for action in actions:
            if isinstance(action, Dispatch):
                self.tasks[action.task.token] = action.task
        return actions

    def tell(self, event: Event) -> list[Action]:
        """Something happens; returns what follows at once."""
        return self.keep(self.coordinator.handle(event, self.now))

    def up(self, *workers: int) -> None:
        """Workers have started."""
        for worker in workers:
            self.tell(FromWorker(worker, Ready(pid=worker)))

    def done(self, token: int, *, to: int | None = None, failure: Failure | None = None, size: int = 1) -> list[Action]:
        """A worker answers with its chunk, or with what is sound of it up to a ledger."""
        task = self.tasks[token]
        last = task.ledgers.last if failure is None else to
        if last is None:
            return self.tell(FromWorker(1, ChunkDone(token=token, ledgers=None, failure=failure)))
        first = task.ledgers.first
        answer = ChunkDone(
            token=token,
            ledgers=LedgerRange(first, last),
            failure=failure,
            path=task.path,
            sections=(Section(table="events", rows=3, offset=0, length=size),),
            previous_hash=hash_of(first - 1),
            last_hash=hash_of(last),
        )
        return self.tell(FromWorker(1, answer))

    def committed(self, first: int, last: int) -> list[Action]:
        """A commit is acknowledged."""
        return self.tell(Committed(LedgerRange(first, last), {"events": 3}))

    def hang_at(self, ledger: int) -> Finish:
        """The only worker brings everything but what has that ledger, which it hangs at each time; returns the end."""
        at = 0
        while not isinstance(self.all[-1], Finish):
            gone = {action.path for action in self.all if isinstance(action, Discard)}
            task = next((task for task in self.tasks.values() if task.path not in gone and task.token > at), None)
            if task and ledger not in task.ledgers:
                at = task.token
                self.done(task.token)
                self.acknowledge()
            else:
                self.tick(self.coordinator.next_wake(self.now) or 0.0)
            started = [action.worker for action in self.all if isinstance(action, StartWorker)]
            self.up(started[-1])
        return self.all[-1]

    def acknowledge(self) -> None:
        """Every commit that was asked for and is not answered yet is in the database."""
        while left := [each.chunk.ledgers for each in self.all if isinstance(each, Commit)][self.acknowledged :]:
            self.acknowledged += 1
            self.tell(Committed(left[0], {"events": 3}))

    def grow(self, first: int, last: int) -> list[Action]:
        """More ledgers have come."""
        return self.tell(Grown(Gap(ledgers=LedgerRange(first, last))))

    def end(self, error: Exception | None = None) -> list[Action]:
        """Nothing more will come."""
        return self.tell(Ended(error))

    def completed(self, segment: Segment) -> list[Action]:
        """A segment has every index."""
        return self.tell(SegmentCompleted(segment))

    def tick(self, seconds: float) -> list[Action]:
        """Time passes."""
        self.now += seconds
        return self.tell(Tick())


def commits(actions: Iterable[Action]) -> list[str]:
    return [str(action.chunk.ledgers) for action in actions if isinstance(action, Commit)]


def handed_out(actions: Iterable[Action]) -> list[str]:
    return [f"{action.task.ledgers} to {action.worker}" for action in actions if isinstance(action, Dispatch)]


def completions(actions: Iterable[Action]) -> list[Segment]:
    return [action.segment for action in actions if isinstance(action, CompleteSegment)]


def steps(actions: Iterable[Action]) -> list[str]:
    return [f"{note.step} {note.chunk}" for note in actions if isinstance(note, Note)]


def of(kind: type[Action], actions: Iterable[Action]) -> list[Action]:
    return [action for action in actions if isinstance(action, kind)]
