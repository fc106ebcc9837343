"""Current state against a real PostgreSQL: folding many ledgers at once leaves what folding one by one does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg import sql
from stellar_sdk import StrKey

from pipeline.errors import Refused
from pipeline.store import state
from workers.protocols import Key, StateTable, Value, installed
from workers.protocols.sep41 import PROTOCOL as SEP41
from workers.protocols.sep50 import PROTOCOL as SEP50

BALANCES, ALLOWANCES = SEP41.state
(TOKENS,) = SEP50.state
I128_MAX, I128_MIN = 2**127 - 1, -(2**127)
VALUES = {
    "contract": st.just(b"a" * 32),
    "address": st.sampled_from([b"\x30" + b"g" * 32, b"\x10" + b"c" * 32]),
    "integer": st.sampled_from([1, -1, 0, I128_MAX, -I128_MAX, I128_MIN, 2**256 - 1]),  # few: sums shall come to zero
    "u32": st.sampled_from([0, 2**32 - 1]),
}
Row = tuple[int, int, tuple, tuple]  # ledger, place in the ledger, key, values


@pytest.fixture
def conn(store: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(store) as conn:
        yield conn


def tables() -> st.SearchStrategy[StateTable]:
    """Return any table that may be declared: some of the built-in ones, most of them made up."""
    kinds = st.sampled_from(["contract", "address", "integer", "u32", "ledger"])
    ends = st.sampled_from([None, None, "zero", "null"])
    values = st.lists(st.tuples(kinds, st.sampled_from(["sum", "last", "max"]), ends), min_size=1, max_size=4)
    keys = st.lists(st.sampled_from(["contract", "address", "integer", "u32"]), max_size=1)

    def made(keys: Sequence[str], values: Sequence[tuple[str, str, str | None]]) -> StateTable | None:
        key = (Key("contract_id", "contract"), *(Key(f"key_{place}", kind) for place, kind in enumerate(keys)))
        try:
            return StateTable(
                name="made_up", key=key, values=tuple(Value(f"v_{place}", *told) for place, told in enumerate(values))
            )
        except ValueError:
            return None

    declared = st.builds(made, keys, values).filter(lambda table: table is not None)
    return st.sampled_from([BALANCES, ALLOWANCES, TOKENS]) | declared


@st.composite
def histories(draw: st.DrawFn) -> tuple[StateTable, list[Row], set[int]]:
    """Draw a table, rows of some ledgers, and the ledgers before which they are cut."""
    table = draw(tables())
    rows = []
    places = draw(st.lists(st.integers(1, 5), min_size=2, max_size=8))
    for index, ledger in enumerate(sorted(places)):
        key = tuple(draw(VALUES[column.type]) for column in table.key)
        rows.append((ledger, index, key, tuple(draw(value_of(column, ledger)) for column in table.values)))
    return table, rows, draw(st.sets(st.integers(2, 5)))


def value_of(column: Value, ledger: int) -> st.SearchStrategy[object]:
    if column.type == "ledger":
        return st.just(ledger)
    known = VALUES[column.type]
    return known | st.none() if column.nullable else known


def split(rows: list[Row], cuts: set[int]) -> list[list[Row]]:
    parts: dict[int, list[Row]] = {}
    for row in rows:
        parts.setdefault(sum(cut <= row[0] for cut in cuts), []).append(row)
    return list(parts.values())


def folded_by_database(conn: psycopg.Connection, table: StateTable, parts: list[list[Row]]) -> set[tuple]:
    """Merge part after part, its rows in any order, and return what the table holds."""
    insert = sql.SQL("INSERT INTO {} VALUES ({})").format(
        state.staged(table), sql.SQL(", ").join([sql.Placeholder()] * (2 + len(table.key) + len(table.values)))
    )
    for part in parts:
        conn.execute(state.create_staged(table))
        for ledger, index, key, values in reversed(part):
            conn.execute(insert, (ledger << 32, index, *key, *map(decimal, values)))
        state.merge(conn, table)
        conn.execute(sql.SQL("DELETE FROM {}").format(state.staged(table)))
    return set(conn.execute(sql.SQL("SELECT * FROM ledgerfill.{}").format(sql.Identifier(table.name))).fetchall())


def decimal(value: object) -> object:
    return Decimal(value) if isinstance(value, int) else value


def folded_by_hand(table: StateTable, rows: list[Row]) -> set[tuple]:
    """Apply row after row, and take away what is at nothing when its ledger ends."""
    held: dict[tuple, list] = {}
    for ledger in sorted({row[0] for row in rows}):
        for _, _, key, values in (row for row in rows if row[0] == ledger):
            old = held.get(key)
            held[key] = [
                new
                if old is None
                else {"sum": lambda a, b: a + b, "max": max, "last": lambda _, b: b}[column.merge](was, new)
                for column, new, was in zip(table.values, values, old or values, strict=True)
            ]
        nothing = {
            key
            for key, values in held.items()
            if table.deleting
            and all(
                value == 0 if column.delete_at == "zero" else value is None
                for column, value in zip(table.values, values, strict=True)
                if column.delete_at
            )
        }
        held = {key: values for key, values in held.items() if key not in nothing}
    return {(*key, *values) for key, values in held.items()}


GONE_AND_BACK = [
    (1, 0, (b"a" * 32, b"\x30"), (I128_MAX, 1)),
    (2, 1, (b"a" * 32, b"\x30"), (-I128_MAX, 2)),
    (3, 2, (b"a" * 32, b"\x30"), (-5, 3)),
]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories())
@example(history=(BALANCES, GONE_AND_BACK, {2, 3}))
def test_folding_at_once_equals_folding_one_by_one(
    conn: psycopg.Connection, history: tuple[StateTable, list[Row], set[int]]
) -> None:
    """For every table that may be declared and any split of its ledgers, the rows are those of a fold by hand."""
    table, rows, cuts = history
    found = []
    for places in ({1, 2, 3, 4, 5}, set(), cuts):
        conn.execute(state.create(table))
        found.append(folded_by_database(conn, table, split(rows, places)))
        conn.rollback()
    assert found == [folded_by_hand(table, rows)] * 3


@pytest.mark.parametrize("protocol", installed().values(), ids=lambda protocol: protocol.id)
def test_tables_of_each_protocol_can_be_made(conn: psycopg.Connection, protocol) -> None:
    """Each table that an installed protocol declares is made once, and stands when it is asked for again."""
    for table in protocol.state:
        state.ensure(conn, table)
        state.ensure(conn, table)
        assert folded_by_database(conn, table, []) == set()


def test_people_read_strkeys(conn: psycopg.Connection) -> None:
    """Beside each table stands a view with the same columns, contracts and addresses as strkeys in it."""
    state.ensure(conn, TOKENS)
    conn.execute("INSERT INTO ledgerfill.sep50_tokens VALUES (%s, 7, %s, 9)", (bytes(32), b"\x30" + bytes(32)))
    found = conn.execute("SELECT contract_id, token_id, owner, last_ledger FROM ledgerfill.sep50_tokens_readable")
    contract, account = StrKey.encode_contract(bytes(32)), StrKey.encode_ed25519_public_key(bytes(32))
    assert found.fetchall() == [(contract, 7, account, 9)]


def test_sums_hold_many_extremes(conn: psycopg.Connection) -> None:
    """A thousand of the greatest amounts add up to more than an i128, and back to nothing."""
    state.ensure(conn, BALANCES)
    up = [(2, index, (b"a" * 32, b"\x30"), (I128_MAX, 2)) for index in range(1000)]
    down = [(3, index, (b"a" * 32, b"\x30"), (-I128_MAX, 3)) for index in range(1000)]
    assert folded_by_database(conn, BALANCES, [up]) == {(b"a" * 32, b"\x30", 1000 * I128_MAX, 2)}
    assert folded_by_database(conn, BALANCES, [down]) == set()


def test_rows_can_be_merged_by_a_query(conn: psycopg.Connection) -> None:
    """A merge may take some of the rows that wait: those of contracts that are of the protocol."""
    state.ensure(conn, BALANCES)
    conn.execute(state.create_staged(BALANCES))
    for contract in (b"a" * 32, b"b" * 32):
        insert = sql.SQL("INSERT INTO {} VALUES (1, 0, %s, '\\x30', 7, 1)").format(state.staged(BALANCES))
        conn.execute(insert, (contract,))
    chosen = sql.SQL("(SELECT * FROM {} WHERE contract_id = {}) AS chosen")
    assert state.merge(conn, BALANCES, chosen.format(state.staged(BALANCES), sql.Literal(b"b" * 32))) == 1
    assert folded_by_database(conn, BALANCES, []) == {(b"b" * 32, b"\x30", 7, 1)}


def test_staged_rows_end_with_their_transaction(conn: psycopg.Connection) -> None:
    """Rows that wait are gone after a commit, and the table that they waited in serves the next one."""
    for _ in range(2):
        conn.execute(state.create_staged(BALANCES))
        assert conn.execute(sql.SQL("SELECT count(*) FROM {}").format(state.staged(BALANCES))).fetchone() == (0,)
        conn.execute(sql.SQL("INSERT INTO {} VALUES (1, 0, '', '', 7, 1)").format(state.staged(BALANCES)))
        conn.commit()


def test_table_of_another_declaration_is_refused(conn: psycopg.Connection) -> None:
    """A table that stands with other columns, as of an older plug-in, is left alone and named with both."""
    state.ensure(conn, BALANCES)
    other = StateTable(name="sep41_balances", key=BALANCES.key, values=(Value("balance", "u32", "last"),))
    with pytest.raises(Refused, match=r"table ledgerfill.sep41_balances has .*numeric NOT NULL.* declares .*bigint$"):
        state.ensure(conn, other)
