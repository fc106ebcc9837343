"""However a job ends, there is an exit code, a report and a line that says why."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from pipeline.cli.job import run
from pipeline.config import BackfillSettings
from pipeline.errors import BackfillError, Interrupted, Refused, RunHeld
from pipeline.progress.report import RunError, RunInfo, RunReport
from pipeline.progress.watch import Watch
from workers.messages import LedgerRange

WANTED = LedgerRange(2, 9)
INFO = RunInfo(run_id=1, source="lake", database="embedded", wanted=WANTED)


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    """A job sets logging up for its process; put it back."""
    root, ours = logging.getLogger(), [logging.getLogger(name) for name in ("pipeline", "workers")]
    handlers, levels = root.handlers[:], [(each, each.level) for each in [root, *ours]]
    yield
    root.handlers[:] = handlers
    for logger, level in levels:
        logger.setLevel(level)


def settings(report: Path) -> BackfillSettings:
    return BackfillSettings(source="lake", start_ledger=2, report=report)


def job(error: BaseException, *, begun: bool) -> Callable[[Watch], NoReturn]:
    def ends(watch: Watch) -> NoReturn:
        if begun:
            watch.started(INFO)
        raise error

    return ends


@pytest.mark.parametrize(
    ("error", "begun", "code", "outcome"),
    [
        (Refused("too little disk"), False, 2, "refused"),
        (RunHeld("run 7 has it"), False, 3, "refused"),
        (Refused("the server is gone"), True, 1, "failed"),
        (BackfillError("gave up"), True, 1, "failed"),
        (KeyboardInterrupt(), False, 130, "interrupted"),
        (SystemExit(143), True, 143, "interrupted"),
    ],
)
def test_job_that_raises_has_a_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], error: BaseException, begun: bool, code: int, outcome: str
) -> None:
    """What was refused before the start is told from what failed after it, and both from a signal."""
    file = tmp_path / "run.json"
    assert run(settings(file), job(error, begun=begun)) == code
    report = json.loads(file.read_text())
    assert (report["outcome"], report["exit_code"]) == (outcome, code)
    assert f"ledgerfill: {report['error']['message']}" in capsys.readouterr().err
    assert (report["resume"] is None) == (outcome == "refused")


def test_fault_of_the_program_is_reported_and_goes_on_to_the_door(tmp_path: Path) -> None:
    """An error that nobody expected leaves a report before it ends the program."""
    file = tmp_path / "run.json"
    with pytest.raises(ZeroDivisionError):
        run(settings(file), job(ZeroDivisionError("division by zero"), begun=True))
    report = json.loads(file.read_text())
    assert (report["outcome"], report["error"]["kind"]) == ("failed", "ZeroDivisionError")


def test_report_that_was_finished_stands_before_the_error(tmp_path: Path) -> None:
    """A job that told how it ended and then raised is reported as it told."""
    file = tmp_path / "run.json"
    told = RunReport(outcome="failed", wanted=WANTED, committed=(LedgerRange(2, 4),), error=RunError.of(Refused("x")))

    def ends(watch: Watch) -> RunReport:
        watch.started(INFO)
        watch.finished(told)
        raise BackfillError("cannot write down how it ended")

    assert run(settings(file), ends) == 1
    assert json.loads(file.read_text())["ledgers"] == 3


@pytest.mark.parametrize("complete", [True, False])
def test_run_that_left_nothing_to_do_is_not_resumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], *, complete: bool
) -> None:
    """A run that was stopped behind its last commit has no command that goes on; its exit code stays."""
    stopped = RunReport(
        outcome="interrupted", wanted=WANTED, committed=(WANTED,), complete=complete, error=RunError.of(Interrupted(2))
    )
    assert run(settings(tmp_path / "run.json"), lambda _: stopped) == 130
    assert ("the same command goes on from there" in capsys.readouterr().out) is not complete


def test_success_without_its_report_is_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A report that was asked for and cannot be written makes the exit code 1, and is said."""
    folder = tmp_path / "there"
    folder.mkdir()

    def ends(_: Watch) -> RunReport:
        folder.rmdir()
        return RunReport(outcome="success", wanted=WANTED)

    assert run(settings(folder / "run.json"), ends) == 1
    assert "cannot write the report" in capsys.readouterr().err


def test_report_into_no_folder_is_refused_before_the_job(tmp_path: Path) -> None:
    """Nobody works for hours to find that the report has no place."""
    with pytest.raises(Refused, match="cannot write the report"):
        run(settings(tmp_path / "no" / "run.json"), lambda _: pytest.fail("the job was started"))
