"""The real command in a process of its own, and what it must never leave behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

COMMAND = Path(sys.executable).with_name("ledgerfill")
GONE_S = 2.0  # until everything of a run is gone, whichever way it ended
_OURS = ("LEDGERFILL_", "DATABASE_", "PG", "AWS_")  # what must not leak in from the tester's own shell


def wait_for(what: Callable[[], Any], timeout_s: float = 30.0, every_s: float = 0.01) -> Any:
    """Return the first truthy answer of `what`; fail when there is none in time."""
    deadline = time.monotonic() + timeout_s
    while not (answer := what()):
        assert time.monotonic() < deadline, f"no answer from {what} in {timeout_s:g} s"
        time.sleep(every_s)
    return answer


@dataclass
class Running:
    """A command that was started and not waited for."""

    process: subprocess.Popen[str]
    program: Program

    @property
    def pid(self) -> int:
        """The process id of the command, which is the coordinator."""
        return self.process.pid

    def workers(self) -> list[int]:
        """Return the process ids of its workers: the children of its forkserver."""
        try:
            helpers = psutil.Process(self.pid).children()
            return [worker.pid for helper in helpers for worker in helper.children()]
        except psutil.NoSuchProcess:
            return []

    def family(self) -> list[int]:
        """Return the process ids of the command and of all that it has started."""
        try:
            return [self.pid, *(child.pid for child in psutil.Process(self.pid).children(recursive=True))]
        except psutil.NoSuchProcess:
            return []

    def listens(self) -> bool:
        """Return whether it has come so far that it handles SIGTERM itself, or has ended."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return True
        caught = next((line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")), "0")
        return self.ended() or bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)

    def parent_of(self, pid: int) -> int:
        """Return the parent of a process."""
        return psutil.Process(pid).ppid()

    def ended(self) -> bool:
        """Return whether it has ended."""
        return self.process.poll() is not None

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def send_to_all(self, number: signal.Signals) -> None:
        """Send a signal to all of its processes at once, as a terminal or a service manager does."""
        os.killpg(self.pid, number)

    def result(self, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Wait for its end; nothing of it may be left then."""
        try:
            out, err = self.process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            out, err = self.process.communicate()
            raise AssertionError(f"still running after {timeout_s:g} s, said: {out}\n{err}") from None
        ended = subprocess.CompletedProcess(self.process.args, self.process.returncode, out, err)
        assert "Traceback" not in out + err, out + err
        self.program.assert_nothing_left(self.pid)
        return ended


@dataclass
class Program:
    """The command with a home of its own; `database` goes by the environment, as a password should."""

    home: Path
    database: str | None
    folder: Path | None = None  # where commands run; None: where the home is
    started: list[Running] = field(default_factory=list)

    def __call__(
        self, *arguments: object, env: Mapping[str, str] | None = None, timeout_s: float = 120.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return self.start(*arguments, env=env).result(timeout_s)

    def shell(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run a line in a shell to its end."""
        return self._start(["sh", "-c", f"exec {line}"], {}).result()

    def start(self, *arguments: object, env: Mapping[str, str] | None = None) -> Running:
        """Start a command, without waiting for it."""
        return self._start([str(COMMAND), *map(str, arguments)], env or {})

    def _start(self, command: list[str], env: Mapping[str, str]) -> Running:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        clean |= {"LEDGERFILL_HOME": str(self.home)} | ({"LEDGERFILL_DATABASE": self.database} if self.database else {})
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder or self.home.parent,
            env=clean | dict(env),
        )
        self.started.append(Running(process, self))
        return self.started[-1]

    def backfill(
        self, source: object, first: int, last: int | None = None, *flags: object, **more: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a backfill to its end."""
        return self("backfill", *job(source, first, last), *flags, **more)

    def report(self, *arguments: object, **more: Any) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
        """Run a command with `--report` and return what it wrote."""
        path = self.home.parent / "report.json"
        path.unlink(missing_ok=True)
        ended = self(*arguments, "--report", path, **more)
        assert path.exists(), ended.stderr
        return ended, json.loads(path.read_text())

    def assert_nothing_left(self, pid: int) -> None:
        """Fail when a process of this home lives on, or a folder with results of the process `pid` is there."""
        folders = [Path(f"/dev/shm/ledgerfill-{os.getuid()}"), self.home / "results"]
        wait_for_none(lambda: [str(path) for folder in folders for path in folder.glob(f"{pid}-*")])
        wait_for_none(self.processes)

    def processes(self) -> list[str]:
        """Return what runs with this home, PostgreSQL and runs that were not waited for aside."""
        living = {pid for run in self.started if not run.ended() for pid in run.family()}
        folders = [path for path in Path("/proc").iterdir() if path.name.isdigit() and int(path.name) not in living]
        commands = [_command(folder) for folder in folders if self._is_ours(folder)]
        return [command for command in commands if "postgres" not in command]

    def _is_ours(self, folder: Path) -> bool:
        try:
            return f"LEDGERFILL_HOME={self.home}\0".encode() in (folder / "environ").read_bytes()
        except OSError:  # it is gone, or another user's
            return False

    def end(self) -> None:
        """Kill what a failed test has left running."""
        for run in self.started:
            run.process.kill()
            if not run.process.stdout.closed:
                run.process.communicate()


def job(source: object, first: int, last: int | None = None) -> Sequence[str]:
    """Return the flags of a range."""
    return ["--source", str(source), "--start-ledger", str(first), *(["--end-ledger", str(last)] if last else [])]


def make_lake(folder: Path, ledgers: int, *flags: str) -> Path:
    """Make a synthetic lake from ledger 2 on."""
    command = [COMMAND, "lake", "make", folder, "--ledgers", str(ledgers), *flags]
    subprocess.run(command, check=True, capture_output=True)
    return folder


def ended_well(program: Program, *arguments: object) -> str:
    """Run a command that has to succeed, and return what it wrote."""
    ended = program(*arguments)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def wait_for_none(what: Callable[[], list[str]]) -> None:
    """Fail when `what` still returns something after the time in which everything must be gone."""
    deadline = time.monotonic() + GONE_S
    while left := what():
        assert time.monotonic() < deadline, f"left behind: {left}"
        time.sleep(0.02)


def _command(folder: Path) -> str:
    try:
        return (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode() + f"({folder.name})"
    except OSError:
        return folder.name
