"""The report of a run: exit code, JSON, text."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.actions import Note
from pipeline.errors import ChunkAbandoned, CursorTaken, Interrupted, Refused
from pipeline.progress import report_json, report_text
from pipeline.progress.report import RunError, RunReport
from pipeline.progress.verification import ProofReport, VerifyReport, cpu_by_stage
from workers.messages import Failure, LedgerRange

FAILURE = Failure(reason="corrupt \x1b[2J object", transient=False, ledger=57, object="evil\nkey.xdr.zst", offset=1292)
ABANDONED = ChunkAbandoned(LedgerRange(50, 59), 3, FAILURE, worker=2)
FAILED = RunReport(
    outcome="failed",
    source="./lake",
    database="embedded",
    run_id=7,
    wanted=LedgerRange(2, 101),
    held=(LedgerRange(2, 11),),
    committed=(LedgerRange(12, 56),),
    missing=(LedgerRange(57, 101),),
    chunks=5,
    attempts=8,
    rows={"ledgers": 45, "transactions": 90, "operations": 135, "events": 180},
    object_bytes=4_500_000,
    plain_bytes=45_000_000,
    row_bytes=20_000_000,
    started_at=datetime(2026, 6, 19, 12, tzinfo=UTC),
    elapsed_s=9.0,
    stages_s={"wait": 0.5, "walk": 2.25},
    steps=(Note(step="suspect", chunk=LedgerRange(50, 59), worker=2, attempt=1, elapsed_s=10.0, why="late"),),
    workers=2,
    connections=2,
    cpu_s={"coordinator": 0.9, "workers": 4.5, "server": 9.0},
    peak_memory={"coordinator": 50_000_000, "worker 1": 90_000_000},
    versions={"postgresql": "18.6"},
    error=RunError.of(ABANDONED),
    resume="ledgerfill backfill --source ./lake --start-ledger 2",
)
DONE = RunReport(
    outcome="success",
    source="./lake",
    database="embedded",
    wanted=LedgerRange(2, 101),
    committed=(LedgerRange(2, 101),),
    rows={"ledgers": 100},
    plain_bytes=100_000_000,
    elapsed_s=4.0,
)


TAKEN = CursorTaken(LedgerRange(2, 3), LedgerRange(3, 9), "backfill", 7)


@pytest.mark.parametrize(
    ("report", "code"),
    [
        (DONE, 0),
        (RunReport(outcome="success", wanted=LedgerRange(2, 3)), 0),
        (RunReport(outcome="success", missing=(LedgerRange(3, 3),)), 1),
        (FAILED, 1),
        (RunReport(outcome="failed"), 1),
        (RunReport(outcome="failed", error=RunError.of(Refused("the server is gone"))), 1),
        (RunReport(outcome="failed", error=RunError.of(TAKEN)), 3),
        (RunReport(outcome="refused", error=RunError.of(Refused("no"))), 2),
        (RunReport(outcome="interrupted", error=RunError.of(Interrupted(2))), 130),
        (RunReport(outcome="interrupted", error=RunError.of(Interrupted(15))), 143),
    ],
)
def test_exit_code_is_never_0_over_missing_data(report: RunReport, code: int) -> None:
    """Only a success with nothing missing ends with 0."""
    assert report.exit_code == code


def test_error_keeps_where_it_happened() -> None:
    """Chunk, worker, attempts, object, ledger and offset of an abandoned chunk are in the report."""
    error = RunError.of(ABANDONED)
    assert (error.kind, error.exit_code, error.chunk) == ("ChunkAbandoned", 1, LedgerRange(50, 59))
    assert (error.worker, error.attempts, error.ledger, error.object, error.offset) == (2, 3, 57, FAILURE.object, 1292)


def test_document_has_what_programs_need(tmp_path: Path) -> None:
    """The JSON file says what was wanted, done and missed, how fast, why it ended and how to go on."""
    report_json.write(report_json.run_document(FAILED), tmp_path / "run.json")
    text = (tmp_path / "run.json").read_text()
    read = json.loads(text)
    assert text.isascii()
    assert "\x1b" not in text
    assert (read["outcome"], read["exit_code"], read["run_id"]) == ("failed", 1, 7)
    assert (read["range"], read["committed"], read["missing"]) == ([2, 101], [[12, 56]], [[57, 101]])
    assert read["rows"]["events"] == 180
    assert read["rates"]["ledgers_per_s"] == 5.0
    assert read["rates"]["plain_bytes_per_s"] == 5_000_000
    assert read["error"]["offset"] == 1292
    assert read["error"]["chunk"] == [50, 59]
    assert read["steps"] == [
        {"step": "suspect", "chunk": [50, 59], "worker": 2, "attempt": 1, "elapsed_s": 10.0, "why": "late"}
    ]
    assert read["resume"] == FAILED.resume
    assert read["started_at"] == "2026-06-19T12:00:00+00:00"
    assert {"ledgerfill", "python", "psycopg", "postgresql"} <= read["versions"].keys()
    assert read["peak_memory_bytes"]["worker 1"] == 90_000_000


def test_document_has_the_numbers_of_a_bench() -> None:
    """A run says of itself what `bench` measures, under the same names: rates, CPU a ledger, memory."""
    read = report_json.run_document(FAILED)
    assert (read["ledgers_per_s"], read["rows_per_s"], read["mb_per_s"]) == (5.0, 50.0, 5.0)
    assert read["cpu_ms_per_ledger"] == 320.0
    assert read["cpu_ms_per_ledger_by_process"] == {"coordinator": 20.0, "workers": 100.0, "server": 200.0}
    assert read["peak_memory_mib"] == 133.5
    assert (read["workers"], read["connections"]) == (2, 2)


def test_refused_run_has_a_document_too() -> None:
    """A report without a single figure is still whole JSON."""
    read = json.loads(json.dumps(report_json.run_document(RunReport(outcome="refused", cpu_s={"coordinator": 0.5}))))
    assert (read["range"], read["ledgers"], read["error"]) == (None, 0, None)
    assert (read["cpu_ms_per_ledger"], read["cpu_ms_per_ledger_by_process"]) == (None, {})


def test_report_replaces_the_old_one_or_leaves_it(tmp_path: Path) -> None:
    """A report that cannot be written leaves the old one whole, and nothing beside it."""
    path = tmp_path / "run.json"
    path.write_text("old")
    with pytest.raises(TypeError):
        report_json.write({"not JSON": object()}, path)
    assert path.read_text() == "old"
    with path.open() as reader:  # who reads the old one while the new one comes reads it to its end
        report_json.write({"new": 1}, path)
        assert reader.read() == "old"
    assert json.loads(path.read_text()) == {"new": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["run.json"]


def test_report_goes_into_a_pipe_without_replacing_it(tmp_path: Path) -> None:
    """What is no regular file, such as /dev/stdout, is written to and stays what it is."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    report_json.write({"a": 1}, pipe)
    assert json.loads(os.read(reader, 1000)) == {"a": 1}
    os.close(reader)
    assert pipe.is_fifo()


def test_text_of_a_failed_run() -> None:
    """People read what was committed, the speed, the reason, where, and the command that resumes; nothing hostile."""
    assert list(report_text.run_lines(FAILED)) == [
        r"failed: gave up on ledgers 50-59 at attempt 3 on worker 2: corrupt \x1b[2J object",
        "  committed  ledgers 12-56 in 9.0 s",
        "  rows       450: 45 ledgers, 90 transactions, 135 operations, 180 events",
        "  speed      5 ledgers/s, 20 events/s, 50 rows/s, 5.0 MB/s plain, 500.0 kB/s stored",
        "  missing    ledgers 57-101",
        r"  where      object evil\nkey.xdr.zst, ledger 57, byte 1292, chunk 50-59, worker 2, attempts 3",
        "  resume     the same command goes on from there:",
        "    ledgerfill backfill --source ./lake --start-ledger 2",
    ]


def test_text_says_where_the_resume_command_finds_its_password() -> None:
    """A command that leaves a password out says where it comes from."""
    lines = list(report_text.run_lines(replace(FAILED, database="postgresql://me:***@host/db")))
    assert "PGPASSFILE" in lines[-1]
    assert lines[-2].endswith(FAILED.resume or "")


def test_rows_are_counted_in_words_that_fit() -> None:
    """One row is no rows."""
    one = replace(DONE, rows={"ledgers": 1, "transactions": 1, "operations": 2, "events": 0})
    assert "  rows       4: 1 ledger, 1 transaction, 2 operations, 0 events" in list(report_text.run_lines(one))


def test_text_of_a_success_and_of_nothing_to_do() -> None:
    """A run that filled its range says so, and one that found it filled says that."""
    assert next(report_text.run_lines(DONE)) == "done: ledgers 2-101 are in the embedded store"
    idle = RunReport(outcome="success", database="embedded", wanted=LedgerRange(2, 101))
    assert list(report_text.run_lines(idle)) == ["nothing to do: ledgers 2-101 are in the embedded store already"]


def test_many_ranges_are_cut_short() -> None:
    """A line names five ranges and counts the others."""
    parts = tuple(LedgerRange(number, number) for number in range(1, 9))
    assert report_text.ranges(parts) == "1, 2, 3, 4, 5 and 3 more"


VERIFIED = {"source": "./lake", "database": "embedded", "wanted": LedgerRange(2, 11)}


@pytest.mark.parametrize(
    ("report", "code", "first"),
    [
        (VerifyReport(**VERIFIED, compared=(LedgerRange(2, 11),)), 0, "equal: ledgers 2-11 in the embedded store"),
        (VerifyReport(**VERIFIED, compared=(LedgerRange(2, 9),)), 1, "missing: "),
        (
            VerifyReport(**VERIFIED, missing=(LedgerRange(2, 11),)),
            1,
            "missing: ledgers 2-11 are not in the embedded store",
        ),
        (VerifyReport(**VERIFIED, difference="events, ledger 4"), 1, "different: events, ledger 4"),
        (VerifyReport(**VERIFIED, error=RunError.of(Interrupted(2))), 130, "interrupted by signal 2"),
    ],
)
def test_verification_succeeds_only_where_all_was_compared(report: VerifyReport, code: int, first: str) -> None:
    """A missing ledger, a difference or an error is never exit code 0, and the first line says which it was."""
    assert report.exit_code == code
    assert next(report_text.verify_lines(report)).startswith(first)
    assert report_json.verify_document(report)["exit_code"] == code


PROVED = {
    "source": "./lake",
    "wanted": LedgerRange(2, 11),
    "elapsed_s": 2.0,
    "object_bytes": 1_000_000,
    "plain_bytes": 7_000_000,
    "cpu_s": {"decompress": 1.5, "walk": 0.25, "prove": 1.0, "reading": 0.25, "coordinator": 0.5},
}


def test_text_and_document_of_a_sound_source() -> None:
    """People and programs learn what was proved, how fast, and where the CPU went."""
    report = ProofReport(**PROVED, proved=(LedgerRange(2, 11),))
    assert report.exit_code == 0
    assert list(report_text.proof_lines(report)) == [
        "sound: ledgers 2-11 of ./lake",
        "  proved     ledgers 2-11 in 2.0 s",
        "  speed      5 ledgers/s, 3.5 MB/s plain, 500.0 kB/s stored",
        "  CPU        3.5 s: decompress 1.5 s, walk 0.2 s, prove 1.0 s, reading 0.2 s, coordinator 0.5 s",
    ]
    document = report_json.proof_document(report)
    assert document["rates"] == {
        "ledgers_per_s": 5.0,
        "stored_bytes_per_s": 500_000.0,
        "plain_bytes_per_s": 3_500_000.0,
    }
    assert document["cpu_s"] == PROVED["cpu_s"]


@pytest.mark.parametrize(
    ("report", "code", "first"),
    [
        (ProofReport(**PROVED, proved=(LedgerRange(2, 10),)), 1, "only 9 of 10 ledgers were proved"),
        (ProofReport(**PROVED), 1, "only 0 of 10 ledgers were proved"),
        (ProofReport(**PROVED, proved=(LedgerRange(2, 11),), error=RunError.of(Interrupted(2))), 130, "interrupted by"),
        (
            ProofReport(**PROVED, error=FAILED.error),
            1,
            r"gave up on ledgers 50-59 at attempt 3 on worker 2: corrupt \x1b",
        ),
    ],
)
def test_source_is_sound_only_where_all_was_proved(report: ProofReport, code: int, first: str) -> None:
    """A ledger that was not proved or an error is never exit code 0, and the first line says which it was."""
    assert report.exit_code == code
    assert next(report_text.proof_lines(report)).startswith(first)
    assert report_json.proof_document(report)["exit_code"] == code


@pytest.mark.parametrize(
    ("workers_s", "stages", "reading"),
    [(4.0, (1.0, 1.0, 1.0), 1.0), (1.5, (0.5, 0.5, 0.5), 0.0), (0.0, (0.0,) * 3, 0.0)],
)
def test_stages_are_never_more_than_the_cpu_of_the_workers(
    workers_s: float, stages: tuple[float, ...], reading: float
) -> None:
    """What the decoder took by the clock is cut to the CPU that there was; what it did not take was reading."""
    spent = cpu_by_stage({"decompress": 1.0, "walk": 1.0, "prove": 1.0, "cpu": workers_s}, 0.25)
    assert tuple(spent.values()) == (*stages, reading, 0.25)


def test_what_strangers_wrote_is_text_that_a_database_takes() -> None:
    """A reason with NUL, half a surrogate or a terminal's escape is written out: PostgreSQL refuses the first two."""
    failure = Failure(reason="object \0 \ud800 \x1b[2J", transient=False, ledger=5)
    error = RunError.of(ChunkAbandoned(LedgerRange(5, 5), 1, failure))
    assert error.message == r"gave up on ledger 5 at attempt 1: object \x00 \ud800 \x1b[2J"
