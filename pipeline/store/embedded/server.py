"""Makes, starts, stops and deletes the embedded PostgreSQL of one home; it outlives whoever started it."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import BackfillError
from pipeline.store.embedded import account, binaries, layout, locks, postmaster, settings
from pipeline.store.embedded.account import Account
from pipeline.store.embedded.binaries import Binaries
from pipeline.store.embedded.home import open_home, owned_by_caller
from pipeline.store.embedded.wait import Wait, failure_in

logger = logging.getLogger(__name__)
_USER, _DATABASE = "ledgerfill", "postgres"
_FOREVER_S = "100000000"  # pg_ctl wants a limit, and recovery takes as long as it takes: three years
_PORT_ATTEMPTS = 5
_REAPED_S = 1.0  # within which a dead postmaster is reaped, where there is anybody who does
_NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}


class ServerFailed(BackfillError):
    """The embedded PostgreSQL could not be made or started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatus:
    """How the embedded server stands."""

    home: Path
    state: str  # absent, stopped, starting, running, stopping
    pid: int | None = None
    url: str | None = None  # without its password
    version: str = ""  # of PostgreSQL: `18.6`
    data_bytes: int = 0
    unusable: str | None = None  # why a start would be refused

    @property
    def running(self) -> bool:
        """Return whether it takes connections."""
        return self.state == "running"


def default_home() -> Path:
    """Return `LEDGERFILL_HOME`, else the user's data folder, for root `/var/lib/ledgerfill`."""
    named = os.environ.get("LEDGERFILL_HOME")
    if named:
        return Path(named).expanduser().absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/ledgerfill")
    data = os.environ.get("XDG_DATA_HOME", "")
    return (Path(data) if Path(data).is_absolute() else Path.home() / ".local" / "share") / "ledgerfill"


class EmbeddedServer:
    """The server under `home`. Between calls nothing is held: everything is read from the folder and the processes."""

    def __init__(
        self,
        home: Path,
        *,
        durable: bool = True,
        overrides: Mapping[str, str] | None = None,
        wheel: Binaries | None = None,
    ) -> None:
        """Name the folder; nothing is made yet.

        `durable=False`: a power cut may destroy the store, a killed process may not. `overrides` are settings of
        PostgreSQL that go before the program's own, `wheel` is where its programs come from.
        """
        self.home = home.expanduser().absolute().resolve()
        self._layout = layout.Layout(self.home)
        self._durable = durable
        self._settings = ({} if durable else _NOT_DURABLE) | dict(overrides or {})
        self._wheel = wheel

    def ensure_running(self) -> str:
        """Make the store if there is none, start its server if it does not run, and return its URL with the password.

        Waits for as long as crash recovery takes and logs what it waits for.
        Raises `Refused` where it cannot be done here, `ServerFailed` with PostgreSQL's own words.
        """
        wheel = self._wheel or binaries.find()
        open_home(self.home)
        with self._alone():
            if running := self._running_unchanged(wheel.major):
                return running
            user = account.choose(self._layout.data)
            binaries.refuse_unreachable(self.home, user)
            programs = binaries.within_reach(wheel, user, self._layout.binaries)
            if not self._layout.store.exists():
                self._make(programs, user)
            self._bring_up_to_date(programs)
            return self._url(self._started(programs, user), self._layout.password.read_text())

    def revive(self) -> str | None:
        """Return the URL with the password of a server that runs; one that has died is started again for it.

        None where somebody has stopped it, or stops it now, or has deleted the store: that was meant.
        """
        if not owned_by_caller(self.home):
            return None
        with self._alone():  # whoever stops it has done so then
            found = postmaster.serving(self._layout.data)
            if postmaster.read(self._layout.data) is None or (found is not None and found.state == "stopping"):
                return None
            if found is None:
                logger.warning("the embedded PostgreSQL has died: starting it again")
        return self.ensure_running()

    def running_url(self) -> str | None:
        """Return the URL with the password of the server that runs, or None; nothing is started or waited for."""
        if not owned_by_caller(self.home):
            return None
        found = postmaster.serving(self._layout.data)
        if found is None or found.state != "ready":
            return None
        return self._url(found, self._layout.password.read_text())

    def _running_unchanged(self, major: int) -> str | None:
        """Return the URL of a server that runs and is of this program's versions: nothing is left to do then."""
        url = self.running_url()
        return url if url and layout.read_version(self._layout.store) == (layout.LAYOUT, major) else None

    def pid(self) -> int | None:
        """Return the process id of the postmaster that runs, or None; unlike `status` it does not measure the store."""
        found = postmaster.serving(self._layout.data)
        return None if found is None else found.pid

    def use(self, profile: Mapping[str, str]) -> None:
        """Have the running server take the settings of a profile; where none runs, do nothing: a start has its own.

        Sessions take them between two statements, from a moment after this returns. What ALTER SYSTEM set goes before.
        Raises `ServerFailed` where the file cannot be written.
        """
        if not owned_by_caller(self.home):
            return
        with self._alone():
            found = postmaster.serving(self._layout.data)
            if found is None or found.state != "ready":
                return
            # All else stays as that start wrote it: to take it anew, the server would have to be started anew.
            started_with = settings.parse(self._layout.settings.read_text())
            self._put_settings({**started_with, **profile, **self._settings})
            os.kill(found.pid, signal.SIGHUP)

    def stop(self) -> bool:
        """Stop the server and wait for its last process; return whether one ran. None running is fine."""
        if not owned_by_caller(self.home):
            return False
        try:
            with self._alone():
                return self._stop()
        except ServerFailed:  # a home where nothing can be written
            if self.state() in ("absent", "stopped"):
                return False
            raise

    def reset(self) -> None:
        """Stop the server and delete the store, of whatever version it is."""
        if not owned_by_caller(self.home):
            return
        with self._alone():
            self._stop()
            if self._layout.store.exists():
                shutil.rmtree(self._layout.old, ignore_errors=True)
                self._layout.store.rename(self._layout.old)  # interrupted from here on, it is gone all the same
            for folder in (self._layout.old, self._layout.new, self._layout.binaries):
                if folder.exists():
                    shutil.rmtree(folder)

    def status(self) -> ServerStatus:
        """Return how it stands; nothing is started, waited for or written. Looks at every file of the store."""
        data = self._layout.data
        if self.state() == "absent":
            return ServerStatus(home=self.home, state="absent")
        found, wheel = postmaster.serving(data), self._wheel or binaries.find()
        return ServerStatus(
            home=self.home,
            state=_state(found),
            pid=found.pid if found else None,
            url=self._url(found) if found and found.state == "ready" else None,
            version=".".join(wheel.version.split(".")[:2]),
            data_bytes=sum(_size(path) for path in data.rglob("*")),
            unusable=layout.unusable(self._layout, wheel.major),
        )

    def state(self) -> str:
        """Return the state alone, which takes the same time whatever is in the store."""
        if not owned_by_caller(self.home) or not self._layout.store.exists():
            return "absent"
        return _state(postmaster.serving(self._layout.data))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep every other starter out; a full disk or a missing permission becomes an error with words."""
        try:
            with locks.exclusive(self._layout.start_lock):
                yield
        except OSError as error:
            where = error.filename or self.home
            raise ServerFailed(f"the embedded PostgreSQL cannot use {where}: {error.strerror or error}") from error

    def _make(self, programs: Binaries, user: Account) -> None:
        """Make the store beside its place and rename it when it is whole: there is never half a store."""
        self._wait_for_orphans()
        new = self._layout.new
        for folder in (new, self._layout.old):
            shutil.rmtree(folder, ignore_errors=True)
        logger.info("making a PostgreSQL store in %s", self._layout.store)
        try:
            self._fill(new, programs, user)
        except (ServerFailed, OSError):  # its room may be what is short
            shutil.rmtree(new, ignore_errors=True)
            raise
        new.rename(self._layout.store)
        layout.sync(self.home)

    def _fill(self, new: Path, programs: Binaries, user: Account) -> None:
        new.mkdir()
        new.chmod(0o755 if user.switch else 0o700)
        (new / "data").mkdir(mode=0o700)
        user.give(new / "data")
        password = secrets.token_urlsafe(24)
        _write(new / "password", password)
        self._initdb(programs, user, password)
        layout.write_version(new, layout.LAYOUT, programs.major)

    def _initdb(self, programs: Binaries, user: Account, password: str) -> None:
        given = self._layout.new / "password.initdb"
        _write(given, password)
        user.give(given)
        command: list[str | Path] = [programs.program("initdb"), "--pgdata", self._layout.new / "data"]
        command += ["--username", _USER, "--pwfile", given, "--auth", "scram-sha-256", "--no-instructions"]
        command += [
            "--encoding",
            "UTF8",
            "--locale",
            "C",
            "--locale-provider",
            "builtin",
            "--builtin-locale",
            "C.UTF-8",
        ]
        with locks.inherited(self._layout.server_lock) as held:
            code, text = user.output(command if self._durable else [*command, "--no-sync"], pass_fds=(held,))
        given.unlink()
        if code != 0:
            reason = failure_in(text) if text else f"exit code {code}"
            raise ServerFailed(f"cannot make a PostgreSQL store in {self._layout.store}: {reason}")

    def _bring_up_to_date(self, programs: Binaries) -> None:
        if layout.read_version(self._layout.store)[0] < layout.LAYOUT:
            self._stop()
        layout.bring_up_to_date(self._layout, programs.major)

    def _started(self, programs: Binaries, user: Account) -> postmaster.Postmaster:
        """Return the server that takes connections; start it where no process has the folder."""
        wait, attempts = Wait("the embedded PostgreSQL to take connections", self._layout.log), 0
        while True:
            found = postmaster.serving(self._layout.data)
            if found is not None and found.state == "ready" and found.port:
                return found
            if found is None and not locks.in_use(self._layout.server_lock):
                self._start(programs, user, attempts)
                attempts += 1
            else:
                wait.pause()

    def _start(self, programs: Binaries, user: Account, attempts: int) -> None:
        """Start the server once; another one that takes the port at this very moment is no failure yet."""
        self._drop_stale_pid()
        binaries.drop_others(self._layout.binaries, programs.version)
        self._write_settings(fresh_port=attempts > 0)
        written = self._open_log(user)
        command: list[str | Path] = [programs.program("pg_ctl"), "start", "-w", "-t", _FOREVER_S]
        command += ["-D", self._layout.data, "-l", self._layout.log, "-o", f'-c "config_file={self._layout.settings}"']
        with locks.inherited(self._layout.server_lock) as held:
            starter = user.run(command, pass_fds=(held,))
        if self._code_of(starter) == 0:
            return
        said = self._layout.log.read_bytes()[written:].decode(errors="replace")
        if "Address already in use" not in said or attempts + 1 >= _PORT_ATTEMPTS:
            raise ServerFailed(f"the embedded PostgreSQL did not start: {failure_in(said)} (see {self._layout.log})")

    def _code_of(self, starter: subprocess.Popen[bytes]) -> int:
        wait = Wait("the embedded PostgreSQL to start", self._layout.log)
        while (code := starter.poll()) is None:
            wait.pause()
        return code

    def _drop_stale_pid(self) -> None:
        """Remove `postmaster.pid` where no process has the folder, but its number stays in use.

        PostgreSQL sees through every other leftover by itself, and checks more than the number; only another process
        of its user, or a zombie that nobody reaps, makes it refuse. One that is just ending is waited for.
        """
        left = postmaster.read(self._layout.data)
        if left is None:
            return
        end = time.monotonic() + _REAPED_S
        while postmaster.blocks_start(left.pid):
            if time.monotonic() > end:
                logger.info("removing the postmaster.pid of a server that is gone: number %s is another's", left.pid)
                (self._layout.data / "postmaster.pid").unlink()
                return
            time.sleep(0.02)

    def _write_settings(self, *, fresh_port: bool) -> None:
        """Write the configuration file; the port of the last start is kept where it is free."""
        path = self._layout.settings
        last = int(settings.parse(path.read_text()).get("port", 0)) if path.exists() else 0
        port = last if last and not fresh_port and _is_free(last) else _free_port()
        wanted = {**settings.common(settings.memory_bytes()), **settings.SERVING, **self._settings}
        self._put_settings(wanted | {"port": str(port)})

    def _put_settings(self, wanted: Mapping[str, str]) -> None:
        path = self._layout.settings
        unfinished = path.with_suffix(".new")
        unfinished.write_text(settings.text(wanted))
        unfinished.chmod(0o644)
        unfinished.rename(path)

    def _open_log(self, user: Account) -> int:
        """Have a log that the server's user may write; return how many bytes are in it."""
        log = self._layout.log
        if log.exists() and log.stat().st_size > 16 << 20:
            log.rename(log.with_suffix(".log.1"))
        if not log.exists():
            _write(log, "")
        user.give(log)  # every time: a starter may have been killed right before it
        return log.stat().st_size

    def _stop(self) -> bool:
        """Ask the postmaster to end, and wait for its last process."""
        wait, asked = Wait("the embedded PostgreSQL to stop", self._layout.log), 0
        while (found := postmaster.serving(self._layout.data)) or locks.in_use(self._layout.server_lock):
            if found is not None and found.pid != asked:
                os.kill(found.pid, signal.SIGINT)  # its fast shutdown: sessions end, a checkpoint, no recovery later
                asked = found.pid
            wait.pause()
        return asked != 0

    def _wait_for_orphans(self) -> None:
        wait = Wait("the processes of a start that was killed", self._layout.log)
        while locks.in_use(self._layout.server_lock):
            wait.pause()

    @staticmethod
    def _url(found: postmaster.Postmaster, password: str | None = None) -> str:
        secret = "" if password is None else f":{password}"
        return f"postgresql://{_USER}{secret}@127.0.0.1:{found.port}/{_DATABASE}"


def _state(found: postmaster.Postmaster | None) -> str:
    return "stopped" if found is None else {"ready": "running"}.get(found.state, found.state or "starting")


def _write(path: Path, text: str) -> None:
    """Write a file that is nobody else's to read, and was not there."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size if not path.is_dir() else 0
    except FileNotFoundError:  # the server removed it meanwhile
        return 0


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
