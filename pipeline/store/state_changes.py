"""The history of protocols: a table that only grows, in segments of ledgers as the big tables are.

Its indexes come when a segment is completed, too; who may write into it then is live ingestion, or the migration of
another protocol.
"""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg import sql

from pipeline.actions import ReadyChunk
from pipeline.segments import Segment, segments
from pipeline.store import copying, locks, queries, staging
from pipeline.store import segments as base
from pipeline.store.segments import Completing, Index, part
from workers.messages import LedgerRange, Section

TABLE = "state_changes"
SINCE = 6  # store version; before, its indexes belonged to the whole table, and were there all the time
_SQL = queries.load("state_changes")
HISTORY = Completing(
    "the history",
    (TABLE,),
    (
        Index(TABLE, ("account", "operation_id"), "account_operation_id_idx"),
        # By operation first: what an operation or a ledger did is one stretch of it.
        Index(TABLE, ("operation_id", "change_index", "protocol_id"), "pkey", unique=True),
    ),
    (locks.LIVE_INGESTION, locks.MIGRATION["history"]),
    find_due=_SQL["due"],
    note=_SQL["complete"],
)


def ensure(conn: psycopg.Connection, ledgers: LedgerRange) -> None:
    """Make the partitions that `ledgers` lack; not within a transaction, for who makes a table waits for others."""
    for segment in segments(ledgers):
        if not _there(conn, segment):
            with conn.transaction():
                base.lock(conn)
                if not _there(conn, segment):  # asked again: another maker may have been first
                    base.make(conn, segment, TABLE)
                    conn.execute(_SQL["register"], {"first": segment.first})


def copy(conn: psycopg.Connection, section: Section, chunk: ReadyChunk) -> int:
    """Copy a section of a chunk whose rows are those of the table, and return how many these are."""
    names = {"part": sql.Identifier(part(TABLE, Segment.of(chunk.ledgers.first)))}
    return copying.copy(conn, queries.template(_SQL["copy"], names), section, chunk)


def append(conn: psycopg.Connection, section: str, segment: Segment, *, made: bool = False) -> int:
    """Append the rows staged of a section, all of one segment; return how many these are.

    `made`: by a plug-in in Python, whose token ids are numbers already.
    """
    names = {"part": sql.Identifier(part(TABLE, segment)), "staged": staging.table(section)}
    return conn.execute(queries.template(_SQL["append_made" if made else "append"], names)).rowcount


def clear(conn: psycopg.Connection, segment: Segment, protocol_ids: Sequence[str], below: int) -> int:
    """Remove what a segment has of protocols from ledgers below one; return how many rows these were."""
    names = {"part": sql.Identifier(part(TABLE, segment))}
    given = {"protocol_ids": list(protocol_ids), "below": below << 32}
    return conn.execute(queries.template(_SQL["clear"], names), given).rowcount


def due(conn: psycopg.Connection) -> list[Segment]:
    """Return the segments whose history lacks indexes, ascending."""
    return HISTORY.due(conn)


def _there(conn: psycopg.Connection, segment: Segment) -> bool:
    return conn.execute(_SQL["there"], {"first": segment.first}).fetchone() == (True,)
