"""What `status` gathers: the store as it stands, read only, also while a run is in progress."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import psycopg

from pipeline.config import StatusSettings
from pipeline.progress.status import RunSeen, Status, StretchHeld
from pipeline.segments import joined
from pipeline.store import (
    below,
    blockers,
    books,
    contracts,
    cursors,
    locks,
    network,
    segments,
    state_changes,
    stretches,
    unread,
    version,
)
from pipeline.store.books import RunRecord
from pipeline.store.connection import permitted
from pipeline.store.database import Database

STEPS_SHOWN = 5  # of a run in progress


@permitted()
def gather(settings: StatusSettings) -> Status:
    """Read the books; an embedded server that does not run is not started for it."""
    database = Database(settings)
    conn = database.look(start=False)
    if conn is None:
        return Status(database=database.shown)
    with closing(conn):
        found = version.current(conn)
        server = conn.info.parameter_status("server_version")
        if found is None:
            return Status(database=database.shown, server_version=server)
        standing = version.standing(found)
        if standing in ("newer", "unknown"):  # its tables are another program's matter
            return Status(database=database.shown, server_version=server, store_version=found, store_standing=standing)
        runs, held = books.recent_runs(conn, limit=settings.runs), _stretches(conn)
        oldest = held[0].ledgers.first if held else 0
        protocols = contracts.set_up(conn) if found >= contracts.SINCE else []
        lower = below.found(conn, [each.id for each in protocols]) if found >= cursors.SINCE else {}
        return Status(
            database=database.shown,
            server_version=server,
            store_version=found,
            store_standing=standing,
            network_passphrase=network.pinned(conn),
            size_bytes=sum(books.table_bytes(conn).values()),
            stretches=tuple(held),
            blocked_by=tuple(map(str, blockers.of_program(conn))),
            protocols=tuple(protocols),
            migrated=cursors.spans(conn, oldest) if found >= cursors.SINCE else {},
            below=lower,
            filling=frozenset(each for each in lower if locks.holder(conn, lock=locks.MIGRATION["history"] + each)),
            unread=tuple(unread.ranges(conn)) if found >= contracts.SINCE else (),
            unindexed=joined(segments.unindexed(conn)) if found >= segments.SINCE else (),
            history_unindexed=joined(state_changes.due(conn)) if found >= state_changes.SINCE else (),
            runs=tuple(_now(conn, run) if found >= books.HISTORY_SINCE else run for run in map(_run, runs)),
        )


def _stretches(conn: psycopg.Connection) -> list[StretchHeld]:
    return [
        StretchHeld(ledgers=stretch.ledgers, last_hash=stretch.last_hash, run_id=stretch.run_id)
        for stretch in stretches.held(conn)
    ]


def _now(conn: psycopg.Connection, run: RunSeen) -> RunSeen:
    """Add what a run in progress waits for; of any other, what it has said last is no news."""
    if run.outcome != "running":
        return run
    steps = books.steps(conn, run.run_id, newest=STEPS_SHOWN)
    return replace(run, said=books.said(conn, run.run_id), steps=tuple(steps))


def _run(run: RunRecord) -> RunSeen:
    return RunSeen(
        run_id=run.id,
        job=run.job,
        outcome=run.outcome,
        wanted=run.wanted,
        started_at=run.started_at,
        ended_at=run.ended_at,
        cursor=run.cursor,
        chunks=run.chunks,
        ledgers=run.ledgers,
        host=run.host,
        pid=run.process_id,
        error=run.error,
    )
