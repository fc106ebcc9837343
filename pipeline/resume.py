"""The exact command that resumes a run, or is to be given beside it, quoted for a shell, without any secret."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Collection, Iterable
from pathlib import Path

from pydantic import SecretStr

from pipeline import secrets
from pipeline.config import JobSettings, SourceSettings, StoreSettings
from pipeline.config_sources import flag_of

_OUTPUT_ONLY = {"log_level", "display", "debug"}


def resume_command(settings: JobSettings, job: str = "backfill") -> str:
    """Return the command with every setting that was given, wherever it was, so that it needs no environment or file.

    The one exception is a password: it is taken from the environment that has it, or has to come from PGPASSFILE.
    """
    return _command(settings, job.split(), type(settings).model_fields.keys() - settings.unflagged)


def other_command(settings: JobSettings, *words: object, sourced: bool = False) -> str:
    """Return another command, of these words, for the same database, and `sourced` the same source."""
    about = (StoreSettings, SourceSettings) if sourced else (StoreSettings,)
    return _command(settings, map(str, words), {name for each in about for name in each.model_fields} - {"trusted"})


def _command(settings: JobSettings, words: Iterable[str], names: Collection[str]) -> str:
    """Return a command of words and of those settings that were given and are among `names`."""
    words = [*program(), *words]
    for name, field in type(settings).model_fields.items():
        if name in settings.model_fields_set and name in names and name not in _OUTPUT_ONLY:
            words += _words(flag_of(field.alias or name), getattr(settings, name))
    home = os.environ.get("LEDGERFILL_HOME") if settings.database is None else None  # whose embedded store it is
    return (f"LEDGERFILL_HOME={shlex.quote(home)} " if home else "") + shlex.join(words)


def _words(flag: str, value: object) -> list[str]:
    match value:
        case None | False:
            return []
        case True:
            return [flag]
        case SecretStr():
            return [flag, secrets.without_password(value.get_secret_value())]
        case tuple():
            return [word for each in value for word in (flag, _item(each))]
    return [flag, secrets.without_password(str(value))]


def _item(item: object) -> str:
    match item:
        case (int(ledger), bytes(trusted)):  # a trusted hash
            return f"{ledger}:{trusted.hex()}"
    return str(item)


def program() -> list[str]:
    """Return how this program was started, such that a shell in the same folder starts it again."""
    started = Path(sys.argv[0])
    found = shutil.which("ledgerfill")
    if started.name == "__main__.py":
        return [sys.executable, "-m", "pipeline"]
    return (
        ["ledgerfill"] if found and started.name == "ledgerfill" and Path(found).samefile(started) else [str(started)]
    )
