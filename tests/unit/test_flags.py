"""Every setting has its flag, and what help says of a default is the default."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any, get_type_hints

from pydantic import ByteSize

from pipeline.cli.flags import BackfillFlags, DatabaseFlags, OutputFlags, RangeFlags, VerifyFlags, given
from pipeline.config import BackfillSettings, VerifySettings


def names(model: type[BackfillSettings] | type[VerifySettings]) -> dict[str, Any]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def help_of(flag: str) -> str:
    return get_type_hints(BackfillFlags, include_extras=True)[flag].__metadata__[0].help


def test_every_setting_of_a_job_has_a_flag_and_no_flag_is_without_one() -> None:
    """Flags and settings are the same list; --config alone is about the settings themselves."""
    for kind, settings in ((BackfillFlags, BackfillSettings), (VerifyFlags, VerifySettings)):
        assert {field.name for field in fields(kind)} - {"config"} == names(settings).keys()


def test_help_says_the_default_that_is_true() -> None:
    """A number in parentheses at the end of a flag's help is the default of its setting."""
    said = {}
    for name, field in names(BackfillSettings).items():
        match = re.search(r"\((\d[\d.]*(?:MiB)?)\)\.$", help_of(name))
        if match:
            said[name] = match[1]
            plain = ByteSize._validate(match[1], None) if "MiB" in match[1] else float(match[1])  # type: ignore[arg-type]
            assert plain == field.default, name
    assert {"max_attempts", "stall_floor", "stall_ceiling", "hole_deadline", "max_object_bytes"} <= said.keys()


def test_only_what_was_given_is_passed_on() -> None:
    """A flag that was not given leaves the word to environment and file."""
    groups = (RangeFlags(start_ledger=5), None, DatabaseFlags(), OutputFlags(debug=False))
    assert given(*groups) == {"start_ledger": 5, "debug": False}
