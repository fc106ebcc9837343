"""However the ledgers of a migration are cut into chunks, history and state of every protocol are the same rows."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from functools import cache, partial
from itertools import pairwise
from pathlib import Path

import documented
import psycopg
import pytest
from cursoring import run_of
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg import sql

from pipeline.actions import ReadyChunk
from pipeline.classification import Classifier
from pipeline.plan import Gap
from pipeline.store import contracts, cursors, state, tokens
from pipeline.store.commit import Committer
from pipeline.store.cursors import JOBS, Kind
from pipeline.store.legs import Leg, LegSwap
from workers._decode import SECTIONS, Decoder, make_lake
from workers.entry import Worker, _plug_ins
from workers.messages import CONTRACTS, ChunkDone, LedgerRange, Task
from workers.protocols import Protocol, installed
from workers.sources import FetchLimits, Reading, find_lake

WHOLE = LedgerRange(2, 31)
ALONE = tuple((ledger, ledger) for ledger in WHOLE)
KINDS: tuple[Kind, ...] = ("history", "current_state")
Decode = Callable[[Kind, int, int], ChunkDone]
Tables = dict[str, list[tuple[object, ...]]]


@pytest.fixture
def protocols(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Protocol, ...]]:
    """Those that come built in, and the plug-in of the page on protocols."""
    before = {*sys.modules}
    monkeypatch.syspath_prepend(str(documented.install(tmp_path / "site")))
    found = installed()
    assert {"SEP41", "SEP50", "POINTS"} <= found.keys()
    yield tuple(found.values())
    for name in {*sys.modules} - before:
        del sys.modules[name]


@pytest.fixture
def decode(tmp_path: Path, protocols: tuple[Protocol, ...]) -> Decode:
    """Returns what a worker makes of some ledgers of a lake of tokens."""
    make_lake(str(tmp_path / "lake"), ledgers=len(WHOLE), first=WHOLE.first, shape="tokens", seed=5)
    found = find_lake(str(tmp_path / "lake"), ledger=WHOLE.first, limits=FetchLimits())
    assert found.manifest is not None
    passphrase = found.manifest.network_passphrase

    @cache
    def worker(kind: Kind) -> Worker:
        wanted = [*CONTRACTS, *(name for protocol in protocols for name in tokens.sections(protocol, kind))]
        plug_ins = _plug_ins(wanted)
        own = [name for name in wanted if name in SECTIONS]
        decoder = Decoder(passphrase, tables=own, wanted=[plug_in.wanted for plug_in in plug_ins])
        return Worker(found.lake, decoder, print, plug_ins)

    @cache
    def of(kind: Kind, first: int, last: int) -> ChunkDone:
        ledgers, reading = LedgerRange(first, last), Future[Reading]()
        reading.set_result(found.lake.read(ledgers))
        task = Task(token=first, attempt=1, ledgers=ledgers, path=str(tmp_path / f"{kind}-{ledgers}"))
        done = worker(kind).work(task, reading)
        assert done.ledgers == ledgers, done.failure
        return done

    return of


@pytest.fixture
def migrated(
    store: str, protocols: tuple[Protocol, ...], decode: Decode
) -> Callable[[Sequence[tuple[int, int]]], Tables]:
    """Returns what all tables hold after migrations in these chunks; each time from an empty store."""
    kept = [table for protocol in protocols for table in protocol.state]
    names = ["state_changes", *(table.name for table in kept)]
    connect = partial(psycopg.connect, store, autocommit=True)

    def of(chunks: Sequence[tuple[int, int]]) -> Tables:
        with closing(connect()) as conn:
            for name in (*names, "contract_instances", "protocol_wasms", "ingest_store"):
                conn.execute(sql.SQL("TRUNCATE ledgerfill.{} CASCADE").format(sql.Identifier(name)))
            for kind in KINDS:
                _migrate(conn, connect, kind, protocols, [decode(kind, *each) for each in chunks])
            query = sql.SQL("SELECT * FROM ledgerfill.{} t ORDER BY t")
            return {name: conn.execute(query.format(sql.Identifier(name))).fetchall() for name in names}

    with closing(connect()) as conn:
        for table in kept:
            state.ensure(conn, table)
        contracts.add(conn, [protocol.id for protocol in protocols], Classifier())
    return of


def _migrate(
    conn: psycopg.Connection,
    connect: Callable[[], psycopg.Connection],
    kind: Kind,
    protocols: tuple[Protocol, ...],
    chunks: Sequence[ChunkDone],
) -> None:
    run, gap = run_of(conn, JOBS[kind]), Gap(ledgers=WHOLE)
    for protocol in protocols:
        cursors.make(conn, cursors.key(protocol.id, kind), WHOLE.first - 1, None, run)
    with closing(Committer(connect, run, swap=partial(LegSwap, leg=Leg(kind, protocols, gap)))) as committer:
        for done in chunks:
            assert done.ledgers is not None
            given = {"ledgers": done.ledgers, "chunk": done.ledgers, "gap": gap, "done": done}
            committer.commit(ReadyChunk(**given, attempts=1, worker=1, previous=done.previous_hash))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.sets(st.integers(WHOLE.first + 1, WHOLE.last), max_size=12))
@example(cuts=set())
def test_any_cut_leaves_the_rows_of_ledgers_one_by_one(migrated, cuts: set[int]) -> None:
    """Folding K ledgers at once equals K folds of one: of SEP-41, of SEP-50 and of a plug-in in Python alone."""
    if not hasattr(migrated, "alone"):
        migrated.alone = migrated(ALONE)
        assert all(migrated.alone.values())
    parts = [(low, high - 1) for low, high in pairwise([WHOLE.first, *sorted(cuts), WHOLE.last + 1])]
    assert migrated(parts) == migrated.alone
