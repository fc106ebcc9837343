"""A lake's manifest: read where it is sound, refused by the field's name where it is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.failures import SourceError
from workers.sources.manifest import Manifest, parse_manifest

SOUND = {
    "networkPassphrase": "Test SDF Network ; September 2015",
    "version": "1.0",
    "compression": "zstd",
    "ledgersPerBatch": 1,
    "batchesPerPartition": 64000,
}


def test_real_manifests_are_read(shared: Path) -> None:
    """Both manifests of real lakes give their network and their numbers."""
    pubnet = parse_manifest((shared / "ledgers/pubnet/.config.json").read_bytes())
    assert pubnet == Manifest(
        network_passphrase="Public Global Stellar Network ; September 2015",
        ledgers_per_object=1,
        objects_per_partition=64000,
    )
    testnet = parse_manifest((shared / "ledgers/testnet/.config.json").read_bytes())
    assert testnet.network_passphrase == SOUND["networkPassphrase"]


def test_further_fields_are_welcome() -> None:
    """A field that this program does not know changes nothing."""
    assert parse_manifest(json.dumps(SOUND | {"more": [1]}).encode()) == parse_manifest(json.dumps(SOUND).encode())


@pytest.mark.parametrize("field", SOUND)
def test_missing_field_is_named(field: str) -> None:
    """A manifest of another shape is refused, naming what it lacks."""
    raw = {name: value for name, value in SOUND.items() if name != field}
    with pytest.raises(SourceError, match=rf"manifest \.config\.json lacks {field}"):
        parse_manifest(json.dumps(raw).encode())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("networkPassphrase", 5),
        ("networkPassphrase", ""),
        ("version", "2.0"),
        ("compression", "gzip"),
        ("compression", None),
        ("ledgersPerBatch", 0),
        ("ledgersPerBatch", -64),
        ("ledgersPerBatch", "64"),
        ("ledgersPerBatch", True),
        ("ledgersPerBatch", 1.0),
        ("batchesPerPartition", 2**40),
    ],
)
def test_wrong_field_is_named_with_its_value(field: str, value: object) -> None:
    """A value that cannot be meant is refused, naming the field and the value."""
    with pytest.raises(SourceError) as refused:
        parse_manifest(json.dumps(SOUND | {field: value}).encode())
    assert field in str(refused.value)
    assert repr(value) in str(refused.value)
    assert not refused.value.failure.transient


def test_deep_nesting_is_refused() -> None:
    """A manifest nested as deep as its size allows is refused like any other that is none."""
    with pytest.raises(SourceError, match=r"manifest \.config\.json is no JSON"):
        parse_manifest(b"[" * 60_000)


@given(st.one_of(st.binary(max_size=50), st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps)))
def test_only_one_error_escapes(raw: bytes | str) -> None:
    """Whatever the object holds, a manifest that is none is refused with the one error for it."""
    with pytest.raises(SourceError, match=r"manifest \.config\.json"):
        parse_manifest(raw if isinstance(raw, bytes) else raw.encode())
