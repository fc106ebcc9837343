"""The outermost door, through real processes: exit codes, one line for a mistake, help that is there."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

PROGRAM = [sys.executable, "-m", "pipeline"]
ROOT = Path(__file__).resolve().parents[2]
COMMANDS = [
    ["backfill"],
    ["bench"],
    ["gaps"],
    ["plan"],
    ["runs"],
    ["runs", "show"],
    ["status"],
    ["verify"],
    ["lake"],
    ["lake", "make"],
    ["lake", "info"],
    ["store"],
    ["store", "url"],
    ["store", "start"],
    ["store", "stop"],
    ["store", "status"],
    ["store", "reset"],
]
# The same command line with one more command, which goes wrong in a given way.
FAULTY = """
import sys
from pipeline import secrets
from pipeline.__main__ import main
from pipeline.cli import app
from pipeline.errors import *
secrets.remember("postgresql://me:marker-door@host/db")
faulty = app.make_app()
@faulty.command
def fail(*, debug: bool = False):
    {statement}
app.make_app = lambda: faulty
sys.exit(main())
"""


def environment(tmp_path: Path, **other: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if "LEDGERFILL" not in name and name != "DATABASE_URL"}
    return kept | {"LEDGERFILL_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)} | other


def run(
    tmp_path: Path, *arguments: str, program: Sequence[str] = PROGRAM, **other: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*program, *arguments],
        cwd=tmp_path,
        env=environment(tmp_path, **other),
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


def faulty(tmp_path: Path, statement: str, *arguments: str, **other: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-c", FAULTY.format(statement=statement)]
    return run(tmp_path, "fail", *arguments, program=program, **other)


def test_process_ends_at_once_when_its_end_is_prepared(tmp_path: Path) -> None:
    """What was registered for the end is done and what was said is out; then no object is taken apart one by one."""
    statement = """import atexit, threading, time
    class Kept:
        def __del__(self):
            print("taken apart")
    sys.modules["kept"] = Kept()
    atexit.register(print, "cleared up")
    threading.Thread(target=lambda: (time.sleep(0.3), print("ended"))).start()
    return 5"""
    ended = faulty(tmp_path, statement)
    assert (ended.returncode, ended.stdout.split("\n")) == (5, ["ended", "cleared up", ""])


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help(tmp_path: Path, command: list[str]) -> None:
    """Help is on standard output, says how the command is used, and shows an example of those that do something."""
    ended = run(tmp_path, *command, "--help")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert f"Usage: ledgerfill {' '.join(command)}" in ended.stdout
    assert ("Example" in ended.stdout) == (command not in (["lake"], ["store"]))


def test_working_folder_that_is_gone_is_refused(tmp_path: Path) -> None:
    """From a folder that was deleted meanwhile nothing is started, and the message says what to do."""
    gone = tmp_path / "gone"
    gone.mkdir()
    line = f"cd {gone} && rmdir {gone} && exec {sys.executable} -m pipeline status"
    ended = run(tmp_path, "-c", line, program=["sh"])
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.endswith("ledgerfill: the working folder has been deleted: change to another one\n")


def test_help_names_every_command_and_version_the_version(tmp_path: Path) -> None:
    """What there is to type is on one page."""
    page = run(tmp_path, "--help").stdout
    assert all(name in page for name in ("backfill", "plan", "status", "verify", "lake", "store"))
    assert run(tmp_path, "--version").stdout.strip() == "0.1.0"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["frobnicate"], ["frobnicate", "backfill"]),
        (["backfill", "--nope"], ["--nope", "see ledgerfill backfill --help"]),
        (["backfill", "--workers", "many"], ["--workers", "many"]),
        (["backfill", "--start-ledger", "2.5"], ["--start-ledger", "a whole number, found '2.5'"]),
        (["lake", "make", "there", "--ledgers", "1e2"], ["--ledgers", "a whole number, found '1e2'"]),
        (["status", "--runs", "1.5"], ["--runs", "a whole number, found '1.5'"]),
        (["backfill", "--start-ledger", "2"], ["--source is missing"]),
        (
            ["backfill", "--source", "x", "--start-ledger", "9", "--end-ledger", "3"],
            ["--end-ledger 3", "--start-ledger 9"],
        ),
        (["backfill", "--source", "x", "--start-ledger", "2", "--report", "no/such/r.json"], ["no/such/r.json"]),
        (["lake", "make", "there", "--ledgers", "0"], ["--ledgers is 0"]),
        (["lake", "make", "there", "--ledgers", "5", "--shape", "sparse", "--from", "x"], ["--shape", "--from"]),
        (["lake", "make", "full", "--ledgers", "5"], ["full is not empty"]),
        (["lake", "info"], ["--source is missing"]),
        (["store", "reset"], ["--yes"]),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_one_line_and_exit_code_2(tmp_path: Path, arguments: list[str], words: list[str]) -> None:
    """A mistake of the user ends before the start, in one line that names it, without a traceback."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    ended = run(tmp_path, *arguments)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert ended.stderr.startswith("ledgerfill: ")
    for word in words:
        assert word in ended.stderr


@pytest.mark.parametrize(
    ("statement", "code", "line"),
    [
        ("raise BackfillError('the tap is dry')", 1, "the tap is dry"),
        ("raise Refused('too little disk')", 2, "too little disk"),
        ("raise RunHeld('run 7 has the store')", 3, "run 7 has the store"),
        ("raise Interrupted(2)", 130, "interrupted by signal 2"),
        ("raise Interrupted(15)", 143, "interrupted by signal 15"),
        ("raise KeyboardInterrupt", 130, "interrupted"),
        ("raise BackfillError('\\x1b[2Jmarker-door\\nforged')", 1, r"\x1b[2J***\nforged"),
        (
            "import psycopg; raise psycopg.errors.UndefinedTable('no table\\nLINE 1')",
            1,
            "PostgreSQL failed: no table (--debug shows where)",
        ),
        ("1 / 0", 1, "unexpected ZeroDivisionError: division by zero (--debug shows where)"),
    ],
)
def test_every_way_to_end_has_its_exit_code_and_one_line(tmp_path: Path, statement: str, code: int, line: str) -> None:
    """Errors end in one line without secrets and control characters, and in the exit code that they carry."""
    ended = faulty(tmp_path, statement)
    assert (ended.returncode, ended.stdout, ended.stderr) == (code, "", f"ledgerfill: {line}\n")


@pytest.mark.parametrize(("arguments", "other"), [(["--debug"], {}), ([], {"LEDGERFILL_DEBUG": "1"})])
def test_traceback_is_for_debug_and_has_no_secret(tmp_path: Path, arguments: list[str], other: dict[str, str]) -> None:
    """With --debug the place in the program is shown, and still no password and no control character."""
    ended = faulty(tmp_path, "raise ValueError('\\x1bmarker-door')", *arguments, **other)
    assert ended.returncode == 1
    assert "Traceback" in ended.stderr
    assert "in fail" in ended.stderr
    assert "marker-door" not in ended.stderr
    assert "\x1b" not in ended.stderr


def test_debug_changes_nothing_for_mistakes_of_users(tmp_path: Path) -> None:
    """A traceback is for faults of the program alone."""
    assert faulty(tmp_path, "raise Refused('no')", "--debug").stderr == "ledgerfill: no\n"
    assert "Traceback" not in faulty(tmp_path, "1 / 0", LEDGERFILL_DEBUG="0").stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_ends_a_waiting_command_with_its_code(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """Ctrl-C and SIGTERM end a command that waits for an answer, at once and in order."""
    ours, theirs = pty.openpty()
    asking = subprocess.Popen(
        [*PROGRAM, "store", "reset"], stdin=theirs, stderr=theirs, cwd=tmp_path, env=environment(tmp_path)
    )
    try:
        question = b""
        while b"[y/N]" not in question and select.select([ours], [], [], 20)[0]:
            question += os.read(ours, 1000)
        assert b"delete everything" in question
        asking.send_signal(number)
        assert asking.wait(20) == code
    finally:
        asking.kill()
        asking.wait()
        os.close(theirs)
        os.close(ours)


def test_reader_that_leaves_is_no_traceback(tmp_path: Path) -> None:
    """`ledgerfill --help | head -1` says nothing on standard error."""
    printing = subprocess.Popen(
        [sys.executable, "-c", FAULTY.format(statement="print('x' * 10_000_000)"), "fail"],
        cwd=tmp_path,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert printing.stdout is not None
    assert printing.stderr is not None
    printing.stdout.read(10)
    printing.stdout.close()
    assert printing.stderr.read() == b""
    assert printing.wait(20) == 1
    printing.stderr.close()


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_standard_output_that_is_full_is_named(tmp_path: Path, unbuffered: str) -> None:
    """What could not be printed is said in one line, whoever printed it, and whether at once or at the end."""
    for arguments in (["status"], ["store", "status"], ["--version"], ["--help"]):
        with Path("/dev/full").open("w") as full:
            ended = subprocess.run(
                [*PROGRAM, *arguments],
                cwd=tmp_path,
                env=environment(tmp_path) | {"PYTHONUNBUFFERED": unbuffered},
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                timeout=60,
            )
        said = "ledgerfill: cannot write to standard output: No space left on device\n"
        assert (ended.returncode, ended.stderr) == (1, said)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_change_nothing(tmp_path: Path, closed: str) -> None:
    """A command whose caller has closed its streams and its processes run as ever: no file gets these numbers."""
    look = "import os; assert all('/null' in os.readlink(f'/proc/self/fd/{n}') or 'pipe' in os.readlink("
    look += "f'/proc/self/fd/{n}') for n in range(3)), 'a number is taken'; os.open('/', 0); "
    look += "assert all(map(os.get_inheritable, range(3))), 'a number is free in its processes'; print('said')"
    program = [sys.executable, "-c", FAULTY.format(statement=look), "fail"]
    ended = run(tmp_path, "sh", "-c", f'exec "$@" {closed}', "sh", *program, program=())
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == ("" if ">&-" in closed.split() else "said\n")


def test_password_in_a_flag_is_warned_of_and_never_printed(tmp_path: Path) -> None:
    """The warning names PGPASSFILE; the password is in no line of what follows."""
    url = "postgresql://me:marker-flag@127.0.0.1:1/nothing"
    ended = run(tmp_path, "status", "--database", url)
    assert ended.returncode in (1, 2)
    assert "PGPASSFILE" in ended.stderr.splitlines()[0]
    assert "marker-flag" not in ended.stderr + ended.stdout


def test_refused_run_leaves_a_report(tmp_path: Path) -> None:
    """A run that never started has a report too, with the reason."""
    ended = run(tmp_path, "backfill", "--source", "nowhere", "--start-ledger", "2", "--report", "run.json")
    report = json.loads((tmp_path / "run.json").read_text())
    assert ended.returncode == 2
    assert (report["outcome"], report["exit_code"]) == ("refused", 2)
    assert ended.stderr.strip() == f"ledgerfill: {report['error']['message']}"


def test_nothing_is_imported_for_help_that_only_a_run_needs(tmp_path: Path) -> None:
    """Help loads neither pydantic nor psycopg nor obstore nor the Rust core: it is there at once."""
    program = [sys.executable, "-X", "importtime", "-m", "pipeline"]
    loaded = run(tmp_path, "backfill", "--help", program=program).stderr
    assert "cyclopts" in loaded
    for heavy in ("pydantic", "psycopg", "obstore", "workers._decode", "multiprocessing"):
        assert f" {heavy}\n" not in loaded


def test_start_and_stop_of_the_embedded_server(reachable: Path) -> None:
    """`store url` prints the URL alone, the same one each time; `store stop` ends with 0 also where nothing runs."""
    home = str(reachable / "door")
    try:
        first = run(reachable, "store", "url", LEDGERFILL_HOME=home)
        again = run(reachable, "store", "url", LEDGERFILL_HOME=home)
        assert (first.returncode, first.stdout.count("\n")) == (0, 1)
        assert first.stdout.startswith("postgresql://")
        assert again.stdout == first.stdout
        assert (
            json.loads(run(reachable, "store", "status", "--json", LEDGERFILL_HOME=home).stdout)["state"] == "running"
        )
        assert run(reachable, "store", "stop", LEDGERFILL_HOME=home).stdout == "stopped\n"
        stopped = run(reachable, "store", "stop", LEDGERFILL_HOME=home)
        assert (stopped.returncode, stopped.stdout) == (0, "not running\n")
    finally:
        ended = run(reachable, "store", "reset", "--yes", LEDGERFILL_HOME=home)
    assert ended.returncode == 0
    assert run(reachable, "store", "status", LEDGERFILL_HOME=home).stdout.startswith("absent")
