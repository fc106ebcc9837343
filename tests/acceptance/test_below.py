"""Ledgers that come below a history are filled in by the same command: afterwards it is one history of them all."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from growing import GrowingLake
from lakes import FIRST, LAST, OTHER_CHAIN, core_ledgers, key, mend, write_lake
from migrated import BOTH, CHANGES, HISTORY, fold, history_of, rows, statuses
from program import Program, Running, ended_well, wait_for
from stores import held

TOP = 25  # the first ledger of the store as its histories begin
# Beside live ingestion, from one segment of ledgers into the next: the lowest and the highest ledger there will be, and
# where the store begins at first.
LOWEST, HIGHEST, ABOVE = 65500, 65600, 65540
SEGMENTS = "SELECT first, indexed FROM ledgerfill.history_segments ORDER BY first"
UNINDEX = """
    DROP INDEX ledgerfill.state_changes_0_pkey;
    UPDATE ledgerfill.history_segments SET indexed = false WHERE first = 0
"""
BEGINS = "SELECT history_from FROM ledgerfill.protocols ORDER BY id"
PARTS = "SELECT key FROM ledgerfill.ingest_store WHERE key ~ '_below_'"


@pytest.fixture
def above(ledgerfill: Program, core_lake: Path) -> Program:
    """A store whose histories are those of its ledgers from `TOP` on."""
    ended_well(ledgerfill, "backfill", "--source", core_lake, "--start-ledger", TOP)
    ended_well(ledgerfill, "setup", *BOTH)
    ended_well(ledgerfill, *HISTORY, *of(core_lake))
    return ledgerfill


def of(lake: Path, *ids: str, chunk: int = 3) -> tuple[object, ...]:
    return ("--source", lake, *(ids or BOTH), "--until-tip", "--workers", 2, "--chunk-ledgers", chunk)


def fill(program: Program, lake: Path, first: int, last: int) -> None:
    ended_well(program, "backfill", "--source", lake, "--start-ledger", first, "--end-ledger", last)


def reached(program: Program, protocol: str = "SEP41") -> int:
    query = "SELECT value FROM ledgerfill.ingest_store WHERE key = 'protocol_{}_history_below_cursor'"
    return (rows(program, query.format(protocol)) or [(0,)])[0][0]


def shown(program: Program) -> list[tuple[object, ...]]:
    """Return what `status` says of each history: its ledgers, those of the part below, and what is lacking."""
    found = json.loads(ended_well(program, "status", "--json"))["protocols"]
    return [(each["history_ledgers"], each["history_below_ledgers"], each["history_lacks"]) for each in found]


def assert_whole(program: Program, shared: Path, first: int = FIRST) -> None:
    """Every ledger from `first` on has its history, once, and that is what is said."""
    ledgers = {ledger: raw for ledger, raw in core_ledgers(shared).items() if ledger >= first}
    assert rows(program, CHANGES) == fold(ledgers)[0]
    assert rows(program, BEGINS) == [(first,)] * 2
    assert rows(program, PARTS) == []
    assert shown(program) == [([first, LAST], None, [])] * 2
    assert statuses(program, "history") == ["success"] * 2


def test_the_same_command_fills_what_is_below(above: Program, core_lake: Path, shared: Path):
    """It goes on with what came below, into segments that have their indexes, and then has nothing to do."""
    assert_whole(above, shared, TOP)
    fill(above, core_lake, FIRST, TOP - 1)
    assert shown(above) == [([TOP, LAST], None, [[FIRST, TOP - 1]])] * 2
    lacks = f"the history of SEP41 lacks ledgers {FIRST}-{TOP - 1} below it: the next migrate history brings them"
    assert lacks in ended_well(above, "status")
    ended, report = above.report(*HISTORY, *of(core_lake))
    assert "there is none" not in ended.stderr
    assert (report["outcome"], report["missing"], report["held_before"]) == ("success", [], [[TOP, LAST]])
    assert_whole(above, shared)
    assert "nothing to do" in ended_well(above, *HISTORY, *of(core_lake))


@pytest.mark.parametrize("row", ["cursor", "from"])
def test_a_part_of_which_a_row_is_gone_begins_anew(above: Program, core_lake: Path, shared: Path, row: str):
    """Somebody has removed one of its two rows: nobody knows how far it was, so all of it is written again, once."""
    fill(above, core_lake, FIRST, TOP - 1)
    (core_lake / key(14)).unlink()
    assert above(*HISTORY, *of(core_lake), "--hole-deadline", 0.5).returncode == 1
    with psycopg.connect(above.database, autocommit=True) as conn:
        gone = "DELETE FROM ledgerfill.ingest_store WHERE key LIKE '%%_history_below_' || %s"
        assert conn.execute(gone, [row]).rowcount == 2
    mend(core_lake, shared, 14)
    ended_well(above, *HISTORY, *of(core_lake))
    assert_whole(above, shared)


@pytest.mark.parametrize("begun", BOTH[1::2])
def test_a_history_that_begins_below_goes_with_the_part(ledgerfill: Program, core_lake: Path, shared: Path, begun: str):
    """One that has not begun goes with the part of another, so that the run comes to each ledger of theirs once."""
    ended_well(ledgerfill, "backfill", "--source", core_lake, "--start-ledger", TOP)
    ended_well(ledgerfill, "setup", *BOTH)
    ended_well(ledgerfill, *HISTORY, *of(core_lake, "--protocol-id", begun))
    fill(ledgerfill, core_lake, FIRST, TOP - 1)
    _, report = ledgerfill.report(*HISTORY, *of(core_lake))
    assert (report["error"], report["ledgers"]) == (None, LAST - FIRST + 1)
    assert_whole(ledgerfill, shared)


@pytest.mark.parametrize("stuck_at", [4, 14, TOP - 1])
def test_a_killed_one_goes_on_below(above: Program, core_lake: Path, shared: Path, stuck_at: int):
    """Killed on its way, it claims what it has, and the same command goes on from there; lower ledgers come after."""
    fill(above, core_lake, 10, TOP - 1)
    first = 10 if stuck_at >= 10 else FIRST
    if first == FIRST:
        fill(above, core_lake, FIRST, 9)
    (core_lake / key(stuck_at)).unlink()
    running = above.start(*HISTORY, *of(core_lake, chunk=1))
    wait_for(lambda: reached(above) == stuck_at - 1)
    running.send(signal.SIGKILL)
    running.process.communicate()
    done = [first, stuck_at - 1]
    assert shown(above) == [([TOP, LAST], done, [[stuck_at, TOP - 1]])] * 2
    assert f" below it (but has {first}-{stuck_at - 1}): the next" in ended_well(above, "status")
    mend(core_lake, shared, stuck_at)
    if first > FIRST:
        fill(above, core_lake, FIRST, first - 1)
        assert shown(above) == [([TOP, LAST], done, [[FIRST, first - 1], [stuck_at, TOP - 1]])] * 2
    _, report = above.report(*HISTORY, *of(core_lake))
    assert (report["outcome"], report["missing"]) == ("success", [])
    assert_whole(above, shared)


def test_kills_at_any_moment_fill_it_once(above: Program, core_lake: Path, shared: Path):
    """Killed again and again on its way, wherever that meets it, and gone on with: the same rows, each chunk once."""
    fill(above, core_lake, FIRST, TOP - 1)
    for at in (1, 2, 8, 14, 20, TOP - 2):
        running = above.start(*HISTORY, *of(core_lake, chunk=1), "--connections", 2)
        wait_for(lambda at=at, running=running: reached(above) >= at or running.ended(), every_s=0)
        running.send(signal.SIGKILL)
        running.process.communicate()
    ended_well(above, *HISTORY, *of(core_lake))
    assert_whole(above, shared)
    query = "SELECT c.first, c.last FROM ledgerfill.backfill_chunks c JOIN ledgerfill.backfill_runs r ON r.id = run_id"
    chunks = rows(above, f"{query} WHERE job ~ 'migrate' ORDER BY 1")
    assert [ledger for first, last in chunks for ledger in range(first, last + 1)] == list(range(FIRST, LAST + 1))


@pytest.mark.parametrize("strangers", [range(10, TOP - 1), [TOP - 1]])
def test_ledgers_of_another_history_are_refused(
    above: Program, core_lake: Path, shared: Path, tmp_path: Path, strangers: Sequence[int]
):
    """A source that does not link to the store, at the part's first ledger or its last, adds nothing to the history."""
    fill(above, core_lake, 10, TOP - 1)
    others = core_ledgers(shared, OTHER_CHAIN)
    mixed = core_ledgers(shared) | {ledger: others[ledger] for ledger in strangers}
    ended = above(*HISTORY, *of(write_lake(tmp_path / "other", mixed)))
    assert ended.returncode in (1, 2)
    assert "follows" in ended.stderr or "does not link" in ended.stderr
    assert rows(above, BEGINS) == [(TOP,)] * 2
    assert rows(above, CHANGES) == fold({each: raw for each, raw in core_ledgers(shared).items() if each >= TOP})[0]


def test_what_lies_below_a_gap_is_left_out_and_said(above: Program, core_lake: Path, shared: Path):
    """A stretch of its own has no history before the gap is filled; then the same command fills both."""
    fill(above, core_lake, FIRST, 9)
    ended = above(*HISTORY, *of(core_lake))
    assert f"the history of SEP41 begins with ledger {TOP}: of ledgers {FIRST}-9, which the store has" in ended.stderr
    assert_whole(above, shared, TOP)
    fill(above, core_lake, 10, TOP - 1)
    ended_well(above, *HISTORY, *of(core_lake))
    assert_whole(above, shared)


def test_each_side_may_come_from_a_lake_of_its_own(ledgerfill: Program, core_lake: Path, shared: Path, tmp_path: Path):
    """Where no source has both what is below and what is above, the one and then the other goes on with its own."""
    fill(ledgerfill, core_lake, TOP, 30)
    ended_well(ledgerfill, "setup", *BOTH)
    ended_well(ledgerfill, *HISTORY, *of(core_lake))
    fill(ledgerfill, core_lake, 31, LAST)
    fill(ledgerfill, core_lake, FIRST, TOP - 1)
    every = core_ledgers(shared)
    older = write_lake(tmp_path / "older", {ledger: raw for ledger, raw in every.items() if ledger < TOP})
    newer = write_lake(tmp_path / "newer", {ledger: raw for ledger, raw in every.items() if ledger >= TOP})
    ended, report = ledgerfill.report(*HISTORY, *of(older), "--hole-deadline", 1)
    assert (ended.returncode, report["committed"], report["missing"]) == (1, [[FIRST, TOP - 1]], [[31, LAST]])
    ended_well(ledgerfill, *HISTORY, *of(newer))
    assert_whole(ledgerfill, shared)


def test_one_that_waits_fills_what_comes_below(above: Program, core_lake: Path, shared: Path):
    """A migration that is at the tip, and waits for live ingestion, looks for what comes below, too."""
    running = above.start(*HISTORY, "--source", core_lake, *BOTH, "--workers", 1)
    wait_for(lambda: "waiting for the next" in ended_well(above, "status"))
    fill(above, core_lake, FIRST, TOP - 1)
    wait_for(lambda: shown(above) == [([FIRST, LAST], None, [])] * 2)
    running.send(signal.SIGTERM)
    assert running.result().returncode == 128 + signal.SIGTERM
    assert rows(above, CHANGES) == fold(core_ledgers(shared))[0]


def test_status_says_who_fills_it(above: Program, core_lake: Path):
    """A run in progress is named for its own protocols alone: those of others wait for the next."""
    fill(above, core_lake, FIRST, TOP - 1)
    (core_lake / key(10)).unlink()
    running = above.start(*HISTORY, *of(core_lake, *BOTH[:2], chunk=1))
    wait_for(lambda: reached(above) == 9)
    told = ended_well(above, "status")
    assert f"SEP41 lacks ledgers 10-{TOP - 1} below it (but has {FIRST}-9): the run in progress brings them\n" in told
    assert f"SEP50 lacks ledgers {FIRST}-{TOP - 1} below it: the next migrate history brings them\n" in told
    running.send(signal.SIGTERM)
    running.result()


def test_histories_that_begin_apart_are_filled_in_legs(ledgerfill: Program, core_lake: Path, shared: Path):
    """Each protocol has the ledgers below its own history, those that are at one ledger go together."""
    for first, last, ids in ((30, LAST, BOTH[:2]), (20, 29, BOTH[2:])):
        fill(ledgerfill, core_lake, first, last)
        ended_well(ledgerfill, "setup", *ids)
        ended_well(ledgerfill, *HISTORY, *of(core_lake, *ids))
    assert rows(ledgerfill, BEGINS) == [(30,), (20,)]
    fill(ledgerfill, core_lake, FIRST, 19)
    _, report = ledgerfill.report(*HISTORY, *of(core_lake, chunk=50))
    chunks = rows(ledgerfill, f"SELECT first, last FROM ledgerfill.backfill_chunks WHERE run_id = {report['run_id']}")
    assert sorted(chunks) == [(FIRST, 19), (20, 29)]
    assert_whole(ledgerfill, shared)


@pytest.fixture
def whole(tmp_path: Path, ledgerfill: Program, core_lake: Path) -> Path:
    """A lake that has every ledger of those below."""
    made = ("--ledgers", HIGHEST - LOWEST + 1, "--start-ledger", LOWEST)
    ended_well(ledgerfill, "lake", "make", tmp_path / "whole", "--from", core_lake, *made)
    return tmp_path / "whole"


@contextmanager
def live(program: Program, lake: GrowingLake, *flags: object) -> Iterator[Running]:
    """Live ingestion, into whose hands histories were given; what is below it then comes beside it."""
    lake.reach(ABOVE + 5)
    running = program.start("live", "--source", lake, "--workers", 1, "--start-ledger", ABOVE, *flags)
    wait_for(lambda: running.ended() or held(program.database) == [(ABOVE, ABOVE + 5)])
    ended_well(program, "setup", *BOTH)
    migration = program.start(*HISTORY, "--source", lake, *BOTH, "--workers", 1)
    while not migration.ended():
        lake.reach(min(lake.newest + 1, ABOVE + 12))
        wait_for(lambda: held(program.database) == [(ABOVE, lake.newest)])
    assert migration.result().returncode == 0
    fill(program, lake.whole, LOWEST, ABOVE - 1)
    yield running
    running.send(signal.SIGTERM)
    assert running.result().returncode == 128 + signal.SIGTERM


def follow(program: Program, lake: GrowingLake, last: int, first: int = LOWEST) -> None:
    """Let live ingestion go on to a ledger."""
    lake.reach(last)
    wait_for(lambda: held(program.database) == [(first, last)])


def stuck(program: Program, tmp_path: Path, whole: Path, at: int) -> tuple[Running, GrowingLake]:
    """Return a migration that waits for a ledger below, and the lake that lacks it."""
    holed = GrowingLake(whole, tmp_path / "holed", LOWEST)
    holed.reach(HIGHEST, but=at)
    running = program.start(*HISTORY, "--source", holed, *BOTH, "--workers", 1, "--chunk-ledgers", 3)
    wait_for(lambda: reached(program) >= at - 3)
    return running, holed


def test_live_ingestion_goes_on_beside_it(ledgerfill: Program, whole: Path, tmp_path: Path):
    """What is below is filled while live ingestion writes what is above, also by one that is killed on its way."""
    lake = GrowingLake(whole, tmp_path / "growing", ABOVE)
    with live(ledgerfill, lake):
        running, holed = stuck(ledgerfill, tmp_path, whole, 65530)
        follow(ledgerfill, lake, ABOVE + 30)
        running.send(signal.SIGKILL)
        running.process.communicate()
        holed.bring(65530)
        _, report = ledgerfill.report(*HISTORY, "--source", holed, *BOTH)
        assert (report["outcome"], report["missing"]) == ("handed_off", [])
        with psycopg.connect(ledgerfill.database or "", autocommit=True) as conn:
            conn.execute(UNINDEX)
        ended_well(ledgerfill, *HISTORY, "--source", holed, *BOTH)  # as after one that was killed at its very end
        follow(ledgerfill, lake, ABOVE + 40)
    assert rows(ledgerfill, CHANGES) == history_of(whole, LOWEST, ABOVE + 40)
    assert shown(ledgerfill) == [([LOWEST, ABOVE + 40], None, [])] * 2
    assert rows(ledgerfill, SEGMENTS) == [(0, True), (65536, True)]


@pytest.mark.parametrize(("oldest", "stuck_at"), [(65521, 65510), (65520, 65520), (65538, 65510), (65545, 65510)])
def test_what_falls_out_below_is_left_out(ledgerfill: Program, whole: Path, tmp_path: Path, oldest: int, stuck_at: int):
    """Retention beside it moves on in the midst of the part, or past it; what comes below once more is filled anew."""
    lake = GrowingLake(whole, tmp_path / "growing", ABOVE)
    with live(ledgerfill, lake, "--retention-ledgers", 55):
        running, holed = stuck(ledgerfill, tmp_path, whole, stuck_at)
        follow(ledgerfill, lake, oldest + 54, oldest)
        holed.bring(stuck_at)
        ended = running.result()
        assert ended.returncode == 0, ended.stderr
        assert "live ingestion has taken over the history of" in ended.stdout
    assert rows(ledgerfill, CHANGES) == history_of(whole, oldest, oldest + 54)
    assert rows(ledgerfill, BEGINS) == [(oldest,)] * 2
    assert shown(ledgerfill) == [([oldest, oldest + 54], None, [])] * 2
    assert rows(ledgerfill, PARTS) == []
    fill(ledgerfill, whole, LOWEST, oldest - 1)
    ended_well(ledgerfill, *HISTORY, *of(whole))
    assert rows(ledgerfill, CHANGES) == history_of(whole, LOWEST, oldest + 54)
