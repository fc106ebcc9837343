"""A model of the store: one stretch, the cursors of protocols, and who has really written each ledger of which.

The product's own queries change it (`answers.py`), so that the product's own rules decide about each commit. What it
checks it knows from outside: no ledger of a cursor is written twice, left out, or written before it is there; and what
has fallen out of the retention is nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from answers import HISTORY, commit_of
from sessions import Blocked, Session

from pipeline.segments import Segment
from pipeline.store import cursors
from pipeline.store.gates import LiveSwap
from pipeline.store.legs import LegSwap
from pipeline.store.swap import Swap, SwapLost
from workers.messages import TABLES, LedgerRange

LIVE = "live"
BASE = "base tables"
Writes = dict[str, dict[Any, Any]]


class Store:
    """What is in the database, and what has ever been."""

    def __init__(self, first: int, last: int, protocols: list[str]) -> None:
        """Hold ledgers that some backfill has brought, with these protocols set up."""
        self.protocols = protocols
        names = ("stretches", "cursors", "histories", "segments", "history_segments", "commits", HISTORY, *TABLES)
        self.tables: Writes = {name: {} for name in names}
        self.written: dict[str, dict[int, str]] = {}  # by cursor and ledger: by whom, if it was ever
        self.begins: dict[str, int] = {}
        self.done: dict[str, int] = {}  # the last ledger of a cursor that is
        self.open: list[Session] = []
        self.between: Callable[[Session], None] = lambda _: None  # what others do between two queries
        self.is_read: Callable[[], bool] = lambda: False  # whether somebody reads what is to be dropped
        self._others = self._fills_below = False  # whether they are at it
        self.highest = first  # that the oldest ledger ever was
        self.joined = 0  # parts below histories
        self.tables["stretches"][0] = (first, first - 1, ("backfill", 1))
        self.begin(BASE, first)
        self.backfill(last - first + 1)

    @property
    def first(self) -> int:
        """The oldest ledger."""
        return self.tables["stretches"][0][0]

    @property
    def last(self) -> int:
        """The newest ledger."""
        return self.tables["stretches"][0][1]

    @property
    def cursors(self) -> dict[str, tuple[int, bytes | None, str, int]]:
        """The cursors, by key: ledger, hash, job and run."""
        return self.tables["cursors"]

    def begin(self, key: str, first: int) -> None:
        """Expect the ledgers of a cursor from `first` on."""
        self.begins[key], self.done[key], self.written[key] = first, first - 1, {}

    def let_others(self, session: Session) -> None:
        """Let another transaction come to its end, unless this is one of those."""
        if self._others:
            return
        self._others = True
        try:
            self.between(session)
        except Blocked as blocked:
            session.behind |= blocked.locks
        finally:
            self._others = False

    # What really happens

    def commit(self, swap: Swap, owner: object = None) -> None:
        """Carry a chunk's transaction out as the committer does, all of it or nothing."""
        session, ledgers = Session(self, owner, commits=True), swap.chunk.ledgers
        with session.transaction():
            if isinstance(swap, LiveSwap):
                self._copy_base(session, ledgers, swap.run.job)
                swap.write_ahead(session)  # type: ignore[arg-type]
                swap.carry_out(session, 1)  # type: ignore[arg-type]
                keys = [BASE, *(gate.key for gate in swap._open)]
                self._copy_history(session, swap, [gate.protocol.id for gate in swap._open if gate.kind == "history"])
            else:
                assert isinstance(swap, LegSwap)
                keys = list(swap._leg.keys)
                if swap._leg.kind == "history":
                    self._copy_history(session, swap, [each.id for each in swap._leg.protocols])
                swap.write_ahead(session)  # type: ignore[arg-type]
                swap.carry_out(session, 1)  # type: ignore[arg-type]
                assert ledgers.last <= self.last, f"{ledgers} are past ledger {self.last} of live"
            swap.merge(session, (), None)  # type: ignore[arg-type]
            session.put("commits", commit_of(swap.names), True)
        for key in keys:
            self._wrote(key, ledgers, swap.run.job)

    def _copy_base(self, session: Session, ledgers: LedgerRange, by: str) -> None:
        session.put("segments", Segment.of(ledgers.first).first, True)
        for table in TABLES:
            for ledger in ledgers:
                if ledger in session.rows("ledgers") and table == "ledgers":
                    raise SwapLost
                session.put(table, ledger, by)

    def _copy_history(self, session: Session, swap: Swap, protocol_ids: list[str]) -> None:
        for each in protocol_ids:
            session.put("history_segments", Segment.of(swap.chunk.ledgers.first).first, True)
            for ledger in swap.chunk.ledgers:
                session.put(HISTORY, (each, ledger), swap.run.job)

    def _wrote(self, key: str, ledgers: LedgerRange, by: str) -> None:
        following = self.done[key] + 1
        fallen_out = key in self._histories() and following < ledgers.first <= self.highest
        assert ledgers.first == following or fallen_out, (
            f"{by} writes ledgers {ledgers} of {key} where {following} is next"
        )
        self.done[key] = ledgers.last
        kept = ledgers if key not in self._histories() else [each for each in ledgers if each >= self.first]
        self.written[key].update(dict.fromkeys(kept, by))

    def _histories(self) -> dict[str, str]:
        """Return the protocols whose histories there may be, by the key of the cursor."""
        return {cursors.key(each, way): each for each in self.protocols for way in ("history", "history_below")}

    def backfill(self, more: int) -> None:
        """Somebody else brings ledgers above."""
        session, ledgers = Session(self), LedgerRange(self.last + 1, self.last + more)
        with session.transaction():
            for part in (LedgerRange(each, each) for each in ledgers):
                self._copy_base(session, part, "backfill")
            session.put("stretches", 0, (self.first, ledgers.last, ("backfill", 1)))
        self._wrote(BASE, ledgers, "backfill")

    def backfill_below(self, more: int) -> None:
        """Somebody else brings ledgers below."""
        session, ledgers = Session(self), LedgerRange(self.first - more, self.first - 1)
        self._fills_below = True
        with session.transaction():
            for part in (LedgerRange(each, each) for each in ledgers):
                self._copy_base(session, part, "backfill")
            session.put("stretches", 0, (ledgers.first, self.last, self.tables["stretches"][0][2]))
        self._fills_below = False

    def lacks_below(self, protocol_ids: Iterable[str]) -> bool:
        """Return whether a history of some protocols lacks ledgers below it."""
        return any(self.tables["histories"].get(each, 0) > self.first for each in protocol_ids)

    def claimed(self, protocol: str) -> set[int]:
        """Return the ledgers that a history, with its part below, is said to have."""
        names = (f"protocol_{protocol}_history_{each}" for each in ("cursor", "below_from", "below_cursor"))
        last, begins, reached = (self.cursors.get(each, (0,))[0] for each in names)
        whole = range(self.tables["histories"].get(protocol, last + 1), last + 1)
        part = range(begins, reached + 1) if begins else ()
        return {each for each in (*part, *whole) if each >= self.first}

    def has(self, swap: Swap) -> bool:
        """Return whether a commit is in."""
        return commit_of(swap.names) in self.tables["commits"]

    def by_live(self, key: str, ledger: int) -> bool:
        """Return whether live ingestion has written a ledger of a cursor."""
        return self.written[key].get(ledger) == LIVE

    # What must hold whenever a transaction has ended

    def take(self, writes: Writes) -> None:
        """Have what a transaction has changed: from here on everybody sees it, and it has to be right."""
        first = self.first
        histories = self.tables["histories"]
        self.joined += sum(begins < histories.get(each, 0) for each, begins in writes.get("histories", {}).items())
        for table, rows in writes.items():
            there = self.tables[table]
            twice = [key for key, row in rows.items() if row is not None and key in there] if table == HISTORY else []
            assert not twice, f"history is written twice: {twice}"
            there.update(rows)
            for key in [key for key, row in rows.items() if row is None]:
                del there[key]
        self.highest = max(self.highest, self.first)
        assert self.first >= first or self._fills_below, f"ledger {self.first} comes back, and the oldest was {first}"
        if "stretches" in writes or writes.keys() & set(TABLES):
            self._check_base(writes)
        self._check_history(writes, first)
        if writes.keys() & {"stretches", "cursors", "histories", HISTORY}:
            self._check_claims()

    def _check_base(self, writes: Writes) -> None:
        first, last = self.first, self.last
        for table in TABLES:
            for ledger, row in writes.get(table, {}).items():
                is_there = row is not None
                assert is_there == (first <= ledger <= last), (
                    f"ledger {ledger} in {table}: {is_there}, and the books have {first}-{last}"
                )
            rows = len(self.tables[table])
            assert rows == last - first + 1, f"{rows} ledgers in {table}, and the books have {first}-{last}"

    def _check_history(self, writes: Writes, before: int) -> None:
        first = self.first
        for (protocol, ledger), by in writes.get(HISTORY, {}).items():
            if by is None:
                lost = ledger >= first and ledger in self.claimed(protocol)
                assert not lost, f"the history of {protocol} loses ledger {ledger}, and the oldest is {first}"
            else:
                assert ledger >= first, f"{by} writes ledger {ledger} of {protocol} below the oldest, {first}"
        if first > before:
            # A segment that lies below as a whole is dropped when nobody writes into it any more.
            left = range(Segment.of(first).first, first)
            assert not (found := self.history_in(left)), f"history is left below the oldest ledger, {first}: {found}"

    def _check_claims(self) -> None:
        for protocol in self.tables["histories"]:
            lies = [each for each in self.claimed(protocol) if (protocol, each) not in self.tables[HISTORY]]
            assert not lies, f"the history of {protocol} is said to have ledgers {lies}"

    def history_in(self, ledgers: range) -> list[tuple[str, int]]:
        """Return what there is of histories of some ledgers."""
        return [key for key in self.tables[HISTORY] if key[1] in ledgers]

    def check_retention(self, keep: int) -> None:
        """What was to be kept at the end is there, all of it, and nothing else."""
        assert self.first >= self.last - keep + 1, f"ledgers {self.first}-{self.last} are kept, not {keep}"
        assert not (left := self.history_in(range(self.first))), f"history is left for ever: {left}"

    def check_complete(self) -> None:
        """All that the store has is there of every cursor, too."""
        for key, written in self.written.items():
            if key not in self._histories():
                lacks = [each for each in range(self.begins[key], self.last + 1) if each not in written]
                assert not lacks, f"{key} lacks ledgers {lacks}"
        for protocol, begins in self.tables["histories"].items():
            wanted = range(max(begins, self.first), self.last + 1)
            lacks = [each for each in wanted if (protocol, each) not in self.tables[HISTORY]]
            assert not lacks, f"the history of {protocol} lacks ledgers {lacks}"
