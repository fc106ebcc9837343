"""Where settings come from: flags, then `LEDGERFILL_*` and `DATABASE_URL`, then a TOML file; errors name the origin."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pipeline import config, secrets
from pipeline.config import CONFIG_FILE, PREFIX, Settings
from pipeline.errors import Refused

S = TypeVar("S", bound=Settings)


def load(model: type[S], flags: Mapping[str, Any]) -> S:
    """Make the settings of a command from its flags (None: not given), the environment and the file.

    Values are Any: text, number or list, until the model has read them.
    Raises `Refused`, which names the setting, its origin and what is wrong with it, and never shows a secret.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    path = _config_path(given.pop("config", None))
    in_file = _read_toml(path) if path else {}
    environment = _environment(model)
    general = {"database": url} if (url := os.environ.get("DATABASE_URL")) else {}
    if "database" in given:  # of a resume command, which never has a password
        elsewhere = [str(each["database"]) for each in (environment, general, in_file) if "database" in each]
        given["database"] = secrets.with_password(given["database"], elsewhere)
    environment = general | environment
    origins = {name: f"{name} in {path}" for name in in_file}
    origins |= {name: f"{PREFIX}{name.upper()}" for name in environment}
    origins |= {name: flag_of(name) for name in given}
    try:
        return model.model_validate(in_file | environment | given)
    except ValidationError as error:
        raise Refused(_explain(error.errors()[0], origins)) from None  # its own text shows the values


def flag_of(name: str) -> str:
    """Return the flag of a setting: `--stall-floor` of `stall_floor`."""
    return "--" + name.replace("_", "-")


def _environment(model: type[Settings]) -> dict[str, str]:
    """Read the variables of a command's settings; an empty one counts as not set.

    A few lines of our own: pydantic-settings would take 20 ms of every start to import.
    """
    names = [field.alias or name for name, field in model.model_fields.items()]
    found = {name: os.environ.get(f"{PREFIX}{name.upper()}") for name in names}
    return {name: value for name, value in found.items() if value}


def _config_path(given: str | None) -> Path | None:
    named = given or os.environ.get(f"{PREFIX}CONFIG")
    if named:
        return Path(named)
    return Path(CONFIG_FILE) if Path(CONFIG_FILE).is_file() else None


def _read_toml(path: Path) -> dict[str, Any]:
    """Read a file of settings; a name that no command knows is refused, for it is a typing error or worse."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Refused(f"cannot read the settings in {path}: {error.strerror}") from error
    except ValueError as error:
        raise Refused(f"cannot read the settings in {path}: {error}") from error
    named = {name.replace("-", "_"): value for name, value in values.items()}
    known = known_names()
    for name in named:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            raise Refused(f"unknown setting {name} in {path}" + (f": did you mean {near[0]}?" if near else ""))
    return named


def known_names() -> set[str]:
    """Return the name of every setting, as flags, environment and file write it."""
    models = [each for each in vars(config).values() if isinstance(each, type) and issubclass(each, Settings)]
    return {field.alias or name for model in models for name, field in model.model_fields.items()}


def _explain(error: ErrorDetails, origins: Mapping[str, str]) -> str:
    name = str(error["loc"][0]) if error["loc"] else ""
    if error["type"] == "missing":
        upper = PREFIX + name.upper()
        return f"{flag_of(name)} is missing (or {upper}, or {name} in {CONFIG_FILE})"
    message = error["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
    message = message[:1].lower() + message[1:]
    if not name:
        return message
    shown = "" if name == "database" else f" is {error['input']!r}"
    return f"{origins.get(name, name)}{shown}: {message}"
