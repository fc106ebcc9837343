"""The folder that holds the store: made where it is missing, refused where it is somebody else's."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pipeline.errors import Refused
from pipeline.store.embedded.account import name_of

_ELSEWHERE = "name another folder with LEDGERFILL_HOME"
_UNQUOTED = re.compile(r"""["$`\\\n]""")  # `pg_ctl` hands the path to a shell, in double quotes


def open_home(home: Path) -> None:
    """Make the folder and those above it; `Refused` where that cannot be."""
    if found := _UNQUOTED.search(str(home)):
        raise Refused(f"PostgreSQL cannot be started under a path with {found[0]!r} in it, {home}: {_ELSEWHERE}")
    try:
        missing = [folder for folder in (*reversed(home.parents), home) if not folder.exists()]
        for folder in missing:
            folder.mkdir(exist_ok=True)
            # Root's store is served by another user, who has to get there; an ordinary user's is his own.
            folder.chmod(0o755 if os.geteuid() == 0 else 0o700)
    except OSError as error:
        raise Refused(f"cannot make {home}: {error.strerror}: {_ELSEWHERE}") from error
    owned_by_caller(home)
    if not os.access(home, os.W_OK | os.X_OK):
        raise Refused(f"cannot write into {home}: {_ELSEWHERE}")


def owned_by_caller(home: Path) -> bool:
    """Return whether there is a home; `Refused` where it is another user's."""
    try:
        owner = home.stat().st_uid
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise Refused(f"cannot reach {home}: {error.strerror}: {_ELSEWHERE}") from error
    if owner != os.geteuid():
        raise Refused(f"{home} belongs to user {name_of(owner)}: run this as that user, or {_ELSEWHERE}")
    return True
