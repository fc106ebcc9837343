"""Real ledgers through whole runs, held against the answers of an independent decoder."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from lakes import CORE_PASSPHRASE, MERGED, PUBNET, SINGLE, STREAMS
from program import Program
from stores import check, held

workers = pytest.mark.parametrize("workers", [1, 4])  # two fill what test_real_tokens.py goes on with


def test_every_stream_at_hand_is_run(shared: Path) -> None:
    """No stream is forgotten: each one of the folder is filled, or refused by name."""
    there = {path.name for path in (shared / "ledgers" / "streams").iterdir()}
    assert there == {*STREAMS, MERGED[0]}


@workers
def test_pubnet_fills_as_the_answers_say(ledgerfill: Program, shared: Path, workers: int) -> None:
    """Fourteen ledgers in a row and eight single ones, protocols 2 to 26, make nine right stretches of one store."""
    lake = shared / "ledgers" / "pubnet"
    ended = ledgerfill.backfill(lake, *PUBNET, "--workers", workers)
    assert ended.returncode == 0, ended.stderr
    for ledger in SINGLE:
        ended = ledgerfill.backfill(lake, ledger, ledger, "--workers", workers)
        assert ended.returncode == 0, ended.stderr
        assert re.search(rf"done: ledgers {ledger} are in postgres", ended.stdout), ended.stdout
    assert held(ledgerfill.database) == [(ledger, ledger) for ledger in SINGLE] + [PUBNET]
    check(shared, ledgerfill.database, SINGLE[0], PUBNET[1])


@workers
def test_testnet_fills_as_the_answers_say(ledgerfill: Program, shared: Path, workers: int) -> None:
    """A flat lake whose manifest promises partitions is read where its objects are."""
    ended = ledgerfill.backfill(shared / "ledgers" / "testnet", 997, 998, "--workers", workers)
    assert ended.returncode == 0, ended.stderr
    check(shared, ledgerfill.database, 997, 998)


@workers
@pytest.mark.parametrize("stream", STREAMS)
def test_stream_fills_as_the_answers_say(ledgerfill: Program, shared: Path, stream: str, workers: int) -> None:
    """A stream, plain or zstd, without an end given, is filled to its last ledger."""
    first, last, passphrase = STREAMS[stream]
    source = f"stream:{shared / 'ledgers' / 'streams' / stream}"
    ended = ledgerfill.backfill(source, first, None, "--network-passphrase", passphrase, "--workers", workers)
    assert ended.returncode == 0, ended.stderr
    assert held(ledgerfill.database) == [(first, last)]
    check(shared, ledgerfill.database, first, last, "--file", f"streams/{stream}")


@workers
@pytest.mark.parametrize("passphrase", [MERGED[1], CORE_PASSPHRASE])
def test_stream_whose_proofs_fail_is_refused(ledgerfill: Program, shared: Path, workers: int, passphrase: str) -> None:
    """A stream that a load generator merged holds no proof from its ledger 63 on: named, and not committed."""
    source = f"stream:{shared / 'ledgers' / 'streams' / MERGED[0]}"
    ended, report = ledgerfill.report(
        "backfill", "--source", source, "--start-ledger", 62, "--network-passphrase", passphrase, "--workers", workers
    )
    assert ended.returncode == 1
    assert "ledger 63" in ended.stderr
    assert report["error"]["ledger"] == 63
    assert held(ledgerfill.database) == [(62, 62)]
