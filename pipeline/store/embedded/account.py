"""The operating-system user that the server runs as: PostgreSQL refuses to run as root."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import Refused

_CANDIDATES = ("postgres", "nobody")
# Neither PG* variables nor a locale of the caller's may change what the server does.
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
# Names the first folder of a path that is out of reach, from the root down; nothing where all can be entered.
_FIRST_OUT_OF_REACH = 'for folder do [ -x "$folder" ] || { printf %s "$folder"; exit; }; done'


@dataclass(frozen=True, slots=True)
class Account:
    """Who the server runs as; `switch` where that is not who runs the program."""

    uid: int
    gid: int
    name: str
    switch: bool

    def run(self, command: Sequence[str | Path], *, pass_fds: Sequence[int] = ()) -> subprocess.Popen[bytes]:
        """Start a command as this user, in a session of its own, with its streams on /dev/null."""
        return self._popen(command, stdout=subprocess.DEVNULL, pass_fds=pass_fds)

    def output(self, command: Sequence[str | Path], *, pass_fds: Sequence[int] = ()) -> tuple[int, str]:
        """Run a short command as this user; return its exit code and the text it wrote."""
        with self._popen(command, stdout=subprocess.PIPE, pass_fds=pass_fds) as process:
            text, _ = process.communicate()
            return process.returncode, text.decode(errors="replace").strip()

    def blocked_at(self, folder: Path) -> Path | None:
        """Return the first folder on the way to `folder` that this user cannot enter, or None."""
        if not self.switch:
            return None
        way = [*reversed(folder.parents), folder]
        _, found = self.output(["/bin/sh", "-c", _FIRST_OUT_OF_REACH, "sh", *way])
        return Path(found) if found else None

    def give(self, path: Path) -> None:
        """Make `path` this user's."""
        if self.switch:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def _popen(
        self, command: Sequence[str | Path], *, stdout: int, pass_fds: Sequence[int] = ()
    ) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(  # noqa: S603  # the commands are this package's own
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stdout if stdout == subprocess.DEVNULL else subprocess.STDOUT,
                env=_ENVIRONMENT,
                cwd="/",  # the caller's may be out of the user's reach
                umask=0o077,
                start_new_session=True,  # a Ctrl-C at the caller's terminal is not the server's
                pass_fds=pass_fds,
                user=self.uid if self.switch else None,
                group=self.gid if self.switch else None,
                extra_groups=[] if self.switch else None,
            )
        except (PermissionError, subprocess.SubprocessError) as error:
            raise Refused(
                f"cannot run the embedded PostgreSQL as user {self.name} ({error}): run this as an ordinary user, "
                "or name a server with --database"
            ) from error


def choose(data: Path) -> Account:
    """Return who the server runs as: the caller, for root the owner of `data`, else `postgres` or `nobody`."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), name_of(os.geteuid()), switch=False)
    try:
        owner = data.stat()
    except FileNotFoundError:
        pass
    else:
        if owner.st_uid == 0:
            raise Refused(
                f"{data} belongs to root, and PostgreSQL does not run as root: give it to user {_any().pw_name}"
            )
        return Account(owner.st_uid, owner.st_gid, name_of(owner.st_uid), switch=True)
    found = _any()
    return Account(found.pw_uid, found.pw_gid, found.pw_name, switch=True)


def name_of(uid: int) -> str:
    """Return a user's name, or its number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def mode_of(path: Path) -> str:
    """Return the permissions of a path as people write them: `0700`."""
    return f"{stat.S_IMODE(path.stat().st_mode):04o}"


def _any() -> pwd.struct_passwd:
    for name in _CANDIDATES:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise Refused(
        f"root needs an unprivileged user for the embedded PostgreSQL, and there is none of {', '.join(_CANDIDATES)}: "
        "make one, run this as an ordinary user, or name a server with --database"
    )
