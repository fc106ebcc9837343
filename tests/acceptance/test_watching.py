"""What a run says of itself, and what others see of it meanwhile."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
from lakes import CORE_PASSPHRASE, FIRST, LAST, mend
from program import Program, job
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
