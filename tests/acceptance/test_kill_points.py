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

import psycopg
import pytest
from lakes import FIRST, LAST
from program import Program
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from stores import digests, held

CYCLES, TRIED = 200, 220  # at least; a chunk may go out in fewer words than in the run that was counted
SIDE_BY_SIDE = 2
FLAGS = ("--start-ledger", FIRST, "--end-ledger", LAST, "--workers", 1, "--connections", 2, "--chunk-ledgers", 4)
Digests = dict[str, tuple[int, str]]


class Relay:
    """Counts what clients send to PostgreSQL, and calls `at_last` at the Nth: before it arrives, or after."""

    def __init__(self, database: str, nth: int, at_last: Callable[[], None]) -> None:
        """Listen on a free port of the loopback."""
        info = conninfo_to_dict(database)
        self._target = str(info["host"]), int(str(info["port"]))
        self._nth, self._at_last = nth, at_last
        self.words, self._lock = 0, threading.Lock()
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


@dataclass(frozen=True)
class Lane:
    """One store that runs are killed over, one after another."""

    database: str
    lake: Path
    home: Path

    def run(self, nth: int) -> Relay:
        """Run the command, and kill it at its Nth word."""
        started, there = [], threading.Event()

        def kill() -> None:
            there.wait()
            started[0].send(signal.SIGKILL)

        relay = Relay(self.database, nth, kill)
        started.append(Program(self.home, relay.url).start("backfill", "--source", self.lake, *FLAGS))
        there.set()
        _, said = started[0].process.communicate(timeout=60)
        relay.close()
        assert started[0].process.returncode == (-signal.SIGKILL if relay.struck else 0), said
        return relay

    def empty(self) -> None:
        """Begin anew."""
        with psycopg.connect(self.database, autocommit=True) as conn:
            conn.execute("DROP SCHEMA IF EXISTS ledgerfill CASCADE")

    def kill_at_each(self, words: Sequence[int], undisturbed: Digests) -> int:
        """Kill a run at each of these words, and return how many were; those that came to their end are looked at."""
        cycles = 0
        for nth in words:
            if not self.run(nth).struck:
                self.require_whole(undisturbed, nth)
                self.empty()
                if not self.run(nth).struck:  # a chunk may go out in fewer words than in the run that was counted
                    continue
            cycles += 1
            found = held(self.database)  # which looks that each table has just these ledgers
            assert not found or [first for first, _ in found] == [FIRST], f"word {nth}"
        self.run(1 << 62)
        self.require_whole(undisturbed, 0)
        return cycles

    def require_whole(self, undisturbed: Digests, nth: int) -> None:
        """Everything is there, and every index by the catalogue."""
        assert held(self.database) == [(FIRST, LAST)], f"word {nth}"
        assert digests(self.database) == undisturbed, f"word {nth}"
        with psycopg.connect(self.database) as conn:
            assert conn.execute("SELECT bool_and(indexed) FROM ledgerfill.segments").fetchone() == (True,), (
                f"word {nth}"
            )


@pytest.fixture
def lanes(
    core_lake: Path, tmp_path: Path, new_database: Callable[[str], str], drop_database: Callable[[str], None]
) -> Iterator[list[Lane]]:
    """As many as run side by side."""
    made = [Lane(new_database("template0"), core_lake, tmp_path / f"home-{n}") for n in range(SIDE_BY_SIDE)]
    yield made
    for lane in made:
        drop_database(lane.database)


@pytest.mark.timeout(900)
def test_a_run_that_is_killed_at_any_word_resumes(lanes: list[Lane]) -> None:
    """At least 200 times: nothing is lost, nothing is there twice, and every index is there in the end."""
    words = lanes[0].run(1 << 62).words
    undisturbed = digests(lanes[0].database)
    lanes[0].empty()
    every = random.Random(words).sample(range(1, words + 1), min(words, TRIED))  # the same each time
    parts = [every[n::SIDE_BY_SIDE] for n in range(SIDE_BY_SIDE)]
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        cycles = sum(pool.map(partial(Lane.kill_at_each, undisturbed=undisturbed), lanes, parts))
    print(f"{cycles} cycles of kill and resume, of {words} words")
    assert cycles >= CYCLES
