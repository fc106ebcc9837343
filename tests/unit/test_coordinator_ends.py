"""How a run ends: every way but success, and what is committed and let go of before."""

from __future__ import annotations

from by_hand import CORRUPT, RESET, Run, commits, handed_out, of, steps

from pipeline.actions import Commit, Discard, Finish, KillWorker, StartWorker
from pipeline.errors import BackfillError, ChunkAbandoned, Interrupted, WorkersLost
from pipeline.events import CommitFailed, Interrupt, Tick, WorkerDied
from pipeline.plan import Gap
from workers.messages import Failure, LedgerRange


def test_attempts_run_out():
    """After `max_attempts` everything before the chunk is committed, and the end names chunk, worker and reason."""
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
    reset = "connection reset"
    before = f"attempt 1: {reset}; attempt 2: {reset}"
    assert str(finish.error) == f"gave up on ledgers 11-20 at attempt 3 on worker 1: {reset}; {before}"


def test_a_chunk_that_hangs_is_halved_down_to_its_ledger():
    """What no attempt could bring is halved down to one ledger: all before is committed, it and its object named."""
    run = Run((1, 20), workers=1, object_of=lambda ledger: f"object-{ledger}")
    run.up(1)
    finish = run.hang_at(14)
    assert commits(run.all) == ["1-10", "11-12", "13"]
    assert steps(run.all) == [
        *["suspect 11-20", "re-dispatch 11-20"] * 2,
        *["suspect 11-20", "split 11-20", "suspect 11-15", "split 11-15", "suspect 13-15", "split 13-15"],
        *["suspect 14-15", "split 14-15"],
        *["suspect 14", "re-dispatch 14"] * 2,
        *["suspect 14", "abort 14"],
    ]
    hung = "no result after 60 s, worker killed"
    told = f"{hung} (object-14); attempt 1: {hung}; attempt 2: {hung}"
    assert str(finish.error).startswith("gave up on ledger 14 at attempt 3 on worker ")
    assert str(finish.error).endswith(told)
    assert isinstance(finish.error, ChunkAbandoned)
    assert (finish.error.failure.ledger, finish.error.failure.object) == (14, "object-14")


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
    assert set(of(Discard, run.all)) == {Discard("/r/1"), Discard("/r/2"), Discard("/r/3")}


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
    """A ledger that three workers died of is given up by that name, however many attempts there may be."""
    run = Run((1, 1), workers=1)
    for worker in (1, 2, 3):
        run.up(worker)
        run.tick(10)
        run.tell(WorkerDied(worker, "killed by SIGSEGV"))
    finish = run.all[-1]
    assert isinstance(finish, Finish)
    assert str(finish.error) == (
        "gave up on ledger 1 at attempt 3 on worker 3: "
        "poison, 3 workers died of it, the last: worker died: killed by SIGSEGV; "
        "attempt 1: worker died: killed by SIGSEGV; attempt 2: worker died: killed by SIGSEGV"
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


def test_success_is_never_said_over_missing_data():
    """Should the supply ever end early, by a defect of the program, the run fails and counts what it has."""
    run = Run((1, 60), workers=1, window=2)
    run.up(1)
    run.coordinator._supply.stop()
    run.done(1)
    run.done(2)
    run.committed(1, 10)
    finish = run.committed(11, 20)[-1]
    assert isinstance(finish, Finish)
    assert finish.outcome == "failed"
    assert str(finish.error) == "nothing is left to do, but only 20 of 60 ledgers were committed"
