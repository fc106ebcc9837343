"""Gaps by the books and by looking, and a backfill that fills exactly those."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import handmade
import psycopg
import pytest
from test_backfill import Silent

from pipeline import backfill, survey, verify
from pipeline import gaps as job
from pipeline.cli import gaps as command
from pipeline.config import BackfillSettings, GapsSettings, VerifySettings
from pipeline.errors import Refused
from pipeline.gaps import Gaps
from pipeline.store import books, stretches
from pipeline.store.commit import Committer
from workers._decode import make_lake
from workers.messages import LedgerRange

FIRST, LAST = 2, 41
SEGMENT = 65_536
TOIDS = "{column} >> 32 BETWEEN {first} AND {last}"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "lake"
    make_lake(str(folder), ledgers=LAST - FIRST + 1, first=FIRST, shape="sparse")
    return folder


@pytest.fixture
def fill(lake: Path, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., BackfillSettings]:
    """Returns the settings of a backfill of this lake, with a chunk of at most 8 ledgers."""
    monkeypatch.setenv("LEDGERFILL_HOME", str(tmp_path))
    given = {"source": str(lake), "database": store, "workers": 1, "chunk_ledgers": 8}
    return lambda **more: BackfillSettings(**given | more)


@pytest.fixture
def holding(store: str, conn: psycopg.Connection, tmp_path: Path) -> Callable[..., None]:
    """Commits handmade ledgers, a chunk a range."""

    def commit(*parts: tuple[int, int]) -> None:
        run = books.new_run(conn)
        books.start_run(conn, run, LedgerRange(parts[0][0], parts[-1][1]), source="/lake", workers=1)
        committer = Committer(lambda: psycopg.connect(store), run)
        for part in parts:
            committer.commit(handmade.chunk(tmp_path, *part))
        committer.close()

    return commit


def found(store: str, **asked: object) -> Gaps:
    return job.gather(GapsSettings(database=store, **asked))[1]


def parts(*ranges: tuple[int, int]) -> tuple[LedgerRange, ...]:
    return tuple(LedgerRange(*each) for each in ranges)


def held(conn: psycopg.Connection) -> tuple[LedgerRange, ...]:
    return tuple(stretch.ledgers for stretch in stretches.held(conn))


def delete(conn: psycopg.Connection, first: int, last: int, *tables: str) -> None:
    for table in tables or ("ledgers",):
        column = {"ledgers": "sequence::int8 << 32", "events": "operation_id"}.get(table, "id")
        where = TOIDS.format(column=f"({column})", first=first, last=last)
        deleted = conn.execute(f"DELETE FROM ledgerfill.{table} WHERE {where}").rowcount
        assert table != "ledgers" or deleted == last - first + 1


def test_store_without_a_ledger_has_no_gaps(store: str):
    """Nothing is held, so there is nothing between; a range that is asked for is missing as a whole."""
    assert found(store) == Gaps(wanted=None)
    assert found(store, start_ledger=5) == Gaps(wanted=None)
    assert found(store, start_ledger=5, end_ledger=9) == Gaps(wanted=LedgerRange(5, 9), missing=parts((5, 9)))


def test_gaps_lie_between_the_lowest_and_the_highest_ledger(store: str, holding: Callable[..., None]):
    """What the books lack between the store's ends is missing, in a range that was given up to its ends."""
    holding((100, 104), (110, 110), (112, 115))
    assert found(store) == Gaps(wanted=LedgerRange(100, 115), missing=parts((105, 109), (111, 111)))
    assert found(store, books_only=True) == found(store)
    assert found(store, start_ledger=98, end_ledger=107).missing == parts((98, 99), (105, 107))
    assert found(store, start_ledger=108).missing == parts((108, 109), (111, 111))
    with pytest.raises(Refused, match="--start-ledger 116 is above the highest ledger of the store, 115"):
        found(store, start_ledger=116)
    with pytest.raises(Refused, match="--end-ledger 99 is below the lowest ledger of the store, 100"):
        found(store, end_ledger=99)


def test_rows_that_are_gone_are_found_by_looking(store: str, conn: psycopg.Connection, holding: Callable[..., None]):
    """Ledgers that the books claim are absent where their rows are not there: at the ends, inside, across segments."""
    holding((SEGMENT - 6, SEGMENT - 1), (SEGMENT, SEGMENT + 5))
    for first, last in ((-6, -5), (-1, 1), (5, 5)):
        delete(conn, SEGMENT + first, SEGMENT + last)
    gone = parts((SEGMENT - 6, SEGMENT - 5), (SEGMENT - 1, SEGMENT + 1), (SEGMENT + 5, SEGMENT + 5))
    assert found(store) == Gaps(wanted=LedgerRange(SEGMENT - 6, SEGMENT + 5), absent=gone)
    assert found(store, books_only=True).absent == ()
    assert found(store, start_ledger=SEGMENT, end_ledger=SEGMENT + 2).absent == parts((SEGMENT, SEGMENT + 1))
    conn.execute("DELETE FROM ledgerfill.ledgers")
    assert found(store).absent == parts((SEGMENT - 6, SEGMENT + 5))


def test_rows_that_nobody_claims_are_found_by_looking(
    store: str, conn: psycopg.Connection, holding: Callable[..., None]
):
    """Rows without a stretch are named, also outside of all stretches; they are missing by the books all the same."""
    holding((100, 104), (108, 108), (110, 112), (120, 121))
    conn.execute("DELETE FROM ledgerfill.ledger_stretches WHERE first IN (108, 110, 120)")
    assert found(store) == Gaps(
        wanted=LedgerRange(100, 121),
        missing=parts((105, 121)),
        unbooked=parts((108, 108), (110, 112), (120, 121)),
    )
    assert found(store, books_only=True) == Gaps(wanted=LedgerRange(100, 104))


def test_ledger_without_transactions_is_missed_like_any_other(
    store: str, conn: psycopg.Connection, holding: Callable[..., None], tmp_path: Path
):
    """A ledger in which nothing happened has a row as well, by whose absence it is found."""
    holding((100, 102), (104, 105))
    empty = {table: [] for table in ("transactions", "operations", "events")}
    rows = empty | {"ledgers": handmade.rows_of(103)["ledgers"]}
    run = books.new_run(conn)
    books.start_run(conn, run, LedgerRange(103, 103), source="/lake", workers=1)
    assert found(store).missing == parts((103, 103))
    committer = Committer(lambda: psycopg.connect(store), run)
    committer.commit(handmade.chunk(tmp_path, 103, 103, rows=rows))
    committer.close()
    assert found(store) == Gaps(wanted=LedgerRange(100, 105))
    delete(conn, 103, 103)
    assert found(store).absent == parts((103, 103))


def test_people_and_programs_are_told_every_range(store: str, conn: psycopg.Connection, holding: Callable[..., None]):
    """Each range has a line of its own; what was not looked for is not said to be none."""
    holding((100, 104), (108, 109), (112, 112))
    delete(conn, 101, 102)
    shown, gaps = job.gather(GapsSettings(database=store))
    assert list(command.lines("a store", gaps, looked=True)) == [
        "ledgers 100-112 in a store",
        "  missing by the books: 5 ledgers",
        "    105-107",
        "    110-111",
        "  without a row, though the books claim them: 2 ledgers",
        "    101-102",
        "  with a row, though the books do not claim them: none",
    ]
    (text,) = command.json_lines(shown, gaps, looked=True)
    document = json.loads(text)
    assert document["range"] == [100, 112]
    assert document["missing"] == [[105, 107], [110, 111]]
    assert (document["absent"], document["unbooked"]) == ([[101, 102]], [])
    (text,) = command.json_lines(shown, gaps, looked=False)
    assert json.loads(text)["absent"] is None
    assert len(list(command.lines("a store", gaps, looked=False))) == 4
    assert list(command.lines("a store", Gaps(wanted=None), looked=True)) == ["there is no ledger in a store"]


def test_gaps_alone_are_filled(conn: psycopg.Connection, fill: Callable[..., BackfillSettings]) -> None:
    """Without a range, what is missing between the store's ends is filled and nothing beyond; then nothing is to do."""
    for first, last in ((5, 9), (14, 20), (30, 33)):
        backfill.run(fill(start_ledger=first, end_ledger=last), Silent())
    plan = survey.survey(fill(fill_gaps=True))
    assert plan.gaps == parts((10, 13), (21, 29))
    report = backfill.run(fill(fill_gaps=True), Silent())
    assert (report.outcome, report.wanted) == ("success", LedgerRange(10, 29))
    assert (report.held, report.committed) == (parts((14, 20)), parts((10, 13), (21, 29)))
    assert held(conn) == parts((5, 33))
    report = backfill.run(fill(fill_gaps=True), Silent())
    assert (report.outcome, report.committed, report.wanted) == ("success", (), LedgerRange(5, 33))
    report = backfill.run(fill(fill_gaps=True, start_ledger=3, end_ledger=35), Silent())
    assert report.committed == parts((3, 4), (34, 35))


def verified(fill: Callable[..., BackfillSettings], first: int, last: int) -> bool:
    asked = fill(start_ledger=first, end_ledger=last).model_dump(exclude={"fill_gaps"})
    return verify.run(VerifySettings(**asked), Silent()).exit_code == 0


@pytest.mark.parametrize("gone", [(2, 4), (11, 11), (9, 25), (40, 41), (2, 41)])
@pytest.mark.parametrize("tables", [("ledgers",), ("ledgers", "transactions", "operations", "events")], ids=len)
def test_rows_that_are_gone_are_filled_anew(
    store: str,
    conn: psycopg.Connection,
    fill: Callable[..., BackfillSettings],
    gone: tuple[int, int],
    tables: tuple[str, ...],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What somebody has deleted is filled, with or without rows left in other tables, and all is what it should be."""
    backfill.run(fill(start_ledger=FIRST, end_ledger=LAST), Silent())
    delete(conn, *gone, *tables)
    assert not verified(fill, FIRST, LAST)
    assert backfill.run(fill(start_ledger=FIRST, end_ledger=LAST), Silent()).committed == ()  # the books say: all there
    with caplog.at_level(logging.WARNING):
        report = backfill.run(fill(fill_gaps=True), Silent())
    assert (report.outcome, report.committed, report.complete) == ("success", parts(gone), True)
    assert f"ledgers {LedgerRange(*gone)} were not in the store, though its books claimed them" in caplog.text
    assert found(store) == Gaps(wanted=LedgerRange(FIRST, LAST))
    assert held(conn) == parts((FIRST, LAST))
    assert verified(fill, FIRST, LAST)


def test_gaps_of_both_kinds_are_filled_in_one_run(
    conn: psycopg.Connection, store: str, fill: Callable[..., BackfillSettings]
) -> None:
    """Ledgers that are gone beside ledgers that never came are one gap, and others further on are others."""
    for first, last in ((5, 12), (16, 30)):
        backfill.run(fill(start_ledger=first, end_ledger=last), Silent())
    for first, last in ((10, 12), (16, 16), (20, 21), (25, 25)):
        delete(conn, first, last)
    plan = survey.survey(fill(fill_gaps=True))
    assert plan.gaps == parts((10, 16), (20, 21), (25, 25))
    report = backfill.run(fill(fill_gaps=True, end_ledger=22), Silent())
    assert report.committed == parts((10, 16), (20, 21))
    assert found(store).absent == parts((25, 25))
    assert backfill.run(fill(fill_gaps=True), Silent()).committed == parts((25, 25))
    assert verified(fill, 5, 30)


def test_refused_run_leaves_the_books_alone(
    conn: psycopg.Connection, fill: Callable[..., BackfillSettings], tmp_path: Path
) -> None:
    """Where the source cannot fill a gap, the run is refused and the store is as it was."""
    backfill.run(fill(start_ledger=10, end_ledger=20), Silent())
    delete(conn, 15, 20)
    before = held(conn), last_run(conn)
    short = tmp_path / "short"
    make_lake(str(short), ledgers=16, first=FIRST, shape="sparse")  # up to ledger 17
    with pytest.raises(Refused, match="the source has no ledger 20"):
        backfill.run(fill(fill_gaps=True, source=str(short)), Silent())
    assert (held(conn), last_run(conn)) == before


def test_source_of_another_history_leaves_the_books_alone(
    conn: psycopg.Connection, fill: Callable[..., BackfillSettings], tmp_path: Path
) -> None:
    """That its ledgers do not link is seen when the absent ones are out of the books: they are put back."""
    backfill.run(fill(start_ledger=10, end_ledger=20), Silent())
    delete(conn, 15, 16)
    before = held(conn), last_run(conn)
    other = tmp_path / "other"
    make_lake(str(other), ledgers=LAST - FIRST + 1, first=FIRST, shape="pubnet")
    with pytest.raises(Refused, match="broken hash chain: ledger 17 follows"):
        backfill.run(fill(fill_gaps=True, source=str(other)), Silent())
    assert (held(conn), last_run(conn)) == before


def last_run(conn: psycopg.Connection) -> tuple[int, str]:
    return conn.execute("SELECT id, outcome FROM ledgerfill.backfill_runs ORDER BY id DESC").fetchone()


def test_rows_that_nobody_claims_are_not_filled_over(
    conn: psycopg.Connection, fill: Callable[..., BackfillSettings]
) -> None:
    """Nobody knows whose rows they are: they are named, and nothing is written."""
    backfill.run(fill(start_ledger=10, end_ledger=20), Silent())
    backfill.run(fill(start_ledger=25, end_ledger=27), Silent())
    conn.execute("DELETE FROM ledgerfill.ledger_stretches WHERE first = 25")
    with pytest.raises(Refused, match=r"rows of ledgers 25-27, which the books do not claim"):
        backfill.run(fill(fill_gaps=True), Silent())
    assert held(conn) == parts((10, 20))


def test_store_without_a_ledger_has_no_range_to_fill(
    fill: Callable[..., BackfillSettings], database: str, conn: psycopg.Connection
) -> None:
    """Where nothing says which ledgers are meant the run is refused, in a store as in a database without one."""
    for where in ({}, {"database": database}):
        with pytest.raises(Refused, match=r"there is no ledger in .*, so --fill-gaps has no range"):
            backfill.run(fill(fill_gaps=True, **where), Silent())
    report = backfill.run(fill(fill_gaps=True, start_ledger=4, end_ledger=6), Silent())
    assert report.committed == parts((4, 6))
    assert held(conn) == parts((4, 6))
