"""Migrations and live ingestion on one cursor without any lock: the compare-and-swap alone keeps them apart."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from threading import Barrier

import psycopg
import pytest
from cursoring import BOTH, KEYS, WrittenDown, chunk, committer, made, run_of, standing, take_over

from pipeline.errors import BackfillError, CursorTaken, HandedOff
from pipeline.store.commit import Committer

FIRST = 101
TABLES = """
    CREATE TABLE public.newest (ledger int); INSERT INTO public.newest VALUES (%d);
    CREATE TABLE public.written (key text, first int, last int, live bool)
"""


def newest(conn: psycopg.Connection) -> int:
    return conn.execute("SELECT ledger FROM public.newest").fetchone()[0]


def migrate(store: str, folder: Path, seed: int, start: Barrier) -> list[BackfillError]:
    """Commit chunks up to the newest ledger that live ingestion has, until it has all; return the swaps lost."""
    rnd, lost, left = random.Random(seed), [], set(BOTH)
    folder.mkdir()
    with psycopg.connect(store, autocommit=True) as conn:
        run, cursor = run_of(conn), FIRST - 1
        start.wait()
        while left:
            ours = committer(lambda: psycopg.connect(store, autocommit=True), run, sorted(left), WrittenDown)
            cursor = go_on(conn, ours, folder, rnd, cursor, lost)
            ours.close()
            left -= set(lost[-1].protocol_ids)
    return lost


def go_on(
    conn: psycopg.Connection,
    ours: Committer,
    folder: Path,
    rnd: random.Random,
    cursor: int,
    lost: list[BackfillError],
) -> int:
    """Commit until live ingestion has taken something over; return the last ledger before that."""
    while True:
        frontier = newest(conn)
        if cursor == frontier:
            time.sleep(0.001)
            continue
        last = min(frontier, cursor + rnd.randint(1, 20))
        try:
            ours.commit(chunk(folder, cursor + 1, last))
            cursor = last
        except CursorTaken as error:  # the same command again: its cursor is where the other has left it
            lost.append(error)
            cursor = error.held.last
        except HandedOff as error:
            lost.append(error)
            return cursor


def live(store: str, seed: int, start: Barrier) -> None:
    """Write one ledger after another, and with each the protocols whose cursors stand right below it."""
    rnd = random.Random(seed)
    with psycopg.connect(store, autocommit=True) as conn:
        run, ledger = run_of(conn, "live"), newest(conn)
        start.wait()
        while ledger < FIRST + 60 or (standing(conn) != [(ledger, "live")] * 2 and ledger < FIRST + 600):
            ledger += 1
            time.sleep(rnd.random() / 50)
            with conn.transaction():
                conn.execute("UPDATE public.newest SET ledger = %s", [ledger])
                for key in take_over(conn, run, ledger):
                    conn.execute("INSERT INTO public.written VALUES (%s, %s, %s, true)", (key, ledger, ledger))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("migrations", [1, 2, 3])
def test_every_ledger_is_written_once_by_one(store: str, tmp_path: Path, migrations: int, seed: int):
    """However many race, chunks follow each other without gap or overlap, and live ingestion goes on where they end."""
    start = Barrier(migrations + 1)
    with psycopg.connect(store, autocommit=True) as conn, ThreadPoolExecutor(migrations + 1) as pool:
        made(conn, FIRST - 1, run_of(conn))
        conn.execute(TABLES % (FIRST + 20))
        following = pool.submit(live, store, seed, start)
        racing = [
            pool.submit(migrate, store, tmp_path / str(number), 100 * seed + number, start)
            for number in range(migrations)
        ]
        lost = [error for each in racing for error in each.result()]
        following.result()
        last = newest(conn)
        assert standing(conn) == [(last, "live")] * 2
        for key in KEYS:
            query = "SELECT first, last, live FROM public.written WHERE key = %s ORDER BY first"
            written = conn.execute(query, [key]).fetchall()
            assert (written[0][0], written[-1][1]) == (FIRST, last)
            assert all(below[1] + 1 == above[0] for below, above in pairwise(written)), "a gap, or written twice"
            assert [live for _, _, live in written] == sorted(live for _, _, live in written), "live was overtaken"
    assert sum(isinstance(error, HandedOff) for error in lost) >= migrations, "a migration ended without evidence"
