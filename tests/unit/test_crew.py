"""Who gets the next task, and what becomes of a worker's tasks."""

from __future__ import annotations

from pipeline.chunk import Chunk, ChunkState
from pipeline.crew import Crew, Worker
from pipeline.plan import Gap
from workers.messages import LedgerRange


def chunk(first: int) -> Chunk:
    ledgers = LedgerRange(first, first + 9)
    return Chunk(ledgers=ledgers, gap=Gap(ledgers=ledgers), size=1, stored=1)


def crew(workers: int) -> tuple[Crew, list[Worker]]:
    made = Crew("/results")
    hired = [made.hire(0.0) for _ in range(workers)]
    for worker in hired:
        made.ready(worker.number)
    return made, hired


def test_idle_workers_come_first():
    """A task goes to a worker that has none before any is queued behind another."""
    team, (first, second) = crew(2)
    team.give(first, chunk(1), 0.0)
    assert team.free(9) is second


def test_a_task_is_queued_where_it_waits_least():
    """With nobody idle, the worker that has been at its only task longest reads ahead; two tasks are enough."""
    team, (first, second) = crew(2)
    team.give(second, chunk(1), 1.0)
    team.give(first, chunk(11), 2.0)
    assert team.free(9) is second
    team.give(second, chunk(21), 3.0)
    assert team.free(9) is first
    team.give(first, chunk(31), 3.0)
    assert team.free(9) is None


def test_nothing_is_queued_while_a_worker_starts():
    """A chunk rather waits for the worker that will be idle in a moment than behind another chunk."""
    team, (first,) = crew(1)
    team.give(first, chunk(1), 0.0)
    newcomer = team.hire(1.0)
    assert team.free(9) is None
    team.ready(newcomer.number)
    assert team.free(9) is newcomer


def test_tasks_carry_a_token_of_their_own():
    """Every attempt has a token and a file that no other has; its number counts the failed ones before it."""
    team, (worker,) = crew(1)
    again = chunk(1)
    task = team.give(worker, again, 0.0)
    assert (task.token, task.attempt, task.path) == (1, 1, "/results/1")
    assert team.answered(task.token, 1.0)
    again.wait(0.0, 1.0)
    again.failures = 2
    task = team.give(worker, again, 2.0)
    assert (task.token, task.attempt, task.path) == (2, 3, "/results/2")
    assert again.state is ChunkState.WORK


def test_a_queued_task_counts_from_its_turn():
    """The deadline of a task that was queued begins when the one before it is answered, or when it says so."""
    team, (worker,) = crew(1)
    first, second = (team.give(worker, chunk(at), 0.0) for at in (1, 11))
    team.answered(first.token, 50.0)
    assert worker.in_work
    assert worker.in_work.token == second.token
    assert worker.in_work.since == 50.0
    team.began(second.token, 55.0)
    assert worker.in_work.since == 55.0


def test_a_token_is_answered_once():
    """A second answer, and one to a worker's task that was dismissed, is nobody's."""
    team, (worker, other) = crew(2)
    task, lost = team.give(worker, chunk(1), 0.0), team.give(other, chunk(11), 0.0)
    assert team.answered(task.token, 1.0)
    assert team.answered(task.token, 1.0) is None
    team.dismiss(other.number)
    assert team.answered(lost.token, 1.0) is None
    assert team.dismiss(other.number) is None


def test_numbers_are_never_used_again():
    """A worker that replaces another has a new number, so that late words of the old one are not taken for its own."""
    team, (worker,) = crew(1)
    team.dismiss(worker.number)
    assert team.hire(1.0).number == worker.number + 1


def test_failed_starts_are_counted_in_a_row():
    """Workers that die before their first word are counted; one that comes up begins the count anew."""
    team = Crew("/results")
    for _ in range(2):
        team.dismiss(team.hire(0.0).number)
    assert team.failed_starts == 2
    up = team.hire(0.0)
    team.ready(up.number)
    team.dismiss(up.number)
    assert team.failed_starts == 0
