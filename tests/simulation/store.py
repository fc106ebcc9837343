"""A model of the store: one stretch, the cursors of protocols, and who has really written each ledger of which.

It answers the very queries that the product sends, so that the product's own rules decide about each commit. What it
checks it knows from outside: no ledger of a cursor is written twice, left out, or written before it is there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import psycopg
from scenario import true_hash

from pipeline.store import cursors, queries
from pipeline.store.gates import LiveSwap
from pipeline.store.legs import LegSwap
from pipeline.store.swap import Swap

LIVE = "live"
BASE = "base tables"
_WHEN = datetime(2026, 1, 1, tzinfo=UTC)
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


class Store:
    """What is in the database, and a connection to it."""

    def __init__(self, first: int, last: int, protocols: list[str]) -> None:
        """Hold ledgers that some backfill has brought, with these protocols set up."""
        self.first, self.last, self.by = first, last, ("backfill", 1)
        self.cursors: dict[str, tuple[int, bytes | None, str, int]] = {}
        self.protocols = protocols
        self.landed: set[tuple[object, ...]] = set()
        self.written: dict[str, list[str]] = {BASE: ["backfill"] * (last - first + 1)}  # by whom, ledger by ledger
        self.begins: dict[str, int] = {BASE: first}
        self.between: Callable[[], None] = lambda: None  # what others do between two queries,
        self.alone = False  # unless rows are locked
        self.info = SimpleNamespace(parameter_status=lambda _: "18")
        self._queries = dict(self._answers())

    # As a database and as a connection

    def connect(self, *_: object) -> Store:
        """Return a connection."""
        return self

    def close(self) -> None:
        """Nothing is open."""

    def cursor(self, **_: object) -> Store:
        """Return what runs queries: no row of several columns is ever found by name."""
        return self

    def execute(self, query: bytes, names: Named = {}) -> Rows:  # noqa: B006  # never changed
        """Answer a query of the product; `KeyError` for one that the model does not know."""
        if not self.alone:
            self.between()
        return Rows(self._queries[query](names))

    def _answers(self) -> list[tuple[bytes, Callable[[Named], list[tuple]]]]:
        of = {name: queries.load(name) for name in ("cursors", "commit", "stretches", "contracts")}
        return [
            (of["cursors"]["read"], self._read),
            (of["cursors"]["standing"], self._read),
            (of["cursors"]["make"], self._make),
            (of["cursors"]["jump"], lambda _: []),  # nothing falls out
            (of["cursors"]["swap"], self._swap),
            (
                of["contracts"]["set_up"],
                lambda _: [(each, each == "SEP41", *["success"] * 3) for each in self.protocols],
            ),
            (of["stretches"]["all"], lambda _: [self._stretch]),
            (of["stretches"]["near"], lambda _: [self._stretch]),
            (of["stretches"]["oldest"], lambda _: [(self.first,)]),
            (of["stretches"]["hashes"], self._hashes),
            (of["commit"]["take_next"], lambda _: []),  # nothing lies above
            (of["commit"]["extend"], self._extend),
            (of["commit"]["begin"], self._begin),
            (of["commit"]["standing"], self._standing),
            (of["commit"]["landed"], lambda names: [(True,)] if _commit(names) in self.landed else []),
        ]

    @property
    def _stretch(self) -> tuple:
        hashes = (true_hash(self.first - 1), true_hash(self.first), true_hash(self.last))
        return (self.first, self.last, *hashes, *self.by, _WHEN)

    def _read(self, names: Named) -> list[tuple]:
        return [(key, *self.cursors[key]) for key in sorted(names["keys"]) if key in self.cursors]

    def _make(self, names: Named) -> list[tuple]:
        if names["key"] in self.cursors:
            return []
        self.cursors[names["key"]] = (names["value"], names["hash"], names["job"], names["run_id"])
        self.begins[names["key"]], self.written[names["key"]] = names["value"] + 1, []
        return [()]

    def _swap(self, names: Named) -> list[tuple]:
        value, known, *_ = self.cursors.get(names["key"], (0, None))
        if value != names["first"] - 1 or known not in (None, names["previous_hash"]):
            return []
        self.cursors[names["key"]] = (names["last"], names["last_hash"], names["job"], names["run_id"])
        return [()]

    def _hashes(self, names: Named) -> list[tuple]:
        return [(ledger, true_hash(ledger)) for ledger in names["ledgers"] if self.first <= ledger <= self.last]

    def _extend(self, names: Named) -> list[tuple]:
        if self.last != names["first"] - 1 or names["previous_hash"] != true_hash(self.last):
            return []
        self.last, self.by = names["end"], (names["job"], names["run_id"])
        return [()]

    def _begin(self, _: Named) -> list[tuple]:
        raise psycopg.errors.ExclusionViolation("overlaps or touches")  # all that is asked for does

    def _standing(self, names: Named) -> list[tuple]:
        return [(self.first, self.last, true_hash(self.last), *self.by)] if self.last >= names["first"] - 1 else []

    # What really happens

    def commit(self, swap: Swap) -> None:
        """Carry a chunk's transaction out, all of it or nothing."""
        before = self.last, self.by, dict(self.cursors)
        try:
            swap.carry_out(self, 1)  # type: ignore[arg-type]
        except Exception:
            self.last, self.by, self.cursors = before
            raise
        self.landed.add(_commit(swap.names))
        if isinstance(swap, LiveSwap):
            keys = [BASE, *(gate.key for gate in swap._open)]
        else:
            assert isinstance(swap, LegSwap)
            keys = [cursors.key(each.id, swap._leg.kind) for each in swap._leg.protocols]
            assert swap.chunk.ledgers.last <= self.last, f"{swap.chunk.ledgers} are past ledger {self.last} of live"
        for key in keys:
            self._write(key, swap)

    def _write(self, key: str, swap: Swap) -> None:
        ledgers, by = swap.chunk.ledgers, swap.run.job
        following = self.begins[key] + len(self.written[key])
        assert ledgers.first == following, f"{by} writes ledgers {ledgers} of {key} where {following} is next"
        self.written[key] += [by] * len(ledgers)

    def backfill(self, more: int) -> None:
        """Somebody else brings ledgers above."""
        self.last, self.by = self.last + more, ("backfill", 1)
        self.written[BASE] += ["backfill"] * more

    def by_live(self, key: str, ledger: int) -> bool:
        """Return whether live ingestion has written a ledger of a cursor."""
        place = ledger - self.begins[key]
        return place >= 0 and self.written[key][place] == LIVE


def _commit(names: Named) -> tuple[object, ...]:
    return names["run_id"], names["first"], names["commit_id"]
