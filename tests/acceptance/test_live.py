"""Live ingestion for real: a lake that grows is followed, with backfills and migrations beside it."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import psycopg
import pytest
from growing import GrowingLake
from lakes import CORE, FIRST, LAST, core_ledgers
from migrated import BOTH, CHANGES, HISTORY, STATE, cursor, fold, history_of, rows, state, statuses
from program import Program, Running, ended_well, job, wait_for
from stores import check, held

CHUNKS = "SELECT c.first, c.last FROM ledgerfill.backfill_chunks c JOIN ledgerfill.backfill_runs r ON r.id = run_id"
UNFINISHED = "SELECT step, why FROM ledgerfill.backfill_steps WHERE why LIKE '%may not be whole yet%'"
AT_WORK = "SELECT FROM ledgerfill.backfill_now n JOIN ledgerfill.backfill_runs r ON r.id = run_id WHERE job = '{}'"
OWNERS = "SELECT DISTINCT job FROM ledgerfill.ingest_store"
TIP = "SELECT value - (SELECT max(last) FROM ledgerfill.ledger_stretches) FROM ledgerfill.ingest_store"


@pytest.fixture
def lake(core_lake: Path, tmp_path: Path) -> GrowingLake:
    return GrowingLake(core_lake, tmp_path / "growing", FIRST)


def following(program: Program, lake: GrowingLake, *flags: object) -> Running:
    return program.start("live", "--source", lake, "--workers", 1, *flags)


def wait_until_held(program: Program, running: Running, *stretches: tuple[int, int]) -> None:
    wait_for(lambda: running.ended() or held(program.database) == list(stretches), timeout_s=60, every_s=0.05)
    assert not running.ended(), running.result().stderr


def interrupted(running: Running, number: signal.Signals = signal.SIGTERM) -> str:
    running.send(number)
    ended = running.result()
    assert ended.returncode == 128 + number, ended.stderr
    return ended.stdout


@contextmanager
def stopped(running: Running) -> Iterator[None]:
    """Let a command do nothing for a while, as a machine that is too busy."""
    running.send(signal.SIGSTOP)
    yield
    running.send(signal.SIGCONT)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_empty_store_begins_at_the_newest(ledgerfill: Program, lake: GrowingLake, number: signal.Signals):
    """It begins with the newest ledger of the source; interrupted at the tip, it prints the command that goes on."""
    lake.reach(20)
    running = following(ledgerfill, lake)
    wait_until_held(ledgerfill, running, (20, 20))
    lake.reach(22)
    wait_until_held(ledgerfill, running, (20, 22))
    said = interrupted(running, number)
    assert f"interrupted: interrupted by signal {number}" in said
    resume = said.split("resume     the same command goes on from there:\n", 1)[1].splitlines()[0]
    lake.reach(25)
    again = ledgerfill.shell(f"{resume.strip()} --until-tip")
    assert again.returncode == 0, again.stderr
    assert held(ledgerfill.database) == [(20, 25)]


@pytest.mark.parametrize("job", ["live", "migrate current-state"])
def test_a_store_that_is_gone_is_not_waited_for(ledgerfill: Program, lake: GrowingLake, job: str):
    """Whoever follows says so and ends: no ledger would ever come again, nor any word."""
    lake.reach(20)
    assert ledgerfill.backfill(lake.folder, FIRST, 20).returncode == 0
    ended_well(ledgerfill, "setup", *BOTH)
    flags = ("--protocol-id", "SEP41", "--start-ledger", FIRST) if job == "migrate current-state" else ()
    running = ledgerfill.start(*job.split(), "--source", lake, "--workers", 1, *flags)
    wait_for(lambda: running.ended() or rows(ledgerfill, AT_WORK.format(job)), timeout_s=60)
    with psycopg.connect(ledgerfill.database or "", autocommit=True) as conn:
        conn.execute("ALTER SCHEMA ledgerfill RENAME TO elsewhere")
    ended = running.result()
    assert ended.returncode == 1
    assert re.search("cannot look for .*: the store in database .* is gone", ended.stderr), ended.stderr


def test_a_gap_is_caught_up_then_each_ledger_comes_alone(ledgerfill: Program, lake: GrowingLake, shared: Path):
    """It goes on from the end of the store: what has come meanwhile in chunks, what comes then one by one."""
    lake.reach(20)
    ended_well(ledgerfill, "backfill", "--source", lake, "--start-ledger", FIRST)
    lake.reach(40)
    running = following(ledgerfill, lake)
    wait_until_held(ledgerfill, running, (FIRST, 40))
    for ledger in range(41, LAST + 1):
        lake.reach(ledger)
        wait_until_held(ledgerfill, running, (FIRST, ledger))
    [live, _] = json.loads(ledgerfill("runs", "--json").stdout)["runs"]
    assert (live["outcome"], live["range"], live["ledgers"]) == ("running", [FIRST, LAST], LAST - 20)
    assert LAST - 40 < live["chunks"] <= LAST - 20
    assert rows(ledgerfill, f"{CHUNKS} WHERE job = 'live'") == [(21, LAST)]  # one row, however long it goes on
    running.send(signal.SIGKILL)
    running.process.communicate()
    wait_for(lambda: json.loads(ledgerfill("status", "--json").stdout)["runs"][0]["outcome"] == "died")
    assert json.loads(ledgerfill("status", "--json").stdout)["runs"][0]["range"] == [FIRST, LAST]
    check(shared, ledgerfill.database, FIRST, LAST, "--file", CORE)


def test_it_ends_at_the_tip_where_that_is_asked_for(ledgerfill: Program, lake: GrowingLake):
    """With --until-tip it loads what is there and ends with 0; being there already is a success, too."""
    lake.reach(30)
    _, report = ledgerfill.report("live", "--source", lake, "--start-ledger", FIRST, "--until-tip")
    assert (report["job"], report["outcome"], report["missing"], report["resume"]) == ("live", "success", [], None)
    assert held(ledgerfill.database) == [(FIRST, 30)]
    assert "nothing to do" in ended_well(ledgerfill, "live", "--source", lake, "--until-tip")


def test_a_lake_that_is_not_there_leaves_no_store(ledgerfill: Program, tmp_path: Path):
    """Who mistypes the lake is told so before anything is made in the database."""
    ended = ledgerfill("live", "--source", tmp_path / "nowhere")
    assert (ended.returncode, ended.stderr) == (2, f"ledgerfill: no folder {tmp_path}/nowhere\n")
    with psycopg.connect(ledgerfill.database) as conn:
        assert conn.execute("SELECT to_regnamespace('ledgerfill')").fetchone() == (None,)


def test_a_second_one_is_refused(ledgerfill: Program, lake: GrowingLake):
    """One live ingestion a store: the second ends with 3 and names the first."""
    lake.reach(20)
    running = following(ledgerfill, lake)
    wait_until_held(ledgerfill, running, (20, 20))
    second = ledgerfill("live", "--source", lake)
    assert second.returncode == 3
    assert f"live ingestion is held by process {running.pid} on" in second.stderr
    interrupted(running)


def test_a_hole_ends_it_until_it_is_filled(ledgerfill: Program, lake: GrowingLake):
    """A ledger that is missing while a later one is there is named at the end of its time, with its object."""
    lake.reach(20)
    running = following(ledgerfill, lake, "--hole-deadline", 1)
    wait_until_held(ledgerfill, running, (20, 20))
    lake.reach(24, but=22)
    ended = running.result()
    assert ended.returncode == 1
    assert "22" in (said := ended.stderr.splitlines()[-1])
    assert "FFFFFFE9--22.xdr.zst" in said
    assert held(ledgerfill.database) == [(20, 21)]
    lake.bring(22)
    again = following(ledgerfill, lake, "--hole-deadline", 1)
    wait_until_held(ledgerfill, again, (20, 24))
    interrupted(again)


@pytest.mark.parametrize(("share", "padding"), [(0.0, 0), (0.5, 0), (0.5, 64)])
def test_a_newest_object_that_is_half_written_is_waited_for(
    ledgerfill: Program, lake: GrowingLake, shared: Path, share: float, padding: int
):
    """Who writes in place is given time: that is said once, and also when the next one comes before it is whole."""
    lake.reach(20)
    running = following(ledgerfill, lake)
    wait_until_held(ledgerfill, running, (20, 20))
    lake.write(21, share=share, padding=padding)
    wait_for(lambda: running.ended() or rows(ledgerfill, UNFINISHED))
    lake.reach(22)
    time.sleep(4)  # for two more tries
    assert (held(ledgerfill.database), running.ended()) == ([(20, 20)], False)
    lake.write(21, share=1.0)
    wait_until_held(ledgerfill, running, (20, 22))
    interrupted(running)
    [(step, why)] = rows(ledgerfill, UNFINISHED)
    assert step == "re-dispatch"
    assert why.startswith("corrupt ledger 21 in FFFFFFFF--0-63999/FFFFFFEA--21.xdr.zst at byte ")
    assert why.endswith(": the newest object may not be whole yet, 60 s are left to it")
    check(shared, ledgerfill.database, 20, 22, "--file", CORE)


def test_a_newest_object_that_stays_damaged_ends_it(ledgerfill: Program, lake: GrowingLake):
    """After its time it is the error that it is; nothing is skipped, and once it is mended the same command goes on."""
    lake.reach(20)
    running = following(ledgerfill, lake, "--hole-deadline", 2)
    wait_until_held(ledgerfill, running, (20, 20))
    lake.write(21, share=0.5)
    wait_for(lambda: running.ended() or rows(ledgerfill, UNFINISHED))
    lake.reach(23)
    ended = running.result()
    assert ended.returncode == 1
    assert "corrupt ledger 21 in " in (said := ended.stderr.splitlines()[-1])
    assert said.endswith(", still damaged after 2 s and 3 tries")
    assert held(ledgerfill.database) == [(20, 20)]
    lake.write(21, share=1.0)
    again = following(ledgerfill, lake)
    wait_until_held(ledgerfill, again, (20, 23))
    interrupted(again)


def test_damage_below_the_newest_object_ends_it_at_once(ledgerfill: Program, lake: GrowingLake):
    """Nobody is still writing where a later object was there before it was read."""
    lake.reach(20)
    running = following(ledgerfill, lake)
    wait_until_held(ledgerfill, running, (20, 20))
    with stopped(running):
        lake.reach(21)
        lake.write(22, share=0.5)
        lake.reach(24)
    ended = running.result(timeout_s=30)
    assert ended.returncode == 1
    assert "corrupt ledger 22 in " in (said := ended.stderr.splitlines()[-1])
    assert "still damaged" not in said
    assert held(ledgerfill.database) == [(20, 21)]
    assert rows(ledgerfill, UNFINISHED) == []


def test_a_backfill_fills_what_is_older_beside_it(ledgerfill: Program, lake: GrowingLake, shared: Path):
    """The two never wait for each other, and their stretches become one."""
    lake.reach(30)
    running = following(ledgerfill, lake)
    wait_until_held(ledgerfill, running, (30, 30))
    ended_well(ledgerfill, "backfill", *job(lake, FIRST, 20))
    lake.reach(31)
    wait_until_held(ledgerfill, running, (FIRST, 20), (30, 31))
    ended_well(ledgerfill, "backfill", *job(lake, FIRST, 29))
    lake.reach(35)
    wait_until_held(ledgerfill, running, (FIRST, 35))
    interrupted(running)
    check(shared, ledgerfill.database, FIRST, 35, "--file", CORE)


def test_a_backfill_that_ends_beyond_is_handed_off(ledgerfill: Program, lake: GrowingLake, shared: Path):
    """What live ingestion has brought meanwhile, a backfill leaves to it: handed off with 0, and nothing is missing."""
    lake.reach(30, but=10)
    running = following(ledgerfill, lake)
    wait_until_held(ledgerfill, running, (30, 30))
    with stopped(running):
        lake.reach(40)
        path = ledgerfill.home.parent / "report.json"
        backfill = ledgerfill.start("backfill", *job(lake, FIRST, 40), "--chunk-ledgers", 1, "--report", path)
        wait_for(lambda: held(ledgerfill.database) == [(FIRST, 9), (30, 30)])
    wait_until_held(ledgerfill, running, (FIRST, 9), (30, 40))
    lake.bring(10)
    ended = backfill.result()
    assert ended.returncode == 0, ended.stderr
    assert "done: live ingestion has taken over" in ended.stdout
    assert '"outcome": "handed_off"' in path.read_text()
    wait_until_held(ledgerfill, running, (FIRST, 40))
    interrupted(running)
    check(shared, ledgerfill.database, FIRST, 40, "--file", CORE)


def test_a_protocol_that_comes_later_is_taken_over(ledgerfill: Program, lake: GrowingLake, shared: Path):
    """Set up and migrated while live ingestion goes on, it is taken over without a restart, and never ahead of it."""
    lake.reach(20)
    running = following(ledgerfill, lake, "--start-ledger", FIRST)
    wait_until_held(ledgerfill, running, (FIRST, 20))
    ended_well(ledgerfill, "setup", *BOTH)
    migrations = [
        ledgerfill.start(*STATE, "--source", lake, *BOTH, "--start-ledger", FIRST, "--workers", 1),
        ledgerfill.start(*HISTORY, "--source", lake, *BOTH, "--workers", 1),
    ]
    for ledger in range(21, LAST):
        lake.reach(ledger)
        wait_for(lambda ledger=ledger: held(ledgerfill.database) == [(FIRST, ledger)] or running.ended())
        assert all(ahead <= 0 for (ahead,) in rows(ledgerfill, TIP))
        if all(each.ended() for each in migrations):
            break
    for each in migrations:
        ended = each.result()
        assert ended.returncode == 0, ended.stderr
        assert "live ingestion has taken over the" in ended.stdout
    lake.reach(LAST)
    wait_until_held(ledgerfill, running, (FIRST, LAST))
    interrupted(running)
    assert rows(ledgerfill, OWNERS) == [("live",)]
    changes, *made = fold(core_ledgers(shared))
    assert rows(ledgerfill, CHANGES) == changes
    assert list(state(ledgerfill)) == made
    assert statuses(ledgerfill) == statuses(ledgerfill, "history") == ["success", "success"]


def test_what_was_taken_over_stays_taken_over(ledgerfill: Program, core_lake: Path, tmp_path: Path):
    """However many ledgers came while nothing followed them: what protocols make of them is written with them."""
    ended_well(ledgerfill, "lake", "make", tmp_path / "long", "--from", core_lake, "--ledgers", 1300)
    lake = GrowingLake(tmp_path / "long", tmp_path / "growing", FIRST)
    lake.reach(20)
    ended_well(ledgerfill, "backfill", *job(lake, FIRST))
    ended_well(ledgerfill, "setup", *BOTH)
    ended_well(ledgerfill, *STATE, *job(lake, FIRST), *BOTH, "--until-tip")
    ended_well(ledgerfill, *HISTORY, "--source", lake, *BOTH, "--until-tip")
    for newest in (21, 1300):
        lake.reach(newest)
        ended_well(ledgerfill, "live", "--source", lake, "--until-tip")
        assert set(rows(ledgerfill, "SELECT value, job FROM ledgerfill.ingest_store")) == {(newest, "live")}


def test_what_others_bring_after_a_handoff_is_said(ledgerfill: Program, lake: GrowingLake, shared: Path):
    """A backfill above what live ingestion has taken over leaves protocols behind: what puts that right is named."""
    lake.reach(20)
    ended_well(ledgerfill, "backfill", *job(lake, FIRST))
    ended_well(ledgerfill, "setup", *BOTH)
    ended_well(ledgerfill, *STATE, *job(lake, FIRST), *BOTH, "--until-tip")
    lake.reach(21)
    ended_well(ledgerfill, "live", "--source", lake, "--until-tip")
    lake.reach(30)
    ended_well(ledgerfill, "backfill", *job(lake, 22))
    lake.reach(31)
    said = ledgerfill("live", "--source", lake, "--until-tip").stderr
    for protocol in ("SEP41", "SEP50"):
        left = f"the current state of {protocol} ends with ledger 21, since another run has brought those after it: "
        command = said.split(left)[1].split(" goes on with it\n")[0]
        assert f"migrate current-state --protocol-id {protocol} --database " in command
        assert ledgerfill.shell(f"{command} --until-tip").returncode == 0
    lake.reach(LAST)
    assert "another run" not in ledgerfill("live", "--source", lake, "--until-tip").stderr
    assert list(state(ledgerfill)) == list(fold(core_ledgers(shared))[1:])


def test_a_protocol_without_its_plug_in_is_refused(ledgerfill: Program, lake: GrowingLake):
    """What a protocol makes of ledgers would be missed without the plug-in: live ingestion does not begin."""
    lake.reach(10)
    ended_well(ledgerfill, "live", "--source", lake, "--until-tip")
    with psycopg.connect(ledgerfill.database) as conn:
        conn.execute("INSERT INTO ledgerfill.protocols (id, claims_assets) VALUES ('GONE', false)")
    lake.reach(11)
    ended = ledgerfill("live", "--source", lake, "--until-tip")
    assert ended.returncode == 2
    assert "no plug-in for protocol GONE is installed: there are SEP41, SEP50" in ended.stderr
    assert held(ledgerfill.database) == [(10, 10)]


def test_it_begins_where_it_is_told(ledgerfill: Program, lake: GrowingLake):
    """A first ledger within the store or right behind it goes on with it, one beyond begins anew, none lies below."""

    def begun(first: int, code: int = 0) -> str:
        ended = ledgerfill("live", "--source", lake, "--until-tip", "--start-ledger", first)
        assert ended.returncode == code, ended.stderr
        return ended.stderr

    lake.reach(10)
    assert "--start-ledger 11 is beyond the newest ledger of the source, 10" in begun(11, 2)
    begun(5)
    assert held(ledgerfill.database) == [(5, 10)]
    lake.reach(12)
    begun(7)
    assert held(ledgerfill.database) == [(5, 12)]
    lake.reach(14)
    begun(13)
    assert held(ledgerfill.database) == [(5, 14)]
    lake.reach(20)
    begun(18)
    assert held(ledgerfill.database) == [(5, 14), (18, 20)]
    refused = begun(6, 2)
    assert "--start-ledger 6 is below ledgers 18-20, which live ingestion goes on from: leave it away" in refused
    assert "ledgerfill backfill --start-ledger 6 --end-ledger 17 --database " in refused
    assert f" --source {lake}\n" in refused
    kept = ledgerfill("live", "--source", lake, "--until-tip", "--start-ledger", 6, "--retention-ledgers", 3)
    assert kept.returncode == 0, kept.stderr  # what it would have to bring is not kept


PARTS = "SELECT relname::text FROM pg_class WHERE relnamespace = 'ledgerfill'::regnamespace AND relname ~ '_[0-9]+$'"
KEPT, BEGIN, END = 20, 65520, 65563  # from one segment of ledgers into the next


@pytest.mark.parametrize("stuck_at", [None, 65525])
def test_only_the_newest_are_kept(ledgerfill: Program, core_lake: Path, tmp_path: Path, stuck_at: int | None):
    """Rows, stretches and history are of the newest ledgers alone, whole segments go; so with a migration beside it.

    Also with one that stands below what is kept when it looks again.
    """
    whole = tmp_path / "whole"
    made = ("--ledgers", END - BEGIN + 1, "--start-ledger", BEGIN)
    ended_well(ledgerfill, "lake", "make", whole, "--from", core_lake, *made)
    lake, other = (GrowingLake(whole, tmp_path / name, BEGIN) for name in ("growing", "other"))
    other.reach(END, but=stuck_at)
    lake.reach(BEGIN + 10)
    running = following(ledgerfill, lake, "--start-ledger", BEGIN, "--retention-ledgers", KEPT)
    wait_until_held(ledgerfill, running, (BEGIN, BEGIN + 10))
    ended_well(ledgerfill, "setup", *BOTH)
    migration = ledgerfill.start(*HISTORY, "--source", other, *BOTH, "--chunk-ledgers", 1, "--workers", 1)
    wait_for(lambda: cursor(ledgerfill, "history") == (stuck_at or BEGIN + 11) - 1)
    with stopped(migration) if stuck_at else nullcontext():  # at a hole it holds no lock that would stop others, too
        lake.reach(END - 4)
        wait_until_held(ledgerfill, running, (END - 4 - KEPT + 1, END - 4))
    if stuck_at:
        time.sleep(2)  # in which it looks, and finds that what it knew as the newest has fallen out
        other.bring(stuck_at)
    wait_for(lambda: cursor(ledgerfill, "history") == lake.newest)  # from here on live ingestion takes over
    while lake.newest < END:
        lake.reach(lake.newest + 1)
        wait_until_held(ledgerfill, running, (lake.newest - KEPT + 1, lake.newest))
    ended = migration.result()
    assert ended.returncode == 0, ended.stderr
    assert "live ingestion has taken over the history of" in ended.stdout
    interrupted(running)
    assert rows(ledgerfill, CHANGES) == history_of(whole, END - KEPT + 1, END)
    assert {name.rpartition("_")[2] for (name,) in rows(ledgerfill, PARTS)} == {"65536"}
    assert statuses(ledgerfill, "history") == ["success"] * 2
