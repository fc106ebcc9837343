"""Real worker processes: what they answer, how they are killed and replaced, and that none is ever left."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from faulty_s3 import FaultyS3

from workers.messages import (
    TABLES,
    ChunkDone,
    ChunkStarted,
    LakeSpec,
    LedgerRange,
    Ready,
    Task,
    WorkerConfig,
    WorkerMessage,
)
from workers.pool import Pool, WorkerGone

FIRST, LAST = 63092982, 63092995  # the contiguous ledgers of the real lake
PUBNET = "Public Global Stellar Network ; September 2015"
PATIENCE_S = 30.0
Heard = list[tuple[int, WorkerMessage | WorkerGone]]


def config(url: str, attempts: int = 4, timeout_s: float = 30.0) -> WorkerConfig:
    spec = LakeSpec(url=url, ledgers_per_object=1, objects_per_partition=64_000)
    return WorkerConfig(source=spec, network_passphrase=PUBNET, fetch_attempts=attempts, fetch_timeout_s=timeout_s)


@pytest.fixture
def lake(shared: Path) -> WorkerConfig:
    return config(str(shared / "ledgers/pubnet"))


@pytest.fixture
def faulty(shared: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyS3]:
    """The real lake behind a server that fails as it is told to; workers take its address from the environment."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SKIP_SIGNATURE"):
        monkeypatch.delenv(name, raising=False)
    with FaultyS3(shared / "ledgers/pubnet").serving() as server:
        for name, value in {"ENDPOINT_URL": server.url, "ALLOW_HTTP": "true", "REGION": "us-east-2"}.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        yield server


def hear(pool: Pool, enough: Callable[[Heard], bool]) -> Heard:
    """Collect what workers say until it is enough."""
    heard: Heard = []
    deadline = time.monotonic() + PATIENCE_S
    while not enough(heard):
        assert time.monotonic() < deadline, f"heard only {heard}"
        heard += pool.wait(0.2)
    return heard


def until(kind: type[object], count: int = 1) -> Callable[[Heard], bool]:
    return lambda heard: sum(isinstance(message, kind) for _, message in heard) >= count


def done_in(heard: Heard) -> list[ChunkDone]:
    return [message for _, message in heard if isinstance(message, ChunkDone)]


def task(folder: Path, token: int, first: int = FIRST, last: int = LAST) -> Task:
    return Task(token=token, attempt=1, ledgers=LedgerRange(first, last), path=str(folder / str(token)))


def offspring() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def lives(process: psutil.Process) -> bool:
    """A zombie waits only for a new parent to look at it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_chunk_comes_back_as_rows_in_a_file(lake: WorkerConfig, tmp_path: Path) -> None:
    """A worker says that it is ready, that it has begun, and where the rows of all four tables lie."""
    with Pool(lake) as pool:
        pool.start(0)
        pool.send(0, task(tmp_path, 1))
        heard = hear(pool, until(ChunkDone))
    assert [type(message) for _, message in heard] == [Ready, ChunkStarted, ChunkDone]
    done = done_in(heard)[0]
    assert (done.token, done.ledgers, done.failure) == (1, LedgerRange(FIRST, LAST), None)
    assert tuple(section.table for section in done.sections) == TABLES
    assert done.row_bytes == Path(done.path).stat().st_size
    assert done.sections[0].rows == len(done.ledgers)
    assert [len(done.previous_hash), len(done.first_hash), len(done.last_hash)] == [32, 32, 32]
    assert 0 < done.object_bytes < done.plain_bytes
    assert done.peak_rss > 1 << 20
    assert done.timings.cpu_s > 0
    assert 0 < done.timings.walk_s <= done.timings.elapsed_s


def test_tasks_are_answered_in_their_order(lake: WorkerConfig, tmp_path: Path) -> None:
    """Two tasks given at once are answered one after the other, each begun before it is done."""
    with Pool(lake) as pool:
        pool.start(0)
        for token in (1, 2):
            pool.send(0, task(tmp_path, token))
        heard = hear(pool, until(ChunkDone, 2))
    told = [(type(message), message.token) for _, message in heard if isinstance(message, ChunkStarted | ChunkDone)]
    assert told == [(ChunkStarted, 1), (ChunkDone, 1), (ChunkStarted, 2), (ChunkDone, 2)]


def test_next_chunk_is_fetched_while_this_one_waits(faulty: FaultyS3, tmp_path: Path) -> None:
    """A worker reads ahead: the objects of its next task are asked for before this one is done."""
    slow, ahead = pool_key(FIRST), pool_key(LAST)
    faulty.faults[slow] = ["hang"]
    with Pool(config("s3://lake")) as pool:
        pool.start(0)
        pool.send(0, task(tmp_path, 1, FIRST, FIRST))
        pool.send(0, task(tmp_path, 2, LAST, LAST))
        heard = hear(pool, lambda heard: bool(done_in(heard)) or ("GET", ahead) in faulty.requests)
        assert not done_in(heard)
        assert len(done_in(hear(pool, until(ChunkDone, 2)))) == 2


def pool_key(ledger: int) -> str:
    return f"FC3E15FF--63040000-63103999/{0xFFFFFFFF - ledger:08X}--{ledger}.xdr.zst"


def test_hole_is_reported_behind_the_sound_first_part(lake: WorkerConfig, tmp_path: Path) -> None:
    """Where an object is missing, the ledgers before it come as rows, with the failure that names it."""
    with Pool(lake) as pool:
        pool.start(0)
        pool.send(0, task(tmp_path, 1, LAST - 2, LAST + 3))
        pool.send(0, task(tmp_path, 2, LAST + 1, LAST + 3))
        part, nothing = done_in(hear(pool, until(ChunkDone, 2)))
    assert part.ledgers == LedgerRange(LAST - 2, LAST)
    assert part.sections[0].rows == 3
    assert nothing.ledgers is None
    assert (nothing.path, nothing.sections) == ("", ())
    for done in (part, nothing):
        assert done.failure is not None
        assert done.failure.missing
        assert done.failure.ledger == LAST + 1
        assert pool_key(LAST + 1) in done.failure.reason


def test_lost_network_gives_no_part_of_a_chunk(faulty: FaultyS3, tmp_path: Path) -> None:
    """A transient failure is the whole chunk's: it is tried again as one, so nothing is decoded of it."""
    faulty.faults[pool_key(LAST)] = [503] * 9
    with Pool(config("s3://lake", attempts=2)) as pool:
        pool.start(0)
        pool.send(0, task(tmp_path, 1, FIRST, LAST))
        (done,) = done_in(hear(pool, until(ChunkDone)))
    assert done.ledgers is None
    assert done.failure is not None
    assert (done.failure.transient, done.failure.missing, done.failure.ledger) == (True, False, LAST)
    assert not (tmp_path / "1").exists()


def test_full_disk_is_told_and_leaves_no_file(lake: WorkerConfig, tmp_path: Path) -> None:
    """Rows that find no room end the attempt for good, in clear words, and free what they had taken."""
    (tmp_path / "1").symlink_to("/dev/full")
    with Pool(lake) as pool:
        pool.start(0)
        pool.send(0, task(tmp_path, 1))
        (done,) = done_in(hear(pool, until(ChunkDone)))
    assert done.ledgers is None
    assert done.failure is not None
    assert not done.failure.transient
    assert done.failure.reason.startswith(f"no space left for the rows at {tmp_path / '1'}")
    assert not (tmp_path / "1").is_symlink()


def test_source_that_cannot_be_opened_is_a_failure(tmp_path: Path) -> None:
    """A worker whose source is gone stays alive and answers with the reason."""
    with Pool(config(str(tmp_path / "absent"))) as pool:
        pool.start(0)
        pool.send(0, task(tmp_path, 1))
        (done,) = done_in(hear(pool, until(ChunkDone)))
    assert done.failure is not None
    assert done.failure.reason == f"no folder {tmp_path / 'absent'}"
    assert done.failure.ledger == FIRST


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_death_is_told_with_its_signal(lake: WorkerConfig, number: signal.Signals) -> None:
    """A worker that dies is heard of once more, with how it died; its number is free again."""
    with Pool(lake) as pool:
        pool.start(0)
        hear(pool, until(Ready))
        os.kill(pool.pids()[0], number)
        (gone,) = [message for _, message in hear(pool, until(WorkerGone)) if isinstance(message, WorkerGone)]
        assert gone.exitcode == -number
        assert gone.reason.startswith(f"killed by {number.name}")
        pool.start(0)
        hear(pool, until(Ready))


def test_killed_worker_is_dead_and_heard_to_the_end(lake: WorkerConfig, tmp_path: Path) -> None:
    """After `kill` the process has ended; what it had said before is delivered, then its end with the reason."""
    with Pool(lake) as pool:
        pool.start(0)
        hear(pool, until(Ready))
        pid = pool.pids()[0]
        pool.send(0, task(tmp_path, 1))
        time.sleep(0.5)
        pool.kill(0, "overdue by 2.0 s")
        assert not psutil.pid_exists(pid)
        heard = hear(pool, until(WorkerGone))
    assert [type(message) for _, message in heard] == [ChunkStarted, ChunkDone, WorkerGone]
    assert heard[-1][1] == WorkerGone(reason="killed: overdue by 2.0 s", exitcode=-signal.SIGKILL)


def test_frozen_worker_can_be_killed(lake: WorkerConfig) -> None:
    """A worker that does nothing any more, not even receive, is killed and replaced as any other."""
    with Pool(lake) as pool:
        pool.start(0)
        hear(pool, until(Ready))
        os.kill(pool.pids()[0], signal.SIGSTOP)
        pool.kill(0, "frozen")
        pool.start(1)
        hear(pool, until(Ready))


def test_task_for_a_dead_worker_is_lost_quietly(lake: WorkerConfig, tmp_path: Path) -> None:
    """Sending to a worker that has just died raises nothing: its end is told by `wait`."""
    with Pool(lake) as pool:
        pool.start(0)
        hear(pool, until(Ready))
        os.kill(pool.pids()[0], signal.SIGKILL)
        for token in range(3):
            pool.send(0, task(tmp_path, token))
            time.sleep(0.05)
        hear(pool, until(WorkerGone))
        pool.send(0, task(tmp_path, 9))


def test_number_in_use_is_refused(lake: WorkerConfig) -> None:
    """No two living workers have one number."""
    with Pool(lake) as pool:
        pool.start(0)
        with pytest.raises(ValueError, match="worker 0 is there already"):
            pool.start(0)


def test_caller_is_woken_by_its_own_descriptor(lake: WorkerConfig) -> None:
    """A readable descriptor of the caller ends a wait at once."""
    readable, writable = os.pipe()
    with Pool(lake) as pool:
        os.write(writable, b"\0")
        begin = time.monotonic()
        assert pool.wait(10.0, [readable]) == []
        assert time.monotonic() - begin < 1.0
    os.close(readable)
    os.close(writable)


def test_workers_killed_at_random_are_healed(lake: WorkerConfig, tmp_path: Path) -> None:
    """Whatever worker dies at whatever moment, every chunk gets done, and nobody but the dead is harmed."""
    draw = random.Random(7)
    todo = {token: LedgerRange(FIRST + token % 10, FIRST + token % 10 + draw.randrange(4)) for token in range(80)}
    done: dict[int, ChunkDone] = {}
    holds: dict[int, int] = {}
    deaths = 0
    with Pool(lake) as pool:
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


def test_log_records_arrive_as_they_were_made(
    faulty: FaultyS3, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What a worker logs reaches the coordinator's handlers, with its logger, level, worker and text."""
    faulty.faults[pool_key(FIRST)] = [503]
    with caplog.at_level(logging.INFO), Pool(config("s3://lake")) as pool:
        pool.start(3)
        pool.send(3, task(tmp_path, 1, FIRST, FIRST))
        hear(pool, until(ChunkDone))
    (record,) = [record for record in caplog.records if record.name == "workers.sources.bucket"]
    assert (record.levelname, record.processName) == ("INFO", "worker-3")
    assert "try 1 failed: cannot read object" in record.getMessage()


def test_records_below_the_level_stay_where_they_are(
    faulty: FaultyS3, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker sends nothing that the coordinator would drop."""
    faulty.faults[pool_key(FIRST)] = [503]
    with caplog.at_level(logging.WARNING), Pool(config("s3://lake")) as pool:
        pool.start(3)
        pool.send(3, task(tmp_path, 1, FIRST, FIRST))
        hear(pool, until(ChunkDone))
    assert [record for record in caplog.records if record.name.startswith("workers")] == []


def test_nothing_is_left_after_close(lake: WorkerConfig, tmp_path: Path) -> None:
    """Idle or busy, after `close` there is no worker, no forkserver, no tracker, no thread and no descriptor left."""
    Pool(lake).close()  # whatever is made once a process is there before the count
    threads, descriptors = set(threading.enumerate()), open_descriptors()
    pool = Pool(lake)
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


def test_two_pools_live_side_by_side(lake: WorkerConfig, tmp_path: Path) -> None:
    """The end of one pool is no end of another's workers."""
    with Pool(lake) as staying:
        staying.start(0)
        with Pool(lake) as leaving:
            leaving.start(0)
            hear(leaving, until(Ready))
        staying.send(0, task(tmp_path, 1))
        hear(staying, until(ChunkDone))
    assert offspring() == []


def test_pool_starts_from_the_main_thread_only(lake: WorkerConfig) -> None:
    """Elsewhere the kernel would end the workers with the thread: refused."""
    refused: list[Exception] = []

    def make() -> None:
        try:
            Pool(lake)
        except RuntimeError as error:
            refused.append(error)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    assert "main thread" in str(refused[0])


def test_interrupt_of_the_whole_group_leaves_workers_alone(faulty: FaultyS3, tmp_path: Path) -> None:
    """Ctrl-C reaches every process of the terminal: workers go on until their coordinator decides."""
    with running_coordinator(tmp_path, faulty, "import signal; signal.signal(signal.SIGINT, lambda *_: None)") as (
        coordinator,
        children,
    ):
        os.killpg(coordinator.pid, signal.SIGINT)
        time.sleep(0.5)
        assert coordinator.poll() is None
        assert [child for child in children if not child.is_running()] == []


@pytest.mark.parametrize("busy", ["idle", "fetching", "decoding", "stopped"])
def test_workers_die_with_their_coordinator(busy: str, faulty: FaultyS3, tmp_path: Path) -> None:
    """After a SIGKILL of the coordinator every process of its run is gone within 2 s, whatever it was at."""
    with running_coordinator(tmp_path, faulty, busy=busy) as (coordinator, children):
        assert len(children) == 4
        coordinator.kill()
        coordinator.wait()
        deadline = time.monotonic() + 2.0
        while alive := [child for child in children if lives(child)]:
            assert time.monotonic() < deadline, f"still there: {alive}"
            time.sleep(0.01)


def test_forkserver_killed_takes_its_workers_and_is_replaced(lake: WorkerConfig) -> None:
    """Where the process that workers come from dies, they are heard to end, and new ones can be started."""
    with Pool(lake) as pool:
        pool.start(0)
        hear(pool, until(Ready))
        os.kill(psutil.Process(pool.pids()[0]).ppid(), signal.SIGKILL)
        hear(pool, until(WorkerGone))
        pool.start(1)
        hear(pool, until(Ready))
    assert offspring() == []


def test_workers_do_not_run_the_command_again(tmp_path: Path) -> None:
    """A worker loads what it needs and not the program that started it, whose modules cost it time and memory."""
    script = tmp_path / "command.py"
    script.write_text(
        "print('loaded', flush=True)\n"
        "from workers.messages import LakeSpec, WorkerConfig\n"
        "from workers.pool import Pool\n"
        "spec = LakeSpec(url='/', ledgers_per_object=1, objects_per_partition=1)\n"
        "if __name__ == '__main__':\n"
        "    with Pool(WorkerConfig(source=spec, network_passphrase='a network')) as pool:\n"
        "        pool.start(0)\n"
        "        print(pool.wait(10.0), flush=True)\n"
    )
    ran = subprocess.run([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, check=True)
    loaded, ready = ran.stdout.splitlines()
    assert loaded == "loaded"
    assert "Ready(pid=" in ready


@contextlib.contextmanager
def running_coordinator(
    folder: Path, faulty: FaultyS3, first: str = "", busy: str = "fetching"
) -> Iterator[tuple[subprocess.Popen[str], list[psutil.Process]]]:
    """Run a coordinator of two workers in a process group of its own, and list what came of it."""
    faulty.hang_s = 20.0
    if busy == "fetching":
        faulty.faults[pool_key(FIRST)] = ["hang"] * 9
    environment = {**os.environ, "BUSY": busy, "FOLDER": str(folder), "FIRST_LINES": first}
    coordinator = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("coordinating.py"))],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    children: list[psutil.Process] = []
    try:
        assert coordinator.stdout is not None
        assert coordinator.stdout.readline() == "busy\n"
        children = psutil.Process(coordinator.pid).children(recursive=True)
        yield coordinator, children
    finally:
        for process in [*children, coordinator]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        coordinator.communicate()
