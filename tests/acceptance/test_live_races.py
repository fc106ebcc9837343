"""Races of live ingestion and migrations on one cursor: each ledger is written once, and what they leave is right.

With LEDGERFILL_TEST_RACE_SEEDS=20 and LEDGERFILL_TEST_RACE_LEDGERS=2000 they are long: ten minutes, half of them for
the fold.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import psycopg
import pytest
import token_fold
from growing import GrowingLake
from program import Program, job, make_lake, wait_for
from racing import FEW, LOWEST, SEP41, SEP50, Race, begins_later
from stores import held
from test_token_lakes import STATE, truth

SEEDS = int(os.environ.get("LEDGERFILL_TEST_RACE_SEEDS", "7"))
LEDGERS = int(os.environ.get("LEDGERFILL_TEST_RACE_LEDGERS", "300"))
BEFORE, LAST = LEDGERS // 5, LEDGERS + 1  # newest ledger of the store before a race, and of the lake after it
MIDDLE = BEFORE * 2 // 3  # where the store and its current state begin, if they do so later
SIDE_BY_SIDE = 3  # a race mostly waits
# Every move of a cursor, in its own transaction; of which ledgers, is known by the chunk that was committed with it,
# whose record it may share with those before it.
NOTED = """
    CREATE TABLE public.moves (number bigserial, key text, value int8, job text, run_id int8, commit_id uuid,
        tip int4, at timestamptz);
    CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO public.moves (key, value, job, run_id, commit_id, tip, at)
        VALUES (NEW.key, NEW.value, NEW.job, NEW.run_id, NEW.commit_id,
            (SELECT max(last) FROM ledgerfill.ledger_stretches), clock_timestamp());
        RETURN NULL;
    END $$;
    CREATE TRIGGER note AFTER INSERT OR UPDATE ON ledgerfill.ingest_store FOR EACH ROW EXECUTE FUNCTION public.note();
    CREATE TABLE public.chunks (run_id int8, commit_id uuid, first int4);
    CREATE FUNCTION public.note_chunk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO public.chunks
        VALUES (NEW.run_id, NEW.commit_id, CASE TG_OP WHEN 'UPDATE' THEN OLD.last + 1 ELSE NEW.first END);
        RETURN NULL;
    END $$;
    CREATE TRIGGER note AFTER INSERT OR UPDATE ON ledgerfill.backfill_chunks
        FOR EACH ROW EXECUTE FUNCTION public.note_chunk();
"""
MOVES = """
    SELECT coalesce(c.first, m.value + 1), m.value, m.job, m.tip FROM public.moves m
    LEFT JOIN public.chunks c USING (run_id, commit_id) WHERE key = %s ORDER BY number
"""
WITHOUT_EVIDENCE = """
    SELECT r.id, key FROM ledgerfill.backfill_runs r
    CROSS JOIN LATERAL jsonb_array_elements_text(r.report -> 'protocol_ids') protocol
    CROSS JOIN LATERAL (SELECT 'protocol_' || protocol || CASE job WHEN 'migrate history' THEN '_history_cursor'
        ELSE '_current_state_cursor' END AS key) k
    WHERE outcome = 'handed_off' AND NOT EXISTS (
        SELECT FROM public.moves m WHERE m.key = k.key AND m.job = 'live' AND m.at <= r.ended_at)
"""
BEGINS = """
    SELECT DISTINCT history_from, (SELECT count(*) FROM ledgerfill.ingest_store WHERE key ~ '_below_')
    FROM ledgerfill.protocols
"""
KEYS = [f"protocol_{each}_{kind}_cursor" for each in ("SEP41", "SEP50") for kind in ("history", "current_state")]


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that will ever be in the lakes of the races."""
    return make_lake(tmp_path_factory.mktemp("races") / "whole", LEDGERS, "--shape", "tokens")


@pytest.fixture(scope="session")
def folded(whole: Path, new_database: Callable[[str], str]) -> Future[dict[int, str]]:
    """The URLs of databases with what a serial fold makes of the lake, by the current state's first ledger."""
    # In a process of its own: the races, which mostly wait, go on beside it.
    pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
    return pool.submit(write_folds, whole, {first: new_database("template0") for first in (LOWEST, MIDDLE)})


def write_folds(whole: Path, databases: dict[int, str]) -> dict[int, str]:
    made = [token_fold.rows(each) for each in token_fold.fold(whole, list(databases), LAST)]
    for database, rows in zip(databases.values(), made, strict=True):
        token_fold.write(database, rows | {"state_changes": made[0]["state_changes"]})
    return databases


@pytest.fixture(scope="session")
def prepared(whole: Path, new_database: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a database with the first ledgers, both protocols set up, that notes how cursors move."""
    database = new_database("template0")
    program = Program(tmp_path_factory.mktemp("prepared") / "home", database)
    for command in (("setup", *SEP41, *SEP50), ("backfill", *job(whole, LOWEST, BEFORE))):
        ended = program(*command)
        assert ended.returncode == 0, ended.stderr
    with psycopg.connect(database) as conn:
        conn.execute(NOTED)
    return database.rpartition("/")[2]


@pytest.fixture(scope="session")
def shortened(
    whole: Path, prepared: str, new_database: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> str:
    """The name of a database like that, of which the lowest ledgers have fallen out; their contracts are known."""
    folder, database = tmp_path_factory.mktemp("shortened"), new_database(prepared)
    lake = GrowingLake(whole, folder / "lake", LOWEST)
    lake.reach(BEFORE)
    live = Program(folder / "home", database).start(
        "live", "--source", lake, "--retention-ledgers", BEFORE - MIDDLE + 1, *FEW
    )
    wait_for(lambda: live.ended() or held(database) == [(MIDDLE, BEFORE)])
    live.send(signal.SIGTERM)
    assert live.result().returncode == 128 + signal.SIGTERM
    return database.rpartition("/")[2]


@pytest.fixture(scope="session")
def races(
    request: pytest.FixtureRequest,
    whole: Path,
    prepared: str,
    shortened: str,
    new_database: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[int, Future[Race]]]:
    """The races of all seeds that are wanted, some side by side."""
    wanted = [item.callspec.params["seed"] for item in request.session.items if item.originalname == THE_TEST]
    folder = tmp_path_factory.mktemp("racing")

    def run(seed: int) -> Race:
        store = range(MIDDLE if begins_later(seed) else LOWEST, BEFORE + 1)
        database = new_database(shortened if begins_later(seed) else prepared)
        race = Race(seed, database, whole, folder / str(seed), store, LAST)
        try:
            race.run()
        finally:
            race.program.end()
        return race

    pool = ThreadPoolExecutor(SIDE_BY_SIDE)
    yield {seed: pool.submit(run, seed) for seed in wanted}
    pool.shutdown(cancel_futures=True)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(SEEDS))
def test_each_ledger_has_one_writer_in_every_race(
    seed: int, folded: Future[dict[int, str]], races: dict[int, Future[Race]], drop_database: Callable[[str], None]
):
    """However live ingestion and migrations meet and are killed: no gap, no overlap, and what a serial fold says."""
    race = races[seed].result()
    database = race.program.database or ""
    state_from = MIDDLE if begins_later(seed) else LOWEST
    assert held(database) == [(LOWEST, LAST)]
    with psycopg.connect(database) as conn:
        for key in KEYS:
            parts = (
                conn.execute(MOVES, [key.replace("history", "history_below")]).fetchall() if "history" in key else []
            )
            check_moves(conn.execute(MOVES, [key]).fetchall(), parts, state_from if "state" in key else LOWEST)
        assert conn.execute(WITHOUT_EVIDENCE).fetchall() == []
        assert conn.execute(BEGINS).fetchall() == [(LOWEST, 0)], "not every part below was joined"
    assert token_fold.differences(database, token_fold.digests(folded.result()[state_from])) == []
    drop_database(database)


def test_the_fold_is_the_truth_of_the_lake(whole: Path, folded: Future[dict[int, str]]):
    """What races are held against is what the lake's own books say."""
    with psycopg.connect(folded.result()[LOWEST]) as conn:
        for kind, query in STATE.items():
            assert {tuple(row) for row in conn.execute(query)} == truth(whole, kind)


def check_moves(moves: list[tuple[int, int, str, int]], parts: list[tuple[int, int, str, int]], lowest: int) -> None:
    """Hold the moves of one cursor against the rules: each begins where the last one ended, and live comes last.

    What lies below it, from `lowest` on, has been passed once by the cursors of its parts.
    """
    assert moves[-1][1] == LAST
    filled = sorted(ledger for first, last, *_ in parts for ledger in range(first, last + 1))
    assert filled == list(range(lowest, moves[0][0])), "not each ledger below was passed once"
    for (_, below, *_), (first, *_) in pairwise(moves):
        assert first == below + 1, f"a move from {first} on follows one to {below}"
    jobs = [job for *_, job, _ in moves]
    assert jobs == sorted(jobs, key="live".__eq__), "live ingestion was overtaken"
    assert all(value <= tip for _, value, _, tip in moves), "a migration was ahead of live ingestion"


THE_TEST = test_each_ledger_has_one_writer_in_every_race.__name__
