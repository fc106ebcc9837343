"""Whole runs as people start, stop, resume and watch them."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path

import psycopg
import pytest
from lakes import CORE_PASSPHRASE, batch, compressed, core_ledgers, write_lake, write_object
from program import Program, Running, job, wait_for, wait_for_none
from stores import check, digests, held, sessions

FIRST, LAST = 2, 45
STREAM = "streams/core-9de975c631418bb4.xdr"
OTHER_CHAIN = "core-d1522d4667822bc2"  # ledgers 2 to 27 under the same passphrase; its ledgers 3 on are others


def ledger_hash(shared: Path, ledger: int, file: str = STREAM) -> str:
    """Return the hash of a ledger by the answers."""
    lines = (shared / "ledgers" / "answers.jsonl").read_text().splitlines()
    return next(a["hash"] for a in map(json.loads, lines) if (a["file"], a["seq"]) == (file, ledger))


def execute(database: str, query: str) -> int:
    """Run a statement and return how many rows it touched."""
    with psycopg.connect(database, autocommit=True, options="-c search_path=ledgerfill") as conn:
        return conn.execute(query).rowcount


@pytest.fixture
def filled(ledgerfill: Program, core_lake: Path) -> Program:
    """A store that holds the whole lake."""
    ended = ledgerfill.backfill(core_lake, FIRST, LAST)
    assert ended.returncode == 0, ended.stderr
    return ledgerfill


@pytest.fixture
def hole(core_lake: Path) -> int:
    """A ledger that the lake lacks: a run stands there until it is put back."""
    next(core_lake.glob("*/*--30.xdr.zst")).unlink()
    return 30


def mend(core_lake: Path, shared: Path, ledger: int) -> None:
    """Put the missing ledger into the lake."""
    write_object(core_lake, ledger, compressed(batch(ledger, ledger, [core_ledgers(shared)[ledger]])))


def waiting_at_hole(ledgerfill: Program, core_lake: Path, ledger: int) -> Running:
    """Start a run and return when it has committed all before the hole."""
    running = ledgerfill.start("backfill", *job(core_lake, FIRST, LAST), "--chunk-ledgers", 4, "--workers", 2)
    wait_for(lambda: held(ledgerfill.database) == [(FIRST, ledger - 1)] or running.ended())
    assert not running.ended(), running.result().stderr
    return running


# Done, or nothing to do


def test_same_command_again_has_nothing_to_do(filled: Program, core_lake: Path, shared: Path) -> None:
    """A range that is there already is said to be, with exit code 0, and stays as it is."""
    before = digests(filled.database)
    ended, report = filled.report("backfill", *job(core_lake, FIRST, LAST))
    assert ended.returncode == 0
    assert f"nothing to do: ledgers {FIRST}-{LAST} are" in ended.stdout
    assert (report["outcome"], report["committed"], report["missing"]) == ("success", [], [])
    assert report["held_before"] == [[FIRST, LAST]]
    assert digests(filled.database) == before
    check(shared, filled.database, FIRST, LAST, "--file", STREAM)


def test_without_an_end_the_newest_ledger_is_the_end(ledgerfill: Program, core_lake: Path, shared: Path) -> None:
    """The end is looked up, and where the lake has grown meanwhile the same command fills the rest."""
    late = [core_lake / path for path in core_lake.glob("*/*--4[0-5].xdr.zst")]
    for path in late:
        path.rename(core_lake / path.name)
    ended = ledgerfill.backfill(core_lake, FIRST)
    assert ended.returncode == 0, ended.stderr
    assert held(ledgerfill.database) == [(FIRST, 39)]
    for path in late:
        (core_lake / path.name).rename(path)
    ended = ledgerfill.backfill(core_lake, FIRST)
    assert ended.returncode == 0, ended.stderr
    assert held(ledgerfill.database) == [(FIRST, LAST)]
    check(shared, ledgerfill.database, FIRST, LAST, "--file", STREAM)


def test_gaps_alone_are_filled(ledgerfill: Program, core_lake: Path, shared: Path) -> None:
    """A range that contains what is there already fills what is between, and all becomes one stretch."""
    for first, last in ((10, 12), (20, 20), (30, 34)):
        assert ledgerfill.backfill(core_lake, first, last).returncode == 0
    assert held(ledgerfill.database) == [(10, 12), (20, 20), (30, 34)]
    ended, report = ledgerfill.report("backfill", *job(core_lake, 5, 40))
    assert ended.returncode == 0, ended.stderr
    assert report["held_before"] == [[10, 12], [20, 20], [30, 34]]
    assert report["committed"] == [[5, 9], [13, 19], [21, 29], [35, 40]]
    assert held(ledgerfill.database) == [(5, 40)]
    check(shared, ledgerfill.database, 5, 40, "--file", STREAM)


def test_chunks_and_workers_change_nothing(ledgerfill: Program, core_lake: Path, new_database, drop_database) -> None:
    """Rows do not depend on how many workers made them, or in what pieces."""
    found = []
    for flags in ([], ["--chunk-ledgers", 1, "--workers", 4], ["--chunk-ledgers", 7, "--workers", 1, "--window", 2]):
        database = new_database("template0")
        ended = ledgerfill.backfill(core_lake, FIRST, LAST, *flags, env={"LEDGERFILL_DATABASE": database})
        assert ended.returncode == 0, ended.stderr
        found.append(digests(database))
        drop_database(database)
    assert found[0] == found[1] == found[2]
    assert all(count for count, _ in found[0].values())


# Seams


@pytest.mark.parametrize(("theirs", "ours", "broken"), [((3, 10), (11, 20), 11), ((15, 20), (5, 14), 15)])
def test_ledgers_of_another_chain_are_not_joined(
    ledgerfill: Program, core_lake: Path, shared: Path, theirs: tuple[int, int], ours: tuple[int, int], broken: int
) -> None:
    """Below and above, what is filled must link to what is there; nothing that does not is committed at the seam."""
    other = write_lake(core_lake.with_name("other"), core_ledgers(shared, OTHER_CHAIN))
    assert ledgerfill.backfill(other, *theirs).returncode == 0
    ended, report = ledgerfill.report("backfill", *job(core_lake, *ours))
    assert ended.returncode == 1
    assert report["error"]["ledger"] == broken
    assert f"ledger {broken}" in ended.stderr
    assert all(last < broken - 1 or first == theirs[0] for first, last in held(ledgerfill.database))
    assert theirs in held(ledgerfill.database)
    check(shared, ledgerfill.database, *theirs, "--file", f"streams/{OTHER_CHAIN}.xdr", "--others")


def test_trusted_hash_anchors_the_chain(ledgerfill: Program, core_lake: Path, shared: Path) -> None:
    """The right hash lets a run pass, of a ledger inside as of the one before the first."""
    right = [f"{ledger}:{ledger_hash(shared, ledger)}" for ledger in (9, 15)]
    ended = ledgerfill.backfill(core_lake, 10, 20, "--trusted-hash", right[0], "--trusted-hash", right[1])
    assert ended.returncode == 0, ended.stderr
    check(shared, ledgerfill.database, 10, 20, "--file", STREAM)


@pytest.mark.parametrize(("trusted", "broken"), [(9, 10), (10, 10), (15, 15), (20, 20)])
def test_wrong_trusted_hash_stops_the_run(ledgerfill: Program, core_lake: Path, trusted: int, broken: int) -> None:
    """A ledger with another hash than the trusted one is not committed, nor anything after it."""
    ended, report = ledgerfill.report(
        "backfill", *job(core_lake, 10, 20), "--chunk-ledgers", 3, "--trusted-hash", f"{trusted}:{'ab' * 32}"
    )
    assert ended.returncode == 1
    assert report["error"]["ledger"] == broken
    assert "ab" * 32 in ended.stderr
    assert held(ledgerfill.database) == ([(10, broken - 1)] if broken > 10 else [])


@pytest.mark.parametrize("trusted", ["8:" + "ab" * 32, "21:" + "ab" * 32, "10:abcd", "ten:" + "ab" * 32])
def test_trusted_hash_of_no_use_is_refused(ledgerfill: Program, core_lake: Path, trusted: str) -> None:
    """A trusted hash that cannot be checked in this range is refused before the start."""
    ended = ledgerfill.backfill(core_lake, 10, 20, "--trusted-hash", trusted)
    assert ended.returncode == 2
    assert trusted.split(":")[0] in ended.stderr
    assert held(ledgerfill.database) == []


# Interrupted


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_a_run_with_its_prefix(
    ledgerfill: Program, core_lake: Path, shared: Path, hole: int, number: signal.Signals
) -> None:
    """A signal ends the run within moments: what is in order is there, nothing is left, and the rest is resumed."""
    running = waiting_at_hole(ledgerfill, core_lake, hole)
    sent = time.monotonic()
    running.send(number)
    ended = running.result()
    assert ended.returncode == 128 + number
    assert time.monotonic() - sent < 5
    assert "interrupted" in ended.stdout
    assert "resume" in ended.stdout
    wait_for_none(lambda: sessions(ledgerfill.database))
    assert held(ledgerfill.database) == [(FIRST, hole - 1)]
    check(shared, ledgerfill.database, FIRST, hole - 1, "--file", STREAM)
    mend(core_lake, shared, hole)
    ended = ledgerfill.backfill(core_lake, FIRST, LAST, "--chunk-ledgers", 4, "--workers", 2)
    assert ended.returncode == 0, ended.stderr
    check(shared, ledgerfill.database, FIRST, LAST, "--file", STREAM)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("delay_s", [0, 0.1, 0.3, 0.6])
def test_signal_while_it_starts_is_heeded(
    ledgerfill: Program, core_lake: Path, number: signal.Signals, delay_s: float
) -> None:
    """Whenever a signal comes, the run ends with its code or was done before: nothing is left, no traceback shown."""
    running = ledgerfill.start("backfill", *job(core_lake, FIRST, LAST), "--chunk-ledgers", 1)
    wait_for(running.listens)  # before, it is Python's own start that is interrupted
    time.sleep(delay_s)
    running.send(number)
    ended = running.result()
    assert ended.returncode in (0, 128 + number), ended.stderr
    assert "unexpected" not in ended.stderr
    wait_for_none(lambda: sessions(ledgerfill.database))


def test_printed_command_resumes(ledgerfill: Program, core_lake: Path, shared: Path, hole: int) -> None:
    """The report of a failed run has the command that goes on, word for word."""
    ended, report = ledgerfill.report("backfill", *job(core_lake, FIRST, LAST), "--hole-deadline", "0.5")
    assert ended.returncode == 1
    assert report["resume"] in ended.stdout
    assert ledgerfill.database.split(":")[2].split("@")[0] not in ended.stdout + ended.stderr + json.dumps(report)
    mend(core_lake, shared, hole)
    again = ledgerfill.shell(report["resume"])
    assert again.returncode == 0, again.stderr
    check(shared, ledgerfill.database, FIRST, LAST, "--file", STREAM)


# Two at once


def test_second_run_at_once_is_told_who_has_the_store(
    ledgerfill: Program, core_lake: Path, shared: Path, hole: int
) -> None:
    """A run that finds another one ends with 3 within seconds, and names its process, host, number and start."""
    running = waiting_at_hole(ledgerfill, core_lake, hole)
    began = time.monotonic()
    ended = ledgerfill("backfill", *job(core_lake, FIRST, LAST), env={"LEDGERFILL_HOME": f"{ledgerfill.home}-2"})
    assert time.monotonic() - began < 10
    assert ended.returncode == 3
    assert re.search(
        rf"process {running.pid} on {re.escape(os.uname().nodename)}, run \d+, since \d{{4}}-\d\d-\d\d", ended.stderr
    ), ended.stderr
    mend(core_lake, shared, hole)
    ended = running.result()
    assert ended.returncode == 0, ended.stderr
    check(shared, ledgerfill.database, FIRST, LAST, "--file", STREAM)


# Refused before the start


def test_end_beyond_the_tip_is_refused(ledgerfill: Program, core_lake: Path) -> None:
    """A range that ends beyond the newest ledger is refused with that ledger's number, and nothing is begun."""
    ended = ledgerfill.backfill(core_lake, FIRST, LAST + 1)
    assert ended.returncode == 2
    assert str(LAST + 1) in ended.stderr
    assert re.search(rf"newest\D*{LAST}\b", ended.stderr), ended.stderr
    assert held(ledgerfill.database) == []


def test_stream_that_ends_earlier_is_refused(ledgerfill: Program, shared: Path) -> None:
    """The same with a stream."""
    source = f"stream:{shared / 'ledgers' / STREAM}"
    ended = ledgerfill.backfill(source, FIRST, LAST + 1, "--network-passphrase", CORE_PASSPHRASE)
    assert ended.returncode == 2
    assert f"newest is ledger {LAST}" in ended.stderr
    assert held(ledgerfill.database) == []


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (["--worker", "2"], "--worker"),
        (["--workers", "0"], "--workers"),
        (["--workers", "two"], "--workers"),
        (["--chunk-ledgers", "-1"], "--chunk-ledgers"),
        (["--window", "1", "--workers", "4"], "--window"),
        (["--stall-floor", "30", "--stall-ceiling", "20"], "--stall-floor"),
        (["--fetch-timeout", "30", "--stall-ceiling", "25"], "--fetch-timeout"),
        (["--end-ledger", "1"], "--end-ledger"),
        (["--start-ledger", "99"], "99"),
        (["--config", "nowhere.toml"], "nowhere.toml"),
        (["--report", "/nowhere/report.json"], "/nowhere/report.json"),
        (["--database", "postgresql://nobody@127.0.0.1:1/none"], "127.0.0.1:1"),
        (["--database", "no url at all"], "database"),
        (["--source", "/nowhere/at/all"], "/nowhere/at/all"),
        (["--source", "ftp://host/lake"], "ftp"),
        (["--source", "stream:/nowhere", "--network-passphrase", "x"], "/nowhere"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_refused(ledgerfill: Program, core_lake: Path, flags: list[str], word: str) -> None:
    """What cannot be meant is refused with 2 and one line that names it, before anything is done."""
    named = dict(zip(flags[::2], flags[1::2], strict=True))
    kept = [x for f, v in (("--source", str(core_lake)), ("--start-ledger", "2")) if f not in named for x in (f, v)]
    ended = ledgerfill("backfill", *kept, *flags)
    assert ended.returncode == 2, ended.stdout
    assert word in ended.stderr
    assert held(ledgerfill.database) == []


def test_another_network_is_refused(filled: Program, shared: Path) -> None:
    """A store holds one network: the ledgers of another are refused, and both are named."""
    ended = filled.backfill(shared / "ledgers" / "testnet", 997, 998)
    assert ended.returncode == 2
    assert CORE_PASSPHRASE in ended.stderr
    assert "Test SDF Network ; September 2015" in ended.stderr
    assert held(filled.database) == [(FIRST, LAST)]


# Verify


def test_verify_says_equal(filled: Program, core_lake: Path) -> None:
    """A store that is what its source gives is said to be, row for row."""
    ended, report = filled.report("verify", *job(core_lake, FIRST, LAST))
    assert ended.returncode == 0, ended.stderr
    assert f"equal: ledgers {FIRST}-{LAST}" in ended.stdout
    assert report["equal"] == [[FIRST, LAST]]
    assert report["rows"] == {table: count for table, (count, _) in digests(filled.database).items()}


LEDGER_20 = f"{20 << 32} AND {(21 << 32) - 1}"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (
            "UPDATE ledgers SET closed_at = closed_at + interval '1 s' WHERE sequence = 20",
            "ledgers, sequence 20: closed_at",
        ),
        (
            "UPDATE transactions SET fee_charged = fee_charged + 1 WHERE id BETWEEN {20}",
            "transactions, id {id}: fee_charged",
        ),
        ("UPDATE operations SET body = body || '\\x00' WHERE id BETWEEN {20}", "operations, id {id}: body"),
        ("UPDATE events SET contract_id = NULL WHERE operation_id BETWEEN {20}", "events, operation_id {id}"),
        (
            "DELETE FROM ledgers WHERE sequence = 20",
            "ledgers, sequence 20: the row is in the source but not in the store",
        ),
        ("DELETE FROM transactions WHERE id BETWEEN {20}", "transactions, id {id}: the row is in the source"),
        ("DELETE FROM operations WHERE id BETWEEN {20}", "operations, id {id}: the row is in the source"),
        ("DELETE FROM events WHERE operation_id BETWEEN {20}", "events, operation_id {id}"),
        (
            "INSERT INTO events SELECT operation_id, event_index + 7, stage, type, contract_id, topics, data "
            "FROM events WHERE operation_id BETWEEN {20} LIMIT 1",
            "the row is in the store but not in the source",
        ),
    ],
    ids=lambda text: " ".join(text.split()[:3]) if text.isascii() else text,
)
def test_verify_names_the_first_difference(filled: Program, core_lake: Path, change: str, named: str) -> None:
    """One row that was changed, taken or put in is named by table, ledger, key and column."""
    assert execute(filled.database, change.replace("{20}", LEDGER_20)) >= 1
    before = digests(filled.database)
    ended, report = filled.report("verify", *job(core_lake, FIRST, LAST), "--chunk-ledgers", 3)
    assert ended.returncode == 1
    difference = report["difference"]
    assert difference in ended.stderr
    assert difference.startswith("ledger 20, ")
    ids = [str(20 << 32 | 1 << 12 | operation) for operation in (0, 1)]
    assert any(named.replace("{id}", number) in difference for number in ids), difference
    assert digests(filled.database) == before, "verify writes nothing"


def test_verify_says_what_is_missing(ledgerfill: Program, core_lake: Path) -> None:
    """A range of which the store lacks ledgers is not equal."""
    assert ledgerfill.backfill(core_lake, 10, 20).returncode == 0
    ended, report = ledgerfill.report("verify", *job(core_lake, 5, 20))
    assert ended.returncode == 1
    assert "5-9" in ended.stderr
    assert report["missing"] == [[5, 9]]


# Watched


def test_plan_and_status_before_during_and_after(ledgerfill: Program, core_lake: Path, shared: Path, hole: int) -> None:
    """At any time, from another terminal, both say how things stand, and change nothing."""
    ended = ledgerfill("plan", *job(core_lake, FIRST, LAST), "--chunk-ledgers", 4, "--chunks")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.split() == ["2-5", "6-9", *(f"{at}-{at + 3}" for at in range(10, 42, 4)), "42-45"]
    assert ledgerfill("status").returncode == 0
    with psycopg.connect(ledgerfill.database) as conn:
        assert conn.execute("SELECT to_regnamespace('ledgerfill')").fetchone() == (None,), "nothing was written"

    running = waiting_at_hole(ledgerfill, core_lake, hole)
    status = json.loads(ledgerfill("status", "--json").stdout)
    assert status["network_passphrase"] == CORE_PASSPHRASE
    assert [stretch["ledgers"] for stretch in status["stretches"]] == [[FIRST, hole - 1]]
    assert [(run["outcome"], run["range"], run["cursor"], run["pid"]) for run in status["runs"]] == [
        ("running", [FIRST, LAST], hole - 1, running.pid)
    ]
    assert f"process {running.pid}" in ledgerfill("status").stdout
    planned = ledgerfill("plan", *job(core_lake, FIRST, LAST))
    assert planned.returncode == 0, planned.stderr
    assert f"{hole}-{LAST}" in planned.stdout
    assert f"{FIRST}-{hole - 1}" in planned.stdout

    mend(core_lake, shared, hole)
    assert running.result().returncode == 0
    (run,) = json.loads(ledgerfill("status", "--json").stdout)["runs"]
    assert (run["outcome"], run["ledgers"], run["pid"]) == ("success", LAST - FIRST + 1, None)
    assert "nothing to do" in ledgerfill("plan", *job(core_lake, FIRST, LAST)).stdout


def test_report_of_a_success_adds_up(ledgerfill: Program, core_lake: Path) -> None:
    """The report says what was done, in figures that the tables confirm."""
    ended, report = ledgerfill.report("backfill", *job(core_lake, FIRST, LAST), "--chunk-ledgers", 10, "--workers", 2)
    assert ended.returncode == 0
    assert report["exit_code"] == 0
    assert report["chunks"] == report["attempts"] == 5
    assert report["ledgers"] == LAST - FIRST + 1
    assert report["rows"] == {table: count for table, (count, _) in digests(ledgerfill.database).items()}
    assert report["bytes"]["stored"] == sum(path.stat().st_size for path in core_lake.glob("*/*.zst")) - sum(
        path.stat().st_size for path in core_lake.glob("*/*--0.xdr.zst")
    )
    assert report["error"] is None
    assert report["resume"] is None
    assert report["peak_memory_bytes"]["coordinator"] < 150 << 20
    assert {"decompress", "walk", "prove", "encode", "write", "commit"} <= {*report["stages_s"]}


def test_report_is_written_of_a_refused_run(ledgerfill: Program, core_lake: Path) -> None:
    """However a run ends, its report is there."""
    ended, report = ledgerfill.report("backfill", *job(core_lake, FIRST, LAST + 1))
    assert ended.returncode == 2
    assert (report["outcome"], report["exit_code"]) == ("refused", 2)
    assert report["error"]["message"] in ended.stderr


# Settings


def test_settings_come_from_flags_environment_and_file(ledgerfill: Program, core_lake: Path) -> None:
    """A flag stands before the environment, and that before the file."""
    file = ledgerfill.home.parent / "settings.toml"
    file.write_text(f'source = "{core_lake}"\nstart-ledger = 4\nend_ledger = 12\nworkers = 1\nchunk-ledgers = 2\n')
    ended, report = ledgerfill.report(
        "backfill",
        "--config",
        file,
        "--end-ledger",
        8,
        env={"LEDGERFILL_START_LEDGER": "6", "LEDGERFILL_END_LEDGER": "9"},
    )
    assert ended.returncode == 0, ended.stderr
    assert report["range"] == [6, 8]
    assert (report["workers"], report["chunks"]) == (1, 2)


def test_database_url_is_the_last_to_be_asked(ledgerfill: Program, core_lake: Path) -> None:
    """`DATABASE_URL` serves where neither flag nor `LEDGERFILL_DATABASE` names a database."""
    database, ledgerfill.database = ledgerfill.database, None
    ended = ledgerfill.backfill(core_lake, FIRST, 5, env={"DATABASE_URL": database})
    assert ended.returncode == 0, ended.stderr
    assert held(database) == [(FIRST, 5)]


def test_without_a_database_the_program_brings_its_own(
    ledgerfill: Program, core_lake: Path, reachable: Path, shared: Path
) -> None:
    """With no database named, an embedded one is made, filled and found again; `store stop` ends it."""
    ledgerfill.database, ledgerfill.home = None, reachable / "home"
    try:
        ended = ledgerfill.backfill(core_lake, FIRST, LAST)
        assert ended.returncode == 0, ended.stderr
        assert "nothing to do" in ledgerfill.backfill(core_lake, FIRST, LAST).stdout
        assert f"{FIRST}-{LAST}" in ledgerfill("status").stdout
        url = ledgerfill("store", "url").stdout.strip()
        check(shared, url, FIRST, LAST, "--file", STREAM)
    finally:
        assert ledgerfill("store", "stop").returncode == 0
    assert ledgerfill("store", "stop").returncode == 0


# Stalls


@pytest.mark.slow
def test_hung_worker_is_replaced(ledgerfill: Program, core_lake: Path, shared: Path, hole: int) -> None:
    """A worker that does nothing any more is killed at the deadline, and its chunk given to another."""
    deadlines = ["--stall-floor", 1, "--stall-ceiling", 3, "--fetch-timeout", 2]
    running = ledgerfill.start(
        "backfill", *job(core_lake, FIRST, LAST), "--chunk-ledgers", 4, "--workers", 2, *deadlines
    )
    wait_for(lambda: held(ledgerfill.database) == [(FIRST, hole - 1)] or running.ended())
    for worker in running.workers():
        os.kill(worker, signal.SIGSTOP)
    mend(core_lake, shared, hole)
    ended = running.result()
    assert ended.returncode == 0, ended.stderr
    assert "re-dispatch" in ended.stderr
    assert "no result after" in ended.stderr
    check(shared, ledgerfill.database, FIRST, LAST, "--file", STREAM)


@pytest.mark.slow
def test_chunk_that_hangs_for_ever_is_given_up(ledgerfill: Program, core_lake: Path, shared: Path) -> None:
    """A head on which every worker hangs is suspected, re-dispatched and given up; everything before it is there."""
    stuck = next(core_lake.glob("*/*--30.xdr.zst"))
    stuck.unlink()
    os.mkfifo(stuck)  # opening it waits for a writer that never comes
    deadlines = ["--stall-floor", 1, "--stall-ceiling", 2, "--fetch-timeout", 2, "--max-attempts", 2]
    ended, report = ledgerfill.report(
        "backfill", *job(core_lake, FIRST, LAST), "--chunk-ledgers", 4, "--workers", 2, *deadlines
    )
    assert ended.returncode == 1
    steps = [step["step"] for step in report["steps"] if step["chunk"] == [30, 33]]
    assert steps == ["suspect", "re-dispatch", "suspect", "abort"]
    assert "gave up on ledgers 30-33 at attempt 2" in ended.stderr
    assert held(ledgerfill.database) == [(FIRST, 29)]
    check(shared, ledgerfill.database, FIRST, 29, "--file", STREAM)
