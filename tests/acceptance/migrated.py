"""What migrations come to: what a store has of it, and a serial fold of the tests' own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import zstandard
from lakes import CORE_PASSPHRASE, key
from program import Program
from stellar_sdk import xdr
from token_books import ALLOWANCE, BALANCE, Books

STATE = ("migrate", "current-state")
HISTORY = ("migrate", "history")
BOTH = ("--protocol-id", "SEP41", "--protocol-id", "SEP50")
Rows = list[tuple[Any, ...]]
CHANGES = """
    SELECT protocol_id, operation_id, change_index, contract_id, account, category, reason, amount, token_id,
        counterparty, muxed_id, live_until_ledger
    FROM ledgerfill.state_changes ORDER BY operation_id, change_index, protocol_id
"""


def fold(ledgers: dict[int, bytes], passphrase: str = CORE_PASSPHRASE) -> tuple[Rows, Rows, Rows]:
    """Return history, balances and allowances of these ledgers; every token in them is an asset's."""
    books = Books(passphrase)
    for raw in ledgers.values():
        books.add(xdr.LedgerCloseMeta.from_xdr_bytes(raw))
    changes = sorted((row[1:] for row in books.history["SEP41"] if row[0]), key=lambda row: row[1:3])
    balances: dict[Any, tuple[int, int]] = {}
    allowances: dict[Any, tuple[int, ...]] = {}
    for _, operation, _, contract, account, category, _, amount, _, other, _, live_until in changes:
        ledger = operation >> 32
        if category == BALANCE:
            balances[contract, account] = (balances.get((contract, account), (0, 0))[0] + amount, ledger)
        if category == ALLOWANCE:
            allowances[contract, account, other] = (amount, live_until, ledger)
    return (
        changes,
        sorted((*who, *held) for who, held in balances.items() if held[0]),
        sorted((*who, *held) for who, held in allowances.items() if held[0]),
    )


def rows(program: Program, query: str) -> Rows:
    with psycopg.connect(program.database or "") as conn:
        return [tuple(row) for row in conn.execute(query)]  # type: ignore[call-overload]


def state(program: Program) -> tuple[Rows, Rows]:
    names = ("sep41_balances", "sep41_allowances")
    return tuple(rows(program, f"SELECT * FROM ledgerfill.{name} ORDER BY 1, 2, 3") for name in names)  # type: ignore


def cursor(program: Program, kind: str = "current_state", protocol: str = "SEP41") -> int:
    found = rows(program, f"SELECT value FROM ledgerfill.ingest_store WHERE key = 'protocol_{protocol}_{kind}_cursor'")
    return found[0][0] if found else 0


def statuses(program: Program, kind: str = "current_state") -> list[str]:
    return [row[0] for row in rows(program, f"SELECT {kind}_migration_status FROM ledgerfill.protocols ORDER BY id")]


def history_of(lake: Path, first: int, last: int) -> list[tuple[object, ...]]:
    """Return what history these ledgers have by a serial fold."""
    unpack = zstandard.ZstdDecompressor().stream_reader
    objects = {ledger: (lake / key(ledger)).read_bytes() for ledger in range(first, last + 1)}
    return fold({ledger: unpack(packed).read()[12:] for ledger, packed in objects.items()})[0]  # behind their heads
