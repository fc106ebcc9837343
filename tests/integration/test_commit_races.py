"""Several runs on the same ledgers without any lock: the compare-and-swap alone keeps them apart."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import handmade
import psycopg
import pytest

from pipeline.errors import BackfillError, CursorMoved, CursorTaken, HandedOff
from pipeline.store import books, stretches
from pipeline.store.commit import Committer
from workers.messages import LedgerRange

WANTED = LedgerRange(101, 220)


def race(store: str, folder: Path, seed: int, start: Barrier) -> list[type[BackfillError]]:
    """Fill what is missing, a random chunk of a random gap at a time, until nothing is; return the swaps lost."""
    rnd, lost = random.Random(seed), []
    folder.mkdir()
    with psycopg.connect(store, autocommit=True) as conn:
        run = books.new_run(conn)
        books.start_run(conn, run, WANTED, source="handmade", workers=1)
        committer = Committer(lambda: psycopg.connect(store, autocommit=True), run)
        start.wait()
        while gaps := stretches.gaps(conn, WANTED):
            gap = rnd.choice(gaps)
            first = gap.ledgers.first if rnd.random() < 0.7 else rnd.choice(list(gap.ledgers))
            chunk = handmade.chunk(folder, first, min(gap.ledgers.last, first + rnd.randrange(6)))
            try:
                committer.commit(chunk)
            except (CursorTaken, CursorMoved, HandedOff) as error:
                lost.append(type(error))
        committer.close()
    return lost


def live(store: str, folder: Path, seed: int, start: Barrier) -> list[type[BackfillError]]:
    """Follow the network from some ledger on, one at a time, as live ingestion does; return the swaps lost."""
    rnd, lost = random.Random(seed), []
    folder.mkdir()
    with psycopg.connect(store, autocommit=True) as conn:
        run = books.new_run(conn, job="live")
        books.start_run(conn, run, WANTED, source="handmade", workers=1)
        committer = Committer(lambda: psycopg.connect(store, autocommit=True), run)
        start.wait()
        for ledger in range(rnd.choice(list(WANTED)), WANTED.last + 1):
            while any(ledger in gap.ledgers for gap in stretches.gaps(conn, WANTED)):
                try:
                    committer.commit(handmade.chunk(folder, ledger, ledger))
                except (CursorTaken, CursorMoved) as error:
                    lost.append(type(error))
        committer.close()
    return lost


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("runs", [2, 3])
def test_racing_runs_leave_each_ledger_once(store: str, tmp_path: Path, runs: int, seed: int):
    """Whichever of runs and a live writer meet, each ledger is there once and all are one stretch."""
    start = Barrier(runs + 1)
    with ThreadPoolExecutor(runs + 1) as pool:
        racers = [*[race] * runs, live]
        raced = [
            pool.submit(racer, store, tmp_path / str(number), 100 * seed + number, start)
            for number, racer in enumerate(racers)
        ]
        lost = [error for one in raced for error in one.result()]
    with psycopg.connect(store) as conn:
        assert [stretch.ledgers for stretch in stretches.held(conn)] == [WANTED]
        rows = conn.execute("SELECT count(*), count(DISTINCT sequence) FROM ledgerfill.ledgers").fetchone()
        events = conn.execute("SELECT count(*) FROM ledgerfill.events").fetchone()
        chunks = conn.execute("SELECT sum(last - first + 1) FROM ledgerfill.backfill_chunks").fetchone()
    ledgers = len(WANTED)
    assert (rows, events, chunks) == ((ledgers, ledgers), (3 * ledgers,), (ledgers,))
    assert lost, "the runs never met: the race shows nothing"
