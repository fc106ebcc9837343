"""The coordinator, event by event: what it is told, what it wants done."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from pipeline.actions import Action, Commit, Discard, Dispatch, Finish, KillWorker, Note, StartWorker
from pipeline.chunk import ChunkState
from pipeline.coordinator import Coordinator, CoordinatorConfig
from pipeline.errors import BackfillError, ChunkAbandoned, Interrupted, WorkersLost
from pipeline.events import CommitFailed, Committed, FromWorker, Interrupt, Tick, WorkerDied
from pipeline.plan import ChunkSize, Gap, Plan
from pipeline.stall import StallConfig
from workers.messages import ChunkDone, ChunkStarted, Failure, LedgerRange, Ready, Section, Task

STALL = StallConfig(
    floor_s=60.0, ceiling_s=60.0, max_attempts=3, backoff_s=1.0, hole_deadline_s=10.0, start_deadline_s=30.0
)
RESET = Failure(reason="connection reset", transient=True)
CORRUPT = Failure(reason="corrupt ledger 15", transient=False, ledger=15)


def hash_of(ledger: int) -> bytes:
    return ledger.to_bytes(32, "big")


class Run:
    """A coordinator over chunks of ten ledgers, and a clock that is set by hand."""

    def __init__(
        self,
        *gaps: Gap | tuple[int, int],
        workers: int = 1,
        window: int | None = 20,
        window_bytes: int = 1 << 30,
        ahead: int = 2,
    ) -> None:
        parts = tuple(gap if isinstance(gap, Gap) else Gap(ledgers=LedgerRange(*gap)) for gap in gaps)
        wanted = LedgerRange(1, parts[-1].ledgers.last if parts else 10)
        plan = Plan(wanted=wanted, gaps=parts, size=ChunkSize(exact_ledgers=10, border=None))
        config = CoordinatorConfig(
            workers=workers, window_chunks=window, window_bytes=window_bytes, commit_ahead=ahead, stall=STALL
        )
        self.coordinator = Coordinator(plan, config, result_dir="/r")
        self.now = 0.0
        self.tasks: dict[int, Task] = {}
        self.all: list[Action] = []
        self.keep(self.coordinator.start(self.now))

    def keep(self, actions: list[Action]) -> list[Action]:
        self.all += actions
        for action in actions:
            if isinstance(action, Dispatch):
                self.tasks[action.task.token] = action.task
        return actions

    def tell(self, event: FromWorker | WorkerDied | Committed | CommitFailed | Interrupt | Tick) -> list[Action]:
        return self.keep(self.coordinator.handle(event, self.now))

    def up(self, *workers: int) -> None:
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
        return self.tell(Committed(LedgerRange(first, last), {"events": 3}))

    def tick(self, seconds: float) -> list[Action]:
        self.now += seconds
        return self.tell(Tick())


def commits(actions: Iterable[Action]) -> list[str]:
    return [str(action.chunk.ledgers) for action in actions if isinstance(action, Commit)]


def handed_out(actions: Iterable[Action]) -> list[str]:
    return [f"{action.task.ledgers} to {action.worker}" for action in actions if isinstance(action, Dispatch)]


def steps(actions: Iterable[Action]) -> list[str]:
    return [f"{note.step} {note.chunk}" for note in actions if isinstance(note, Note)]


def of(kind: type[Action], actions: Iterable[Action]) -> list[Action]:
    return [action for action in actions if isinstance(action, kind)]


def test_a_whole_run():
    """Workers start, chunks go out lowest first, come back, are committed in order, and the run ends in success."""
    run = Run((1, 30), workers=2)
    assert of(StartWorker, run.all) == [StartWorker(1), StartWorker(2)]
    run.up(1, 2)
    assert handed_out(run.all) == ["1-10 to 1", "11-20 to 2", "21-30 to 1"]
    assert commits(run.done(2)) == []
    assert commits(run.done(1)) == ["1-10", "11-20"]
    assert run.committed(1, 10) == [Discard("/r/1")]
    assert commits(run.done(3)) == ["21-30"]
    run.committed(11, 20)
    assert run.committed(21, 30) == [Discard("/r/3"), Finish("success")]


def test_a_range_that_is_done_ends_at_once():
    """Without a gap nothing is started."""
    assert Run().all == [Finish("success")]


def test_no_more_workers_than_chunks_are_started():
    """A range of two chunks keeps two of four workers from starting in vain."""
    assert of(StartWorker, Run((1, 20), workers=4).all) == [StartWorker(1), StartWorker(2)]


def test_stretches_between_gaps_are_jumped_over():
    """The first chunk of the next gap follows the last of the one before, and links to the store's ledger below it."""
    run = Run((1, 10), Gap(ledgers=LedgerRange(51, 60), below=hash_of(50)))
    run.up(1)
    assert handed_out(run.all) == ["1-10 to 1", "51-60 to 1"]
    run.done(1)
    [commit] = of(Commit, run.done(2))
    assert isinstance(commit, Commit)
    assert commit.chunk.previous == hash_of(50)
    assert commit.chunk.gap.ledgers == LedgerRange(51, 60)


def test_commits_ahead_are_bounded():
    """So many commits are asked for at once that the committer is never idle, and no more."""
    run = Run((1, 50), workers=3, ahead=2)
    run.up(1, 2, 3)
    for token in (1, 2, 3):
        run.done(token)
    assert commits(run.all) == ["1-10", "11-20"]
    assert commits(run.committed(1, 10)) == ["21-30"]


def test_an_answer_to_another_commit_is_a_defect():
    """Acknowledgements come in the order of the commits, or something is very wrong."""
    run = Run((1, 50), workers=2)
    run.up(1, 2)
    run.done(1)
    with pytest.raises(ValueError, match="ledgers 11-20 were committed"):
        run.committed(11, 20)


def test_the_window_bounds_chunks():
    """With the head missing, work goes out up to the window's last place and no further."""
    run = Run((1, 100), workers=2, window=3)
    run.up(1, 2)
    run.done(2)
    assert handed_out(run.all) == ["1-10 to 1", "11-20 to 2", "21-30 to 1"]
    run.done(1)
    assert handed_out(run.committed(1, 10)) == ["31-40 to 2"]


def test_a_result_too_large_for_the_window_is_made_again_later():
    """What does not fit beside the results held is dropped, and made again when it is the head: the bound holds."""
    run = Run((1, 40), workers=4, window_bytes=100 << 20)
    run.up(1, 2, 3, 4)
    run.done(2, size=60 << 20)
    set_back = run.done(3, size=60 << 20)
    assert Discard("/r/3") in set_back
    assert steps(set_back) == ["re-dispatch 21-30"]
    assert handed_out(set_back) == []
    run.done(1)
    run.committed(1, 10)
    assert handed_out(run.all)[-1] == "21-30 to 1"
    assert run.tasks[5].attempt == 1


def test_a_late_head_is_suspect_then_killed_and_tried_again():
    """At half its deadline the head is named, at the deadline its worker is replaced, after a back-off it goes out."""
    run = Run((1, 30), workers=2)
    run.up(1, 2)
    run.tell(FromWorker(1, ChunkStarted(token=1)))
    run.done(2)
    assert run.coordinator.next_wake(run.now) == 30
    assert steps(run.tick(30)) == ["suspect 1-10"]
    assert run.coordinator.next_wake(run.now) == 30
    killed = run.tick(30)
    assert killed[0] == KillWorker(1, "no result after 60 s, worker killed")
    assert steps(killed) == ["re-dispatch 1-10"]
    assert Discard("/r/1") in killed
    assert StartWorker(3) in killed
    assert run.coordinator.next_wake(run.now) == 1
    run.up(3)
    assert handed_out(run.tick(1)) == ["1-10 to 3"]
    assert run.tasks[max(run.tasks)].attempt == 2


def test_a_chunk_behind_the_head_has_a_deadline_too():
    """A worker that hangs with a later chunk is killed as well, without being suspected."""
    run = Run((1, 30), workers=2)
    run.up(1, 2)
    run.now = 59.0
    run.tell(FromWorker(1, ChunkStarted(token=1)))  # the head is young
    late = run.tick(1)
    assert of(KillWorker, late) == [KillWorker(2, "no result after 60 s, worker killed")]
    assert steps(late) == ["re-dispatch 11-20"]


def test_a_queued_head_makes_the_worker_before_it_suspect():
    """When the head waits behind another chunk of its worker, that worker is named."""
    run = Run((1, 30), workers=2)
    run.up(1, 2)
    run.tell(WorkerDied(1, "killed by SIGKILL"))  # 1-10 after a back-off, 21-30 at once
    run.tell(FromWorker(3, Ready(pid=3)))
    run.tick(1)
    assert handed_out(run.all)[-2:] == ["21-30 to 3", "1-10 to 2"]
    assert steps(run.tick(29)) == ["suspect 11-20"]


def test_a_dead_worker_loses_what_it_had():
    """The chunk in work counts an attempt and goes out after a back-off, the queued one goes out at once."""
    run = Run((1, 30), workers=1, window=2)
    run.up(1)
    gone = run.tell(WorkerDied(1, "killed by SIGSEGV"))
    assert steps(gone) == ["re-dispatch 1-10"]
    assert of(Discard, gone) == [Discard("/r/1"), Discard("/r/2")]
    assert of(StartWorker, gone) == [StartWorker(2)]
    run.up(2)
    run.tick(1)
    assert handed_out(run.all)[-2:] == ["11-20 to 2", "1-10 to 2"]
    assert {task.ledgers.first: task.attempt for task in run.tasks.values()} == {1: 2, 11: 1}


def test_a_late_result_of_a_killed_worker_is_dropped():
    """A superseded token's answer is nobody's: nothing is held, committed or discarded again."""
    run = Run((1, 30), workers=1)
    run.up(1)
    run.tick(60)
    assert run.done(1) == []
    assert commits(run.all) == []


def test_attempts_run_out():
    """After `max_attempts` everything before the chunk is committed, and the end names chunk, attempts, worker, reason."""
    run = Run((1, 30), workers=1)
    run.up(1)
    run.done(1)
    for token in (2, 4, 5):
        run.tick(8)
        run.done(token, failure=RESET)
    assert steps(run.all) == ["re-dispatch 11-20", "re-dispatch 11-20", "abort 11-20"]
    finish = run.committed(1, 10)[-1]
    assert isinstance(finish, Finish)
    assert finish.outcome == "failed"
    assert isinstance(finish.error, ChunkAbandoned)
    assert str(finish.error) == "gave up on ledgers 11-20 at attempt 3 on worker 1: connection reset"


def test_the_sound_part_of_a_failed_chunk_is_committed_in_its_turn():
    """What a worker proved before the damage is kept, waits for what is before it, and nothing comes after it."""
    run = Run((1, 40), workers=2)
    run.up(1, 2)
    run.done(3)
    failed = run.done(2, to=14, failure=CORRUPT)
    assert steps(failed) == ["abort 11-20"]
    assert Discard("/r/3") in failed
    assert commits(run.done(1)) == ["1-10", "11-14"]
    run.committed(1, 10)
    finish = run.committed(11, 14)[-1]
    assert isinstance(finish, Finish)
    assert isinstance(finish.error, ChunkAbandoned)
    assert finish.error.failure == CORRUPT
    assert Discard("/r/4") in run.all


def test_chunks_before_a_failed_one_are_still_worked_on():
    """A failure far ahead stops nothing before it: a chunk that fails for a while is tried again."""
    run = Run((1, 30), workers=2)
    run.up(1, 2)
    run.done(2, failure=CORRUPT)
    run.done(1, failure=RESET)
    assert handed_out(run.tick(1)) == ["1-10 to 2"]
    assert commits(run.done(4)) == ["1-10"]
    assert isinstance(run.committed(1, 10)[-1], Finish)


def test_the_lowest_failure_is_the_reason():
    """When a lower chunk fails for good after a higher one, nothing from the lower one on is committed."""
    run = Run((1, 30), workers=2)
    run.up(1, 2)
    run.done(2, to=14, failure=CORRUPT)
    finish = run.done(1, failure=Failure(reason="corrupt ledger 1", transient=False, ledger=1))[-1]
    assert isinstance(finish, Finish)
    assert isinstance(finish.error, ChunkAbandoned)
    assert finish.error.ledgers == LedgerRange(1, 10)
    assert commits(run.all) == []
    assert {action for action in of(Discard, run.all)} == {Discard("/r/1"), Discard("/r/2"), Discard("/r/3")}


def test_a_hole_is_given_up_at_its_deadline():
    """A missing object is asked for until the deadline, then what is before it is committed and the run fails."""
    hole = Failure(reason="ledger 5 is missing", transient=False, missing=True, ledger=5)
    run = Run((1, 10), workers=1)
    run.up(1)
    token = 1
    while not of(Commit, run.done(token, to=4, failure=hole)):
        run.tick(run.coordinator.next_wake(run.now) or 0.0)
        token += 1
    assert run.now == 10.0
    assert commits(run.all) == ["1-4"]
    assert steps(run.all)[-1] == "abort 1-10"
    assert {task.attempt for task in run.tasks.values()} == {1}


def test_a_broken_chain_commits_nothing_of_its_chunk():
    """A chunk that does not follow the ledger before it ends the run there, with that ledger's number."""
    run = Run(Gap(ledgers=LedgerRange(1, 30), below=b"\xff" * 32), workers=1)
    run.up(1)
    run.done(1)
    finish = run.all[-1]
    assert isinstance(finish, Finish)
    assert isinstance(finish.error, ChunkAbandoned)
    assert finish.error.failure.ledger == 1
    assert commits(run.all) == []
    assert Discard("/r/1") in run.all


def test_a_seam_above_that_does_not_hold_commits_nothing_of_its_chunk():
    """The last chunk of a gap must lead to the ledger that the store has above it."""
    run = Run(Gap(ledgers=LedgerRange(1, 20), above=b"\xff" * 32), workers=1)
    run.up(1)
    run.done(1)
    run.done(2)
    assert commits(run.all) == ["1-10"]
    finish = run.committed(1, 10)[-1]
    assert isinstance(finish, Finish)
    assert isinstance(finish.error, ChunkAbandoned)
    assert finish.error.failure.ledger == 21


def test_poison():
    """A chunk that three workers died of is given up by that name, however many attempts there may be."""
    run = Run((1, 10), workers=1)
    for worker in (1, 2, 3):
        run.up(worker)
        run.tick(10)
        run.tell(WorkerDied(worker, "killed by SIGSEGV"))
    finish = run.all[-1]
    assert isinstance(finish, Finish)
    assert str(finish.error) == (
        "gave up on ledgers 1-10 at attempt 3 on worker 3: "
        "poison, 3 workers died of it, the last: worker died: killed by SIGSEGV"
    )


def test_an_interrupt_commits_what_is_in_order():
    """Nothing more goes out; what is ready is committed, what is not is let go, then the run ends."""
    run = Run((1, 60), workers=3, ahead=1)
    run.up(1, 2, 3)
    for token in (1, 2, 4):
        run.done(token)
    stopped = run.tell(Interrupt(15))
    assert handed_out(stopped) == []
    assert Discard("/r/4") in stopped
    assert commits(run.committed(1, 10)) == ["11-20"]
    assert commits(run.done(3)) == []
    finish = run.committed(11, 20)[-1]
    assert isinstance(finish, Finish)
    assert finish.outcome == "interrupted"
    assert isinstance(finish.error, Interrupted)
    assert finish.error.exit_code == 143
    discarded = [action.path for action in run.all if isinstance(action, Discard)]
    assert sorted(discarded) == sorted(task.path for task in run.tasks.values())


def test_a_second_interrupt_ends_the_run_at_once():
    """Who asks twice does not wait for a commit; workers that still write are killed before their files go."""
    run = Run((1, 60), workers=2)
    run.up(1, 2)
    run.done(1)
    run.tell(Interrupt(2))
    ended = run.tell(Interrupt(2))
    assert of(KillWorker, ended) == [KillWorker(1, "the run ends"), KillWorker(2, "the run ends")]
    assert isinstance(ended[-1], Finish)
    assert ended[-1].outcome == "interrupted"
    assert run.tell(Tick()) == []
    assert run.coordinator.next_wake(run.now) is None


def test_a_failed_commit_ends_the_run():
    """What the database refuses ends the run with that error; every file goes."""
    run = Run((1, 60), workers=2)
    run.up(1, 2)
    run.done(1)
    run.done(2)
    error = BackfillError("the cursor moved")
    ended = run.tell(CommitFailed(error))
    assert ended[-1] == Finish("failed", error)
    discarded = [action.path for action in run.all if isinstance(action, Discard)]
    assert sorted(discarded) == sorted(task.path for task in run.tasks.values())


def test_workers_that_never_start_end_the_run():
    """Starts that fail are repeated with back-off, and not for ever."""
    run = Run((1, 10), workers=1)
    run.tell(WorkerDied(1, "exited with code 1"))
    assert of(StartWorker, run.all) == [StartWorker(1)]
    assert run.coordinator.next_wake(run.now) == 1
    assert of(StartWorker, run.tick(1)) == [StartWorker(2)]
    assert of(KillWorker, run.tick(30)) == [KillWorker(2, "worker had not started after 30 s")]
    run.tick(2)
    ended = run.tell(WorkerDied(3, "exited with code 1"))[-1]
    assert isinstance(ended, Finish)
    assert isinstance(ended.error, WorkersLost)
    assert "3 in a row failed" in str(ended.error)


def test_time_that_passed_unseen_still_counts():
    """A back-off that ended before anybody looked makes for a wake-up now, not never."""
    run = Run((1, 10), workers=1)
    run.up(1)
    run.done(1, failure=RESET)
    assert run.coordinator.next_wake(run.now) == 1
    assert run.coordinator.next_wake(run.now + 5) == 0


def test_a_snapshot_shows_the_run():
    """Counts are of what is committed; the window shows each chunk's state; the head has its worker and age."""
    run = Run((1, 60), workers=2)
    run.up(1, 2)
    run.tell(FromWorker(1, ChunkStarted(token=1)))
    run.done(1)
    run.done(4)
    run.committed(1, 10)
    run.now = 7.0
    shown = run.coordinator.snapshot(run.now)
    assert (shown.ledgers_wanted, shown.ledgers_done, shown.events, shown.row_bytes) == (60, 10, 3, 1)
    assert shown.head == LedgerRange(11, 20)
    assert (shown.head_worker, shown.head_attempt, shown.head_age_s) == (2, 1, 7.0)
    assert [(str(ledgers), state) for ledgers, state in shown.window] == [
        ("1-10", ChunkState.COMMITTED),
        ("11-20", ChunkState.WORK),
        ("21-30", ChunkState.WORK),
        ("31-40", ChunkState.HELD),
        ("41-50", ChunkState.WORK),
        ("51-60", ChunkState.WORK),
    ]
    assert (shown.workers_busy, shown.workers_idle, shown.workers_starting) == (2, 0, 0)


def test_waiting_is_counted():
    """Idle workers, an idle committer and results behind a late head each have their seconds."""
    run = Run((1, 30), workers=2, window=3)
    run.up(1, 2)
    run.tick(4)
    run.done(2)
    run.tick(6)
    waits = run.coordinator.snapshot(run.now).waits
    assert (waits.workers_s, waits.commit_s, waits.head_s) == (6.0, 10.0, 6.0)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"workers": 4, "window_chunks": 4}, "window of 4 chunks is too small for 4 workers: at least 5"),
        ({"workers": 0}, "workers is 0: at least 1"),
        ({"workers": 1, "window_bytes": 0}, "window_bytes is 0: at least 1"),
        ({"workers": 1, "commit_ahead": 0}, "commit_ahead is 0: at least 1"),
    ],
)
def test_bounds_that_contradict_are_refused(wrong: dict[str, int], said: str):
    """A window without room for its workers is refused at the start, with both numbers."""
    with pytest.raises(ValueError, match=said):
        CoordinatorConfig(**wrong)
