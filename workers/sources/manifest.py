"""A lake's manifest, `.config.json` at its root: the network and how the objects are cut (SEP-54)."""

from __future__ import annotations

import json
from dataclasses import dataclass

from workers.failures import SourceError
from workers.sources.bucket import Bucket

KEY = ".config.json"
MAX_BYTES = 64 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a lake says of itself."""

    network_passphrase: str
    ledgers_per_object: int
    objects_per_partition: int


def parse_manifest(raw: bytes) -> Manifest:
    """Read a manifest. `SourceError` names the field that is missing or of another shape."""
    try:
        fields = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"manifest {KEY} is no JSON: {error}") from error
    if not isinstance(fields, dict):
        raise SourceError(f"manifest {KEY} is no JSON object")
    _known(fields, "version", "1.")
    _known(fields, "compression", "zstd")
    return Manifest(
        network_passphrase=_text(fields, "networkPassphrase"),
        ledgers_per_object=_count(fields, "ledgersPerBatch"),
        objects_per_partition=_count(fields, "batchesPerPartition"),
    )


def read_manifest(bucket: Bucket) -> Manifest | None:
    """Fetch and read a lake's manifest; None where it has none. `SourceError` for a bad one or no answer."""
    try:
        raw = bucket.get(KEY, MAX_BYTES)
    except SourceError as error:
        if error.failure.missing:
            return None
        raise
    return parse_manifest(bytes(raw))


def _field(fields: dict[str, object], name: str) -> object:
    if name not in fields:
        raise SourceError(f"manifest {KEY} lacks {name}")
    return fields[name]


def _text(fields: dict[str, object], name: str) -> str:
    value = _field(fields, name)
    if not isinstance(value, str) or not value:
        raise SourceError(f"manifest {KEY}: {name} is {value!r}, expected a text")
    return value


def _known(fields: dict[str, object], name: str, start: str) -> None:
    value = _text(fields, name)
    if not value.startswith(start):
        raise SourceError(f"manifest {KEY}: {name} is {value!r}, this program knows {start}")


def _count(fields: dict[str, object], name: str) -> int:
    value = _field(fields, name)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 2**31:
        raise SourceError(f"manifest {KEY}: {name} is {value!r}, expected a count from 1 on")
    return value
