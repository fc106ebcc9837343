"""A plan that grows: what the coordinator does at an end that moves, and at the end of that."""

from __future__ import annotations

from by_hand import CORRUPT, Run, commits, completions, handed_out, of, steps
from hypothesis import given
from hypothesis import strategies as st

from pipeline.actions import Commit, CompleteSegment, Finish, StartWorker
from pipeline.errors import BackfillError, ChunkAbandoned, Interrupted
from pipeline.events import Interrupt, WorkerDied
from pipeline.segments import SEGMENT_LEDGERS, Segment
from workers.messages import Failure


def at_tip() -> Run:
    """A run that has committed all there is: ledgers up to 10."""
    run = Run((9, 10), tip=10)
    run.up(1)
    assert handed_out(run.all) == ["9 to 1", "10 to 1"]
    run.done(1)
    run.done(2)
    run.acknowledge()
    assert not of(Finish, run.all)
    assert run.coordinator.snapshot(run.now).at_tip
    return run


def test_what_comes_at_the_tip_is_committed_ledger_by_ledger():
    """The tip waits for no time, only for more; a ledger that comes goes out at once and links to the last."""
    run = at_tip()
    assert run.coordinator.next_wake(run.now) is None
    assert handed_out(run.grow(11, 12)) == ["11 to 1", "12 to 1"]
    assert not run.coordinator.snapshot(run.now).at_tip
    assert commits(run.done(4)) == []
    assert commits(run.done(3)) == ["11", "12"]
    assert run.coordinator.snapshot(run.now).ledgers_wanted == 4


def test_what_is_ready_is_committed_before_it_waits():
    """A chunk that is complete is committed whether or not more comes: nothing is held back for a larger one."""
    run = Run((1, 5), tip=5, ahead=1)
    run.up(1)
    for token in range(1, 6):
        assert commits(run.done(token)) == [f"{token}"]
        run.acknowledge()
    assert run.coordinator.snapshot(run.now).at_tip


def test_a_run_begins_at_the_tip():
    """Where nothing is missing a run that grows starts nobody, and does not end, until something has come."""
    run = Run(tip=10)
    assert run.all == []
    assert of(StartWorker, run.grow(11, 11)) == [StartWorker(1)]
    run.up(1)
    assert handed_out(run.all) == ["11 to 1"]


def test_the_end_at_the_tip_is_a_success():
    """When nothing more comes, and all is committed, the run ends."""
    assert at_tip().end() == [Finish("success")]


def test_the_end_waits_for_what_has_come():
    """What had come before the end is worked on and committed, also by workers that are still to start."""
    run = Run(tip=10)
    run.grow(11, 12)
    assert run.end() == []
    run.up(1)
    assert handed_out(run.all) == ["11 to 1", "12 to 1"]
    run.done(1)
    run.done(2)
    run.acknowledge()
    assert run.all[-1] == Finish("success")


def test_who_can_no_longer_follow_fails_behind_what_is_in_order():
    """An end with an error commits what is in order, lets go of the rest, and is the run's error."""
    run = at_tip()
    run.grow(11, 13)
    run.done(3)
    lost = BackfillError("the source is gone")
    assert not of(Finish, run.end(lost))
    run.acknowledge()
    assert commits(run.all) == ["9", "10", "11"]
    assert run.all[-1] == Finish("failed", lost)


def test_the_first_error_is_the_runs():
    """A run that has given a chunk up already says so, whatever becomes of what it follows."""
    run = at_tip()
    run.grow(11, 13)
    run.done(4, failure=CORRUPT)
    run.end(BackfillError("the source is gone"))
    run.done(3)
    run.acknowledge()
    finish = run.all[-1]
    assert isinstance(finish, Finish)
    assert isinstance(finish.error, ChunkAbandoned)


def test_nothing_grows_behind_an_error():
    """After an abort or an interrupt what comes is not begun."""
    run = at_tip()
    run.grow(11, 12)
    run.done(3)
    run.tell(Interrupt(2))
    assert run.grow(13, 20) == []
    run.acknowledge()
    assert commits(run.all) == ["9", "10", "11"]
    assert of(Finish, run.all)


def test_an_interrupt_at_the_tip_ends_at_once():
    """Who waits for more has nothing to wind down."""
    finish = at_tip().tell(Interrupt(15))[-1]
    assert isinstance(finish, Finish)
    assert finish.outcome == "interrupted"
    assert isinstance(finish.error, Interrupted)


def test_damage_of_the_newest_object_is_waited_out():
    """What was the newest as its chunk was opened is tried again, also when more comes behind it: said once."""
    run = Run(tip=10, object_of=str)
    run.grow(11, 12)
    run.up(1)
    run.done(1)
    damage = Failure(reason="corrupt ledger 12", transient=False, ledger=12, object="12", offset=5)
    run.done(2, failure=damage)
    run.grow(13, 13)
    run.done(3)
    assert handed_out(run.tick(run.coordinator.next_wake(run.now) or 0.0)) == ["12 to 1"]
    run.done(4, failure=damage)
    assert steps(run.all) == ["re-dispatch 12"]
    run.tick(run.coordinator.next_wake(run.now) or 0.0)
    run.done(5)
    run.acknowledge()
    assert commits(run.all) == ["11", "12", "13"]
    assert run.now == 3.0


def test_damage_below_the_newest_object_ends_the_run_at_once():
    """A later object was there before this one was asked for: nobody is still writing it."""
    run = Run(tip=10, object_of=str)
    run.grow(11, 12)
    run.up(1)
    run.done(1, failure=Failure(reason="corrupt ledger 11", transient=False, ledger=11, object="11", offset=5))
    assert steps(run.all) == ["abort 11"]
    assert isinstance(run.all[-1], Finish)


def test_a_worker_that_dies_at_the_tip_is_missed_when_more_comes():
    """Nobody is started for nothing; the next ledger has its worker."""
    run = at_tip()
    gone = run.tell(WorkerDied(1, "killed"))
    assert of(StartWorker, gone) == []
    assert of(StartWorker, run.grow(11, 11)) == [StartWorker(2)]


def test_the_segment_of_the_tip_is_completed_once_beside_rows():
    """It is about to be read: its indexes are built, next rows do not wait for that, and no other tip does so again."""
    run = Run((10, 10), tip=10, due=())
    run.up(1)
    run.done(1)
    assert of(CompleteSegment, run.committed(10, 10)) == [CompleteSegment(Segment(0), beside=True)]
    run.grow(11, 12)
    assert commits(run.done(2)) == ["11"]
    run.completed(Segment(0))
    assert completions(run.done(3) + run.committed(11, 11) + run.committed(12, 12)) == []
    assert run.coordinator.snapshot(run.now).at_tip
    assert of(CompleteSegment, run.end()) == [CompleteSegment(Segment(0), beside=False)]
    assert run.completed(Segment(0)) == [Finish("success")]


def test_an_interrupt_does_not_wait_for_indexes():
    """What is in order is committed, and the run ends while the indexes of the tip are still being built."""
    run = Run((10, 10), tip=10, due=())
    run.up(1)
    run.done(1)
    run.committed(10, 10)
    run.grow(11, 12)
    run.done(2)
    assert not of(Finish, run.tell(Interrupt(15)))
    ended = run.committed(11, 11)[-1]
    assert isinstance(ended, Finish)
    assert ended.outcome == "interrupted"


def test_a_segment_that_the_tip_has_passed_is_completed_again():
    """Rows have come since it was completed at the tip."""
    last = SEGMENT_LEDGERS - 2
    run = Run((last, last), tip=last, due=())
    run.up(1)
    run.done(1)
    assert completions(run.committed(last, last)) == [Segment(0)]
    run.completed(Segment(0))
    run.grow(last + 1, last + 1)
    run.done(2)
    assert completions(run.committed(last + 1, last + 1)) == [Segment(0)]
    run.grow(last + 2, last + 2)
    assert commits(run.done(3)) == [f"{SEGMENT_LEDGERS}"]


def test_what_was_left_at_the_tip_is_completed_at_the_start():
    """It is done beside rows that come meanwhile, and no more often."""
    run = Run(tip=10, due=(Segment(0),))
    assert of(CompleteSegment, run.all) == [CompleteSegment(Segment(0), beside=True)]
    run.grow(11, 11)
    run.up(1)
    assert commits(run.done(1)) == ["11"]
    run.completed(Segment(0))
    assert completions(run.committed(11, 11)) == []


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.data())
def test_however_it_grows_each_ledger_is_committed_once_in_order(growth: list[int], data: st.DataObject):
    """Growth between any two answers neither leaves a ledger out nor brings one twice."""
    run, last, answered = Run(tip=10, workers=2, ahead=1), 10, set[int]()
    while growth or len(answered) < len(run.tasks):
        waiting = sorted(set(run.tasks) - answered)
        if growth and (not waiting or data.draw(st.booleans())):
            run.grow(last + 1, last + growth[0])
            last += growth.pop(0)
            run.up(1, 2)
        else:
            answered.add(token := data.draw(st.sampled_from(waiting)))
            run.done(token)
            run.acknowledge()
    committed = [ledger for action in run.all if isinstance(action, Commit) for ledger in action.chunk.ledgers]
    assert committed == [*range(11, last + 1)]
    assert run.coordinator.snapshot(run.now).at_tip
    assert run.end()[-1] == Finish("success")
