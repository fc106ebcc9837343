"""A race on a growing lake: live ingestion and migrations, killed and started again until all is handed over.

A seed draws who takes part, when each begins, how fast ledgers appear and who is killed; how they meet is left to
chance. Of some, the store begins above the lowest ledgers, which backfills bring meanwhile.
"""

from __future__ import annotations

import math
import os
import random
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import psycopg
from growing import GrowingLake
from program import Program, Running

UNLOCKED = Path(__file__).with_name("unlocked.py")
SEP41, SEP50 = ("--protocol-id", "SEP41"), ("--protocol-id", "SEP50")
KINDS = {"history": ("migrate", "history"), "current_state": ("migrate", "current-state")}
LOWEST = 2  # ledger that there is
FEW = ("--workers", 1, "--connections", 1)
END_S = 200.0
STILL_S = 3.0  # without a move: who lost a swap may have ended at the tip
RESERVE = 40  # ledgers that appear only when everybody has caught up, so that live ingestion can take over
STANDING = r"""
    SELECT coalesce(min(value), 0), (SELECT max(last) FROM ledgerfill.ledger_stretches) FROM ledgerfill.ingest_store
    WHERE key NOT LIKE '%\_below\_%'
"""
# What is said by who came second, without locks and with them, and how it ends; the cursor of a part may be the next's.
LOST = {"has written ledgers": 3, "has come to the end of what lies below": 3, "_history_below_cursor stands at": 1}
HELD = {"is held by process": 3}


class Unlocked(Program):
    """The command without its locks."""

    def start(self, *arguments: object, env: Mapping[str, str] | None = None) -> Running:
        """Start a command, without waiting for it."""
        return self._start([sys.executable, str(UNLOCKED), *map(str, arguments)], env or {})


@dataclass
class Racer:
    """One command, that is started again until it has ended well; `at`: when, in seconds of the race."""

    command: Sequence[object]
    at: float
    running: Running | None = None
    killed: bool = False
    stale: bool = False  # whether there came more for it to do since it was started
    well: bool = False  # whether it has ended well, and nothing came for it since it was started
    codes: list[int] = field(default_factory=list)

    @property
    def done(self) -> bool:
        """Whether it has ended well."""
        return self.running is None and self.well

    @property
    def is_live(self) -> bool:
        """Whether it is live ingestion."""
        return self.command[0] == "live"

    def more(self) -> None:
        """Take note that there is more to do than it may have seen."""
        self.stale, self.well = True, False


class Draw:
    """What a seed draws; the store has ledgers `first` to `above` at the beginning, `last` is the lake's newest."""

    def __init__(self, seed: int, first: int, above: int, last: int) -> None:
        """Draw all but whom a kill meets."""
        rnd = self.rnd = random.Random(seed)
        self.locked = seed % 5 == 4
        kind, other = rnd.sample(sorted(KINDS), 2)
        contested = [SEP41 + SEP50, *(rnd.choice([SEP41 + SEP50, SEP41, SEP50]) for _ in range(seed % 3))]
        rest = rnd.choice([[SEP41 + SEP50], [SEP41, SEP50]])
        sizes = [5, 20, 60, 200]
        from_there = ("--start-ledger", first)
        self.migrations = [
            (*KINDS[of], *ids, *(from_there if of == "current_state" else ()), "--chunk-ledgers", rnd.choice(sizes))
            for of, each in ((kind, contested), (other, rest))
            for ids in each
        ]
        self.live = ("live", *rnd.choice([(), ("--chunk-ledgers", rnd.choice(sizes))]))
        self.starts = [rnd.uniform(0, 2) for _ in self.migrations]
        fed = last - RESERVE
        cuts = sorted(rnd.sample(range(above + 1, fed), 11))
        self.bursts = list(zip(sorted(rnd.uniform(0, 5) for _ in range(12)), [*cuts, fed], strict=True))
        victims = ["live", "migration", "worker"]
        self.kills = [(rnd.uniform(0.8, 6), rnd.choice(victims)) for _ in range(rnd.randint(2, 3))]
        self.fills = fills(rnd, first, 1 + seed % 2) if first > LOWEST else []


def begins_later(seed: int) -> bool:
    """Return whether the store has not all ledgers at first, so that those below come while the race goes on."""
    return seed // 3 % 3 == 1


def fills(rnd: random.Random, first: int, pieces: int) -> list[tuple[object, ...]]:
    """Draw the backfills of what lies below `first`, lower and lower."""
    cuts = [LOWEST, *sorted(rnd.sample(range(LOWEST + 1, first), pieces - 1)), first]
    return [
        ("backfill", "--start-ledger", low, "--end-ledger", past - 1, "--chunk-ledgers", rnd.choice([3, 20]))
        for low, past in reversed(list(pairwise(cuts)))
    ]


class Race:
    """One seed, from the first start to the last handoff."""

    def __init__(self, seed: int, database: str, whole: Path, folder: Path, store: range, last: int) -> None:
        """Prepare; nothing runs yet. `store`: the ledgers that it has at the beginning."""
        self.draw = Draw(seed, store[0], store[-1], last)
        folder.mkdir()
        self.program = (Program if self.draw.locked else Unlocked)(folder / "home", database)
        self.program.home.mkdir()
        self.lake, self._last = GrowingLake(whole, folder / "lake", LOWEST), last
        self.lake.reach(store[-1])
        flags = ("--source", self.lake, *FEW)
        self.live = Racer((*self.draw.live, *flags), 0.0)
        self.racers = [self.live] + [
            Racer((*command, *flags), at) for command, at in zip(self.draw.migrations, self.draw.starts, strict=True)
        ]
        self.fills = [Racer((*command, *flags), math.inf) for command in self.draw.fills]  # one after another
        self.racers += self.fills
        if self.fills:
            self.fills[0].at = self.draw.rnd.uniform(0.5, 3)
        self._bursts, self._kills = list(self.draw.bursts), sorted(self.draw.kills)
        self._began = self._moved = time.monotonic()
        self._standing: tuple[object, ...] = ()

    def run(self) -> None:
        """Race until every migration has handed over, and live ingestion is at the end of the lake."""
        self._began = time.monotonic()
        with closing(psycopg.connect(self.program.database or "", autocommit=True)) as self._conn:
            while not self._over():
                now = time.monotonic() - self._began
                assert now < END_S, f"no end in {END_S:g} s: {[each.codes for each in self.racers]}"
                self._step(now)
                time.sleep(0.02)
        assert self.live.running is not None
        self.live.running.send(signal.SIGTERM)
        assert self.live.running.result().returncode == 128 + signal.SIGTERM
        self.program.assert_nothing_left(self.live.running.pid)

    def _step(self, now: float) -> None:
        while self._bursts and self._bursts[0][0] <= now:
            self.lake.reach(self._bursts.pop(0)[1])
        for racer in self.racers:
            if racer.running and racer.running.ended():
                self._ended(racer, now)
            if not racer.running and not racer.done and racer.at <= now:
                racer.running, racer.killed, racer.stale = self.program.start(*racer.command), False, False
        if self._kills and self._kills[0][0] <= now:
            self._kill(self._kills.pop(0)[1])
        if not self._bursts and self.lake.newest < self._last and self._caught_up():
            self.lake.reach(self.lake.newest + 1)
            self._moved = time.monotonic()

    def _caught_up(self) -> bool:
        """Return whether all stand at the newest ledger, or nobody gets on; without migrations, at once."""
        if all(each.done for each in self.racers[1:]):
            return True
        standing, now = self._conn.execute(STANDING).fetchone() or (), time.monotonic()
        if standing != self._standing:
            self._standing, self._moved = standing, now
        return standing == (self.lake.newest, self.lake.newest) or now - self._moved > STILL_S

    def _over(self) -> bool:
        if not all(each.done for each in self.racers[1:]) or self.lake.newest < self._last:
            return False
        return (self._conn.execute(STANDING).fetchone() or ()) == (self._last, self._last)

    def _kill(self, victim: str) -> None:
        """Kill one of those who run, or one of their workers; nobody is spared but by chance."""
        every = [each for each in self.racers if each.running and not each.running.ended()]
        if victim != "worker":
            every = [each for each in every if each.is_live == (victim == "live")]
        if not every:
            return
        chosen = self.draw.rnd.choice(every)
        assert chosen.running is not None
        if victim != "worker":
            chosen.killed = True
            chosen.running.send(signal.SIGKILL)
        elif workers := chosen.running.workers():
            os.kill(self.draw.rnd.choice(workers), signal.SIGKILL)

    def _ended(self, racer: Racer, now: float) -> None:
        """Take down how it ended; who was killed or came second begins again."""
        assert racer.running is not None
        said = "".join(racer.running.process.communicate())
        code = racer.running.process.returncode
        racer.running, racer.at = None, now + self.draw.rnd.uniform(0, 0.5 if racer.killed else 2)
        racer.codes.append(code)
        racer.well = code == 0 and not racer.stale
        if racer in self.fills and racer.well:
            self._filled(racer, now)
        if racer.killed and code == -signal.SIGKILL:
            return
        lost = HELD if self.draw.locked else LOST
        second = any(text in said and code == ends for text, ends in lost.items())
        expected = not racer.is_live and (code == 0 or second)
        assert expected, f"{racer.command} ended with {code}: {said}"

    def _filled(self, fill: Racer, now: float) -> None:
        """Ledgers have come below: who makes history is to see them, is in danger, and the next backfill may begin."""
        for each in self.racers:
            if each.command[:2] == KINDS["history"]:
                each.more()
        for after in self.fills[self.fills.index(fill) + 1 :][:1]:
            after.at = now + self.draw.rnd.uniform(0, 1)
        self._kills = sorted([*self._kills, (now + self.draw.rnd.uniform(0.5, 3), "migration")])
