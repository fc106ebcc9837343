"""Lakes that the program makes itself, filled and verified: what was put in comes out."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest
from lakes import PUBNET
from program import Program, job
from stores import held


def counts(database: str) -> dict[str, int]:
    """Return what a store has, in the words of the file that lies beside a made lake."""
    with psycopg.connect(database, options="-c search_path=ledgerfill") as conn:
        columns = [
            ("ledgers", "SELECT count(*) FROM ledgers"),
            ("transactions", "SELECT count(*) FROM transactions"),
            ("successful", "SELECT count(*) FROM transactions WHERE successful"),
            ("operations", "SELECT count(*) FROM operations"),
            ("operation_events", "SELECT count(*) FROM events WHERE operation_id & 4095 <> 0"),
            ("transaction_events", "SELECT count(*) FROM events WHERE operation_id & 4095 = 0"),
            ("events", "SELECT count(*) FROM events"),
        ]
        return {name: conn.execute(query).fetchone()[0] for name, query in columns}


@pytest.mark.parametrize(
    ("ledgers", "flags"),
    [
        (30, ["--shape", "pubnet"]),
        (300, ["--shape", "sparse"]),
        (60, ["--shape", "tokens"]),
        (300, ["--shape", "sparse", "--seed", "7", "--ledgers-per-object", "8", "--objects-per-partition", "4"]),
        (60, ["--shape", "sparse", "--start-ledger", "65500", "--ledgers-per-object", "64"]),
    ],
    ids=["pubnet", "sparse", "tokens", "eight an object", "over the border of a partition"],
)
def test_made_lake_fills_as_its_counts_say(ledgerfill: Program, tmp_path: Path, ledgers: int, flags: list[str]) -> None:
    """A made lake of each shape and cut is filled with every proof held, counts as expected, and verifies."""
    lake = tmp_path / "lake"
    assert ledgerfill("lake", "make", lake, "--ledgers", ledgers, *flags).returncode == 0
    expected = json.loads((lake / "expected.json").read_text())
    info = json.loads(ledgerfill("lake", "info", lake, "--json").stdout)
    first, last = info["ledgers"]
    assert (first, last) == (expected["first"], expected["last"])
    ended = ledgerfill.backfill(lake, first, None, "--workers", 2)
    assert ended.returncode == 0, ended.stderr
    assert held(ledgerfill.database) == [(first, last)]
    found = counts(ledgerfill.database)
    assert found == {name: expected[name] for name in found}
    assert ledgerfill("verify", *job(lake, first, last)).returncode == 0


def test_repeated_lake_fills(ledgerfill: Program, shared: Path, tmp_path: Path) -> None:
    """Real ledgers repeated to any length hold every proof, under their own network's passphrase."""
    lake, count = tmp_path / "lake", 40
    source = shared / "ledgers" / "pubnet"
    made = ledgerfill("lake", "make", lake, "--ledgers", count, "--from", source, "--start-ledger", PUBNET[0])
    assert made.returncode == 0, made.stderr
    ended = ledgerfill.backfill(lake, PUBNET[0])
    assert ended.returncode == 0, ended.stderr
    assert held(ledgerfill.database) == [(PUBNET[0], PUBNET[0] + count - 1)]
    expected = json.loads((lake / "expected.json").read_text())
    found = counts(ledgerfill.database)
    assert found == {name: expected[name] for name in found}
