"""Whose lock a session waits for: a lock that somebody else holds looks like a slow database, and passes unnamed.

No rule about workers has to do with it: what is late by it is late at the database.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg

from pipeline.store import queries

_SQL = queries.load("blockers")


@dataclass(frozen=True, slots=True)
class Blocker:
    """A session of the server that holds a lock for which others wait; what may not be seen of it is None."""

    process_id: int  # 0: a prepared transaction
    user: str | None
    application: str | None
    state: str | None  # `active`, `idle in transaction`
    since: datetime | None  # when its transaction began

    def __str__(self) -> str:
        """Write it as messages do."""
        user = f"user {self.user}" if self.user else None
        since = f"{self.state or 'busy'} since {self.since:%Y-%m-%d %H:%M:%S %Z}" if self.since else self.state
        return ", ".join(filter(None, (f"process {self.process_id} of the server", user, self.application, since)))


def blockers(conn: psycopg.Connection, waiting: Sequence[int]) -> list[Blocker]:
    """Return who holds up the sessions with these process ids at the server, asked over another one."""
    return [Blocker(*row) for row in conn.execute(_SQL["blockers"], {"waiting": list(waiting)})]


def builds(conn: psycopg.Connection) -> bool:
    """Return whether somebody builds an index in this database: that takes its time, and then gives its lock back."""
    return conn.execute(_SQL["builds"]).fetchone() is not None


def of_program(conn: psycopg.Connection) -> list[Blocker]:
    """Return who holds up any session of this program in this database."""
    waiting = [pid for (pid,) in conn.execute(_SQL["waiting"])]
    return blockers(conn, waiting) if waiting else []
