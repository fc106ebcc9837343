"""Whole commands as people see them: on a terminal, in a log, interrupted and resumed by the printed command."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

PROGRAM = Path(sys.executable).with_name("ledgerfill")
LEDGERS = 300


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of empty and small ledgers, made once."""
    folder = tmp_path_factory.mktemp("lake") / "it's a lake"
    made = subprocess.run(
        [PROGRAM, "lake", "make", folder, "--ledgers", str(LEDGERS), "--shape", "sparse"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout.startswith(f"made ledgers 2-{LEDGERS + 1} in ")
    return folder


@pytest.fixture
def environment(store: str, tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if "LEDGERFILL" not in name}
    return kept | {"LEDGERFILL_DATABASE": store, "LEDGERFILL_HOME": str(tmp_path), "TERM": "xterm-256color"}


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    ours, theirs = pty.openpty()
    yield ours, theirs
    os.close(ours)


def all_of(descriptor: int) -> str:
    text = b""
    try:
        while part := os.read(descriptor, 65536):
            text += part
    except OSError:  # how Linux says that nobody holds the other end any more
        pass
    return text.decode()


def command(lake: Path, *more: str, job: str = "backfill") -> list[str]:
    return [str(PROGRAM), job, "--source", str(lake), "--start-ledger", "2", "--workers", "2", *more]


def test_terminal_shows_the_run_live_and_the_report_at_its_end(
    lake: Path, environment: dict[str, str], terminal: tuple[int, int]
) -> None:
    """On a terminal the picture is drawn, the cursor comes back, and standard output has the report alone."""
    ours, theirs = terminal
    running = subprocess.Popen(
        command(lake), env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs, text=True
    )
    os.close(theirs)
    seen = all_of(ours)
    output, _ = running.communicate(timeout=60)
    assert running.returncode == 0
    assert output.startswith(f"done: ledgers 2-{LEDGERS + 1} are in ")
    assert "\x1b" not in output
    for part in ("ledgers/s", "events/s", "rows/s", "window", "committed", "head", "limit"):
        assert part in seen
    assert seen.rindex("\x1b[?25h") > seen.rindex("\x1b[?25l")
    assert "INFO success" not in seen


def test_without_a_terminal_there_are_log_lines_and_no_escapes(lake: Path, environment: dict[str, str]) -> None:
    """Every line on standard error is a log line with its time; the password of the database is in none."""
    ended = subprocess.run(command(lake), env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0
    lines = ended.stderr.splitlines()
    assert lines
    assert all(re.match(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d\d\dZ [A-Z]+ ", line) for line in lines)
    password = environment["LEDGERFILL_DATABASE"].split(":")[2].partition("@")[0]
    assert password not in ended.stderr + ended.stdout
    assert "\x1b" not in ended.stderr + ended.stdout
    again = subprocess.run(command(lake), env=environment, capture_output=True, text=True, timeout=60)
    assert (again.returncode, again.stdout.startswith("nothing to do: ")) == (0, True)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_run_reports_and_its_command_resumes(
    lake: Path, environment: dict[str, str], tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """A signal ends the run with its code, report and all; the printed command, in a shell, fills what is missing."""
    report_file = tmp_path / "run.json"
    running = subprocess.Popen(
        command(lake, "--chunk-ledgers", "1", "--report", str(report_file)),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stderr is not None
    while "INFO run " not in running.stderr.readline():
        assert running.poll() is None
    running.send_signal(number)
    output, _ = running.communicate(timeout=60)
    report = json.loads(report_file.read_text())
    assert (running.returncode, report["exit_code"], report["outcome"]) == (code, code, "interrupted")
    assert report["ledgers"] < LEDGERS
    assert output.startswith("interrupted: ")
    assert report["resume"] in output
    resumed = subprocess.run(report["resume"], shell=True, env=environment, capture_output=True, text=True, timeout=60)
    assert resumed.returncode == 0, resumed.stderr
    whole = json.loads(report_file.read_text())
    assert whole["ledgers"] == LEDGERS - report["ledgers"]
    assert not whole["missing"]


def test_verify_status_and_plan_agree_after_a_run(lake: Path, environment: dict[str, str], tmp_path: Path) -> None:
    """What a run filled is equal for verify, held for status, and nothing to do for plan."""

    def ended(arguments: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=60)

    half = ["--end-ledger", "100"]
    assert "nothing of it yet" in ended(command(lake, *half, job="plan")).stdout
    assert ended(command(lake, *half)).returncode == 0
    assert ended(command(lake, *half, job="verify")).stdout.startswith("equal: ledgers 2-100 ")
    file = tmp_path / "verify.json"
    missing = ended(command(lake, "--report", str(file), job="verify"))
    assert missing.returncode == 1
    assert json.loads(file.read_text())["missing"] == [[101, LEDGERS + 1]]
    assert json.loads(ended([str(PROGRAM), "status", "--json"]).stdout)["stretches"][0]["ledgers"] == [2, 100]
    chunks = ended(command(lake, "--chunk-ledgers", "50", "--chunks", job="plan")).stdout.splitlines()
    assert (chunks[0], chunks[-1]) == ("101-150", "301")


def _take_terminal() -> None:
    """Heed that it closes, also where whoever runs the tests has ignored that (`nohup`), as the program then would."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_closed_terminal_ends_a_run_in_order(lake: Path, environment: dict[str, str], tmp_path: Path) -> None:
    """Who closes the terminal gets exit code 129 and a report, as after any other signal."""
    report = tmp_path / "report.json"
    leader, follower = pty.openpty()
    with psycopg.connect(environment["LEDGERFILL_DATABASE"]) as held:
        held.execute("LOCK TABLE ledgerfill.backfill_chunks IN EXCLUSIVE MODE")  # so it has not ended before
        running = subprocess.Popen(
            command(lake, "--chunk-ledgers", "1", "--report", str(report)),
            env=environment,
            stdin=follower,
            stdout=follower,
            stderr=follower,
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
        os.close(follower)
        seen = b""
        while b"committing" not in seen:
            seen += os.read(leader, 65536)
        os.close(leader)
    assert running.wait(30) == 129
    written = json.loads(report.read_text())
    assert (written["outcome"], written["exit_code"]) == ("interrupted", 129)
