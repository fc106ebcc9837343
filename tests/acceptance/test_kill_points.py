"""SIGKILL of the coordinator at its Nth word to the database, for every N that a run has; the next run resumes.

Whatever it was at (its books, a segment, a chunk's rows, the compare-and-swap, COMMIT, an index), the store is a prefix
of the undisturbed one when it dies. The run that resumes is killed at another word, and so on until one comes to the
end: then the store equals the undisturbed one, and is emptied for the next.
"""

from __future__ import annotations

import contextlib
import random
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import documented
import psycopg
import pytest
from lakes import FIRST, LAST
from program import Program, ended_well
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from stores import KEYS, digests, held

SPARE = 1.1  # words that are tried for one that strikes: a chunk may go out in fewer than in the run that was counted
LAST_WORDS = 4  # goodbyes of its connections, which no answer comes to: among them a run may end before it is killed
SIDE_BY_SIDE = 2
ENGINE = ("--workers", 1, "--connections", 2, "--chunk-ledgers", 4)
BOTH = ("--protocol-id", "SEP41", "--protocol-id", "SEP50")
POINTS = ("--protocol-id", "POINTS")  # in Python alone
HALF = 24  # that a store has before live ingestion goes on
PROTOCOLS = {
    "state_changes": "operation_id, change_index, protocol_id",
    "sep41_balances": "contract_id, account",
    "sep41_allowances": "contract_id, owner, spender",
    "sep50_tokens": "contract_id, token_id",
}
AHEAD = """
    SELECT key, count(*) FROM ledgerfill.state_changes JOIN ledgerfill.ingest_store
        ON key = 'protocol_' || protocol_id || '_history_cursor' AND operation_id >> 32 > value GROUP BY key
    UNION ALL
    SELECT key, count(*) FROM ledgerfill.sep41_balances JOIN ledgerfill.ingest_store
        ON key = 'protocol_SEP41_current_state_cursor' AND last_ledger > value GROUP BY key
"""
Digests = dict[str, tuple[int, str]]
Prepare = Callable[[Program, Path, int], None]


class Relay:
    """Counts what clients send to PostgreSQL, and calls `at_last` at the Nth: before it arrives, or after."""

    def __init__(self, database: str, nth: int, at_last: Callable[[], None]) -> None:
        """Listen on a free port of the loopback."""
        info = conninfo_to_dict(database)
        self._target = str(info["host"]), int(str(info["port"]))
        self._nth, self._at_last = nth, at_last
        self.words, self._lock = 0, threading.Lock()
        self.killed = False  # the command, of it
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = make_conninfo(database, port=self._listener.getsockname()[1])
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        """Take nothing more, and wait until the connections have ended with their clients."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    @property
    def struck(self) -> bool:
        """Whether the Nth has come."""
        return self.words >= self._nth

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._threads.append(threading.Thread(target=self._join, args=(client,)))
                self._threads[-1].start()

    def _join(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._target) as server:
            back = threading.Thread(target=self._forward, args=(server, client, lambda: False))
            back.start()
            self._forward(client, server, self._is_nth)
            back.join()

    def _forward(self, one: socket.socket, other: socket.socket, is_last: Callable[[], bool]) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(1 << 20):
                last = is_last()
                if last and self._nth % 2:
                    self._at_last()
                    break
                other.sendall(data)
                if last:
                    self._at_last()
        with contextlib.suppress(OSError):
            other.shutdown(socket.SHUT_RDWR)

    def _is_nth(self) -> bool:
        with self._lock:
            self.words += 1
            return self.words == self._nth


def filled(program: Program, lake: Path, last: int, protocols: Sequence[object] = BOTH) -> None:
    """Prepare a store for migrations: base tables up to a ledger, protocols set up."""
    ended_well(program, "backfill", "--source", lake, "--start-ledger", FIRST, "--end-ledger", last)
    ended_well(program, "setup", *protocols)


def migrated(program: Program, lake: Path, last: int) -> None:
    """Prepare a store in which every cursor stands at its tip."""
    filled(program, lake, last)
    source = ("--source", lake, *BOTH, "--until-tip")
    ended_well(program, "migrate", "history", *source)
    ended_well(program, "migrate", "current-state", *source, "--start-ledger", FIRST)


@dataclass(frozen=True)
class Job:
    """A command, how often it is killed at the least, and what its store holds before it."""

    words: tuple[object, ...]
    kills: int
    before: tuple[Prepare, int] | None = None
    kind: str | None = None  # of migration, where it is one
    tokens: bool = False  # whether the lake is one of tokens, among them those of the plug-in


JOBS = {
    "backfill": Job(("backfill", "--start-ledger", FIRST, "--end-ledger", LAST), 140),
    "history": Job(
        ("migrate", "history", *POINTS, "--until-tip"),
        16,
        (partial(filled, protocols=(*BOTH, *POINTS)), LAST),
        "history",
        tokens=True,
    ),
    "state": Job(
        ("migrate", "current-state", *BOTH, "--until-tip", "--start-ledger", FIRST), 20, (filled, LAST), "current_state"
    ),
    "live": Job(("live", "--until-tip"), 30, (migrated, HALF)),
}


@dataclass
class Lane:
    """One store that runs are killed over, one after another."""

    job: Job
    lake: Path
    home: Path
    make: Callable[[], str]
    drop: Callable[[str], None]
    database: str = ""

    def run(self, nth: int) -> Relay:
        """Run the command, and kill it at its Nth word."""
        started, there = [], threading.Event()

        def kill() -> None:
            there.wait()
            started[0].send(signal.SIGKILL)

        relay = Relay(self.database, nth, kill)
        command, *flags = self.job.words
        started.append(Program(self.home, relay.url).start(command, *flags, "--source", self.lake, *ENGINE))
        there.set()
        _, said = started[0].process.communicate(timeout=60)
        relay.close()
        code = started[0].process.returncode
        relay.killed = relay.struck and code == -signal.SIGKILL
        assert relay.killed or (code == 0 and relay.words < nth + LAST_WORDS), said
        return relay

    def empty(self) -> None:
        """Begin anew."""
        if self.database:
            self.drop(self.database)
        self.database = self.make()

    def kill_at_each(self, words: Sequence[int], undisturbed: Digests) -> int:
        """Kill a run at each of these words, and return how many were; those that came to their end are looked at."""
        cycles = 0
        for nth in words:
            if not self.run(nth).killed:
                self.require_whole(undisturbed, nth)
                self.empty()
                if not self.run(nth).killed:  # a chunk may go out in fewer words than in the run that was counted
                    continue
            cycles += 1
            found = held(self.database)  # which looks that each table has just these ledgers
            assert not found or [first for first, _ in found] == [FIRST], f"word {nth}"
            if self.job.before:
                self.require_cursors(nth)
        self.run(1 << 62)
        self.require_whole(undisturbed, 0)
        return cycles

    def require_cursors(self, nth: int) -> None:
        """What protocols have is up to their cursors, which under live ingestion stand where the stretch ends."""
        with psycopg.connect(self.database) as conn:
            assert conn.execute(AHEAD).fetchall() == [], f"word {nth}"
            if self.job.kind is None:
                ends = "SELECT value FROM ledgerfill.ingest_store UNION SELECT last FROM ledgerfill.ledger_stretches"
                assert len(conn.execute(ends).fetchall()) == 1, f"word {nth}"

    def require_whole(self, undisturbed: Digests, nth: int) -> None:
        """Everything is there, and every index by the catalogue."""
        assert held(self.database) == [(FIRST, LAST)], f"word {nth}"
        assert self.digests() == undisturbed, f"word {nth}"
        with psycopg.connect(self.database) as conn:
            assert conn.execute("SELECT bool_and(indexed) FROM ledgerfill.segments").fetchone() == (True,), (
                f"word {nth}"
            )

    def digests(self) -> Digests:
        """Return the digests of all that the job writes."""
        return digests(self.database, KEYS | (PROTOCOLS if self.job.before else {}))

    def protocols(self) -> set[str]:
        """Return those that have a history."""
        with psycopg.connect(self.database) as conn:
            return {each for (each,) in conn.execute("SELECT DISTINCT protocol_id FROM ledgerfill.state_changes")}


@pytest.fixture
def lanes(
    request: pytest.FixtureRequest,
    core_lake: Path,
    tmp_path: Path,
    new_database: Callable[[str], str],
    drop_database: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[list[Lane]]:
    """As many as run side by side."""
    job, lake = JOBS[request.param], core_lake
    template, homes = "template0", [tmp_path / f"home-{n}" for n in range(SIDE_BY_SIDE)]
    if job.tokens:
        lake = tmp_path / "tokens"
        made = ("--ledgers", LAST - FIRST + 1, "--shape", "tokens")
        ended_well(Program(homes[0], None), "lake", "make", lake, *made)
        monkeypatch.setenv("PYTHONPATH", str(documented.install(tmp_path / "site")))
    if job.before:
        prepare, last = job.before
        prepared = new_database("template0")
        prepare(Program(homes[0], prepared), lake, last)
        template = prepared.rpartition("/")[2]
    lanes = [Lane(job, lake, home, partial(new_database, template), drop_database) for home in homes]
    for lane in lanes:
        lane.empty()
    yield lanes
    for lane in lanes:
        drop_database(lane.database)
    if job.before:
        drop_database(prepared)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("lanes", JOBS, indirect=True)
def test_a_run_that_is_killed_at_any_word_resumes(lanes: list[Lane]) -> None:
    """All jobs together over 200 times: nothing is lost or there twice, and every index is there in the end."""
    kills = lanes[0].job.kills
    words = lanes[0].run(1 << 62).words
    undisturbed = lanes[0].digests()
    assert not lanes[0].job.tokens or lanes[0].protocols() == {"POINTS"}
    lanes[0].empty()
    every = random.Random(words).sample(range(1, words + 1), min(words, round(kills * SPARE)))  # the same each time
    parts = [every[n::SIDE_BY_SIDE] for n in range(SIDE_BY_SIDE)]
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        cycles = sum(pool.map(partial(Lane.kill_at_each, undisturbed=undisturbed), lanes, parts))
    print(f"{cycles} cycles of kill and resume, of {words} words")
    assert cycles >= kills
