"""Compare: whatever is changed in the store is found, and the first difference is named."""

from __future__ import annotations

from pathlib import Path

import handmade
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.actions import ReadyChunk
from pipeline.store import books
from pipeline.store.commit import Committer
from pipeline.store.compare import compare
from workers.messages import TABLES, ChunkDone


def commit(store: str, conn: psycopg.Connection, chunk: ReadyChunk) -> ChunkDone:
    run = books.new_run(conn)
    books.start_run(conn, run, chunk.ledgers, source="handmade", workers=1)
    committer = Committer(lambda: psycopg.connect(store), run)
    committer.commit(chunk)
    committer.close()
    return chunk.done


@pytest.fixture
def done(store: str, conn: psycopg.Connection, tmp_path: Path) -> ChunkDone:
    """Ledgers 65,534 to 65,538, on both sides of a segment's border, committed."""
    for first, last in ((65_534, 65_535), (65_536, 65_538)):
        commit(store, conn, handmade.chunk(tmp_path, first, last))
    return handmade.chunk(tmp_path, 65_534, 65_538).done


def test_same_rows_have_no_difference(store: str, conn: psycopg.Connection, done: ChunkDone, tmp_path: Path):
    """Rows as they were committed are found equal, whatever other ledgers the store holds."""
    commit(store, conn, handmade.chunk(tmp_path, 65_500, 65_533))
    commit(store, conn, handmade.chunk(tmp_path, 65_539, 65_540))
    assert compare(conn, done) is None


def test_order_of_commits_does_not_matter(store: str, conn: psycopg.Connection, done: ChunkDone, tmp_path: Path):
    """Ledgers that were committed from above are compared in key order all the same."""
    assert done.ledgers is not None
    commit(store, conn, handmade.chunk(tmp_path, 65_532, 65_533))
    conn.execute("SET enable_indexscan = off")
    assert compare(conn, handmade.chunk(tmp_path, 65_532, 65_538).done) is None


ID, OPERATION = handmade.toid(65_536), handmade.toid(65_536, 1, 2)
EVENT = f"operation_id {handmade.toid(65_536, 1, 1)}, event_index 1"
CHANGES = {
    "ledgers.closed_at": (
        "UPDATE ledgers SET closed_at = closed_at + interval '1 second' WHERE sequence = 65536",
        "ledger 65536, ledgers, sequence 65536: closed_at is 2026-01-01 00:00:01.000000 UTC in the store "
        "and 2026-01-01 00:00:00.000000 UTC in the source",
    ),
    "ledgers.event_count": (
        "UPDATE ledgers SET event_count = -1 WHERE sequence = 65538",
        "ledger 65538, ledgers, sequence 65538: event_count is -1 in the store and 3 in the source",
    ),
    "transactions.successful": (
        f"UPDATE transactions SET successful = false WHERE id = {ID}",
        f"ledger 65536, transactions, id {ID}: successful is false in the store and true in the source",
    ),
    "transactions.fee_account": (
        f"UPDATE transactions SET fee_account = NULL WHERE id = {ID}",
        f"ledger 65536, transactions, id {ID}: fee_account is NULL in the store and GAQCCIRD",
    ),
    "operations.source_account": (
        f"UPDATE operations SET source_account = set_byte(source_account, 1, 9) WHERE id = {OPERATION}",
        f"ledger 65536, operations, id {OPERATION}: source_account is GAEQCAQD",
    ),
    "operations.source_muxed_id": (
        f"UPDATE operations SET source_muxed_id = 10000 WHERE id = {OPERATION}",
        f"ledger 65536, operations, id {OPERATION}: source_muxed_id is 10000 in the store "
        "and 18446744073709551615 in the source",
    ),
    "operations.body": (
        f"UPDATE operations SET body = decode(repeat('ab', 5000), 'hex') WHERE id = {OPERATION}",
        f"ledger 65536, operations, id {OPERATION}: body is abab",
    ),
    "events.data": (
        f"UPDATE events SET data = '' WHERE operation_id = {handmade.toid(65_536, 1, 1)} AND event_index = 1",
        f"ledger 65536, events, {EVENT}: data is empty in the store and 00000001 in the source",
    ),
    "events.contract_id": (
        f"UPDATE events SET contract_id = '\\x00' WHERE contract_id IS NULL AND operation_id > {ID}",
        f"ledger 65536, events, {EVENT}: contract_id is 00 in the store and NULL in the source",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_value_is_named(conn: psycopg.Connection, done: ChunkDone, change: str):
    """A value that was changed is named: table, ledger, key, column, and both values as people read them."""
    query, text = CHANGES[change]
    conn.execute("SET search_path = ledgerfill")
    assert conn.execute(query).rowcount >= 1
    found = compare(conn, done)
    assert str(found).startswith(text)
    assert f"{found.table}.{found.column}" == change
    assert compare(conn, done) == found, "the connection serves on"


KEYS = {"ledgers": "sequence", "transactions": "id", "operations": "id", "events": "operation_id"}


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("ledger", [65_534, 65_536, 65_538])
def test_missing_row_is_named(conn: psycopg.Connection, done: ChunkDone, table: str, ledger: int):
    """A row that the store lacks, the first, one between and the last, is named as missing there."""
    low = ledger if table == "ledgers" else handmade.toid(ledger, 0)
    high = ledger if table == "ledgers" else handmade.toid(ledger + 1, 0)
    assert conn.execute(f"DELETE FROM ledgerfill.{table} WHERE {KEYS[table]} BETWEEN {low} AND {high}").rowcount
    found = compare(conn, done)
    assert (found.table, found.ledger, found.column, found.store) == (table, ledger, None, None)
    assert str(found).endswith("the row is in the source but not in the store")


@pytest.mark.parametrize("ledger", [65_534, 65_536, 65_538])
def test_extra_row_is_named(conn: psycopg.Connection, done: ChunkDone, ledger: int):
    """A row that the source does not have, before, between and after its own, is named as one too many."""
    key = handmade.toid(ledger, 0xFFFFF, 1) if ledger > 65_534 else handmade.toid(ledger, 0)
    conn.execute("INSERT INTO ledgerfill.events VALUES (%s, 7, NULL, 1, NULL, '', '')", [key])
    found = compare(conn, done)
    assert str(found) == (
        f"ledger {ledger}, events, operation_id {key}, event_index 7: the row is in the store but not in the source"
    )


def test_first_difference_is_the_one_named(conn: psycopg.Connection, done: ChunkDone):
    """Of several differences the first table's lowest key is named."""
    conn.execute("UPDATE ledgerfill.events SET type = 0")
    conn.execute("UPDATE ledgerfill.operations SET type = 26 WHERE id >= %s", [ID])
    found = compare(conn, done)
    assert (found.table, found.key, found.source, found.store) == ("operations", f"id {ID + 1}", "24", "26")


def test_nothing_in_the_store(conn: psycopg.Connection, tmp_path: Path):
    """A ledger that the store does not hold at all is named as missing."""
    assert compare(conn, handmade.chunk(tmp_path, 7, 8).done).ledger == 7


@pytest.mark.usefixtures("done")
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(muxed=st.integers(0, 2**64 - 1), body=st.binary(max_size=6000))
def test_any_muxed_id_and_body_come_back_as_they_went(
    conn: psycopg.Connection, tmp_path: Path, muxed: int, body: bytes
):
    """Every u64 as numeric, and XDR of any length, has the same bytes on the way out as on the way in."""
    rows = handmade.rows_of(65_534)
    rows["operations"][1][3:] = [handmade.numeric(muxed), body]
    chunk = handmade.chunk(tmp_path, 65_534, 65_534, rows=rows)
    conn.execute(
        "UPDATE ledgerfill.operations SET source_muxed_id = %s, body = %s WHERE id = %s",
        [muxed, body, handmade.toid(65_534, 1, 2)],
    )
    assert compare(conn, chunk.done) is None
