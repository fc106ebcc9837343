"""SIGKILL at random moments: the same command again, until it is done, gives what an undisturbed run gives."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from program import Program, Running, job, make_lake, wait_for, wait_for_none
from stores import digests, held, sessions

FIRST, LAST = 2, 4001
CHUNKS = ["--chunk-ledgers", "4"]  # 1000 of them
KILLS = 10
Digests = dict[str, tuple[int, str]]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake that takes seconds to fill."""
    return make_lake(tmp_path_factory.mktemp("long") / "lake", LAST - FIRST + 1, "--shape", "sparse")


@pytest.fixture(scope="module")
def undisturbed(
    lake: Path,
    new_database: Callable[[str], str],
    drop_database: Callable[[str], None],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Digests]:
    """The digests of a run that nobody disturbs."""
    database = new_database("template0")
    program = Program(tmp_path_factory.mktemp("undisturbed"), database)
    ended = program.backfill(lake, FIRST, LAST, *CHUNKS)
    assert ended.returncode == 0, ended.stderr
    yield digests(database)
    drop_database(database)


@pytest.fixture
def moments(request: pytest.FixtureRequest) -> random.Random:
    """Where the random moments come from; a failure shows the seed, and LEDGERFILL_TEST_SEED repeats it."""
    seed = int(os.environ.get("LEDGERFILL_TEST_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"{request.node.name}: LEDGERFILL_TEST_SEED={seed}")
    return random.Random(seed)


def committed(database: str) -> int:
    """Return how many chunks the books of a store have."""
    with psycopg.connect(database) as conn:
        if conn.execute("SELECT to_regclass('ledgerfill.backfill_chunks')").fetchone() == (None,):
            return 0
        return conn.execute("SELECT count(*) FROM ledgerfill.backfill_chunks").fetchone()[0]


def runs(database: str) -> list[str]:
    """Return how the runs of a store ended, by its books."""
    with psycopg.connect(database) as conn:
        return [row[0] for row in conn.execute("SELECT outcome FROM ledgerfill.backfill_runs ORDER BY id")]


def wait_for_chunks(running: Running, database: str, more: int) -> None:
    """Wait until a run has committed that many more chunks, or has ended."""
    least = committed(database) + more
    wait_for(lambda: running.ended() or committed(database) >= least, 60)


def fill(ledgerfill: Program, lake: Path) -> subprocess.CompletedProcess[str]:
    """Run to the end; two runs may fail of kills before, one has nothing against it."""
    ended = ledgerfill.backfill(lake, FIRST, LAST, *CHUNKS)
    assert ended.returncode == 0, ended.stderr
    assert held(ledgerfill.database) == [(FIRST, LAST)]
    return ended


def folders(pids: list[int]) -> list[str]:
    """Return the folders with results that runs have left."""
    root = Path(f"/dev/shm/ledgerfill-{os.getuid()}")
    return [str(folder) for pid in pids for folder in root.glob(f"{pid}-*")]


@pytest.mark.slow
def test_coordinator_killed_at_random_moments(
    ledgerfill: Program, lake: Path, undisturbed: Digests, moments: random.Random
) -> None:
    """Whenever the coordinator dies, its workers and its lock go with it, and the same command goes on."""
    pids = []
    for kill in range(KILLS):
        running = ledgerfill.start("backfill", *job(lake, FIRST, LAST), *CHUNKS, "--workers", moments.choice([1, 2, 4]))
        if kill % 4 == 3:
            time.sleep(moments.uniform(0, 1.5))  # while it starts
        else:
            wait_for_chunks(running, ledgerfill.database, moments.randrange(1, 15))
            time.sleep(moments.uniform(0, 0.05))
        assert not running.ended(), "there was nothing left to disturb"
        running.send(signal.SIGKILL)
        pids.append(running.pid)
        assert running.process.wait() == -signal.SIGKILL
        running.process.communicate()
        wait_for_none(ledgerfill.processes)
        wait_for_none(lambda: sessions(ledgerfill.database))
        assert (found := held(ledgerfill.database)) == [] or (len(found) == 1 and found[0][0] == FIRST), found
    fill(ledgerfill, lake)
    assert {*runs(ledgerfill.database)} == {"died", "success"}
    assert digests(ledgerfill.database) == undisturbed
    assert folders(pids) == [], "a start clears what dead runs have left"


@pytest.mark.slow
def test_workers_killed_at_random_moments(
    ledgerfill: Program, lake: Path, undisturbed: Digests, moments: random.Random
) -> None:
    """A worker that dies is replaced, and what it was at is done again."""
    kills = 0
    while kills < KILLS:
        running = ledgerfill.start("backfill", *job(lake, FIRST, LAST), *CHUNKS, "--workers", 3)
        while kills < KILLS and not running.ended():
            wait_for_chunks(running, ledgerfill.database, moments.randrange(1, 12))
            time.sleep(moments.uniform(0, 0.05))
            if workers := running.workers():
                os.kill(moments.choice(workers), signal.SIGKILL)
                kills += 1
        ended = running.result()
        assert ended.returncode == 0 or "worker" in ended.stderr, ended.stderr
        assert kills == KILLS or ended.returncode, "it was over before it was disturbed"
    fill(ledgerfill, lake)
    assert digests(ledgerfill.database) == undisturbed


@pytest.mark.slow
def test_run_heals_when_all_workers_die_at_once(
    ledgerfill: Program, lake: Path, undisturbed: Digests, moments: random.Random
) -> None:
    """With every worker killed at the same moment the run itself goes on, and ends well."""
    running = ledgerfill.start("backfill", *job(lake, FIRST, LAST), *CHUNKS, "--workers", 3)
    for _ in range(2):
        wait_for_chunks(running, ledgerfill.database, moments.randrange(1, 30))
        workers = running.workers()
        assert workers
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
    ended = running.result()
    assert ended.returncode == 0, ended.stderr
    assert digests(ledgerfill.database) == undisturbed


@pytest.mark.slow
def test_run_heals_when_its_forkserver_dies(
    ledgerfill: Program, lake: Path, undisturbed: Digests, moments: random.Random
) -> None:
    """The process that starts workers takes them with it when it is killed; the run starts others, and ends well."""
    running = ledgerfill.start("backfill", *job(lake, FIRST, LAST), *CHUNKS, "--workers", 2)
    wait_for_chunks(running, ledgerfill.database, moments.randrange(1, 30))
    (forkserver,) = {running.parent_of(worker) for worker in running.workers()}
    os.kill(forkserver, signal.SIGKILL)
    ended = running.result()
    assert ended.returncode == 0, ended.stderr
    assert digests(ledgerfill.database) == undisturbed


@pytest.mark.slow
def test_server_that_cuts_its_sessions_is_asked_again(
    ledgerfill: Program, lake: Path, undisturbed: Digests, moments: random.Random
) -> None:
    """Sessions ended by the server at random moments lose nothing and write nothing twice."""
    running = ledgerfill.start("backfill", *job(lake, FIRST, LAST), *CHUNKS, "--workers", 2)
    for _ in range(3):
        wait_for_chunks(running, ledgerfill.database, moments.randrange(1, 15))
        time.sleep(moments.uniform(0, 0.02))
        assert not running.ended(), "it was over before it was disturbed"
        with psycopg.connect(ledgerfill.database) as conn:
            conn.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
    ended = running.result()
    assert ended.returncode == 0, ended.stderr
    assert "connecting again" in ended.stderr
    assert digests(ledgerfill.database) == undisturbed
    assert runs(ledgerfill.database) == ["success"]


@pytest.mark.slow
@pytest.mark.parametrize("by_hand", [True, False])
def test_run_outlives_a_crash_of_its_server(
    ledgerfill: Program, lake: Path, reachable: Path, undisturbed: Digests, moments: random.Random, *, by_hand: bool
) -> None:
    """PostgreSQL killed in the midst of a run recovers, started by who comes first, and the run goes on."""
    ledgerfill.database, ledgerfill.home = None, reachable / f"crash-{by_hand}"
    url = ledgerfill("store", "url").stdout.strip()
    try:
        running = ledgerfill.start("backfill", *job(lake, FIRST, LAST), *CHUNKS)
        wait_for_chunks(running, url, moments.randrange(1, 200))
        server = json.loads(ledgerfill("store", "status", "--json").stdout)["pid"]
        os.kill(server, signal.SIGKILL)
        if by_hand:
            assert ledgerfill("store", "start").returncode == 0
        ended = running.result()
        assert ended.returncode == 0, ended.stderr
        assert re.search(r"connecting again to commit ledgers \d+-\d+: .", ended.stderr)
        assert ledgerfill("store", "url").stdout.strip() == url
        assert digests(url) == undisturbed
    finally:
        ledgerfill("store", "stop")
