"""Connections to the modelled store: nobody sees what a transaction has changed before its end, or passes its locks.

One transaction of all may stand still while another runs from its beginning to its end: between any two queries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psycopg
from answers import answer
from psycopg import sql

if TYPE_CHECKING:
    from store import Store

Named = Mapping[str, Any]


class Rows(list[tuple]):
    """What a query gives; of a change, the rows that it has changed."""

    @property
    def rowcount(self) -> int:
        """How many."""
        return len(self)

    def fetchone(self) -> tuple | None:
        """Return the first, or None."""
        return self[0] if self else None

    def fetchall(self) -> list[tuple]:
        """Return all."""
        return self


class Blocked(BaseException):
    """A transaction waits for one that stands still: it comes to its end after that, and so is begun again then."""

    def __init__(self, locks: set[tuple[str, object]]) -> None:
        """Take what it has locked meanwhile."""
        super().__init__()
        self.locks = locks


class Session:
    """A connection of somebody, in autocommit."""

    def __init__(self, store: Store, owner: object = None, *, commits: bool = False) -> None:
        """`commits`: it is the one that the owner's chunks go through."""
        self.store, self.owner, self.commits = store, owner, commits
        self.info = SimpleNamespace(parameter_status=lambda _: "18")
        self.writes: dict[str, dict[Any, Any]] = {}  # by table and key; None: no row any more
        self.locks: set[tuple[str, object]] = set()
        self.behind: set[tuple[str, object]] = set()  # what those have locked that wait for this one
        self.ends: tuple[int, BaseException] | None = None  # after so many steps, and how

    def cursor(self, **_: object) -> Session:
        """Return what runs queries: no row of several columns is ever found by name."""
        return self

    def close(self) -> None:
        """Nothing is open."""

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is done within is seen at once, or never."""
        self.store.open.append(self)
        try:
            yield
            self._step()
            self.store.let_others(self)
            self.store.take(self.writes)
        finally:
            self.store.open.remove(self)
            self.writes, self.locks, self.behind = {}, set(), set()
        self._step()

    def execute(self, query: bytes | str | sql.Composed, names: Named = {}) -> Rows:  # noqa: B006  # never changed
        """Answer a query of the product; `KeyError` for one that the model does not know."""
        self._step()
        self.store.let_others(self)
        if self in self.store.open:
            return Rows(answer(self, query, names))
        with self.transaction():
            return Rows(answer(self, query, names))

    def _step(self) -> None:
        if self.ends:
            left, error = self.ends
            self.ends = left - 1, error
            if not left:
                raise error

    # What answers are made of

    def rows(self, table: str) -> Mapping[Any, Any]:
        """Return the rows of a table that it sees, by key: those that are committed, and its own."""
        there = self.store.tables[table]
        own = self.writes.get(table)
        return {key: row for key, row in {**there, **own}.items() if row is not None} if own else there

    def put(self, table: str, key: object, row: object) -> None:
        """Write a row, or remove it: None. Whoever else does so waits; what has no key yet is not waited for."""
        if table != "state_changes":
            self.lock(table, key)
        self.writes.setdefault(table, {})[key] = row

    def lock(self, table: str, key: object) -> None:
        """Have a row for itself; `Blocked` where another transaction has it."""
        row = table, key
        if any(row in other.locks for other in self.store.open if other is not self):
            raise Blocked(self.locks)
        assert row not in self.behind, f"two transactions wait for each other: at {table} {key}"
        self.locks.add(row)

    def drop(self, table: str, gone: Callable[[Any], bool]) -> None:
        """Drop the part of a table that holds such keys; `LockNotAvailable` where somebody is in it."""
        others = [other for other in self.store.open if other is not self]
        if self.store.is_read() or any(gone(key) for other in others for key in other.writes.get(table, ())):
            raise psycopg.errors.LockNotAvailable("canceling statement due to lock timeout")
        for key in [key for key in self.rows(table) if gone(key)]:
            self.put(table, key, None)
