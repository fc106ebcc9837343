"""Real worker processes: how they are started, killed and replaced, and that none is ever left."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from pooling import FIRST, hear, task, until

from workers.messages import ChunkDone, ChunkStarted, LedgerRange, Ready, Task, WorkerConfig
from workers.pool import Pool, WorkerGone, started_ahead

Offspring = Callable[[], list[psutil.Process]]


@pytest.fixture
def offspring() -> Offspring:
    """The processes that came of this one since the test began; a server of other tests is none of them."""
    before = psutil.Process().children(recursive=True)
    return lambda: [each for each in psutil.Process().children(recursive=True) if each not in before]


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_death_is_told_with_its_signal(pubnet: WorkerConfig, number: signal.Signals) -> None:
    """A worker that dies is heard of once more, with how it died; its number is free again."""
    with Pool(pubnet) as pool:
        pool.start(0)
        hear(pool, until(Ready))
        os.kill(pool.pids()[0], number)
        (gone,) = [message for _, message in hear(pool, until(WorkerGone)) if isinstance(message, WorkerGone)]
        assert gone.exitcode == -number
        assert gone.reason.startswith(f"killed by {number.name}")
        pool.start(0)
        hear(pool, until(Ready))


def test_killed_worker_is_dead_and_heard_to_the_end(pubnet: WorkerConfig, tmp_path: Path) -> None:
    """After `kill` the process has ended; what it had said before is delivered, then its end with the reason."""
    with Pool(pubnet) as pool:
        pool.start(0)
        hear(pool, until(Ready))
        pid = pool.pids()[0]
        pool.send(0, task(tmp_path, 1))
        _wait_for_rows(tmp_path / "1")
        pool.kill(0, "overdue by 2.0 s")
        assert not psutil.pid_exists(pid)
        heard = hear(pool, until(WorkerGone))
    assert [type(message) for _, message in heard] == [ChunkStarted, ChunkDone, WorkerGone]
    assert heard[-1][1] == WorkerGone(reason="killed: overdue by 2.0 s", exitcode=-signal.SIGKILL)


def _wait_for_rows(path: Path) -> None:
    """Wait until nothing more is written to a file, and a little longer for the message that says so."""
    before = -1
    while not path.exists() or path.stat().st_size != before:
        before = path.stat().st_size if path.exists() else -1
        time.sleep(0.3)


def test_frozen_worker_can_be_killed(pubnet: WorkerConfig) -> None:
    """A worker that does nothing any more, not even receive, is killed and replaced as any other."""
    with Pool(pubnet) as pool:
        pool.start(0)
        hear(pool, until(Ready))
        os.kill(pool.pids()[0], signal.SIGSTOP)
        pool.kill(0, "frozen")
        pool.start(1)
        hear(pool, until(Ready))


def test_task_for_a_dead_worker_is_lost_quietly(pubnet: WorkerConfig, tmp_path: Path) -> None:
    """Sending to a worker that has just died raises nothing: its end is told by `wait`."""
    with Pool(pubnet) as pool:
        pool.start(0)
        hear(pool, until(Ready))
        os.kill(pool.pids()[0], signal.SIGKILL)
        for token in range(3):
            pool.send(0, task(tmp_path, token))
            time.sleep(0.05)
        hear(pool, until(WorkerGone))
        pool.send(0, task(tmp_path, 9))


def test_number_in_use_is_refused(pubnet: WorkerConfig) -> None:
    """No two living workers have one number."""
    with Pool(pubnet) as pool:
        pool.start(0)
        with pytest.raises(ValueError, match="worker 0 is there already"):
            pool.start(0)


def test_caller_is_woken_by_its_own_descriptor(pubnet: WorkerConfig) -> None:
    """A readable descriptor of the caller ends a wait at once."""
    readable, writable = os.pipe()
    with Pool(pubnet) as pool:
        os.write(writable, b"\0")
        begin = time.monotonic()
        assert pool.wait(10.0, [readable]) == []
        assert time.monotonic() - begin < 1.0
    os.close(readable)
    os.close(writable)


def test_workers_killed_at_random_are_healed(pubnet: WorkerConfig, tmp_path: Path) -> None:
    """Whatever worker dies at whatever moment, every chunk gets done, and nobody but the dead is harmed."""
    draw = random.Random(7)
    todo = {token: LedgerRange(FIRST + token % 10, FIRST + token % 10 + draw.randrange(4)) for token in range(80)}
    done: dict[int, ChunkDone] = {}
    holds: dict[int, int] = {}
    deaths = 0
    with Pool(pubnet) as pool:
        for worker in range(3):
            pool.start(worker)
        deadline = time.monotonic() + 60.0
        while len(done) < len(todo):
            assert time.monotonic() < deadline
            for worker, message in pool.wait(0.05):
                if isinstance(message, ChunkDone):
                    done[message.token] = message
                if isinstance(message, WorkerGone):
                    deaths += 1
                    holds.pop(worker, None)
                    pool.start(worker)
                else:
                    free = isinstance(message, Ready | ChunkDone)
                    left = [token for token in todo if token not in done and token not in holds.values()]
                    if free:
                        holds.pop(worker, None)
                    if free and left:
                        holds[worker] = left[0]
                        pool.send(
                            worker, Task(token=left[0], attempt=1, ledgers=todo[left[0]], path=f"{tmp_path}/x{worker}")
                        )
            if deaths < 40 and draw.random() < 0.6:
                time.sleep(draw.random() * 0.01)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(draw.choice(list(pool.pids().values())), signal.SIGKILL)
    assert deaths >= 10
    assert {token: one.ledgers for token, one in done.items()} == todo
    assert all(one.failure is None for one in done.values())


def test_nothing_is_left_after_close(pubnet: WorkerConfig, tmp_path: Path, offspring: Offspring) -> None:
    """Idle or busy, after `close` there is no worker, no forkserver, no tracker, no thread and no descriptor left."""
    Pool(pubnet).close()  # whatever is made once a process is there before the count
    threads, descriptors = set(threading.enumerate()), open_descriptors()
    pool = Pool(pubnet)
    for worker in range(2):
        pool.start(worker)
    pool.send(1, task(tmp_path, 1))
    hear(pool, until(Ready, 2))
    assert len(offspring()) == 4
    pool.close()
    pool.close()
    assert offspring() == []
    assert set(threading.enumerate()) == threads
    assert open_descriptors() == descriptors


def test_two_pools_live_side_by_side(pubnet: WorkerConfig, tmp_path: Path, offspring: Offspring) -> None:
    """The end of one pool is no end of another's workers."""
    with Pool(pubnet) as staying:
        staying.start(0)
        with Pool(pubnet) as leaving:
            leaving.start(0)
            hear(leaving, until(Ready))
        staying.send(0, task(tmp_path, 1))
        hear(staying, until(ChunkDone))
    assert offspring() == []


def test_forkserver_started_ahead_is_the_one_that_pools_use(pubnet: WorkerConfig, offspring: Offspring) -> None:
    """It is there before any pool, serves the one that comes, and is left by neither, also where none comes."""
    for pools in (0, 1):
        with started_ahead():
            before = {each.pid for each in offspring()}
            assert len(before) == 2, "a forkserver and its tracker"
            for _ in range(pools):
                with Pool(pubnet) as pool:
                    pool.start(0)
                    hear(pool, until(Ready))
                    assert {each.pid for each in offspring()} - before == set(pool.pids().values())
        assert offspring() == []


def test_pool_starts_from_the_main_thread_only(pubnet: WorkerConfig) -> None:
    """Elsewhere the kernel would end the workers with the thread: refused."""
    refused: list[Exception] = []

    def make() -> None:
        try:
            Pool(pubnet)
        except RuntimeError as error:
            refused.append(error)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    assert "main thread" in str(refused[0])


def test_forkserver_killed_takes_its_workers_and_is_replaced(pubnet: WorkerConfig, offspring: Offspring) -> None:
    """Where the process that workers come from dies, they are heard to end, and new ones can be started."""
    with Pool(pubnet) as pool:
        pool.start(0)
        hear(pool, until(Ready))
        os.kill(psutil.Process(pool.pids()[0]).ppid(), signal.SIGKILL)
        _, gone = hear(pool, until(WorkerGone))[-1]
        assert gone == WorkerGone(reason="ended with the process that starts workers", exitcode=255)
        pool.start(1)
        hear(pool, until(Ready))
    assert offspring() == []


def test_forkserver_that_is_stopped_is_replaced(pubnet: WorkerConfig, offspring: Offspring) -> None:
    """Where the process that workers come from answers no more, a death is heard, and a worker started, in seconds."""
    with Pool(pubnet) as pool:
        pool.start(0)
        hear(pool, until(Ready))
        worker = pool.pids()[0]
        os.kill(psutil.Process(worker).ppid(), signal.SIGSTOP)
        os.kill(worker, signal.SIGKILL)
        start = time.monotonic()
        hear(pool, until(WorkerGone))
        pool.start(1)
        hear(pool, until(Ready))
        assert time.monotonic() - start < 20
    assert offspring() == []


def test_stopped_helpers_do_not_hold_up_the_end(pubnet: WorkerConfig, offspring: Offspring) -> None:
    """A forkserver and a tracker that were stopped end with the last pool all the same."""
    with Pool(pubnet):
        for helper in offspring():
            helper.suspend()
    assert offspring() == []


def test_many_workers_meet_no_limit_of_open_files(pubnet: WorkerConfig, offspring: Offspring) -> None:
    """Where a process may have few files open unless it asks for more, a pool asks."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_descriptors() + 12, limits[1]))
    try:
        with Pool(pubnet) as pool:
            for number in range(4):
                pool.start(number)
            hear(pool, until(Ready, 4))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert offspring() == []
