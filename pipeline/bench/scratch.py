"""The throw-away ground of a bench: a folder with a server in it that goes away, whichever way the bench ends."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from pipeline import usage
from pipeline.errors import BackfillError, Refused
from pipeline.store.connection import connect
from pipeline.store.embedded import EmbeddedServer, settings
from pipeline.store.trial import renew

_END_S = 10.0  # that a child has to end in when it is told to
_USERS_OWN = ("LEDGERFILL_", "DATABASE_URL", "PG")  # variables that could lead to a store or a setting of the user's


@dataclass(frozen=True, slots=True)
class Scratch:
    """A folder, a running server of its own and a connection to it."""

    folder: Path
    server: EmbeddedServer
    url: str
    postmaster: int  # process id
    conn: psycopg.Connection

    @property
    def home(self) -> Path:
        """What the program takes for `LEDGERFILL_HOME` here: a backfill without a database finds this server."""
        return self.folder / "home"

    @property
    def log(self) -> Path:
        """What the last child said."""
        return self.folder / "log"

    @property
    def server_version(self) -> str:
        """PostgreSQL's: `18.6`."""
        return self.conn.info.parameter_status("server_version") or "unknown"

    def renew(self) -> None:
        """Have an empty store, a server set for loading, and nothing left to write of what was there before."""
        self.server.use(settings.LOADING)
        renew(self.conn)

    @contextmanager
    def child(self, *arguments: str | Path) -> Iterator[subprocess.Popen[bytes]]:
        """Start this program with nothing of the user's own, its words in `log`; it has ended afterwards."""
        with self.log.open("wb") as out:
            process = subprocess.Popen(  # noqa: S603  # this very program
                [sys.executable, "-m", "pipeline", *map(str, arguments)],
                cwd=self.folder,  # where it finds no ledgerfill.toml, and is found by the sweeper
                env=environment(self.home),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C is this process's to hand on
            )
        try:
            yield process
        finally:
            _end(process)

    def require_success(self, process: subprocess.Popen[bytes], what: str) -> None:
        """Raise `BackfillError` with the last words of a child that has not ended well."""
        if process.returncode != 0:
            said = next(reversed(self.log.read_text(errors="replace").splitlines()), "it said nothing")
            raise BackfillError(f"{what} ended with code {process.returncode}: {said.removeprefix('ledgerfill: ')}")

    def cpu_s(self) -> float:
        """Return the CPU seconds that the server's processes have had so far."""
        found = usage.tree_s(self.postmaster)
        if found is None:
            raise BackfillError("the throw-away PostgreSQL has ended in the midst of a measurement")
        return found


def _end(process: subprocess.Popen[bytes]) -> None:
    for _ in range(2):  # at the second a run does not wait for what is being committed
        process.terminate()
        try:
            process.wait(_END_S / 2)
        except subprocess.TimeoutExpired:
            continue
        return
    process.kill()
    process.wait()


def environment(home: Path) -> dict[str, str]:
    """Return this process's environment, but with nothing in it of the user's own store and settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_USERS_OWN)} | {
        "LEDGERFILL_HOME": str(home)
    }


@contextmanager
def scratch(parent: Path) -> Iterator[Scratch]:
    """Make a folder under `parent` and start a server in it, with the settings that users get."""
    with _folder(parent) as folder:
        for name in [name for name in os.environ if name.startswith("PG")]:
            del os.environ[name]  # libpq would follow PGHOSTADDR to somebody else's server
        server = EmbeddedServer(folder / "home")
        url = server.ensure_running()
        postmaster = server.pid()
        if postmaster is None:
            raise BackfillError("the throw-away PostgreSQL has ended right after its start")
        with closing(connect(url)) as conn:
            yield Scratch(folder, server, url, postmaster, conn)


@contextmanager
def _folder(parent: Path) -> Iterator[Path]:
    """Make a folder that another process deletes when this one has left here or is gone."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="ledgerfill-bench-", dir=parent)).resolve()
    except OSError as error:
        raise Refused(f"cannot make a folder in {parent}: {error.strerror}: name another one with --folder") from error
    if os.geteuid() == 0:
        folder.chmod(0o711)  # another user serves the store, and has to get there
    sweeper = subprocess.Popen(  # noqa: S603  # this package's own
        [sys.executable, "-m", "pipeline.bench.sweep", str(folder)], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        yield folder
    finally:
        _swept(sweeper)


def _swept(sweeper: subprocess.Popen[bytes]) -> None:
    if sweeper.stdin is not None:
        sweeper.stdin.close()
    sweeper.wait()
