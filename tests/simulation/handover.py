"""Live ingestion and migrations in one world: who starts when, from where, is killed and begins again.

Live ingestion may keep only the newest ledgers, and not as many each time.

`python tests/simulation/handover.py SEED` prints what happened, event by event.
"""

from __future__ import annotations

import heapq
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from random import Random
from types import SimpleNamespace
from typing import Any
from unittest import mock

from jobs import Database, JobWorld, Killed, Live, Migration, Process, Ran, SimLake
from scenario import FLOOR_S, Faults, Growth, Scenario, true_hash
from sessions import Session
from store import LIVE, Store

from pipeline import live, plan
from pipeline.account import Account
from pipeline.actions import Finish
from pipeline.bounds import CoordinatorConfig
from pipeline.classification import Classifier
from pipeline.errors import BackfillError, ChunkAbandoned, CursorTaken, Interrupted, WorkersLost
from pipeline.events import Interrupt
from pipeline.plan import Plan
from pipeline.readiness import Ready
from pipeline.source import OpenSource
from pipeline.stall import StallConfig
from pipeline.store import cursors, gates, retention
from pipeline.store.books import Run
from pipeline.store.cursors import JOBS, Kind
from pipeline.store.swap import Swap, SwapLost
from workers.messages import LedgerRange, WorkerConfig

MOST_SECONDS = 600.0
MOST_PLANS = 20  # of one command at one moment
# What the product has of these is for more ledgers than there are in this world.
NEAR, FAR, TRIM, SHARES = 5, 15, 6, 4


class Handover:
    """Everything that a seed decides: who starts when, from where, and what becomes of it."""

    def __init__(
        self, seed: int, trace: Callable[[str], object] = lambda _: None, *, keeps: tuple[int, ...] = ()
    ) -> None:
        """Set the world up; with one of the retentions in `keeps`, it is one of histories alone."""
        self.seed, self.trace, self.draw = seed, trace, Random(seed)
        first = self.draw.choice([2, 65_520, 65_550])
        self.store = Store(first, first + self.draw.choice([0, 5, 40, 150]), ["SEP41", "SEP50"])
        self.lake = SimLake(self.store.last + self.draw.choice([0, 1, 30]))
        self.pace_s = self.draw.choice([0.7, 2.0, 5.0])
        self.now, self.order, self.runs = 0.0, 0, 1
        self.agenda: list[tuple[float, int, Callable[[], None]]] = []
        self.commands = [Command(self, None, ())]
        for _ in range(self.draw.randint(1, 3)):
            kind: Kind = self.draw.choice(["history", "current_state"] if not keeps else ["history"])
            ids = self.draw.choice([["SEP41"], ["SEP50"], ["SEP41", "SEP50"]])
            self.commands.append(Command(self, kind, tuple(ids)))
        self.locks = self.draw.random() < 0.5
        # How many ledgers live ingestion keeps, each time that it starts one of these; and how many fall out at once.
        self.keeps = keeps or self.draw.choice([(None,), (2,), (15,), (5, 40, 120), (15, None)])
        self.trim_step = self.draw.choice([3, 10, 1000])
        self.probes = Counter[str]()
        self.store.between = self.between
        self.store.is_read = lambda: self.draw.random() < 0.2

    def later(self, seconds: float, happen: Callable[[], None]) -> None:
        """Let something happen in a while."""
        self.order += 1
        heapq.heappush(self.agenda, (self.now + seconds, self.order, happen))

    def run(self) -> None:
        """Run to the end; `AssertionError` as soon as a promise is broken."""
        with ExitStack() as stack:
            stack.enter_context(mock.patch.multiple(gates, NEAR=NEAR, FAR=FAR))
            stack.enter_context(mock.patch.object(plan, "SHARES_OF_REST", SHARES))
            stack.enter_context(mock.patch.object(live, "_TRIM_LEDGERS", TRIM))
            stack.enter_context(mock.patch.object(retention, "_STEP", self.trim_step))
            for command in self.commands:
                stack.callback(command.leave)
            self.grow()
            if self.draw.random() < 0.3:
                self.later(self.draw.uniform(0, 5), self.backfill)
            for _ in range(self.draw.choice([0, 0, 1, 3])):
                self.later(self.draw.uniform(0, 60), self.backfill_below)
            for command in self.commands:
                self.later(self.draw.choice([0.0, self.draw.uniform(0, 30)]), command.start)
                for _ in range(self.draw.choice([0, 0, 1, 2])):
                    self.later(self.draw.uniform(0, 40), command.strike)
            while not self.over:
                self.step()
            self.at_the_end()

    def step(self) -> None:
        """Let the next thing happen, wherever it does."""
        command = min(self.commands, key=lambda each: each.at)
        if self.agenda[0][0] <= command.at:
            self.now, _, happen = heapq.heappop(self.agenda)
            happen()
        else:
            self.now = command.at
            command.step()
        assert self.now < MOST_SECONDS, f"no end after {self.now:.0f} s: {', '.join(map(str, self.commands))}"

    def grow(self) -> None:
        """The network closes a ledger, as long as anybody is at work."""
        self.lake.last += 1
        self.later(self.pace_s * self.draw.choice([0.2, 1, 1, 3]), self.grow)

    def backfill(self) -> None:
        """Somebody fills up before live ingestion has begun: the frontier moves."""
        if not self.commands[0].begun and (more := min(10, self.lake.last - self.store.last)) > 0:
            self.store.backfill(more)
            self.probes["backfill moves the frontier"] += 1

    def backfill_below(self) -> None:
        """Somebody fills up what is older, and has histories made of it."""
        if more := min(self.draw.choice([1, 10, 60]), self.store.first - 2):
            self.store.backfill_below(more)
            self.probes["ledgers come below"] += 1
            for command in self.commands:
                if command.over and command.kind == "history":
                    command.over = False
                    self.later(self.draw.uniform(0, 5), command.start)

    def between(self, session: Session) -> None:
        """Let another transaction end, whose answer comes later, or ledgers fall out: between two queries."""
        while self.draw.random() < 0.4 and (others := self.others(session)):
            self.draw.choice(others)()

    def others(self, session: Session) -> list[Callable[[], object]]:
        """Return what may happen meanwhile."""
        at_it = session.owner if session.commits else None  # its chunks come one after another
        lands: list[Callable[[], object]] = [
            partial(self.lands, each, "while somebody looks")
            for each in self.commands
            if each is not at_it and each.world and each.world.writes
        ]
        keeper = self.commands[0]
        trims = keeper.keep and keeper.world and (session.commits or session.owner is not keeper)
        return [*lands, keeper.trim] if trims else lands

    def lands(self, command: Command, when: str, swap: Swap | None = None) -> None:
        """A transaction that nobody waits for at this moment comes to its end."""
        try:
            self.store.commit(swap or command.world.swap_of(command.world.commits[0]), command)
            self.probes[f"landed {when}"] += 1
        except (SwapLost, BackfillError):
            self.probes[f"lost {when}"] += 1

    @property
    def over(self) -> bool:
        """Whether every migration has ended, and live ingestion stands at the newest ledger."""
        live, *migrations = self.commands
        done = all(each.over for each in migrations) and self.store.last == self.lake.last
        return bool(done and live.world and live.world.checks.at_tip)

    def at_the_end(self) -> None:
        """Nothing is missing, live ingestion has every cursor, and what has fallen out is gone."""
        for key, last in self.store.done.items():
            top = "_below_" not in key
            assert last == self.store.last or not top, f"{key} ends at {last}, the store at {self.store.last}"
            assert self.store.by_live(key, last) == top, f"{key} is in the hands of {self.store.written[key].get(last)}"
        assert {value for value, *_ in self.store.cursors.values()} == {self.store.last}
        assert not self.store.lacks_below(self.store.protocols)
        self.probes["joined below"] += self.store.joined
        self.store.check_complete()
        self.store.between, self.store.is_read = lambda _: None, lambda: False
        if (keep := self.commands[0].keep) is not None:
            self.commands[0].trim(step=1)
            self.store.check_retention(keep)


class Command:
    """One command as somebody gives it, again and again until it has done what it is for."""

    def __init__(self, every: Handover, kind: Kind | None, ids: tuple[str, ...]) -> None:
        """`kind` None: live ingestion."""
        self.all, self.kind, self.ids = every, kind, ids
        self.process: Process | None = None
        self.world: JobWorld | None = None
        self.database = Database(every.store, self)
        self.keep: int | None = None  # how many ledgers
        self.begun = self.over = False
        self.plans = Counter[float]()  # at each moment
        self.at = float("inf")  # when the next thing happens in its run
        self.dying_until = -1.0  # until then the last transaction of a killed process goes on, and its lock is held

    def __str__(self) -> str:
        """Name it."""
        return f"{JOBS[self.kind] if self.kind else LIVE} {' '.join(self.ids)}".strip()

    def start(self) -> None:
        """Start a process, unless it has one, has done its work, or somebody holds a lock that it needs."""
        if self.process or self.over:
            return
        at_it = (other for other in self.all.commands if other.process or other.dying_until >= self.all.now)
        held = {key for other in at_it if other is not self for key in other.keys}
        if self.all.locks and held & {*self.keys}:
            self.all.probes["refused by a lock"] += 1
            self.all.later(5.0, self.start)
            return
        self.begun = True
        self.all.runs += 1
        run = Run(id=self.all.runs, job=JOBS[self.kind] if self.kind else LIVE, process_id=1, host="here")
        self.process = Process(run, self.migration if self.kind else self.live)
        self.go_on()

    @property
    def keys(self) -> list[str]:
        """Return its cursors."""
        return [cursors.key(each, self.kind) for each in self.ids] if self.kind else []

    def live(self, _: Run) -> tuple[Ran, Plan]:
        """Make live ingestion, as the command does."""
        store = self.all.store
        opened = self.opened(LedgerRange(store.first, max(store.last, self.all.lake.last)))
        self.keep = self.all.draw.choice(self.all.keeps)
        conn, settings = self.database.connect(), self.settings(until_tip=False)
        job = Live(settings, self.database, opened, conn, Account(None))  # type: ignore[arg-type]
        return job, job.plan()

    def migration(self, run: Run) -> tuple[Ran, Plan]:
        """Make a migration; it begins anywhere, or goes on."""
        store, draw, conn = self.all.store, self.all.draw, self.database.connect()
        for key in self.keys:
            last = store.last - (self.kind == "history")  # which begins with a ledger that is there
            value = draw.choice([store.first - 1, last, draw.randint(store.first - 1, last)])
            known = draw.choice([true_hash(value), None]) if value < store.first else true_hash(value)
            cursors.make(conn, key, value, known, run)  # type: ignore[arg-type]
        protocols = tuple(Classifier().protocol(each) for each in self.ids)
        firsts = {each: store.begins[cursors.key(each, self.kind)] for each in self.ids}
        firsts = dict.fromkeys(self.ids, store.first) if self.kind == "history" else firsts
        found = Ready(self.kind, protocols, firsts, cursors.read(conn, self.keys), store.last)  # type: ignore[arg-type]
        settings, opened = self.settings(until_tip=draw.random() < 0.2), self.opened(found.wanted)
        job = Migration(settings, self.database, opened, conn, Account(None), found)  # type: ignore[arg-type]
        return job, Plan(wanted=found.wanted, gaps=())

    def settings(self, *, until_tip: bool) -> Any:  # those of either job
        """Return what jobs ask of settings."""
        return SimpleNamespace(
            until_tip=until_tip,
            retention_ledgers=self.keep,
            end_ledger=None,
            chunk_ledgers=None,
            trusted=(),
            workers=2,
            source_shown="a lake",
        )

    def opened(self, wanted: LedgerRange) -> OpenSource:
        """Return the source."""
        config = WorkerConfig.__new__(WorkerConfig)
        return OpenSource(worker_config=config, wanted=wanted, ledgers_per_object=1, reader=self.all.lake)

    def go_on(self) -> None:
        """Run what the process wants to have run, or take its end."""
        asked = self.process.next()
        self.all.trace(f"{self.all.now:9.3f} {self}: {asked.gaps if isinstance(asked, Plan) else asked}")
        if isinstance(asked, Plan):
            self.plans[self.all.now] += 1
            assert self.plans[self.all.now] < MOST_PLANS, f"no end after {MOST_PLANS} plans of {self} at once"
            what = self.scenario(asked)
            trace = lambda line: self.all.trace(f"  {self.process.run.id if self.process else '-'} {line}")  # noqa: E731
            self.world = JobWorld(what, trace, self.all.now, self.process, self.database)
            self.look_at_its_end()
        else:
            self.ended(asked)

    def scenario(self, plan: Plan) -> Scenario:
        """Return a run with faults that pass."""
        draw = self.all.draw
        names = "transient", "hang", "die", "missing", "misfit", "start_dies", "start_hangs", "idle_dies"
        chances = {name: draw.choice([0.0, 0.0, 0.1]) for name in names}
        stall = StallConfig(
            floor_s=FLOOR_S, ceiling_s=8.0, max_attempts=9, max_deaths=9, backoff_s=0.2, backoff_ceiling_s=1.0
        )
        return Scenario(
            seed=draw.getrandbits(32),
            plan=plan,
            growth=Growth(error=True),  # so that it counts as a run which may fail
            due=(),
            config=CoordinatorConfig(
                workers=2, connections=draw.randint(1, 2), stall=replace(stall, start_deadline_s=3.0)
            ),
            faults=Faults(storm_s=5.0, duplicate=0.1, **chances),
            row_bytes=100,
            uneven=0.0,
            pace_s=draw.choice([0.05, 0.5]),
            reading=0.0,
            commit_s=draw.choice([0.01, 0.3, 1.0]),
            bad_seam=False,
        )

    def step(self) -> None:
        """Let the next thing happen in its run."""
        self.world.step()
        if self.kind and self.world.checks.at_tip:
            self.waits()
        self.look_at_its_end()

    def waits(self) -> None:
        """A migration waits for live ingestion when there is nothing that it could do."""
        job = self.process.job
        for each in job._left:
            value, last = self.all.store.cursors[cursors.key(each, self.kind)][0], job._source.wanted.last
            assert value >= last, f"{self} waits at ledger {last}, and {each} stands at ledger {value}"

    def look_at_its_end(self) -> None:
        """Tell the process of the end of its run, or wait for what happens next in it."""
        if finish := self.world.finish:
            self.world.checks.at_the_end(finish, self.world.files)
            self.all.probes.update(self.world.checks.probes)
            self.world, self.at = None, float("inf")
            self.process.tell(finish)
            self.go_on()
        else:
            self.at = self.world.next_at

    def ended(self, finish: Finish) -> None:
        """The command ends; a migration that was handed over is done, and everything else is started again."""
        job, self.process = self.process.job, None
        # A part below is gone, or another one is there, once somebody else has come to its end.
        gone = "_below_" in getattr(finish.error, "key", "")
        taken = (isinstance(finish.error, CursorTaken) or gone) and self.kind and not self.all.locks
        passing = isinstance(finish.error, Interrupted | ChunkAbandoned | WorkersLost)
        assert taken or passing or not finish.error, f"{self} ends by {finish.error!r}"
        store = self.all.store
        lacks = self.kind == "history" and store.lacks_below(self.ids)  # they have come after it began
        if self.kind and finish.outcome == "success" and not job._left and not lacks:
            self.over = True
            self.all.probes["handed off"] += 1
            for key in self.keys:
                value, _, by, _ = store.cursors[key]
                assert store.by_live(key, value), f"{self} is handed off, and {by} wrote ledger {value} of {key}"
        else:
            assert self.kind or finish.outcome != "success", "live ingestion ends by itself"
            self.all.later(self.all.draw.choice([0.1, 5.0]), self.start)

    def strike(self) -> None:
        """Kill or interrupt it; a transaction that is under way may land, now or later."""
        if not self.world:
            return
        if self.all.draw.random() < 0.3:
            self.world.from_outside(self.all.now - self.world.now, Interrupt(15))
            self.at = self.world.next_at
            return
        world = self.world
        commits, swap_of = list(world.commits), world.swap_of
        if self.all.draw.random() < 0.5:
            self.dies_trimming()
        self.leave()
        self.all.probes["killed"] += 1
        late_s = self.all.draw.choice([0.0, 0.5])
        self.dying_until = self.all.now + late_s
        if commits and self.all.draw.random() < 0.7:
            self.all.probes["killed while it commits"] += 1
            swap = swap_of(commits[0])
            self.all.later(late_s, lambda: self.all.lands(self, "behind its process", swap))
        # With its session the server lets go of its lock: not before its last transaction has ended.
        again = late_s + self.all.draw.choice([0.0, 3.0]) if self.all.locks or not self.kind else 0.0
        self.all.later(again, self.start)

    def trim(self, step: int | None = None, ends: tuple[int, BaseException] | None = None) -> None:
        """Live ingestion lets go of what falls out, as it does when it looks."""
        if self.keep is None:
            return
        oldest, session = self.all.store.first, Session(self.all.store, self)
        session.ends = ends
        self.process.job._trim(session, step=step or self.all.draw.choice([1, TRIM]))
        self.all.probes["trimmed"] += self.all.store.first > oldest

    def dies_trimming(self) -> None:
        """The process is killed while it lets go of ledgers: what it has not committed yet is not done."""
        try:
            self.trim(step=1, ends=(self.all.draw.randint(0, 25), Killed()))
        except Killed:
            self.all.probes["killed while it trims"] += 1

    def leave(self) -> None:
        """Be gone at once."""
        if self.process:
            self.process.tell(None)
        self.process, self.world, self.at = None, None, float("inf")


if __name__ == "__main__":
    handover = Handover(int(sys.argv[1]), print)
    handover.run()
    print(handover.probes)
