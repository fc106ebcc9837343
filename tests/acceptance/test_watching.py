"""What a run says of itself, and what others see of it meanwhile."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import psycopg
from lakes import CORE_PASSPHRASE, FIRST, LAST, key, mend
from program import Program, job, wait_for
from stores import digests, waiting_at_hole


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
    assert (run["outcome"], run["ledgers"]) == ("success", LAST - FIRST + 1)
    assert "nothing to do" in ledgerfill("plan", *job(core_lake, FIRST, LAST)).stdout


def test_a_lock_that_somebody_else_holds_is_named(ledgerfill: Program, core_lake: Path) -> None:
    """By the run that waits for it and by `status`, within seconds; no step against a stall is taken for it."""
    assert ledgerfill.backfill(core_lake, FIRST, 5).returncode == 0
    with psycopg.connect(ledgerfill.database, application_name="somebody") as conn:
        conn.execute("LOCK TABLE ledgerfill.backfill_chunks IN SHARE ROW EXCLUSIVE MODE")
        flags = ["--chunk-ledgers", 4, "--workers", 2, "--stall-floor", 1]
        running = ledgerfill.start("backfill", *job(core_lake, FIRST, LAST), *flags)
        held = f"for a lock in the database: it is held by process {conn.info.backend_pid} of the server, user "
        status = wait_for(lambda: held in (said := ledgerfill("status").stdout) and said)
        assert f"waiting   {held}" in status
        assert json.loads(ledgerfill("status", "--json").stdout)["blocked_by"]
        time.sleep(3.5)
    ended = running.result()
    assert ended.returncode == 0, ended.stderr
    assert f"WARNING waiting {held}" in ended.stderr
    assert "suspect" not in ended.stderr
    assert json.loads(ledgerfill("status", "--json").stdout)["blocked_by"] == []


def last_run(ledgerfill: Program) -> dict[str, Any]:
    """Return the newest run as `status` sees it; an empty one where there is none yet."""
    ended = ledgerfill("status", "--json")
    assert ended.returncode == 0, ended.stderr
    runs = json.loads(ended.stdout).get("runs")
    return runs[0] if runs else {}


def test_status_names_what_a_stalled_run_waits_for(ledgerfill: Program, core_lake: Path) -> None:
    """From another terminal: which chunk, on which worker, and the step that was taken; nothing of it once it ended."""
    (core_lake / key(30)).unlink()
    os.mkfifo(core_lake / key(30))  # opening it waits for a writer that never comes
    flags = ["--chunk-ledgers", 4, "--workers", 2, "--stall-floor", 8, "--stall-ceiling", 120]
    running = ledgerfill.start("backfill", *job(core_lake, FIRST, LAST), *flags)
    wait_for(lambda: (run := last_run(ledgerfill)) and run["steps"] and run["said"], every_s=0.2)
    run = last_run(ledgerfill)
    step, said = run["steps"][0], run["said"]
    assert (step["step"], step["chunk"], step["attempt"]) == ("suspect", [30, 33], 1)
    assert re.match(r"ledgers 30-33 on worker \d+, attempt \d, for ", said["head"])
    assert (said["ledgers_done"], said["ledgers_wanted"]) == (28, LAST - FIRST + 1)
    assert 0 <= said["age_s"] < 10
    told = ledgerfill("status").stdout
    assert " ago: 28 of 44 ledgers; head: ledgers 30-33 on worker" in told
    assert f"suspect: ledgers 30-33 on worker {step['worker']}, attempt 1, after" in told

    running.send(signal.SIGTERM)
    running.result()
    run = last_run(ledgerfill)
    assert (run["outcome"], run["said"], run["steps"]) == ("interrupted", None, [])


def test_history_has_a_row_a_step(ledgerfill: Program, core_lake: Path) -> None:
    """What the report says of stalls stands in the store as well, and was there before the run's end was."""
    (core_lake / key(30)).unlink()
    os.mkfifo(core_lake / key(30))
    deadlines = ["--stall-floor", 1, "--stall-ceiling", 2, "--fetch-timeout", 2, "--max-attempts", 2]
    flags = ["--chunk-ledgers", 4, "--workers", 2, *deadlines]
    ended, report = ledgerfill.report("backfill", *job(core_lake, FIRST, LAST), *flags)
    assert ended.returncode == 1
    names = ("step", "first", "last", "worker", "attempt", "elapsed_s", "why")
    with psycopg.connect(ledgerfill.database) as conn:
        rows = conn.execute(
            f"SELECT {', '.join(names)} FROM ledgerfill.backfill_steps ORDER BY run_id, number"
        ).fetchall()
        late = conn.execute(
            "SELECT count(*) FROM ledgerfill.backfill_steps s JOIN ledgerfill.backfill_runs r ON r.id = s.run_id "
            "WHERE s.xmin::text::int8 >= r.xmin::text::int8 OR s.at > r.ended_at"
        ).fetchone()
    told = [[step["step"], *step["chunk"], *(step[name] for name in names[3:])] for step in report["steps"]]
    assert [list(row) for row in rows] == told
    assert {"suspect", "abort"} <= {row[0] for row in rows}
    assert late == (0,)


def test_losing_the_session_of_its_history_does_not_harm_a_run(
    ledgerfill: Program, core_lake: Path, shared: Path, hole: int
) -> None:
    """The session that writes what a run waits for is ended by the server: the run opens another, and succeeds."""
    running = waiting_at_hole(ledgerfill, core_lake, hole)
    wait_for(lambda: last_run(ledgerfill)["said"], every_s=0.2)
    writing = "FROM pg_stat_activity WHERE query LIKE '%INTO ledgerfill.backfill_now%' AND pid <> pg_backend_pid()"
    with psycopg.connect(ledgerfill.database, autocommit=True) as conn:
        ended = conn.execute(f"SELECT pid, pg_terminate_backend(pid) {writing}").fetchall()
        assert [done for _, done in ended] == [True]
        wait_for(lambda: conn.execute(f"SELECT pid {writing}").fetchall() not in ([], [(ended[0][0],)]))
    mend(core_lake, shared, hole)
    result = running.result()
    assert result.returncode == 0, result.stderr
    with psycopg.connect(ledgerfill.database) as conn:
        (rows,) = conn.execute("SELECT count(*) FROM ledgerfill.backfill_steps WHERE step = 're-dispatch'").fetchone()
    assert rows == result.stderr.count("re-dispatch: "), "a step was lost"


def test_history_of_a_smooth_run_is_empty(filled: Program) -> None:
    """Where nothing was late there is no row, and no word is left."""
    with psycopg.connect(filled.database) as conn:
        for table in ("backfill_steps", "backfill_now"):
            assert conn.execute(f"SELECT count(*) FROM ledgerfill.{table}").fetchone() == (0,)


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
