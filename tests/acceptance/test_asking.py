"""Commands that only ask: they say what ran and what is missing, and change nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from lakes import FIRST, LAST
from program import Program, job
from stores import digests, execute, held, waiting_at_hole


@pytest.fixture
def reader(filled: Program) -> Iterator[dict[str, str]]:
    """The environment of a role that may read the store and write nothing."""
    name = "may_only_read"
    with psycopg.connect(filled.database, autocommit=True) as owner:
        owner.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'only-reads'")
        owner.execute(f"GRANT USAGE ON SCHEMA ledgerfill TO {name}")
        owner.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA ledgerfill TO {name}")
        server = filled.database.split("@")[1]
        yield {"LEDGERFILL_DATABASE": f"postgresql://{name}:only-reads@{server}"}
        owner.execute(f"DROP OWNED BY {name}")
        owner.execute(f"DROP ROLE {name}")


def test_who_may_only_read_is_answered(filled: Program, reader: dict[str, str]) -> None:
    """Neither runs nor gaps write anything: a role that may read is enough."""
    before = digests(filled.database)
    ended = filled("runs", env=reader)
    assert ended.returncode == 0, ended.stderr
    assert f"1  backfill {FIRST}-{LAST}  success, 44 ledgers committed" in ended.stdout
    shown = filled("runs", "show", 1, env=reader)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("run 1  success\n")
    gaps = filled("gaps", env=reader)
    assert gaps.returncode == 0, gaps.stderr
    assert f"ledgers {FIRST}-{LAST} in " in gaps.stdout
    assert gaps.stdout.count(": none\n") == 3
    assert digests(filled.database) == before


def test_runs_are_listed_and_shown_to_programs(filled: Program, core_lake: Path) -> None:
    """JSON is all that is on standard output, and has what the run's report had."""
    _, report = filled.report("backfill", *job(core_lake, FIRST, LAST))
    assert report["outcome"] == "success"
    (run,) = json.loads(filled("runs", "--limit", 1, "--json").stdout)["runs"]
    assert (run["run_id"], run["outcome"], run["range"], run["ledgers"]) == (1, "success", [FIRST, LAST], 44)
    shown = json.loads(filled("runs", "show", 1, "--json").stdout)
    assert shown["rows"] == {table: count for table, (count, _) in digests(filled.database).items()}
    assert shown["committed"] == [[FIRST, LAST]]
    assert shown["stages_s"]["commit"] > 0
    assert shown["stages_s"]["elapsed"] > 0


def test_run_in_progress_is_shown(ledgerfill: Program, core_lake: Path, hole: int) -> None:
    """From another terminal, what a run has committed so far is there to be read; `gaps` believes what it sees."""
    running = waiting_at_hole(ledgerfill, core_lake, hole)
    shown = ledgerfill("runs", "show", 1)
    assert shown.stdout.startswith("run 1  running\n"), shown.stderr
    assert f"{hole - FIRST} ledgers in 7 chunks: {FIRST}-{hole - 1}" in shown.stdout
    assert f"process {running.pid} on " in ledgerfill("runs").stdout
    assert f"ledgers {FIRST}-{hole - 1} in " in ledgerfill("gaps").stdout
    running.process.terminate()
    running.result()


def test_run_that_is_not_there_is_refused(filled: Program) -> None:
    """A number that no run has is one line and exit code 2; what is no number is wrong usage."""
    ended = filled("runs", "show", 99)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("ledgerfill: there is no run 99 in ")
    assert ended.stderr.count("\n") == 1
    assert filled("runs", "show", "last").returncode == 2
    assert filled("runs", "--limit", 0).returncode == 2


def test_store_that_is_not_there_is_refused(ledgerfill: Program) -> None:
    """Nothing is made for a question."""
    for command in (["runs"], ["runs", "show", 1], ["gaps"]):
        ended = ledgerfill(*command)
        assert ended.returncode == 2
        assert "there is no store in" in ended.stderr


def test_what_gaps_finds_is_filled(filled: Program, core_lake: Path) -> None:
    """Rows that somebody has deleted are listed, filled by `--fill-gaps`, and the store equals its source again."""
    before = digests(filled.database)
    assert execute(filled.database, "DELETE FROM ledgers WHERE sequence IN (7, 8, 20)") == 3
    found = json.loads(filled("gaps", "--json").stdout)
    assert (found["range"], found["missing"], found["absent"]) == ([FIRST, LAST], [], [[7, 8], [20, 20]])
    assert json.loads(filled("gaps", "--books-only", "--json").stdout)["absent"] is None
    planned = filled("plan", "--source", core_lake, "--fill-gaps")
    assert "missing    3 ledgers: 7-8, 20" in planned.stdout, planned.stderr
    ended, report = filled.report("backfill", "--source", core_lake, "--fill-gaps")
    assert ended.returncode == 0, ended.stderr
    assert report["committed"] == [[7, 8], [20, 20]]
    assert "ledgers 7-8 were not in the store, though its books claimed them" in ended.stderr
    assert held(filled.database) == [(FIRST, LAST)]
    assert digests(filled.database) == before
    assert filled("verify", *job(core_lake, FIRST, LAST)).returncode == 0
    again = filled("backfill", "--source", core_lake, "--fill-gaps")
    assert again.returncode == 0
    assert f"nothing to do: ledgers {FIRST}-{LAST} are" in again.stdout


def test_gaps_are_not_filled_without_a_range(ledgerfill: Program, core_lake: Path) -> None:
    """Where the store holds nothing there is no range; without --fill-gaps a start has to be named as ever."""
    ended = ledgerfill("backfill", "--source", core_lake, "--fill-gaps")
    assert ended.returncode == 2
    assert "there is no ledger in" in ended.stderr
    ended = ledgerfill("backfill", "--source", core_lake)
    assert ended.returncode == 2
    assert "--start-ledger is missing (or LEDGERFILL_START_LEDGER, or start_ledger in ledgerfill.toml)" in ended.stderr


def test_run_that_fills_gaps_is_resumed_by_the_same_command(filled: Program, core_lake: Path, hole: int) -> None:
    """A run that fails prints what was typed, and what it had taken out of the books is a gap from then on."""
    execute(filled.database, f"DELETE FROM ledgers WHERE sequence IN ({hole - 1}, {hole})")
    flags = ["--source", core_lake, "--fill-gaps", "--hole-deadline", 0.1]
    ended, report = filled.report("backfill", *flags)
    assert ended.returncode == 1
    assert "--fill-gaps" in report["resume"]
    assert "--start-ledger" not in report["resume"]
    assert report["missing"] == [[hole, hole]]
    assert held(filled.database) == [(FIRST, hole - 1), (hole + 1, LAST)]
    assert json.loads(filled("gaps", "--json").stdout)["missing"] == [[hole, hole]]
