"""Streams damaged in one place each: filled up to the damage, and never past it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from lakes import CORE_PASSPHRASE, records
from program import Program
from stores import check, digests, held

SOUND = "streams/core-302126e9bbf11954.xdr"  # what each of them was before
DAMAGED = {  # by file: the last ledger before the damage, and words of the reason
    "unknown-ledger-close-meta.xdr": (8, "LedgerCloseMeta", "9"),
    "unknown-transaction-meta.xdr": (8, "TransactionMeta", "9"),
    "unknown-sc-val.xdr": (8, "SCVal", "99"),
    "header-hash.xdr": (8, "header", "hash"),
    "result-hash.xdr": (8, "transaction results"),
    "chain-gap.xdr": (7, "previousLedgerHash", "link to ledger 7"),
}


@pytest.fixture
def expected(shared: Path) -> dict[str, Any]:
    return json.loads((shared / "ledgers" / "must-fail" / "expected.json").read_text())


def flags(shared: Path, name: str) -> list[str]:
    source = f"stream:{shared / 'ledgers' / 'must-fail' / name}"
    return ["--source", source, "--start-ledger", "2", "--network-passphrase", CORE_PASSPHRASE]


def test_every_damaged_stream_is_run(expected: dict[str, Any]) -> None:
    """No damaged stream is forgotten."""
    assert {*expected} == {*DAMAGED, "future-protocol-28.xdr"}


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_named_and_not_passed(
    ledgerfill: Program, shared: Path, expected: dict[str, Any], name: str, workers: int
) -> None:
    """Everything before the damage is there and right, the run fails with its place, and again so the second time."""
    last, *words = DAMAGED[name]
    want, before = expected[name], None
    for _ in range(2):
        ended, report = ledgerfill.report("backfill", *flags(shared, name), "--workers", workers)
        assert ended.returncode == 1
        assert report["exit_code"] == 1
        assert report["outcome"] == "failed"
        error = report["error"]
        assert error["ledger"] == want["ledger"]
        assert error["object"].endswith(name)
        assert error["attempts"] == 1, "what is damaged stays damaged: it is not tried again"
        assert error["message"] in ended.stderr
        for word in (f"ledger {want['ledger']}", name, *words):
            assert word in error["message"]
        if "frame_offset" in want:
            assert error["offset"] == want["frame_offset"]
            assert f"at byte {want['frame_offset']}" in error["message"]
        assert report["missing"] == [[last + 1, 9]]
        assert held(ledgerfill.database) == [(2, last)]
        check(shared, ledgerfill.database, 2, last, "--file", SOUND)
        assert before in (None, digests(ledgerfill.database))
        before = digests(ledgerfill.database)


def test_an_end_before_the_damage_is_reached(ledgerfill: Program, shared: Path) -> None:
    """Damage behind the range is none of its business."""
    ended = ledgerfill("backfill", *flags(shared, "header-hash.xdr"), "--end-ledger", 8)
    assert ended.returncode == 0, ended.stderr
    assert held(ledgerfill.database) == [(2, 8)]


def test_a_protocol_of_the_future_is_read(ledgerfill: Program, shared: Path) -> None:
    """A protocol number alone refuses nothing: each frame of a protocol 28 stream is filled."""
    ended = ledgerfill("backfill", *flags(shared, "future-protocol-28.xdr"))
    assert ended.returncode == 0, ended.stderr
    frames = records(shared / "ledgers" / "must-fail" / "future-protocol-28.xdr")
    assert held(ledgerfill.database) == [(2, 1 + len(frames))]
