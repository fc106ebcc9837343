"""Which settings of a server hold a load back, or endanger what it loads; `ask` reads them, `advise` is pure.

A setting has a rule where a difference was measured (docs/operating.md) or follows from what it means. So those have
none that a COPY and an index build are indifferent to (autovacuum, `work_mem`, `wal_level`), nor those that sessions
of a run set for themselves (`maintenance_work_mem`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import psycopg

from pipeline.store import queries

_SQL = queries.load("advice")
_AMOUNT = re.compile(r"(\d+) ?(B|kB|MB|GB|TB|us|ms|s|min|h|d)?")  # never less than nothing: -1 stands for another
_UNITS = {"B": 1.0, "kB": 2.0**10, "MB": 2.0**20, "GB": 2.0**30, "TB": 2.0**40}
_UNITS |= {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_NUMBERS = ("max_connections", "superuser_reserved_connections", "reserved_connections")
# Less than this holds back: the least that does not.
_LEAST = {
    "max_wal_size": ("4GB", "the less WAL between checkpoints, the more pages are written to it whole again"),
    "checkpoint_timeout": ("5min", "the more checkpoints, the more pages are written to WAL whole again"),
    "wal_buffers": ("16MB", "a COPY stops to write WAL each time they are full"),
    "shared_buffers": ("128MB", "pages of indexes are written out, and read again for the next row"),
}
_WAITED_FOR = {"on": "written it to disk", "remote_write": "received it", "remote_apply": "applied it"}


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of a server."""

    value: str  # as SHOW has it: `128MB`, `off`
    restart: bool = False  # whether a change waits for the server's next start


@dataclass(frozen=True, slots=True)
class Advice:
    """One setting that would better be another, and why."""

    name: str
    present: str
    proposed: str
    reason: str
    restart: bool = False


def ask(conn: psycopg.Connection, connections: int) -> tuple[Advice, ...]:
    """Return the advice for the server of `conn` and a run that takes so many connections to it."""
    names = ["fsync", "wal_compression", "synchronous_commit", "synchronous_standby_names"]
    rows = conn.execute(_SQL["settings"], {"names": [*names, *_LEAST, *_NUMBERS]}).fetchall()
    row = conn.execute(_SQL["sessions"]).fetchone()
    settings = {name: Setting(value, restart) for name, value, restart in rows}
    return advise(settings, sessions=row[0] if row else 0, connections=connections)


def advise(settings: Mapping[str, Setting], *, sessions: int, connections: int) -> tuple[Advice, ...]:
    """Return what is better changed, the gravest first; a setting that the server does not have is none.

    `sessions` are those that the server has already, `connections` those that a run takes.
    """
    values = {name: setting.value for name, setting in settings.items()}
    return tuple(
        Advice(name, values[name], proposed, reason, settings[name].restart)
        for name, proposed, reason in _proposals(values, sessions, connections)
    )


def amount(value: str) -> float | None:
    """Return a value in bytes, seconds or pieces; None where it is no such amount."""
    match = _AMOUNT.fullmatch(value)
    return int(match[1]) * _UNITS.get(match[2], 1.0) if match else None


def _proposals(values: Mapping[str, str], sessions: int, connections: int) -> Iterator[tuple[str, str, str]]:
    """Iterate over (name, proposed value, reason)."""
    if values.get("fsync") == "off":
        yield "fsync", "on", "dangerous: a crash of the machine can destroy the database, not only the last rows"
    yield from _room(values, sessions, connections)
    waited_for = _WAITED_FOR.get(values.get("synchronous_commit", ""))
    if values.get("synchronous_standby_names") and waited_for:
        reason = f"each COMMIT waits until a standby (synchronous_standby_names) has {waited_for}"
        yield "synchronous_commit", "local", reason
    for name, (least, reason) in _LEAST.items():
        if _below(values.get(name, ""), least):
            yield name, least, reason
    if values.get("wal_compression") in ("on", "pglz"):
        yield "wal_compression", "off", "pglz is slow, and compresses every page of a new index"


def _room(values: Mapping[str, str], sessions: int, connections: int) -> Iterator[tuple[str, str, str]]:
    if "max_connections" not in values:
        return
    most, *reserved = (int(values.get(name, 0)) for name in _NUMBERS)
    free = max(0, most - sum(reserved) - sessions)
    if free < connections:
        reason = f"a run takes up to {connections} connections, {free} are free now"
        yield "max_connections", str(most + connections - free), reason


def _below(one: str, other: str) -> bool:
    low, high = amount(one), amount(other)
    return low is not None and high is not None and low < high
