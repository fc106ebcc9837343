"""The coordinator, event by event: what it is told, what it wants done."""

from __future__ import annotations

import pytest
from by_hand import CORRUPT, RESET, Run, commits, handed_out, hash_of, of, steps

from pipeline.actions import Action, Commit, Discard, Finish, KillWorker, Note, StartWorker
from pipeline.bounds import CoordinatorConfig
from pipeline.chunk import ChunkState
from pipeline.events import FromWorker, WorkerDied
from pipeline.plan import Gap
from workers.messages import ChunkStarted, LedgerRange, PlugInCalled


def test_a_whole_run():
    """Workers start, chunks go out lowest first, come back, are committed in order, and the run ends in success."""
    run = Run((1, 30), workers=2)
    assert of(StartWorker, run.all) == [StartWorker(1), StartWorker(2)]
    run.up(1, 2)
    assert handed_out(run.all) == ["1-10 to 1", "11-20 to 2", "21-30 to 1"]
    assert commits(run.done(2)) == []
    assert commits(run.done(1)) == ["1-10", "11-20"]
    assert run.committed(1, 10) == [Discard("/r/1", reusable=True)]
    assert commits(run.done(3)) == ["21-30"]
    run.committed(11, 20)
    assert run.committed(21, 30) == [Discard("/r/3", reusable=True), Finish("success")]


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
    run = Run((1, 10), workers=1)
    run.up(1)
    run.tell(FromWorker(1, ChunkStarted(token=1)))
    assert run.coordinator.next_wake(run.now) == 30
    assert steps(run.tick(30)) == ["suspect 1-10"]
    assert run.coordinator.next_wake(run.now) == 15
    assert run.tick(15) == []  # nobody is there to hedge it
    assert run.coordinator.next_wake(run.now) == 15
    killed = run.tick(15)
    assert killed[0] == KillWorker(1, "no result after 60 s, worker killed")
    assert steps(killed) == ["re-dispatch 1-10"]
    assert Discard("/r/1") in killed
    assert StartWorker(2) in killed
    assert run.coordinator.next_wake(run.now) == 1
    run.up(2)
    assert handed_out(run.tick(1)) == ["1-10 to 2"]
    assert run.tasks[max(run.tasks)].attempt == 2


def hedged() -> Run:
    """A head that its worker has had for three quarters of its deadline, beside one that is idle."""
    run = Run((1, 20), workers=2)
    run.up(1, 2)
    run.done(2)
    run.tick(30)
    assert handed_out(run.tick(14)) == []
    late = run.tick(1)
    assert handed_out(late) == ["1-10 to 2"]
    assert steps(late) == ["hedge 1-10"]
    assert run.tasks[3].attempt == 2
    return run


@pytest.mark.parametrize(("winner", "loser"), [(1, 3), (3, 1)])
def test_the_first_result_of_a_hedged_chunk_counts(winner: int, loser: int):
    """Whichever worker is first: its result is committed, the other's is dropped when it comes."""
    run = hedged()
    won = run.done(winner)
    assert [action.chunk.done.token for action in won if isinstance(action, Commit)] == [winner, 2]
    assert run.done(loser) == [Discard(f"/r/{loser}")]
    run.committed(1, 10)
    assert run.committed(11, 20)[-1] == Finish("success")


def costs(actions: list[Action]) -> list[tuple[str, int, float]]:
    ready = [action.chunk for action in actions if isinstance(action, Commit)]
    return [(str(chunk.ledgers), chunk.lost_attempts, chunk.lost_s) for chunk in ready]


@pytest.mark.parametrize(("winner", "lost_s"), [(1, 5.0), (3, 50.0)])
def test_what_the_loser_of_a_hedge_has_cost_is_counted(winner: int, lost_s: float):
    """A chunk says how long a worker was at it in vain, until another had brought it."""
    run = hedged()
    run.tick(5)
    assert costs(run.done(winner)) == [("1-10", 1, lost_s), ("11-20", 0, 0.0)]


def test_what_failed_attempts_have_cost_is_counted():
    """Each that was begun counts with its seconds; one that was queued behind another has cost nothing."""
    run = Run((1, 20))
    run.up(1)
    run.tick(5)
    run.tell(WorkerDied(1, "killed"))
    run.up(2)
    assert handed_out(run.tick(2)) == ["1-10 to 2"]  # behind the other
    run.done(3)
    run.tick(3)
    run.done(4, failure=RESET)
    assert handed_out(run.tick(4)) == ["1-10 to 2"]
    assert costs(run.done(5)) == [("1-10", 2, 8.0), ("11-20", 0, 0.0)]


def test_the_loser_of_a_hedge_is_killed_at_its_deadline():
    """A worker that hangs with a chunk which another has brought costs the chunk nothing."""
    run = hedged()
    run.done(3)
    killed = run.tick(15)
    assert of(KillWorker, killed) == [KillWorker(1, "no result after 60 s, worker killed")]
    assert of(Discard, killed) == [Discard("/r/1")]
    assert steps(killed) == []


def test_a_hedge_goes_on_alone():
    """When one of the two fails the chunk waits for the other, and is tried again only when that has failed, too."""
    run = hedged()
    failed = run.tick(15)
    assert steps(failed) == ["hedge 1-10"]
    assert handed_out(failed) == []
    again = run.done(3, failure=RESET)
    assert steps(again) == ["re-dispatch 1-10"]
    run.up(3)
    assert handed_out(run.tick(2)) == ["1-10 to 2"]
    assert run.tasks[4].attempt == 3


def test_damage_found_by_a_hedge_ends_the_run_at_once():
    """What is permanent needs no second word."""
    run = hedged()
    ended = run.done(3, failure=CORRUPT)
    assert steps(ended) == ["abort 1-10"]
    assert isinstance(ended[-1], Finish)
    assert set(of(Discard, run.all)) == {Discard("/r/1"), Discard("/r/2"), Discard("/r/3")}


def test_the_head_is_hedged_before_anything_new_is_begun():
    """A worker that comes free takes the late head, not the next chunk; nothing is queued behind a late worker."""
    run = Run((1, 90), workers=2)
    run.up(1, 2)
    run.tick(44)
    run.done(2)
    run.tick(1)
    assert handed_out(run.done(4))[:1] == ["1-10 to 2"]


def test_a_chunk_behind_the_head_is_hedged_by_who_is_idle():
    """When nothing is left to hand out, whoever is idle helps with what is late, lowest first."""
    run = Run((1, 30), workers=3)
    run.up(1, 2, 3)
    run.now = 1.0
    run.tell(FromWorker(1, ChunkStarted(token=1)))  # the head is a little younger
    run.done(3)
    assert handed_out(run.tick(44)) == ["11-20 to 3"]


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
    run.up(3)
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


@pytest.mark.parametrize("what", ["worker died: killed by SIGKILL", "no result after 60 s, worker killed"])
def test_the_plug_in_that_a_worker_was_at_is_named(what: str):
    """A worker that dies or hangs within a plug-in says no more: what it was at is part of the reason."""
    run = Run((1, 10), workers=1)
    run.up(1)
    run.tell(FromWorker(1, PlugInCalled(token=9, plug_in="OLD")))  # of a chunk that nobody waits for any more
    run.tell(FromWorker(1, PlugInCalled(token=1, plug_in="POINTS")))
    actions = run.tell(WorkerDied(1, what.removeprefix("worker died: "))) if "SIGKILL" in what else run.tick(60)
    (told,) = [note.why for note in actions if isinstance(note, Note)]
    assert told == f"{what} while plug-in POINTS was at work"


def test_a_late_result_of_a_killed_worker_is_dropped():
    """A superseded token's answer is nobody's: nothing is held, committed or discarded again."""
    run = Run((1, 30), workers=1)
    run.up(1)
    run.tick(60)
    assert run.done(1) == []
    assert commits(run.all) == []


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
        ({"workers": 1, "connections": 0}, "connections is 0: at least 1"),
    ],
)
def test_bounds_that_contradict_are_refused(wrong: dict[str, int], said: str):
    """A window without room for its workers is refused at the start, with both numbers."""
    with pytest.raises(ValueError, match=said):
        CoordinatorConfig(**wrong)
