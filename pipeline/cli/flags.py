"""Flags that several commands share. None means not given: then environment, file and the settings' defaults decide.

Imports nothing heavy: `ledgerfill --help` reads this file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Annotated, Any

from cyclopts import Group, Parameter, Token

_PROTOCOLS = Group("Protocols", sort_key=0)
_SOURCE = Group("Source", sort_key=1)
_RANGE = Group("Range", sort_key=2)
_DATABASE = Group("Database", sort_key=3)
_ENGINE = Group("Engine", sort_key=4)
_STALLS = Group("Stalls", sort_key=5)
_OUTPUT = Group("Output", sort_key=6)


def _flag(group: Group, text: str, metavar: str | None = None, **more: Any) -> Parameter:  # Any: cyclopts' own
    return Parameter(help=text, group=group, metavar=metavar, **more)


def whole_number(_: object, tokens: Sequence[Token]) -> int:
    """Read a whole number and nothing else: 2.5 ledgers are a mistake, not 2."""
    text = tokens[0].value
    if not re.fullmatch(r"\s*[+-]?[0-9]+\s*", text):
        raise ValueError(f"expected a whole number, found {text!r}")
    return int(text)


def _whole(group: Group, text: str, metavar: str) -> Parameter:
    return _flag(group, text, metavar, converter=whole_number)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class SourceFlags:
    """Where ledgers come from."""

    source: Annotated[
        str | None,
        _flag(
            _SOURCE,
            "The lake: a folder, s3://bucket/path, gs://…, az://… (credentials from AWS_* and the like; "
            "AWS_SKIP_SIGNATURE=true for a public one), or a stream: stream:FILE.",
            "URL",
        ),
    ] = None
    network_passphrase: Annotated[
        str | None, _flag(_SOURCE, "The network's passphrase, where no manifest names it.", "TEXT")
    ] = None
    trusted_hash: Annotated[
        list[str] | None,
        _flag(
            _SOURCE,
            "The hash of one ledger as you know it from elsewhere; anchors the chain. May be repeated.",
            "SEQ:HEX",
            negative_iterable="",
        ),
    ] = None
    ledgers_per_object: Annotated[int | None, _whole(_SOURCE, "For an old lake without manifest.", "N")] = None
    objects_per_partition: Annotated[int | None, _whole(_SOURCE, "For an old lake without manifest.", "N")] = None
    suffix: Annotated[str | None, _flag(_SOURCE, "How keys end: .xdr.zst or .xdr.zstd.", "TEXT")] = None
    max_object_bytes: Annotated[
        str | None, _flag(_SOURCE, "Refuse objects of more plain bytes than this (256MiB).", "SIZE")
    ] = None
    fetch_timeout: Annotated[float | None, _flag(_SOURCE, "Seconds until a request is given up (15).", "S")] = None
    fetch_attempts: Annotated[int | None, _whole(_SOURCE, "Tries of a request (4).", "N")] = None
    fetch_concurrency: Annotated[int | None, _whole(_SOURCE, "Requests at once, by each worker (64).", "N")] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class RangeFlags:
    """Which ledgers."""

    start_ledger: Annotated[int | None, _whole(_RANGE, "First ledger, included.", "N")] = None
    end_ledger: Annotated[int | None, _whole(_RANGE, "Last ledger, included (the newest of the source).", "N")] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class DatabaseFlags:
    """Which database."""

    database: Annotated[
        str | None,
        _flag(
            _DATABASE,
            "PostgreSQL 15 or newer; else LEDGERFILL_DATABASE, DATABASE_URL, or the program's own embedded server. "
            "Others on this machine see a password in a flag: use PGPASSFILE.",
            "URL",
        ),
    ] = None
    insecure_tls: Annotated[
        bool | None,
        _flag(_DATABASE, "Do not ask a server that is not local to prove who it is.", negative=""),
    ] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class EngineFlags:
    """How much at once, and how long to wait."""

    workers: Annotated[
        str | None, _flag(_ENGINE, "Worker processes, or auto: one a core, more for a slow source (auto).", "K")
    ] = None
    connections: Annotated[
        str | None,
        _flag(_ENGINE, "Connections that copy side by side, or auto: half the cores, at least 2 (auto).", "N"),
    ] = None
    chunk_ledgers: Annotated[int | None, _whole(_ENGINE, "Ledgers a chunk (by cost, 16 to 64 MiB).", "N")] = None
    window: Annotated[int | None, _whole(_ENGINE, "Chunks handed out and not committed (4 a worker).", "N")] = None
    window_bytes: Annotated[str | None, _flag(_ENGINE, "Bytes of rows in work or held (256MiB a worker).", "SIZE")] = (
        None
    )
    max_attempts: Annotated[int | None, _whole(_STALLS, "Attempts at a chunk before the run aborts (3).", "N")] = None
    stall_floor: Annotated[float | None, _flag(_STALLS, "Seconds an attempt has at the least (20).", "S")] = None
    stall_ceiling: Annotated[float | None, _flag(_STALLS, "Seconds an attempt has at the most (600).", "S")] = None
    hole_deadline: Annotated[float | None, _flag(_STALLS, "Seconds a missing object may still turn up (60).", "S")] = (
        None
    )


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class OutputFlags:
    """What is said, where."""

    config: Annotated[
        str | None, _flag(_OUTPUT, "Settings (LEDGERFILL_CONFIG, else ledgerfill.toml where there is one).", "FILE")
    ] = None
    log_level: Annotated[str | None, _flag(_OUTPUT, "debug, info, warning or error (info).", "LEVEL")] = None
    debug: Annotated[bool | None, _flag(_OUTPUT, "Show a traceback where the program is at fault.", negative="")] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class JobOutputFlags(OutputFlags):
    """What is said of a run."""

    report: Annotated[str | None, _flag(_OUTPUT, "Write the report as JSON, however the run ends.", "FILE")] = None
    display: Annotated[bool | None, _flag(_OUTPUT, "The live display on a terminal (on).")] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class JobFlags(JobOutputFlags, EngineFlags, DatabaseFlags, RangeFlags, SourceFlags):
    """All that a job over a range of ledgers takes."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class BackfillFlags(JobFlags):
    """All that `backfill` and `plan` take."""

    fill_gaps: Annotated[
        bool | None,
        _flag(
            _RANGE,
            "Fill exactly what `gaps` finds, between the store's lowest and highest ledger or in the range given.",
            negative="",
        ),
    ] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class VerifyFlags(JobFlags):
    """All that `verify` takes."""

    no_database: Annotated[
        bool | None,
        _flag(_DATABASE, "Prove the ledgers of the source alone: no rows, no database.", negative=""),
    ] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class SetupFlags(JobOutputFlags, EngineFlags, DatabaseFlags, SourceFlags):
    """All that `setup` takes."""

    protocol_id: Annotated[
        list[str] | None,
        _flag(
            _PROTOCOLS,
            "A protocol to set up: SEP41, SEP50 or that of a plug-in (those that are). May be repeated.",
            "ID",
            negative_iterable="",
        ),
    ] = None
    archive: Annotated[
        str | None,
        _flag(_PROTOCOLS, "A history archive, a folder or http(s)://…: its live contracts are read.", "URL"),
    ] = None
    checkpoint: Annotated[int | None, _whole(_PROTOCOLS, "Checkpoint of the archive (its newest).", "LEDGER")] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class MigrateFlags(JobOutputFlags, EngineFlags, DatabaseFlags, SourceFlags):
    """All that `migrate history` takes."""

    protocol_id: Annotated[
        list[str] | None,
        _flag(_PROTOCOLS, "A protocol that is set up. May be repeated.", "ID", negative_iterable=""),
    ] = None
    until_tip: Annotated[
        bool | None,
        _flag(_PROTOCOLS, "End at the newest ledger of the database, not with live ingestion.", negative=""),
    ] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class CurrentStateFlags(MigrateFlags):
    """All that `migrate current-state` takes."""

    start_ledger: Annotated[
        int | None, _whole(_PROTOCOLS, "First ledger: sums begin at zero before it. Kept from then on.", "N")
    ] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class LiveFlags(JobOutputFlags, EngineFlags, DatabaseFlags, SourceFlags):
    """All that `live` takes."""

    start_ledger: Annotated[
        int | None, _whole(_RANGE, "First ledger (after the store's last; in an empty one the source's newest).", "N")
    ] = None
    until_tip: Annotated[bool | None, _flag(_RANGE, "End at the newest ledger of the source.", negative="")] = None
    retention_ledgers: Annotated[
        int | None, _whole(_RANGE, "Keep the newest N ledgers and their history, drop what is older (all).", "N")
    ] = None


def given(*groups: object) -> Mapping[str, Any]:
    """Return the flags that were given, by the name of their setting; a group that is None holds none."""
    named = {each.name: getattr(group, each.name) for group in groups if is_dataclass(group) for each in fields(group)}
    return {name: value for name, value in named.items() if value is not None}
