"""Brings a store to the version that this program writes, step by step, and refuses what it does not know.

The number in `ledgerfill.store_version` decides. Each step has its own code and writes its number in its own
transaction, so a store is always of exactly one version, whatever was killed on the way.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version as version_of
from typing import Literal

import psycopg

from pipeline.errors import Refused
from pipeline.store import queries, schema, version_2, version_3, version_4, version_5, version_6

logger = logging.getLogger(__name__)
_SQL = queries.load("version")
_POLL_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What makes a store of the version before `to` one of version `to`."""

    to: int
    title: str  # as the log has it: `create the tables`
    # What is long, in transactions of its own: after an interruption it runs again, and goes on where it was.
    prepare: Callable[[psycopg.Connection], None] | None = None
    apply: Callable[[psycopg.Connection], None]  # in one transaction with the number


STEPS: tuple[Step, ...] = (
    Step(to=1, title="create the tables", apply=schema.create),
    Step(to=2, title="give costly indexes to segments of ledgers", prepare=version_2.prepare, apply=version_2.apply),
    Step(to=3, title="give each run a history of its steps", apply=version_3.apply),
    Step(to=4, title="keep contracts, their code and their protocols", apply=version_4.apply),
    Step(to=5, title="keep the history of protocols", apply=version_5.apply),
    Step(
        to=6,
        title="give the history's indexes to segments of ledgers",
        prepare=version_6.prepare,
        apply=version_6.apply,
    ),
)


def current(conn: psycopg.Connection) -> int | None:
    """Return the store's version, or None where this database has none; nothing is written.

    Raises `Refused` where something else stands at its place.
    """
    row = conn.execute(_SQL["found"]).fetchone()
    has_table, objects = row if row else (False, 0)
    if not has_table:
        if objects:
            raise Refused(
                f"database {conn.info.dbname} has a schema ledgerfill with {objects} objects that this program did not "
                "make: rename it, or name another database with --database"
            )
        return None
    try:
        rows = conn.execute(_SQL["read"]).fetchall()
    except psycopg.errors.UndefinedColumn:
        rows = []
    if len(rows) != 1 or not isinstance(rows[0][0], int):
        raise Refused(
            f"the table ledgerfill.store_version in database {conn.info.dbname} does not hold one version: restore the "
            "database from a backup, or name another one with --database"
        )
    return int(rows[0][0])


def bring_up_to_date(conn: psycopg.Connection, steps: Sequence[Step] = STEPS) -> None:
    """Go on where the store has this program's version, run exactly the steps it lacks where it is older.

    `conn` is in autocommit. Several at once: one runs the steps, the others wait for it.
    Raises `Refused` for a store that is newer, or of a version without a step.
    """
    if missing(conn, steps):
        with _locked(conn), _no_limits(conn):
            for step in missing(conn, steps):
                _run(conn, step)


def standing(found: int) -> Literal["equal", "older", "newer", "unknown"]:
    """Return how the version that stands in a store stands to this program's; every store has one from 1 on."""
    newest = STEPS[-1].to
    if found < 1:
        return "unknown"
    return "equal" if found == newest else "older" if found < newest else "newer"


def missing(conn: psycopg.Connection, steps: Sequence[Step] = STEPS) -> list[Step]:
    """Return the steps that the store lacks, in order: all where there is none yet, none where it is of this version.

    Raises `Refused` for a version that this program does not know.
    """
    number, newest = current(conn), steps[-1].to
    if number is not None and number < 1:
        raise Refused(
            f"the store in database {conn.info.dbname} has version {number}, which no ledgerfill writes: restore the "
            "database from a backup, or name another one with --database"
        )
    found = number or 0
    if found > newest:
        raise Refused(
            f"the store in database {conn.info.dbname} has version {found}, this program knows up to {newest}: "
            "use a newer ledgerfill, or name another database with --database"
        )
    lacking = [step for step in steps if step.to > found]
    if [step.to for step in lacking] != list(range(found + 1, newest + 1)):
        raise Refused(
            f"the store in database {conn.info.dbname} has version {found}, too old for this program, which can start "
            f"from version {steps[0].to - 1}: use an older ledgerfill first, or name another database with --database"
        )
    return lacking


def _run(conn: psycopg.Connection, step: Step) -> None:
    logger.info("bringing the store to version %s: %s", step.to, step.title)
    if step.prepare is not None:
        step.prepare(conn)
    with conn.transaction():
        if step.to == 1:
            conn.execute(_SQL["create"])
        step.apply(conn)
        written = conn.execute(_SQL["write"], {"to": step.to, "program": version_of("ledgerfill")}).rowcount
        if written != 1:
            raise Refused(f"the store's version is no longer {step.to - 1}: another program has changed it meanwhile")


@contextmanager
def _locked(conn: psycopg.Connection) -> Iterator[None]:
    said = False
    while not _answer(conn, "try_lock")[0]:
        if not said:
            logger.info("waiting for another process that brings the store up to date")
            said = True
        time.sleep(_POLL_S)
    try:
        yield
    finally:
        if not conn.closed:
            conn.execute(_SQL["unlock"])


@contextmanager
def _no_limits(conn: psycopg.Connection) -> Iterator[None]:
    limits = _answer(conn, "limits")
    conn.execute(_SQL["no_limits"])
    try:
        yield
    finally:
        if not conn.closed:
            conn.execute(_SQL["put_back"], limits)


def _answer(conn: psycopg.Connection, query: str) -> tuple[object, ...]:
    row = conn.execute(_SQL[query]).fetchone()
    assert row is not None  # noqa: S101  # a SELECT of functions always has one row
    return tuple(row)
