"""A scenario: everything that a seed decides about a run before it begins, and the truth it is held against."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from functools import cache
from random import Random

from pipeline.bounds import CoordinatorConfig
from pipeline.plan import ChunkSize, CostModel, Gap, Plan, missing
from pipeline.segments import SEGMENT_LEDGERS, Segment
from pipeline.stall import StallConfig
from workers.messages import LedgerRange

FLOOR_S = 4.0  # of an attempt's deadline
SLOWEST = 3  # times its usual pace


@cache
def true_hash(ledger: int) -> bytes:
    """Return the hash that a ledger really has."""
    return hashlib.sha256(b"%d" % ledger).digest()


@dataclass(frozen=True, kw_only=True)
class Faults:
    """What goes wrong: chances for each attempt while the storm lasts, and ledgers that are wrong for good."""

    storm_s: float
    transient: float
    hang: float
    die: float
    missing: float
    misfit: float
    start_dies: float
    start_hangs: float
    idle_dies: float
    duplicate: float
    corrupt: int | None = None  # this ledger is damaged in the source
    hole: int | None = None  # this ledger's object is not there
    poison: int | None = None  # this ledger kills every worker
    tar: int | None = None  # this ledger takes for ever
    forged: int | None = None  # this ledger names another previous hash than the one before it has
    workers_never_start: bool = False
    commit_fails_after: int | None = None
    failing_segment: int | None = None  # counted from 1
    interrupts: tuple[float, ...] = ()

    @property
    def none(self) -> bool:
        """Whether nothing at all goes wrong."""
        return not any(getattr(self, each.name) for each in fields(self) if each.name not in ("storm_s", "duplicate"))

    def first_in(self, ledgers: LedgerRange, *names: str) -> int | None:
        """Return the lowest of `ledgers` that is one of these for good."""
        wrong = [ledger for name in names if (ledger := getattr(self, name)) is not None and ledger in ledgers]
        return min(wrong, default=None)


@dataclass(frozen=True, kw_only=True)
class Growth:
    """What comes at the end of a plan, when, and how that ends."""

    gaps: tuple[tuple[float, Gap], ...] = ()
    ends_at: float | None = None  # None: it goes on until somebody interrupts
    error: bool = False  # whether it ends since it cannot be followed any longer


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One run to be."""

    seed: int
    plan: Plan
    growth: Growth
    due: tuple[Segment, ...]  # segments that an earlier run has left incomplete
    config: CoordinatorConfig
    faults: Faults
    row_bytes: int  # a ledger, on average
    uneven: float  # how much this varies: 0 to 1
    pace_s: float  # a chunk
    reading: float  # share of it in which a worker waits for the source
    commit_s: float
    bad_seam: bool  # the store's ledger above a gap names another hash than the source has

    @property
    def most_workers(self) -> int:
        """How many workers there may ever be at once."""
        return self.config.workers + self.config.more_workers

    @property
    def most_connections(self) -> int:
        """How many commits there may ever be at once."""
        return self.config.connections + self.config.more_connections

    @property
    def harmless(self) -> bool:
        """Whether nothing at all goes wrong."""
        return self.faults.none and not self.growth.error and not self.bad_seam and SLOWEST * self.pace_s < FLOOR_S

    def bytes_of(self, ledger: int) -> int:
        """Return the bytes of rows of one ledger."""
        spread = true_hash(ledger)[0] / 255 * 2 - 1
        return max(1, round(self.row_bytes * (1 + self.uneven * spread)))


def scenario(seed: int) -> Scenario:
    """Return what a seed stands for."""
    draw = Random(seed)
    plan, bad_seam = _plan(draw)
    plan, growth = _growth(Random(seed ^ 0x64077), plan)
    config = _config(draw)
    last = growth.gaps[-1][1].ledgers.last if growth.gaps else plan.wanted.last
    faults = _faults(draw, LedgerRange(plan.wanted.first, last))
    if plan.grows and growth.ends_at is None and not faults.interrupts:
        faults = replace(faults, interrupts=(draw.uniform(0, 40),))
    return Scenario(
        seed=seed,
        plan=plan,
        growth=growth,
        due=draw.choice([(), (), (Segment(0),), (Segment(SEGMENT_LEDGERS), Segment(4 * SEGMENT_LEDGERS))]),
        config=config,
        faults=faults,
        row_bytes=draw.choice([20, 100, 300, 900]),
        uneven=draw.choice([0.0, 0.5, 1.0]),
        pace_s=draw.choice([0.05, 0.5, 1.5]),
        reading=draw.choice([0.0, 0.9]),
        commit_s=draw.choice([0.001, 0.2, 1.0]),
        bad_seam=bad_seam and not plan.grows,
    )


def _plan(draw: Random) -> tuple[Plan, bool]:
    start = draw.choice([1, SEGMENT_LEDGERS - 300])  # or one that often reaches into the next segment
    wanted = LedgerRange(first := start + draw.randint(0, 299), first + draw.choice([0, 9, 79, 149, 199]))
    held = [
        LedgerRange(start, min(start + draw.randint(0, 20), wanted.last + 5))
        for start in (draw.randint(wanted.first, wanted.last) for _ in range(draw.randint(0, 3)))
    ]
    parts = missing(wanted, held)
    bad_seam = bool(parts) and draw.random() < 0.05
    gaps = tuple(
        Gap(
            ledgers=part,
            below=true_hash(part.first - 1) if draw.random() < 0.7 else None,
            above=b"\0" * 32 if bad_seam and part is parts[-1] else draw.choice([true_hash(part.last), None]),
        )
        for part in parts
    )
    per_object = draw.choice([1, 1, 4])
    samples = {draw.randint(wanted.first, wanted.last): draw.randint(1, 200) for _ in range(draw.randint(1, 4))}
    size = ChunkSize(
        target_bytes=draw.choice([50, 500, 2000]),
        most_ledgers=40,
        exact_ledgers=draw.choice([None, None, 1, 7]),
        ledgers_per_object=per_object,
        border=draw.choice([SEGMENT_LEDGERS, 64]),
    )
    cost = CostModel(samples.items(), ledgers_per_object=per_object)
    return Plan(wanted=wanted, gaps=gaps, cost=cost, size=size), bad_seam


def _growth(draw: Random, plan: Plan) -> tuple[Plan, Growth]:
    """Return the plan as it is, or one that grows: from a tip where all is done already, too."""
    if draw.random() < 0.7:
        return plan, Growth()
    gaps = () if draw.random() < 0.2 else tuple(replace(gap, above=true_hash(gap.ledgers.last)) for gap in plan.gaps)
    last, grown = plan.wanted.last, list[Gap]()
    for _ in range(draw.randint(0, 6)):
        first = last + 1 + draw.choice([0] * 9 + [3])
        last = first + draw.choice([0, 0, 0, 2, 19, 99])
        seams = {"below": true_hash(first - 1), "above": true_hash(last)} if draw.random() < 0.7 else {}
        grown.append(Gap(ledgers=LedgerRange(first, last), **seams))
    times = sorted(draw.choice([draw.uniform(0, 3), draw.uniform(0, 40)]) for _ in [*grown, None])
    ends_at = None if draw.random() < 0.2 else times[-1]
    growth = Growth(gaps=tuple(zip(times, grown, strict=False)), ends_at=ends_at, error=draw.random() < 0.2)
    return replace(plan, gaps=gaps, grows=True), growth


def _config(draw: Random) -> CoordinatorConfig:
    workers = draw.randint(1, 5)
    return CoordinatorConfig(
        workers=workers,
        window_chunks=draw.choice([None, workers + 1, workers * 3]) if workers > 1 else None,
        window_bytes=draw.choice([1, 2000, 10_000, 1 << 20]),
        more_workers=draw.choice([0, 0, 2]),
        connections=draw.randint(1, 3),
        more_connections=draw.choice([0, 1]),
        stall=StallConfig(
            floor_s=FLOOR_S,
            ceiling_s=8.0,
            slow_bytes_per_s=400,
            max_attempts=draw.choice([1, 3, 4, 8]),
            max_deaths=draw.choice([2, 3]),
            backoff_s=0.5,
            backoff_ceiling_s=4.0,
            hole_deadline_s=draw.choice([0.0, 6.0, 20.0]),
            start_deadline_s=3.0,
        ),
    )


def _faults(draw: Random, wanted: LedgerRange) -> Faults:
    calm = draw.random() < 0.15

    def chance(most: float) -> float:
        return 0.0 if calm or draw.random() < 0.4 else draw.random() * most

    def sometimes(likely: float) -> int | None:
        place = draw.randint(wanted.first, wanted.last)
        return place if draw.random() < likely else None

    return Faults(
        storm_s=draw.choice([2.0, 10.0, 40.0]),
        transient=chance(0.4),
        hang=chance(0.2),
        die=chance(0.2),
        missing=chance(0.2),
        misfit=chance(0.05),
        start_dies=chance(0.5),
        start_hangs=chance(0.2),
        idle_dies=chance(0.2),
        duplicate=chance(0.4),
        corrupt=sometimes(0.1),
        hole=sometimes(0.06),
        poison=sometimes(0.06),
        tar=sometimes(0.06),
        forged=sometimes(0.06),
        workers_never_start=draw.random() < 0.02,
        commit_fails_after=draw.randint(1, 5) if draw.random() < 0.06 else None,
        failing_segment=draw.randint(1, 2) if draw.random() < 0.06 else None,
        interrupts=_interrupts(draw),
    )


def _interrupts(draw: Random) -> tuple[float, ...]:
    first = draw.uniform(0, 15)
    return draw.choice([(), (), (), (), (), (first,), (first, first + draw.uniform(0, 1))])
