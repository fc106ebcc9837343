"""Real ledgers through whole runs, held against the answers of an independent decoder."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from lakes import CORE_PASSPHRASE, PUBNET
from program import Program
from stores import check, held

SINGLE = (7320888, 9652679, 9652698, 16154623, 36154623, 50733210, 51000294, 53312000)
STREAMS = {  # first and last ledger, passphrase
    "core-03df1dc73d71eb00.xdr": (2, 34, CORE_PASSPHRASE),
    "core-1e8e76b45b2c1981.xdr": (2, 162, CORE_PASSPHRASE),
    "core-221f1cad327fb891.xdr": (2, 22, CORE_PASSPHRASE),
    "core-302126e9bbf11954.xdr": (2, 9, CORE_PASSPHRASE),
    "core-318b008d239ea9d8.xdr": (2, 18, CORE_PASSPHRASE),
    "core-633ede77405d5244.xdr": (2, 11, CORE_PASSPHRASE),
    "core-9de975c631418bb4.xdr": (2, 45, CORE_PASSPHRASE),
    "core-d1522d4667822bc2.xdr": (2, 27, CORE_PASSPHRASE),
    "core-d580226d468cd36a.xdr": (2, 9, CORE_PASSPHRASE),
    "core-fdce9caeb61c5f3a.xdr": (2, 14, CORE_PASSPHRASE),
    "load-soroban-v27.xdr.zst": (10048, 10077, "Apply Load"),
}
MERGED = ("load-sac-transfers-v24.xdr.zst", "load test network")
workers = pytest.mark.parametrize("workers", [1, 2, 4])


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
