"""The views for people: strkeys, names, symbols and amounts beside the tables."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import handmade
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.rows import dict_row
from stellar_sdk import MuxedAccount, StrKey, scval, xdr

from pipeline.store import books, segments
from pipeline.store.commit import Committer
from workers.messages import LedgerRange

ACCOUNT = StrKey.encode_ed25519_public_key(handmade.ACCOUNT[1:])
CONTRACT = StrKey.encode_contract(handmade.CONTRACT)


@pytest.fixture
def conn(store: str, tmp_path: Path) -> Iterator[psycopg.Connection[dict[str, object]]]:
    """Return a connection to a store with ledgers 65,534 to 65,538."""
    with psycopg.connect(store, autocommit=True, row_factory=dict_row) as conn:
        with psycopg.connect(store, autocommit=True) as own:
            run = books.new_run(own)
            books.start_run(own, run, LedgerRange(65_534, 65_538), source="handmade", workers=1)
            for first, last in ((65_534, 65_535), (65_536, 65_538)):
                Committer(lambda: own, run).commit(handmade.chunk(tmp_path, first, last))
            for segment in segments.due(own):
                for index in segments.BASE.indexes:
                    index.build(own, segment)
        yield conn


def test_ledgers_and_transactions(conn: psycopg.Connection):
    """A transaction reads with its ledger's time, hashes in hex, accounts as strkeys, the fee in lumens, the result."""
    (ledger,) = conn.execute("SELECT * FROM ledgerfill.ledgers_readable WHERE ledger = 65536").fetchall()
    assert ledger["previous_hash"] == handmade.hash_of(65_535).hex()
    (transaction,) = conn.execute("SELECT * FROM ledgerfill.transactions_readable WHERE ledger = 65536").fetchall()
    assert transaction == {
        "id": handmade.toid(65_536),
        "ledger": 65_536,
        "transaction": 1,
        "closed_at": datetime(2026, 1, 1, tzinfo=UTC),
        "hash": handmade.hash_of(65_536, "tx").hex(),
        "successful": True,
        "result": "fee_bump_inner_success",
        "operation_count": 2,
        "fee_charged": Decimal("1.2345678"),
        "source_account": ACCOUNT,
        "fee_account": StrKey.encode_ed25519_public_key(handmade.PAYER[1:]),
    }


def test_operations(conn: psycopg.Connection):
    """An operation reads with its type in words, and a muxed source as one strkey."""
    query = (
        "SELECT operation, type, source_account FROM ledgerfill.operations_readable WHERE ledger = 65534 ORDER BY id"
    )
    muxed = MuxedAccount(ACCOUNT, 2**64 - 1).account_muxed
    assert conn.execute(query).fetchall() == [
        {"operation": 1, "type": "invoke_host_function", "source_account": ACCOUNT},
        {"operation": 2, "type": "payment", "source_account": muxed},
    ]


def test_events(conn: psycopg.Connection):
    """An event reads with its contract as a strkey, its first topic as a symbol and its amount as a number."""
    query = """SELECT operation, event_index, stage, type, contract, symbol, amount, topics, data
               FROM ledgerfill.events_readable WHERE ledger = 65538 ORDER BY operation_id, event_index"""
    names = ("operation", "event_index", "stage", "type", "contract", "symbol", "amount", "topics", "data")
    assert [tuple(row[name] for name in names) for row in conn.execute(query)] == [
        (0, 0, "before_all", "contract", CONTRACT, "transfer", Decimal(-7), ["transfer"], "-7"),
        (1, 0, None, "contract", CONTRACT, "transfer", Decimal(10**30), ["transfer"], str(10**30)),
        (1, 1, None, "system", None, None, None, [], "void"),
    ]


@pytest.mark.parametrize("table", ["transactions", "operations", "events"])
@pytest.mark.parametrize(
    "condition", ["ledger = 65536", "{key} = 281474976714753", "{key} BETWEEN 281474976710656 AND 281474976714754"]
)
def test_filter_finds_an_index(conn: psycopg.Connection, table: str, condition: str):
    """A filter by ledger and one by id read no table from end to end."""
    key = "operation_id" if table == "events" else "id"
    conn.execute("SET enable_seqscan = off")
    plan = conn.execute(
        f"EXPLAIN SELECT * FROM ledgerfill.{table}_readable WHERE {condition.format(key=key)}"
    ).fetchall()
    text = "\n".join(str(row["QUERY PLAN"]) for row in plan)
    assert "Seq Scan" not in text
    assert f"{table}_65536" in text


def test_names_are_those_of_the_network(conn: psycopg.Connection):
    """Types of operations and codes of results have the names that the network's own definitions give them."""
    for kind in xdr.OperationType:
        named = conn.execute("SELECT ledgerfill.operation_name(%s::int2) AS name", [kind.value]).fetchone()
        assert named == {"name": kind.name.lower()}
    for code in xdr.TransactionResultCode:
        named = conn.execute("SELECT ledgerfill.result_name(%s::int2) AS name", [code.value]).fetchone()
        assert named == {"name": code.name.removeprefix("tx").lower()}
    unknown = conn.execute("SELECT ledgerfill.operation_name(99::int2) AS o, ledgerfill.result_name((-99)::int2) AS r")
    assert unknown.fetchone() == {"o": "99", "r": "-99"}


VALUES = {
    "true": (scval.to_bool(True), "true"),
    "void": (scval.to_void(), "void"),
    "u32": (scval.to_uint32(2**32 - 1), "4294967295"),
    "i32": (scval.to_int32(-5), "-5"),
    "u64": (scval.to_uint64(2**64 - 1), str(2**64 - 1)),
    "i64": (scval.to_int64(-(2**63)), str(-(2**63))),
    "timepoint": (scval.to_timepoint(7), "7"),
    "duration": (scval.to_duration(8), "8"),
    "u128": (scval.to_uint128(2**128 - 1), str(2**128 - 1)),
    "i128": (scval.to_int128(-(2**127)), str(-(2**127))),
    "u256": (scval.to_uint256(2**256 - 1), str(2**256 - 1)),
    "i256": (scval.to_int256(-(2**255)), str(-(2**255))),
    "bytes": (scval.to_bytes(b"\1\2\3"), "\\x010203"),
    "string": (scval.to_string(b"a\0\xff\x1b[31m"), "a\\000\\377\x1b[31m"),
    "symbol": (scval.to_symbol("mint"), "mint"),
    "account": (scval.to_address(ACCOUNT), ACCOUNT),
    "contract": (scval.to_address(CONTRACT), CONTRACT),
}


@pytest.mark.parametrize("kind", VALUES)
def test_plain_value_reads_as_text(conn: psycopg.Connection, kind: str):
    """Each plain value reads as people write it, also between other topics."""
    value, text = VALUES[kind]
    raw = value.to_xdr_bytes()
    topics = struct.pack(">I", 3) + handmade.TRANSFER + raw + handmade.TRANSFER
    row = conn.execute(
        "SELECT ledgerfill.scval_text(%s) AS one, ledgerfill.topics_text(%s) AS all", [raw, topics]
    ).fetchone()
    assert row == {"one": text, "all": ["transfer", text, "transfer"]}


def test_addresses_of_all_kinds(conn: psycopg.Connection):
    """The address kinds of CAP-67 in topics read as strkeys too."""
    key = bytes(range(32))
    kinds = {
        struct.pack(">IIQ", 18, 2, 77) + key: MuxedAccount(StrKey.encode_ed25519_public_key(key), 77).account_muxed,
        struct.pack(">III", 18, 3, 0) + key: StrKey.encode_claimable_balance(b"\0" + key),
        struct.pack(">II", 18, 4) + key: StrKey.encode_liquidity_pool(key),
    }
    for raw, text in kinds.items():
        assert conn.execute("SELECT ledgerfill.scval_text(%s) AS s", [raw]).fetchone() == {"s": text}


def test_nested_value_ends_the_topics(conn: psycopg.Connection):
    """From a nested topic on, the rest stands as hex: nothing is lost, and no query fails."""
    nested = scval.to_vec([scval.to_symbol("a")]).to_xdr_bytes()
    topics = struct.pack(">I", 2) + handmade.TRANSFER + nested
    row = conn.execute("SELECT ledgerfill.topics_text(%s) AS t", [topics]).fetchone()
    assert row == {"t": ["transfer", "\\x" + nested.hex()]}


def test_amount_in_a_map(conn: psycopg.Connection):
    """An amount that stands beside a `to_muxed_id` (CAP-67) is found as well; other data has none."""
    amount = {scval.to_symbol("amount"): scval.to_int128(-(2**127)), scval.to_symbol("to_muxed_id"): scval.to_uint64(5)}
    for value, wanted in (
        (scval.to_map(amount), Decimal(-(2**127))),
        (scval.to_int128(2**127 - 1), Decimal(2**127 - 1)),
        (scval.to_uint128(1), None),
        (scval.to_map({scval.to_symbol("amount"): scval.to_uint64(1)}), None),
    ):
        row = conn.execute("SELECT ledgerfill.event_amount(%s) AS a", [value.to_xdr_bytes()]).fetchone()
        assert row == {"a": wanted}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(junk=st.binary(max_size=60), kind=st.integers(0, 25))
def test_no_bytes_make_a_query_fail(conn: psycopg.Connection, junk: bytes, kind: int):
    """Whatever bytes strangers wrote, the views read them."""
    topics = struct.pack(">II", 1, kind) + junk
    conn.execute(
        "SELECT ledgerfill.topics_text(%(t)s), ledgerfill.first_symbol(%(t)s), ledgerfill.event_amount(%(j)s), "
        "ledgerfill.scval_text(%(j)s), ledgerfill.topics_text(%(j)s)",
        {"t": topics, "j": topics[4:]},
    )
