"""`verify`: the store against its source, row by row."""

from __future__ import annotations

from pathlib import Path

import pytest
from lakes import FIRST, LAST
from program import Program, job
from stores import digests, execute


def test_verify_says_equal(filled: Program, core_lake: Path) -> None:
    """A store that is what its source gives is said to be, row for row."""
    ended, report = filled.report("verify", *job(core_lake, FIRST, LAST))
    assert ended.returncode == 0, ended.stderr
    assert f"equal: ledgers {FIRST}-{LAST}" in ended.stdout
    assert report["equal"] == [[FIRST, LAST]]
    assert report["rows"] == {table: count for table, (count, _) in digests(filled.database).items()}


LEDGER_20 = f"{20 << 32} AND {(21 << 32) - 1}"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (
            "UPDATE ledgers SET closed_at = closed_at + interval '1 s' WHERE sequence = 20",
            "ledgers, sequence 20: closed_at",
        ),
        (
            "UPDATE transactions SET fee_charged = fee_charged + 1 WHERE id BETWEEN {20}",
            "transactions, id {id}: fee_charged",
        ),
        ("UPDATE operations SET body = body || '\\x00' WHERE id BETWEEN {20}", "operations, id {id}: body"),
        ("UPDATE events SET contract_id = NULL WHERE operation_id BETWEEN {20}", "events, operation_id {id}"),
        (
            "DELETE FROM ledgers WHERE sequence = 20",
            "ledgers, sequence 20: the row is in the source but not in the store",
        ),
        ("DELETE FROM transactions WHERE id BETWEEN {20}", "transactions, id {id}: the row is in the source"),
        ("DELETE FROM operations WHERE id BETWEEN {20}", "operations, id {id}: the row is in the source"),
        ("DELETE FROM events WHERE operation_id BETWEEN {20}", "events, operation_id {id}"),
        (
            "INSERT INTO events SELECT operation_id, event_index + 7, stage, type, contract_id, topics, data "
            "FROM events WHERE operation_id BETWEEN {20} LIMIT 1",
            "the row is in the store but not in the source",
        ),
    ],
    ids=lambda text: " ".join(text.split()[:3]) if text.isascii() else text,
)
def test_verify_names_the_first_difference(filled: Program, core_lake: Path, change: str, named: str) -> None:
    """One row that was changed, taken or put in is named by table, ledger, key and column."""
    assert execute(filled.database, change.replace("{20}", LEDGER_20)) >= 1
    before = digests(filled.database)
    ended, report = filled.report("verify", *job(core_lake, FIRST, LAST), "--chunk-ledgers", 3)
    assert ended.returncode == 1
    difference = report["difference"]
    assert difference in ended.stderr
    assert difference.startswith("ledger 20, ")
    ids = [str(20 << 32 | 1 << 12 | operation) for operation in (0, 1)]
    assert any(named.replace("{id}", number) in difference for number in ids), difference
    assert digests(filled.database) == before, "verify writes nothing"


def test_verify_says_what_is_missing(ledgerfill: Program, core_lake: Path) -> None:
    """A range of which the store lacks ledgers is not equal."""
    assert ledgerfill.backfill(core_lake, 10, 20).returncode == 0
    ended, report = ledgerfill.report("verify", *job(core_lake, 5, 20))
    assert ended.returncode == 1
    assert "5-9" in ended.stderr
    assert report["missing"] == [[5, 9]]
