"""From settings, source and store to a plan: what is missing, in chunks of about equal cost."""

from __future__ import annotations

import shutil
from bisect import bisect_right
from dataclasses import replace
from itertools import accumulate
from typing import TYPE_CHECKING

from pipeline.bounds import CoordinatorConfig
from pipeline.config import EngineSettings, JobSettings
from pipeline.errors import Refused
from pipeline.plan import TARGET_BYTES, ChunkSize, CostModel, Gap, Plan
from pipeline.progress import units
from pipeline.source import OpenSource
from pipeline.stall import StallConfig
from workers.messages import LedgerRange

if TYPE_CHECKING:  # a run without a database plans without PostgreSQL
    import psycopg

    from pipeline.store.database import Database

SAMPLES = 64  # objects whose size is asked for
TABLE_BYTES_A_STORED_BYTE = 4.0  # of a pubnet ledger: tables and indexes against the object, see docs/store.md
MOST_WAL_BYTES = 4 << 30  # that the embedded server keeps while it loads (`max_wal_size`)


def make_plan(
    settings: JobSettings, source: OpenSource, gaps: tuple[Gap, ...], target_bytes: int = TARGET_BYTES
) -> Plan:
    """Sample the missing ledgers' sizes and cut them; hashes that the user trusts stand at the seams."""
    trusted = dict(settings.trusted)
    gaps = tuple(replace(gap, below=gap.below or trusted.get(gap.ledgers.first - 1)) for gap in gaps)
    per_object, exact = source.ledgers_per_object, settings.chunk_ledgers
    size = ChunkSize(target_bytes=target_bytes, exact_ledgers=exact, ledgers_per_object=per_object)
    sizes = source.reader.sizes(sample([gap.ledgers for gap in gaps])) if gaps else {}
    cost = CostModel(sizes.items(), ledgers_per_object=per_object)
    plan = Plan(wanted=source.wanted, gaps=gaps, cost=cost, size=size)
    return replace(plan, size=size.for_workers(settings.workers, plan.stored_bytes))


def sample(parts: list[LedgerRange]) -> list[int]:
    """Return ledgers spread evenly over `parts`, their two ends among them."""
    ends = list(accumulate(map(len, parts)))  # places behind each part
    total = ends[-1] if ends else 0
    count = min(SAMPLES, total)
    places = {round(step * (total - 1) / max(count - 1, 1)) for step in range(count)}
    return [_nth(parts, ends, place) for place in sorted(places)]


def _nth(parts: list[LedgerRange], ends: list[int], place: int) -> int:
    number = bisect_right(ends, place)
    return parts[number].last + 1 - (ends[number] - place)


def check_trusted(settings: JobSettings, wanted: LedgerRange) -> None:
    """Raise `Refused` for a trusted hash of a ledger that the job never meets."""
    for ledger, _ in settings.trusted:
        if not wanted.first - 1 <= ledger <= wanted.last:
            raise Refused(f"--trusted-hash names ledger {ledger}, outside of {wanted} and the ledger before it")


def check_held(settings: JobSettings, conn: psycopg.Connection) -> None:
    """Raise `Refused` when the store holds a ledger under another hash than the trusted one; no run would notice."""
    from pipeline.store import stretches

    held = stretches.hashes(conn, [ledger for ledger, _ in settings.trusted])
    for ledger, trusted in settings.trusted:
        if held.get(ledger, trusted) != trusted:
            raise Refused(
                f"--trusted-hash says that ledger {ledger} is {trusted.hex()}, the store holds {held[ledger].hex()}"
            )


def disk_needed(plan: Plan) -> int:
    """Return about how many bytes the missing ledgers will take in the store, its write-ahead log included."""
    tables = int(plan.stored_bytes * TABLE_BYTES_A_STORED_BYTE)
    return tables + min(tables, MOST_WAL_BYTES)


def disk_free(database: Database) -> int | None:
    """Return the bytes free under the store; None for a server that is not ours, which does not say."""
    if database.embedded is None:
        return None
    there = next(path for path in (database.home, *database.home.parents) if path.exists())
    return shutil.disk_usage(there).free


def check_disk(database: Database, plan: Plan) -> None:
    """Raise `Refused` when the range will not fit."""
    needed, free = disk_needed(plan), disk_free(database)
    if free is not None and needed > free:
        raise Refused(
            f"too little disk for ledgers {plan.wanted}: they take about {units.size(needed)}, "
            f"{units.size(free)} are free under {database.home}"
        )


def coordinator_config(settings: EngineSettings) -> CoordinatorConfig:
    """Return the bounds and deadlines of a run."""
    return CoordinatorConfig(
        workers=settings.workers,
        window_chunks=settings.window,
        window_bytes=settings.window_bytes,
        more_workers=settings.more_workers,
        connections=settings.connections,
        more_connections=settings.more_connections,
        stall=StallConfig(
            floor_s=settings.stall_floor_s,
            ceiling_s=settings.stall_ceiling_s,
            max_attempts=settings.max_attempts,
            hole_deadline_s=settings.hole_deadline_s,
        ),
    )
