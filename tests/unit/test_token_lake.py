"""The truth beside a lake of tokens: it is what an independent reader makes of the ledgers, and so does the decoder."""

from __future__ import annotations

import base64
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import zstandard
from stellar_sdk import Asset, StrKey, scval, xdr
from test_lake_make import SYNTHETIC, files, make, objects, source
from test_token_rows import agrees
from token_books import Books
from token_rows import decode
from token_rules import Ruled

from workers.sources.layout import Layout

FIRST, LEDGERS = 1000, 40
LAYOUT = Layout(ledgers_per_object=1, objects_per_partition=64_000)
I128_MAX = 2**127 - 1


def _raw(strkey: str) -> bytes:
    return base64.b32decode(strkey + "=" * (-len(strkey) % 8))[:-2]


def truth(lake: Path, kind: str) -> list[dict[str, Any]]:
    """Return the lines of a kind."""
    lines = [json.loads(line) for line in (lake / "truth.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == kind]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("tokens") / "lake", LEDGERS, first=FIRST, shape="tokens")


@pytest.fixture(scope="module")
def ledgers(lake: Path) -> list[xdr.LedgerCloseMeta]:
    plain = (zstandard.ZstdDecompressor().stream_reader(data).read() for _, data in source(lake))
    return [xdr.LedgerCloseMeta.from_xdr_bytes(batch[12:]) for batch in plain]  # behind the head, one ledger each


@pytest.fixture(scope="module")
def ruled(ledgers: list[xdr.LedgerCloseMeta]) -> Ruled:
    """A serial fold over the ledgers."""
    kept = Ruled(SYNTHETIC)
    for ledger in ledgers:
        kept.add(ledger)
    return kept


def test_contracts_are_what_the_truth_says_and_from_then_on(lake: Path, ruled: Ruled) -> None:
    """Every deployment and upgrade is in the truth, with the protocol that the code's specification claims."""
    told = [
        (
            StrKey.decode_contract(line["contract"]),
            line["from_ledger"],
            line["protocol"],
            bytes.fromhex(line["wasm_hash"]) if line["wasm_hash"] else None,
        )
        for line in truth(lake, "contract")
    ]
    assert sorted(told, key=str) == sorted(ruled.changes, key=str)
    assert Counter(protocol for _, _, protocol, _ in told).keys() == {"SEP41", "SEP50", None}
    lives = [{protocol for contract, _, protocol, _ in told if contract == each} for each, *_ in told]
    assert {"SEP41", None} in lives
    assert {"SEP41", "SEP50"} in lives


def test_balances_are_those_of_a_serial_fold(lake: Path, ruled: Ruled) -> None:
    """Sums of every contract and account agree, those beyond an i128 as well, and none at zero is told."""
    told = {
        (StrKey.decode_contract(line["contract"]), _raw(line["account"])): (int(line["balance"]), line["last_ledger"])
        for line in truth(lake, "balance")
    }
    assert told == {key: held for key, held in ruled.balances.items() if held[0]}
    assert max(balance for balance, _ in told.values()) > I128_MAX
    assert min(balance for balance, _ in told.values()) < -I128_MAX - 1
    native = StrKey.decode_contract(Asset.native().contract_id(SYNTHETIC))
    assert any(contract == native for contract, _ in told)
    assert {account[0] >> 3 for _, account in told} == {1, 2, 6, 11}  # B, C, G, L


def test_allowances_are_the_last_that_were_approved(lake: Path, ruled: Ruled) -> None:
    """Of each owner and spender the last one stands, with its ledgers."""
    told = {
        (StrKey.decode_contract(line["contract"]), _raw(line["owner"]), _raw(line["spender"])): (
            int(line["amount"]),
            line["live_until_ledger"],
            line["last_ledger"],
        )
        for line in truth(lake, "allowance")
    }
    assert told
    assert told == {key: held[:3] for key, held in ruled.allowances.items() if held[0]}


def test_owners_are_the_last_to_come_to_a_token(lake: Path, ruled: Ruled) -> None:
    """Each collectible has the owner that it came to last, and a burnt one none."""
    told = {
        (StrKey.decode_contract(line["contract"]), int(line["token_id"])): (_raw(line["owner"]), line["last_ledger"])
        for line in truth(lake, "owner")
    }
    folded = {
        (contract, scval.to_native(token)): held[:2] for (contract, token), held in ruled.owners.items() if held[0]
    }
    assert told == folded
    assert len(folded) < len(ruled.owners)
    assert max(token for _, token in told) > 2**255


def test_the_decoder_reads_the_lake_as_the_books_do(lake: Path, ledgers: list[xdr.LedgerCloseMeta]) -> None:
    """History, state and what is left alone, of whatever contract."""
    kept = Books(SYNTHETIC)
    for ledger in ledgers:
        kept.add(ledger)
    agrees(decode(SYNTHETIC, FIRST, FIRST + LEDGERS - 1, list(objects(lake, LAYOUT))), kept)
    assert min(kept.left_alone.values()) > LEDGERS


def test_another_seed_gives_another_truth_and_threads_none(lake: Path, tmp_path: Path) -> None:
    """The truth follows from the order alone, as the ledgers do."""
    options = {"first": FIRST, "shape": "tokens"}
    assert files(make(tmp_path / "same", LEDGERS, threads=4, **options)) == files(lake)
    other = make(tmp_path / "other", LEDGERS, seed=2, **options)
    assert (other / "truth.jsonl").read_bytes() != (lake / "truth.jsonl").read_bytes()
