"""What `plan` surveys: a range, what the store has of it, and what the rest will take; nothing is written."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from pipeline import refill, source
from pipeline.config import BackfillSettings, JobSettings
from pipeline.plan import Gap, Plan, missing
from pipeline.planning import SAMPLES, check_held, check_trusted, disk_free, disk_needed, make_plan
from pipeline.progress.survey import Survey
from pipeline.seams import check_seams
from pipeline.source import OpenSource
from pipeline.store import advice, network, stretches, version
from pipeline.store.advice import Advice
from pipeline.store.connection import permitted
from pipeline.store.database import Database
from workers.messages import LedgerRange

_PROCESS_BYTES = 150 << 20  # of the coordinator, and of a worker beside its chunk
_PLAIN_BYTES_A_STORED_BYTE = 7  # of a pubnet ledger
_OTHER_CONNECTIONS = 3  # of a run: for books, lock and history; how it ended is written when others are closed


@dataclass(frozen=True, slots=True)
class _Found:
    """What the store holds of the range and what it lacks; `outdated` is its version where that is an older one."""

    held: tuple[LedgerRange, ...]
    gaps: tuple[Gap, ...]
    outdated: int | None = None


@permitted()
def survey(settings: BackfillSettings) -> Survey:
    """Look at source and store. Raises `Refused` where a backfill would be."""
    database = Database(settings)
    settings, absent = refill.narrowed(settings, database)
    with source.opened(settings, database.home) as opened:
        check_trusted(settings, opened.wanted)
        found = _without(_look(database, opened, settings), opened.wanted, absent)
        plan = make_plan(settings, opened, found.gaps)
        if found.gaps and settings.end_ledger is not None:
            opened.require(found.gaps[-1].ledgers.last)
        check_seams(opened, found.gaps)
        return Survey(
            source=settings.source_shown,
            database=database.shown,
            network_passphrase=opened.network_passphrase,
            wanted=opened.wanted,
            store_outdated=found.outdated,
            held=found.held,
            gaps=tuple(gap.ledgers for gap in found.gaps),
            chunk_count=plan.chunk_count(),
            chunks=plan.chunks,
            workers=settings.workers,
            window_chunks=settings.window_chunks,
            object_bytes=plan.stored_bytes,
            sampled_objects=min(SAMPLES, plan.ledgers),
            disk_needed_bytes=disk_needed(plan),
            disk_free_bytes=disk_free(database),
            memory_bytes=_memory(settings, plan),
            memory_free_bytes=_memory_free(),
            advice=_advice(database, settings),
        )


def _look(database: Database, opened: OpenSource, settings: JobSettings) -> _Found:
    """Look at the store; one that does not exist yet lacks all of the range."""
    conn = database.look(start=True)
    if conn is None:
        return _Found((), (Gap(ledgers=opened.wanted),))
    with closing(conn):
        lacking, number = version.missing(conn), version.current(conn)
        if number is None:
            return _Found((), (Gap(ledgers=opened.wanted),))
        network.check(conn, opened.network_passphrase)
        check_held(settings, conn)
        held = (stretch.ledgers.overlap(opened.wanted) for stretch in stretches.held(conn, opened.wanted))
        gaps = stretches.gaps(conn, opened.wanted)
        return _Found(tuple(part for part in held if part), gaps, number if lacking else None)


def _without(found: _Found, wanted: LedgerRange, absent: tuple[LedgerRange, ...]) -> _Found:
    """Return what is held and lacks where the books claim some ledgers wrongly: the hashes at their seams are left."""
    if not absent:
        return found
    held = tuple(part for held in found.held for part in missing(held, absent))
    return _Found(held, tuple(Gap(ledgers=part) for part in missing(wanted, held)), found.outdated)


def _advice(database: Database, settings: JobSettings) -> tuple[Advice, ...] | None:
    """Return what to change of a server that is not ours; None: ours has the settings that it should have."""
    if database.embedded is not None or (conn := database.look(start=True)) is None:
        return None
    with closing(conn):
        return advice.ask(conn, _OTHER_CONNECTIONS + 2 * settings.connections)  # that copy, and that build indexes


def _memory(settings: JobSettings, plan: Plan) -> int:
    """Return the most bytes that coordinator, workers and window take together."""
    if not plan.gaps:
        return 0
    chunk = plan.cost.bytes_of(plan.chunk_at(plan.gaps[0].ledgers.first))
    worker = _PROCESS_BYTES + 3 * chunk * _PLAIN_BYTES_A_STORED_BYTE
    return _PROCESS_BYTES + settings.workers * worker + settings.window_bytes


def _memory_free() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")), None)
