"""The product's own jobs over a model of the store: each of their runs is one of the simulated worlds.

A job runs on a thread of its own, which waits while the world goes on and the other way round: one of all moves at a
time, so that a seed replays.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from uuid import UUID

import psycopg
from scenario import Scenario
from sessions import Session
from store import Store
from world import World

from pipeline.actions import Finish, ReadyChunk
from pipeline.errors import BackfillError
from pipeline.events import CommitFailed, Committed, Ended, Event
from pipeline.job import Job
from pipeline.live import _Live
from pipeline.migrate import _Migration
from pipeline.plan import Gap, Plan
from pipeline.segments import Segment
from pipeline.store.books import Run
from pipeline.store.swap import Swap, SwapLost
from workers.sources import Lake

LOOK_S = 1.0
BREAKS = psycopg.OperationalError("server closed the connection unexpectedly")


class Database:
    """The store as one command reaches it."""

    def __init__(self, store: Store, owner: object) -> None:
        """Know whose it is."""
        self.store, self.owner = store, owner
        self.breaks_after: int | None = None  # so many steps, the next connection

    def connect(self, *_: object) -> Session:
        """Return a connection."""
        session = Session(self.store, self.owner)
        if self.breaks_after is not None:
            session.ends, self.breaks_after = (self.breaks_after, BREAKS), None
        return session


class SimLake(Lake):
    """A lake that grows when the world says so."""

    def __init__(self, newest: int) -> None:
        """Hold every ledger up to `newest`."""
        self.last = newest

    def exists(self, ledger: int) -> bool:
        """Return whether a ledger is there."""
        return ledger <= self.last

    def newest(self) -> int:
        """Return the newest."""
        return self.last

    def sizes(self, ledgers: list[int]) -> dict[int, int]:
        """Return the bytes of objects: all alike."""
        return dict.fromkeys(ledgers, 100)


class Killed(BaseException):
    """The process of a job is no more."""


class Ran(Job):
    """A job whose runs are the world's: it says which, and waits for the end."""

    ask: Callable[[Plan], Finish]

    def work(self, plan: Plan, *_: object) -> Finish:
        """Have the world run a plan."""
        return self.ask(plan)


class Live(_Live, Ran):
    """Live ingestion, which wants nothing that has fallen out."""

    def gaps(self, conn: psycopg.Connection) -> tuple[Gap, ...]:
        """Return what it would load."""
        found, store = super().gaps(conn), self._database.store  # type: ignore[attr-defined]
        assert all(gap.ledgers.first > store.first for gap in found), f"ledgers {found[0].ledgers} come back"
        return found


class Migration(_Migration, Ran):
    """A migration, of a store whose segments are all complete."""

    def due(self, _: object) -> list[Segment]:
        """Return what earlier runs have left incomplete."""
        return []


class Process:
    """A job on a thread, which moves only between `go_on` and its answer."""

    def __init__(self, run: Run, made: Callable[[Run], tuple[Ran, Plan]]) -> None:
        """Begin."""
        self._told: SimpleQueue[Finish | None] = SimpleQueue()
        self._asked: SimpleQueue[Plan | Finish | Exception] = SimpleQueue()
        self.run, self.job = run, None
        self._thread = threading.Thread(target=self._work, args=(made,), daemon=True)
        self._thread.start()

    def next(self) -> Plan | Finish:
        """Return what it wants to be run now, or how it ended."""
        asked = self._asked.get(timeout=60)
        if isinstance(asked, Exception):
            raise asked
        return asked

    def tell(self, finish: Finish | None) -> None:
        """Go on with how a run ended; None: it was killed."""
        self._told.put(finish)

    def _work(self, made: Callable[[Run], tuple[Ran, Plan]]) -> None:
        try:
            self.job, plan = made(self.run)
            self.job.ask = self._ask
            self._asked.put(self.job.work(plan, self.run, None))  # type: ignore[arg-type]
        except Killed:
            pass
        except Exception as error:  # the world's to judge
            self._asked.put(error)

    def _ask(self, plan: Plan) -> Finish:
        self._asked.put(plan)
        if (finish := self._told.get()) is None:
            raise Killed
        return finish


class JobWorld(World):
    """One run of a job: its commits go into the store, by the job's own compare-and-swap."""

    def __init__(
        self, what: Scenario, trace: Callable[[str], object], now: float, process: Process, database: Database
    ) -> None:
        """Begin."""
        super().__init__(what, trace, now)
        self.process, self.database, self.store = process, database, database.store
        self.swaps: dict[int, Swap] = {}
        self.look = process.job.look()
        if self.look:
            self.looks_later()
        self.carry_out(self.coordinator.start(self.now))

    def looks_later(self) -> None:
        """Look once a second, as the follower does."""
        self.outside += 1
        self.later(LOOK_S, self.looks)

    def looks(self) -> Event | None:
        """Look; what is raised is the end."""
        self.outside -= 1
        if self.draw.random() < 0.1:
            self.database.breaks_after = self.draw.randint(0, 20)
        try:
            told = self.look()
        except AssertionError:
            raise
        except Exception as error:
            told = Ended(error)
        self.database.breaks_after = None
        if not isinstance(told, Ended):
            self.looks_later()
        return told

    @property
    def writes(self) -> bool:
        """Whether a transaction of it is under way, whose end may come at any moment."""
        return bool(self.commits) and not self.store.has(self.swap_of(self.commits[0]))

    def write(self, chunk: ReadyChunk) -> Committed | CommitFailed | None:
        """Do what the committer does; what has become of it may be unknown for a while."""
        try:
            new = self.lands(self.swap_of(chunk))
        except BackfillError as error:
            self.checks.probes[type(error).__name__] += 1
            return CommitFailed(error)
        if new and self.draw.random() < 0.1:  # the connection breaks before the answer is here
            self.later(self.draw.choice([0.1, 1.0, 5.0]), self.commit_answer)
            return None
        return Committed(chunk.ledgers, {"ledgers": len(chunk.ledgers)})

    def lands(self, swap: Swap) -> bool:
        """Carry a transaction out; return False where it had landed before."""
        for _ in range(9):
            with suppress(SwapLost):
                self.store.commit(swap, self.database.owner)
                return True
            if swap.explain(Session(self.store, self.database.owner, commits=True)):  # type: ignore[arg-type]
                self.checks.probes["landed before"] += 1
                return False
        raise AssertionError(f"ledgers {swap.chunk.ledgers}: nothing is in the way, and the swap is lost")

    def swap_of(self, chunk: ReadyChunk) -> Swap:
        """Return the swap of a chunk, the same each time."""
        if chunk.ledgers.first not in self.swaps:
            commit_id = UUID(int=self.draw.getrandbits(128))
            self.swaps[chunk.ledgers.first] = self.process.job.swap(chunk, self.process.run, commit_id)
        return self.swaps[chunk.ledgers.first]
