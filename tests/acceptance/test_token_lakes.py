"""Lakes of tokens through the whole program: it arrives at the truth that lies beside them, without reading it."""

from __future__ import annotations

import base64
import json
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg
import pytest
from program import Program, ended_well

LEDGERS = 60
BOTH = ("--protocol-id", "SEP41", "--protocol-id", "SEP50")
Rows = set[tuple[Any, ...]]
STATE = {
    "balance": ("SELECT contract_id, account, balance, last_ledger FROM ledgerfill.sep41_balances"),
    "allowance": (
        "SELECT contract_id, owner, spender, amount, live_until_ledger, last_ledger FROM ledgerfill.sep41_allowances"
    ),
    "owner": ("SELECT contract_id, token_id, owner, last_ledger FROM ledgerfill.sep50_tokens"),
}
DIFFERENCES = """
    SELECT contract_id, account, h.balance, s.balance
    FROM (SELECT contract_id, account, sum(amount) AS balance FROM ledgerfill.state_changes
          WHERE protocol_id = 'SEP41' AND category = 1 GROUP BY 1, 2 HAVING sum(amount) <> 0) h
    FULL JOIN ledgerfill.sep41_balances s USING (contract_id, account)
    WHERE h.balance IS DISTINCT FROM s.balance
"""
LEFT_ALONE = {"SEP41": 1814, "SEP50": 2014}  # events, by tests/token_rules.py
CONTRACTS = "SELECT contract_id, from_ledger, protocol_id, wasm_hash FROM ledgerfill.protocol_contracts"


def raw(strkey: str) -> bytes:
    return base64.b32decode(strkey + "=" * (-len(strkey) % 8))[:-2]


def truth(lake: Path, kind: str) -> Rows:
    """Return the lines of a kind as the store has them, but for contracts of no protocol."""
    reads = {"balance": int, "amount": int, "token_id": int, "wasm_hash": lambda code: code and bytes.fromhex(code)}
    reads |= dict.fromkeys(("account", "owner", "spender"), raw)
    reads["contract"] = lambda strkey: raw(strkey)[1:]
    lines = map(json.loads, (lake / "truth.jsonl").read_text().splitlines())
    wanted = [line for line in lines if line.pop("kind") == kind and line.get("protocol", kind)]
    return {tuple(reads.get(name, lambda same: same)(value) for name, value in line.items()) for line in wanted}


def rows(program: Program, query: str) -> Rows:
    with psycopg.connect(program.database or "") as conn:
        return {tuple(row) for row in conn.execute(query)}  # type: ignore[call-overload]


@pytest.fixture
def lake(ledgerfill: Program, tmp_path: Path) -> Path:
    ended_well(ledgerfill, "lake", "make", tmp_path / "lake", "--ledgers", LEDGERS, "--shape", "tokens")
    return tmp_path / "lake"


@pytest.mark.parametrize("chunk_ledgers", [1, 7, 100])
@pytest.mark.parametrize("first", ["setup", "backfill"])
def test_contracts_are_those_of_the_truth(ledgerfill: Program, lake: Path, first: str, chunk_ledgers: int) -> None:
    """Each is found under its protocol from the ledger on that the truth tells, and no near miss is."""
    setup = ("setup", *BOTH)
    backfill = ("backfill", "--source", lake, "--start-ledger", 2, "--chunk-ledgers", chunk_ledgers, "--workers", 2)
    for command in (setup, backfill) if first == "setup" else (backfill, setup):
        ended_well(ledgerfill, *command)
    assert rows(ledgerfill, CONTRACTS) == truth(lake, "contract")
    codes = rows(ledgerfill, "SELECT wasm_hash, protocol_id FROM ledgerfill.protocol_wasms")
    assert sorted(protocol or "" for _, protocol in codes) == [""] * 5 + ["SEP41"] * 2 + ["SEP50"] * 2


@pytest.mark.parametrize("chunk_ledgers", [1, 7, 100])
def test_current_state_is_that_of_the_truth(ledgerfill: Program, lake: Path, chunk_ledgers: int) -> None:
    """Every balance, allowance and owner is what the lake's own books say, and look-alikes are counted, however cut."""
    source = ("--source", lake, "--start-ledger", 2, "--chunk-ledgers", chunk_ledgers, "--workers", 2)
    ended_well(ledgerfill, "backfill", *source)
    ended_well(ledgerfill, "setup", *BOTH)
    _, state = ledgerfill.report("migrate", "current-state", *source, *BOTH, "--until-tip")
    for kind, query in STATE.items():
        assert rows(ledgerfill, query) == truth(lake, kind), kind
    _, history = ledgerfill.report("migrate", "history", *source[:2], *source[4:], *BOTH, "--until-tip")
    assert history["left_alone"] == state["left_alone"] == LEFT_ALONE
    assert rows(ledgerfill, DIFFERENCES) == set()  # every change of a balance has a row, and none twice


def test_live_ingestion_comes_to_the_truth_as_well(ledgerfill: Program, lake: Path) -> None:
    """With all gates open after the first ledger it writes what migrations would, and counts the same look-alikes."""
    source = ("--source", lake)
    ended_well(ledgerfill, "backfill", *source, "--start-ledger", 2, "--end-ledger", 2)
    ended_well(ledgerfill, "setup", *BOTH)
    ended_well(ledgerfill, "migrate", "current-state", *source, "--start-ledger", 2, *BOTH, "--until-tip")
    _, history = ledgerfill.report("migrate", "history", *source, *BOTH, "--until-tip")
    ended, live = ledgerfill.report("live", *source, "--until-tip")
    assert ended.returncode == 0, ended.stderr
    for kind, query in STATE.items():
        assert rows(ledgerfill, query) == truth(lake, kind), kind
    assert Counter(history["left_alone"]) + Counter(live["left_alone"]) == LEFT_ALONE
    assert rows(ledgerfill, DIFFERENCES) == set()


def test_what_migrations_leave_out_is_said(ledgerfill: Program, lake: Path) -> None:
    """Contracts whose code is not known are told by each migration; ledgers that come below a history are filled in."""
    backfill, history = ("backfill", "--source", lake), ("migrate", "history", "--source", lake, *BOTH, "--until-tip")
    ended_well(ledgerfill, *backfill, "--start-ledger", 40)
    ended_well(ledgerfill, "setup", *BOTH)
    said = ledgerfill(*history).stderr
    assert "contracts run code that was never seen (" in said
    ended_well(ledgerfill, *backfill, "--start-ledger", 2)
    status = json.loads(ledgerfill("status", "--json").stdout)["protocols"][0]
    assert (status["id"], status["history_ledgers"], status["current_state_ledgers"]) == (
        "SEP41",
        [40, LEDGERS + 1],
        None,
    )
    assert status["history_lacks"] == [[2, 39]]
    filled = ledgerfill(*history)
    assert (filled.returncode, " WARNING " in filled.stderr) == (0, False)
    state = ledgerfill("migrate", "current-state", "--source", lake, *BOTH, "--until-tip", "--start-ledger", 2)
    assert (state.returncode, " WARNING " in state.stderr) == (0, False)
    far = f"  SEP50  classification success, history success (2-{LEDGERS + 1}), current state success (2-{LEDGERS + 1})"
    assert far in ledgerfill("status").stdout.splitlines()
