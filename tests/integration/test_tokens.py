"""Rows of tokens against the books of contracts: what counts is what its contract was of then, however it is cut."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

import handmade
import psycopg
import pytest
from handmade import int4, int8
from stellar_sdk import StrKey

from pipeline.segments import Segment
from pipeline.store import segments, staging, state, state_changes, tokens
from workers.messages import LedgerRange
from workers.protocols.sep41 import PROTOCOL as SEP41
from workers.protocols.sep50 import PROTOCOL as SEP50

TOKEN, ASSET, UPGRADED, STRANGER, COLLECTIBLE = (bytes([number]) * 32 for number in range(1, 6))
W41, W50, OTHER = (bytes([number]) * 32 for number in (41, 50, 99))
ALICE, BOB = (bytes([6 << 3]) + bytes([number]) * 32 for number in (1, 2))
YES, NO = b"\1", b"\0"


@pytest.fixture
def conn(store: str) -> Iterator[psycopg.Connection]:
    """Return a connection to a store that knows five contracts."""
    with psycopg.connect(store, autocommit=True) as conn, conn.cursor() as cursor:
        protocols = [("SEP41", True, "success"), ("SEP50", False, "success")]
        query = "INSERT INTO ledgerfill.protocols (id, claims_assets, classification_status) VALUES (%s, %s, %s)"
        cursor.executemany(query, protocols)
        query = "INSERT INTO ledgerfill.protocol_wasms (wasm_hash, protocol_id) VALUES (%s, %s)"
        cursor.executemany(query, [(W41, "SEP41"), (W50, "SEP50"), (OTHER, None)])
        query = "INSERT INTO ledgerfill.contract_instances (contract_id, from_ledger, wasm_hash) VALUES (%s, %s, %s)"
        instances = [(TOKEN, 10, W41), (ASSET, 10, None), (COLLECTIBLE, 10, W50), (STRANGER, 10, OTHER)]
        cursor.executemany(query, [*instances, (UPGRADED, 10, W41), (UPGRADED, 20, OTHER), (UPGRADED, 30, W41)])
        for table in (*SEP41.state, *SEP50.state):
            state.ensure(conn, table)
        yield conn


def stage(conn: psycopg.Connection, section: str, rows: Iterable[handmade.Row]) -> None:
    with conn.cursor().copy(staging.copy_into(conn, section)) as copy:
        copy.write(handmade.stream(rows))


def balance(certain: bytes, contract: bytes, as_of: int, delta: int, alone: bytes = YES) -> handmade.Row:
    return [certain, contract, ALICE, int4(as_of), handmade.numeric(delta), int4(as_of), alone]


def token_id(number: int) -> bytes:
    return struct.pack(">II", 3, number)  # SCV_U32


def balances(conn: psycopg.Connection) -> dict[bytes, tuple[int, int]]:
    found = conn.execute("SELECT contract_id, balance, last_ledger FROM ledgerfill.sep41_balances")
    return {contract: (int(amount), ledger) for contract, amount, ledger in found}


@pytest.mark.parametrize(
    ("contract", "as_of", "counts"),
    [
        (TOKEN, 5, True),  # before all that was seen of it: as it was seen first
        (TOKEN, 15, True),
        (ASSET, 15, True),
        (STRANGER, 15, False),
        (COLLECTIBLE, 15, False),
        (BOB[:32], 15, False),  # of which nothing was ever seen
        (UPGRADED, 19, True),
        (UPGRADED, 20, False),
        (UPGRADED, 29, False),
        (UPGRADED, 30, True),
    ],
)
def test_rows_count_by_what_the_contract_was_then(conn: psycopg.Connection, contract: bytes, as_of: int, counts: bool):
    """A row that is not certain counts where its contract ran code of the protocol as of its ledger, and only there."""
    with conn.transaction():
        stage(conn, "sep41_balances", [balance(NO, contract, as_of, 7)])
        assert tokens.fold(conn, SEP41, ["sep41_balances"]) == {"sep41_balances": int(counts)}
    assert balances(conn) == ({contract: (7, as_of)} if counts else {})


def test_certain_rows_ask_nobody(conn: psycopg.Connection):
    """What a worker has proved counts without any book; of one contract both kinds may come, and add up."""
    rows = [balance(YES, STRANGER, 15, 1), balance(NO, STRANGER, 15, 2), balance(YES, ASSET, 15, 4, alone=NO)]
    with conn.transaction():
        stage(conn, "sep41_balances", [*rows, balance(NO, ASSET, 16, 8, alone=NO)])
        tokens.fold(conn, SEP41, ["sep41_balances"])
    assert balances(conn) == {STRANGER: (1, 15), ASSET: (12, 16)}


def test_a_chunk_does_not_read_the_whole_state(conn: psycopg.Connection):
    """Rows are looked up by their keys in a state of many more, by which the server would rather read all of it."""
    many = "SELECT sha256(int4send(n)) FROM generate_series(1, {}) n"
    query = f"INSERT INTO ledgerfill.sep41_balances SELECT contract, %s, 1, 1 FROM ({many.format(50_000)}) s (contract)"
    conn.execute(query, [ALICE])
    conn.execute("ANALYZE ledgerfill.sep41_balances")
    found = sorted(row for (row,) in conn.execute(many.format(5_000)))
    scans = "SELECT seq_scan, idx_scan FROM pg_stat_xact_user_tables WHERE relname = 'sep41_balances'"
    with conn.transaction():
        stage(conn, "sep41_balances", [balance(YES, each, 15, 1) for each in found])
        whole, by_index = conn.execute(scans).fetchone() or (0, 0)
        assert tokens.fold(conn, SEP41, ["sep41_balances"]) == {"sep41_balances": 5_000}
        assert conn.execute(scans).fetchone() == (whole, by_index + 5_000)
        assert conn.execute("SHOW enable_hashjoin").fetchone() == ("on",)


def test_nothing_of_another_transaction_waits(conn: psycopg.Connection):
    """Rows that were staged for a chunk are gone with its transaction, whether it was committed or not."""
    with conn.transaction():
        stage(conn, "sep41_balances", [balance(YES, ASSET, 15, 1)])
    with conn.transaction():
        stage(conn, "sep41_balances", [])
        assert tokens.fold(conn, SEP41, ["sep41_balances"]) == {"sep41_balances": 0}
    assert balances(conn) == {}


def test_the_last_approval_and_the_last_owner_stay(conn: psycopg.Connection):
    """Of several rows for one key in a chunk, that of the last event decides, in whatever order they come."""
    place = [(16, 0), (15, 1), (16, 1)]
    allowances = [
        [NO, TOKEN, ALICE, BOB, int4(15), handmade.numeric(10 * ledger + index), int8(99), int4(ledger),
         int8(handmade.toid(ledger, 1, 1)), int4(index), NO]
        for ledger, index in place
    ]  # fmt: skip
    owners = [
        [NO, COLLECTIBLE, token_id(7), int4(15), owner, int4(ledger), int8(handmade.toid(ledger, 1, 1)), int4(index),
         NO]
        for owner, (ledger, index) in zip([None, ALICE, BOB], place, strict=True)
    ]  # fmt: skip
    with conn.transaction():
        stage(conn, "sep41_allowances", allowances)
        stage(conn, "sep50_tokens", owners)
        tokens.fold(conn, SEP41, ["sep41_allowances"])
        tokens.fold(conn, SEP50, ["sep50_tokens"])
    found = conn.execute("SELECT amount, live_until_ledger, last_ledger FROM ledgerfill.sep41_allowances").fetchall()
    assert found == [(161, 99, 16)]
    assert conn.execute("SELECT token_id, owner, last_ledger FROM ledgerfill.sep50_tokens").fetchall() == [(7, BOB, 16)]


def test_history_keeps_what_counts_in_its_segment(conn: psycopg.Connection):
    """A change of a contract that is upgraded counts by its own ledger, and goes to the partition of that."""

    def change(ledger: int) -> handmade.Row:
        place = [b"SEP41", int8(handmade.toid(ledger, 1, 1)), int4(0)]
        what = [UPGRADED, ALICE, handmade.int2(1), handmade.int2(1), handmade.numeric(ledger)]
        return [*place, *what, None, BOB, None, None]

    state_changes.ensure(conn, LedgerRange(19, 70_000))
    for first, ledgers in ((0, (19, 20, 30)), (65_536, (70_000,))):
        with conn.transaction():
            stage(conn, "sep41_state_changes", map(change, ledgers))
            tokens.append(conn, SEP41, ["sep41_state_changes"], Segment(first))
    query = "SELECT relname, amount FROM ledgerfill.state_changes s JOIN pg_class c ON c.oid = s.tableoid ORDER BY 2"
    low, high = "state_changes_0", "state_changes_65536"
    assert conn.execute(query).fetchall() == [(low, 19), (low, 30), (high, 70_000)]


@pytest.mark.parametrize(("kind", "size"), [(3, 4), (5, 8), (9, 16), (11, 32)])
def test_a_token_id_is_a_number_of_any_unsigned_type(conn: psycopg.Connection, kind: int, size: int):
    """The number of an SCVal of type u32, u64, u128 or u256, up to its greatest."""
    number = 2 ** (8 * size) - 1
    query = "SELECT ledgerfill.scval_unsigned(%s)"
    assert conn.execute(query, [struct.pack(">I", kind) + number.to_bytes(size, "big")]).fetchone() == (number,)


def test_people_read_the_history(conn: psycopg.Connection):
    """The view of the history has its ledger, strkeys, and categories and reasons in words."""
    place = "'SEP41', %s, 3, %s, %s, 2, 6, 5, NULL, %s, %s, 99"
    state_changes.ensure(conn, LedgerRange(9, 9))
    segments.ensure(conn, LedgerRange(9, 9))
    conn.execute("INSERT INTO ledgerfill.ledgers VALUES (9, '', '', 'epoch', 22, 0, 0, 0, 0)")
    values = (handmade.toid(9, 2, 1), bytes(32), ALICE, BOB, token_id(7))
    conn.execute(f"INSERT INTO ledgerfill.state_changes VALUES ({place})", values)
    query = """
        SELECT ledger, transaction, operation, contract, account, category, reason, amount, counterparty, muxed_id
        FROM ledgerfill.state_changes_readable"""
    contract, *accounts = (
        StrKey.encode_contract(bytes(32)),
        *map(StrKey.encode_ed25519_public_key, (ALICE[1:], BOB[1:])),
    )
    wanted = (9, 2, 1, contract, accounts[0], "allowance", "approve", 5, accounts[1], "7")
    assert conn.execute(query).fetchall() == [wanted]
    conn.execute("UPDATE ledgerfill.state_changes SET category = 5, reason = 100")  # as a plug-in may have them
    assert [row[5:7] for row in conn.execute(query)] == [("5", "100")]
