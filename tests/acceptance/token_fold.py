"""What a lake of tokens comes to by a serial fold of the tests' own, and whether a store holds just that."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
from lakes import key, plain
from stellar_sdk import scval, xdr
from token_books import Side, speaks
from token_rules import Ruled

PROCESSES = 2  # that read ledgers: stellar-sdk takes 60 ms for each
SLICE = 50  # ledgers at a time
COLUMNS = {
    "state_changes": "protocol_id text, operation_id int8, change_index int4, contract_id bytea, account bytea, "
    "category int2, reason int2, amount numeric, token_id numeric, counterparty bytea, muxed_id bytea, "
    "live_until_ledger int8",
    "sep41_balances": "contract_id bytea, account bytea, balance numeric, last_ledger int4",
    "sep41_allowances": "contract_id bytea, owner bytea, spender bytea, amount numeric, live_until_ledger int8, "
    "last_ledger int4",
    "sep50_tokens": "contract_id bytea, token_id numeric, owner bytea, last_ledger int4",
}
DIGESTS = """
    SELECT {ledger}, count(*), md5(string_agg(t::text, ' ' ORDER BY t))
    FROM (SELECT {columns} FROM ledgerfill.{table}) t GROUP BY 1
"""
Row = tuple[Any, ...]
Digests = dict[tuple[str, int], tuple[int, str]]


class _Reader(Ruled):
    """Books that enter nothing: they note in order what is to be entered."""

    def __init__(self, passphrase: str) -> None:
        super().__init__(passphrase)
        self.noted: list[tuple[Callable[..., None], Row]] = []

    def _run(self, sequence: int, contract: bytes, wasm: bytes | None) -> None:
        self.noted.append((Ruled._run, (sequence, contract, wasm)))

    def _ask(self, protocol: str, contract: bytes) -> None:
        self.noted.append((Ruled._ask, (protocol, contract)))

    def _write(self, certain: bool, protocol: str, operation: int, index: int, contract: bytes, side: Side) -> None:
        self.noted.append((Ruled._write, (certain, protocol, operation, index, contract, side)))


def passphrase(lake: Path) -> str:
    return str(json.loads((lake / "expected.json").read_text())["network_passphrase"])


def _read(lake: Path, first: int, last: int) -> _Reader:
    reader = _Reader(passphrase(lake))
    for ledger in range(first, last + 1):
        batch = plain((lake / key(ledger)).read_bytes())
        reader.add(xdr.LedgerCloseMeta.from_xdr_bytes(batch[12:]))  # behind its head
    return reader


def fold(lake: Path, firsts: Sequence[int], last: int) -> list[Ruled]:
    """Return books that begin with each of `firsts`, the lowest first: read side by side, entered one after another.

    What contracts run is known to all of them from the lowest on.
    """
    first, every = firsts[0], [Ruled(passphrase(lake)) for _ in firsts]
    slices = [(lake, low, min(last, low + SLICE - 1)) for low in range(first, last + 1, SLICE)]
    with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn")) as pool:
        for reader in pool.map(_read, *zip(*slices, strict=True)):
            for begins, kept in zip(firsts, every, strict=True):
                kept.codes |= reader.codes
                for enter, what in reader.noted:
                    if enter is not Ruled._write or what[2] >> 32 >= begins:  # `what[2]`: the operation
                        enter(kept, *what)
    return every


def books(network: str, ledgers: Iterable[bytes]) -> Ruled:
    """Return the books of ledgers in a row, empty ones where no ledger of them speaks of tokens."""
    kept, raw = Ruled(network), list(ledgers)
    for ledger in raw if any(map(speaks, raw)) else ():
        kept.add(xdr.LedgerCloseMeta.from_xdr_bytes(ledger))
    return kept


def rows(kept: Ruled) -> dict[str, list[Row]]:
    """Return the rows that a store should have, by table."""
    return {
        "state_changes": [row for history in kept.history.values() for row in _changes(history)],
        "sep41_balances": [(*who, *held) for who, held in kept.balances.items() if held[0]],
        "sep41_allowances": [(*who, *held[:3]) for who, held in kept.allowances.items() if held[0]],
        "sep50_tokens": [
            (contract, scval.to_native(token), *held[:2]) for (contract, token), held in kept.owners.items() if held[0]
        ],
    }


def _changes(history: list[Row]) -> Iterator[Row]:
    for _, *before, token, other, muxed, live_until in history:
        yield (*before, None if token is None else scval.to_native(token), other, muxed, live_until)


def write(database: str, made: dict[str, list[Row]]) -> None:
    """Write these rows into an empty database, in tables like those of a store."""
    with psycopg.connect(database) as conn:
        conn.execute("CREATE SCHEMA ledgerfill")
        for table, columns in COLUMNS.items():
            conn.execute(f"CREATE TABLE ledgerfill.{table} ({columns})")
            with conn.cursor().copy(f"COPY ledgerfill.{table} FROM STDIN") as copy:
                for row in made[table]:
                    copy.write_row(row)


def held(database: str, table: str) -> list[Row]:
    """Return the rows of a store's table."""
    names = ", ".join(each.split()[0] for each in COLUMNS[table].split(", "))
    with psycopg.connect(database) as conn:
        return conn.execute(f"SELECT {names} FROM ledgerfill.{table}").fetchall()


def digests(database: str) -> Digests:
    """Return how many rows each table has of each ledger, and their digest; of a state, of its last ledger."""
    found: Digests = {}
    with psycopg.connect(database) as conn:
        for table, columns in COLUMNS.items():
            names = {"table": table, "columns": ", ".join(each.split()[0] for each in columns.split(", "))}
            ledger = "last_ledger" if "last_ledger" in columns else "operation_id >> 32"
            for at, *what in conn.execute(DIGESTS.format(ledger=ledger, **names)):
                found[table, at] = tuple(what)
    return found


def differences(database: str, expected: Digests) -> list[str]:
    """Return where a store differs from what is expected."""
    found = digests(database)
    return [
        f"{table}, ledger {ledger}: {found.get((table, ledger))} instead of {expected.get((table, ledger))}"
        for table, ledger in sorted(found.keys() | expected.keys())
        if found.get((table, ledger)) != expected.get((table, ledger))
    ]
