"""What must hold in every run after every step, told from outside: by events and actions alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from scenario import Scenario, true_hash

from pipeline.actions import (
    Action,
    Commit,
    CompleteSegment,
    Discard,
    Dispatch,
    Finish,
    KillWorker,
    Note,
    StartWorker,
    Tell,
)
from pipeline.crew import TASKS_A_WORKER
from pipeline.errors import ChunkAbandoned, Interrupted, WorkersLost
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
    WorkerDied,
)
from pipeline.plan import Gap
from pipeline.progress.snapshot import Snapshot
from pipeline.segments import Segment
from workers.messages import ChunkDone, LedgerRange, Task


class Checks:
    """Follows a run from outside and asserts the engine's promises; `probes` counts what it came through."""

    def __init__(self, what: Scenario) -> None:
        """Expect nothing yet."""
        self.what = what
        self.plan = what.plan  # as it has grown
        self.probes: Counter[str] = Counter()
        self.tasks: dict[int, Task] = {}  # by token, all ever dispatched
        self.discarded: set[str] = set()
        self.living: dict[int, set[int]] = {}  # worker: tokens without an answer
        self.started: set[int] = set()
        self.answers: dict[int, ChunkDone] = {}  # by token, the first delivered
        self.asked: list[LedgerRange] = []  # commits asked for
        self.answered = 0  # of these, in the database
        self.planned: list[LedgerRange] = []  # chunks handed out, whole
        self.stale: set[int] = set()  # tokens of attempts that ended when their chunk's result did not fit
        self.halved: list[LedgerRange] = []  # chunks that were split
        self.notes: list[Note] = []
        self.interrupts = 0
        self.commit_failed = False
        self.lost: Exception | None = None  # what it follows cannot be followed any longer
        self.segments: list[Segment] = []  # asked for, in this order
        self.closed: set[Segment] = set()  # of these, nothing goes into them any more
        self.unfinished: set[Segment] = set()  # that rows went into since they were asked for
        self.completed = 0  # of these
        self.at_tip = False  # where it waits for more
        self.segment_failed = False

    # Events

    def before(self, event: Event) -> None:
        """Take in what the coordinator is about to be told."""
        match event:
            case FromWorker(worker, ChunkDone() as done):
                self.probes["duplicate answer"] += done.token in self.answers
                self.probes["late answer"] += worker not in self.living
                self.probes["superseded answer"] += worker in self.living and self.superseded(done.token)
                self.probes["second result of a hedge"] += self.brought_by_another(done)
                self.answers.setdefault(done.token, done)
                self.living.get(worker, set()).discard(done.token)
            case WorkerDied(worker):
                self.probes["worker died"] += worker in self.living
                self.living.pop(worker, None)
            case Committed():
                self.answered += 1
            case CommitFailed():
                self.commit_failed = True
            case SegmentCompleted(segment):
                assert segment == self.segments[self.completed]
                self.completed += 1
            case SegmentFailed():
                self.segment_failed = True
            case Interrupt():
                self.interrupts += 1
                self.probes["interrupted at the tip"] += self.at_tip
            case Grown(gap):
                self.grown(gap)
            case Ended(error):
                self.lost = error
                self.plan = replace(self.plan, grows=False)
                self.probes["ended at the tip"] += self.at_tip and not error
                self.probes["ended before its tip"] += not self.at_tip and not error
                self.probes["lost at the tip"] += self.at_tip and bool(error)

    def grown(self, gap: Gap) -> None:
        """Expect more, unless the run is over."""
        self.probes["grown at the tip"] += self.at_tip
        self.probes["grown before the tip"] += not self.at_tip
        self.probes["grown after an error"] += self.over
        self.probes["grown while indexes are built"] += self.at_tip and self.completed < len(self.segments)
        if not self.over:
            self.plan = self.plan.grown(gap)

    @property
    def over(self) -> bool:
        """Whether nothing is begun any more."""
        return bool(self.interrupts or self.segment_failed or any(note.step == "abort" for note in self.notes))

    @property
    def next_ledger(self) -> int:
        """The missing ledger above all that is in the database."""
        last = self.asked[self.answered - 1].last if self.answered else 0
        return self.plan.after(last) or self.plan.wanted.last + 1

    def superseded(self, token: int) -> bool:
        """Return whether the run has been given up at or before that chunk while it was in work."""
        first = self.tasks[token].ledgers.first
        return any(note.step == "abort" and note.chunk.first < first for note in self.notes)

    def brought_by_another(self, done: ChunkDone) -> bool:
        """Return whether another attempt at the same chunk has brought it all already."""
        wanted = self.tasks[done.token].ledgers
        return any(
            wanted == done.ledgers == other.ledgers == self.tasks[token].ledgers and token != done.token
            for token, other in self.answers.items()
        )

    # Actions

    def action(self, action: Action) -> None:
        """Check one action by itself."""
        match action:
            case StartWorker(worker):
                assert worker not in self.started, f"worker {worker} is started twice"
                self.started.add(worker)
                self.living[worker] = set()
                assert len(self.living) <= self.what.most_workers, "more workers than asked for"
            case KillWorker(worker):
                assert worker in self.living, f"worker {worker} is killed and was gone"
                del self.living[worker]
                self.probes["kill"] += 1
            case Dispatch(worker, task):
                self.dispatched(worker, task)
            case Commit(chunk):
                self.asked.append(chunk.ledgers)
                self.ready(action)
                self.unfinished.add(Segment.of(chunk.ledgers.first))
            case CompleteSegment(segment, beside):
                self.completes(segment, beside=beside)
            case Discard(path):
                assert path not in self.discarded, f"{path} is discarded twice"
                assert path in {task.path for task in self.tasks.values()}, f"{path} was never given to anybody"
                self.discarded.add(path)
            case Tell(what):
                self.probes["one more tried"] += "now" in what
                self.probes["one more taken back"] += "again" in what
            case Note():
                self.notes.append(action)
                self.step(action)
                self.probes["poison"] += "poison" in action.why
                self.probes["hole"] += "still missing" in action.why
                self.probes["broken chain"] += "broken hash chain" in action.why

    def completes(self, segment: Segment, *, beside: bool) -> None:
        """A segment is completed when nothing more goes into it; where the run grows, once before, beside the rows."""
        assert segment not in self.closed, f"segment {segment.first} is completed twice"
        assert not self.segment_failed, "a segment is to be completed after one that failed"
        passed = segment.past <= self.next_ledger
        assert not (beside and passed), f"segment {segment.first} is completed beside rows, and none can come"
        assert not (beside and segment in self.segments), f"segment {segment.first} is completed at every tip"
        if not beside:
            self.closed.add(segment)
        self.probes["completed at the tip"] += self.plan.grows and not passed
        self.probes["completed when it is passed"] += passed and segment in self.segments
        self.probes["completed beside the load"] += self.answered < len(self.asked)
        self.unfinished.discard(segment)
        self.segments.append(segment)

    def step(self, note: Note) -> None:
        """What is split has several ledgers and is split once."""
        self.probes[note.step] += 1
        self.probes["hedge went on alone"] += note.step == "hedge" and "goes on alone" in note.why
        if "do not fit" in note.why:
            self.probes["set back"] += 1
            self.stale |= {token for token, task in self.tasks.items() if task.ledgers == note.chunk}
        if note.step == "split":
            assert len(note.chunk) > 1, f"ledger {note.chunk} is split"
            assert note.chunk not in self.halved, f"{note.chunk} are split twice"
            self.halved.append(note.chunk)
        if note.step == "abort" and len(note.chunk) == 1:
            self.probes["isolated a ledger"] += any(note.chunk.overlap(whole) for whole in self.halved)

    def dispatched(self, worker: int, task: Task) -> None:
        """A worker that lives gets one of at most two tasks; a chunk is at one worker, or hedged at a second."""
        assert worker in self.living, f"worker {worker} is gone and gets a task"
        assert task.token not in self.tasks, f"token {task.token} is used twice"
        near = {token: other for token, other in self.tasks.items() if other.ledgers.overlap(task.ledgers)}
        for other in near.values():
            if other.ledgers != task.ledgers:
                assert other.ledgers in self.halved, f"{task.ledgers} overlaps {other.ledgers}"
                assert task.ledgers.overlap(other.ledgers) == task.ledgers, f"{task.ledgers} leaves {other.ledgers}"
        under_way = [token for token, other in near.items() if other.path not in self.discarded]
        at_it = [token for token in under_way if token not in self.stale]
        assert len(at_it) < 2, f"{task.ledgers} are worked on three times at once"
        assert all(near[token].ledgers == task.ledgers for token in at_it), f"a part of {task.ledgers} is under way"
        assert not self.living[worker].intersection(at_it), f"worker {worker} has {task.ledgers} already"
        if not near:
            self.planned.append(task.ledgers)
        self.tasks[task.token] = task
        self.living[worker].add(task.token)
        self.probes["queued"] += len(self.living[worker]) == TASKS_A_WORKER
        assert len(self.living[worker]) <= TASKS_A_WORKER, f"worker {worker} has {len(self.living[worker])} tasks"

    def ready(self, action: Commit) -> None:
        """Commits ascend without a gap, link to what is before and after, and hold nothing that is bad."""
        chunk, plan, segment = action.chunk, self.plan, Segment.of(action.chunk.ledgers.first)
        assert segment == Segment.of(chunk.ledgers.last), f"{chunk.ledgers} cross a border"
        assert segment not in self.closed, f"{chunk.ledgers} go into a complete segment"
        expected = plan.after(self.asked[-2].last) if len(self.asked) > 1 else plan.first
        assert chunk.ledgers.first == expected, f"commit of {chunk.ledgers} when {expected} is next"
        gap = plan.gap_of(chunk.ledgers.first)
        assert chunk.gap.ledgers.first == gap.ledgers.first  # it may have grown since the chunk was handed out
        assert chunk.ledgers.last in chunk.gap.ledgers, f"{chunk.ledgers} leave their gap {chunk.gap.ledgers}"
        gap, starts = chunk.gap, chunk.ledgers.first == gap.ledgers.first
        below = gap.below if starts else true_hash(chunk.ledgers.first - 1)
        assert chunk.previous == below, f"{chunk.ledgers} are to follow another ledger"
        assert chunk.previous in (None, chunk.done.previous_hash), f"{chunk.ledgers} do not link below"
        if chunk.ledgers.last == gap.ledgers.last and gap.above is not None:
            assert chunk.done.last_hash == gap.above, f"{chunk.ledgers} do not link above"
        assert self.answers[chunk.done.token] is chunk.done
        assert chunk.done.ledgers == chunk.ledgers
        bad = self.what.faults.first_in(chunk.ledgers, "corrupt", "hole", "poison", "tar")
        assert bad is None, f"ledger {bad} is bad and among {chunk.ledgers}"
        outstanding = len(self.asked) - self.answered
        assert outstanding <= self.what.most_connections, f"{outstanding} commits at once"
        self.probes["commit ahead"] += outstanding > 1
        self.probes["sound part"] += chunk.ledgers != chunk.chunk
        assert self.asked[-1].last == chunk.chunk.last or chunk.done.failure, "a part without a failure"

    # Between steps

    def after(self, shown: Snapshot) -> None:
        """Check the bounds, and that what people see is what happened."""
        done = sum(len(ledgers) for ledgers in self.asked[: self.answered])
        assert shown.ledgers_done == done
        assert [ledgers for ledgers, _ in shown.window] == sorted(ledgers for ledgers, _ in shown.window)
        committed_to = self.asked[self.answered - 1].last if self.answered else 0
        head = self.plan.after(committed_to)
        self.at_tip = shown.at_tip
        if shown.at_tip:
            assert self.plan.grows, "it waits where nothing more comes"
            assert done == self.plan.ledgers, f"it waits for more with {done} of {self.plan.ledgers} ledgers"
            assert {Segment.of(ledgers.first) for ledgers in self.asked} <= set(self.segments), (
                "it waits without indexes"
            )
        open_chunks = [planned for planned in self.planned if planned.last > committed_to]
        most = self.what.config.most_chunks(self.what.most_workers)
        assert len(open_chunks) <= most, f"{len(open_chunks)} chunks are open, {most} may be"
        self.probes["window full of chunks"] += len(open_chunks) == most
        held = sum(
            done.row_bytes
            for token, done in self.answers.items()
            if self.tasks[token].path not in self.discarded and not (head and head in self.tasks[token].ledgers)
        )
        most = self.what.config.window_bytes
        assert held <= most, f"{held} bytes are held behind the head, {most} may be"
        self.probes["held behind the head"] += held > 0

    def at_the_end(self, finish: Finish, files: set[str]) -> None:
        """Check that everything was let go of, and that the outcome is the truth."""
        kept = {task.path for task in self.tasks.values()} - self.discarded
        assert not kept, f"never discarded: {kept}"
        assert not files, f"left behind: {files}"
        self.probes[finish.outcome] += 1
        error, committed = finish.error, self.asked[: self.answered]
        whole = sum(len(ledgers) for ledgers in committed) == self.plan.ledgers
        assert finish.outcome == "success" or not self.what.harmless, f"nothing went wrong, but {error}"
        match finish.outcome:
            case "success":
                assert whole, "success over missing data"
                assert error is None
                self.indexed()
            case "interrupted":
                assert isinstance(error, Interrupted)
                assert self.interrupts
                assert self.interrupts > 1 or self.answered == len(self.asked), "commits were left unanswered"
                self.probes["interrupted twice"] += self.interrupts > 1
            case "failed":
                self.failed(error)

    def indexed(self) -> None:
        """Every segment that was due or has a ledger of this run was completed."""
        assert self.completed == len(self.segments), "a segment is still being completed"
        lacks = self.unfinished | ({*self.what.due} - {*self.segments})
        assert not lacks, f"never completed: {lacks}"

    def failed(self, error: Exception | None) -> None:
        """Everything before the failure is committed, and the reason was really there."""
        if self.commit_failed:
            self.probes["commit failed"] += 1
            return
        if self.segment_failed:
            self.probes["segment failed"] += 1
            return
        self.indexed()
        assert self.answered == len(self.asked), "commits were left unanswered"
        if isinstance(error, WorkersLost):
            self.probes["workers lost"] += 1
            return
        if error is self.lost:
            self.probes["lost"] += 1
            return
        assert isinstance(error, ChunkAbandoned), f"unexpected end: {error!r}"
        last = self.asked[-1].last if self.asked else 0
        broken = "broken hash chain" in error.failure.reason
        sound_to = error.failure.ledger if error.failure.ledger and not broken else error.ledgers.first
        assert self.plan.after(last) == sound_to, f"committed up to {last}, but {error}"
        assert any(note.step == "abort" and note.chunk == error.ledgers for note in self.notes)
