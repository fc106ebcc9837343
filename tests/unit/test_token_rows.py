"""The rows of tokens are those of books that are kept by hand on stellar-sdk, on real ledgers and on hostile ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
import zstandard
from decoding import CORE, Objects, framed, records
from hypothesis import given, settings
from made_ledgers import PASSPHRASE, Made, event, ledgers
from stellar_sdk import scval, xdr
from test_decode import STREAMS, lakes
from token_books import Books
from token_events import ADDRESSES, CONTRACTS, QUICK, STRINGS, chains
from token_rows import SECTIONS, Row, Tokens, decode

FIRST = 5


def books(passphrase: str, raw: list[bytes]) -> Books:
    kept = Books(passphrase)
    for ledger in raw:
        kept.add(xdr.LedgerCloseMeta.from_xdr_bytes(ledger))
    return kept


def summed(rows: Iterable[Row]) -> dict[Row, Row]:
    """Merge balances: contract and account, sum and last ledger."""
    out: dict[Row, Row] = {}
    for _, contract, account, _, delta, last_ledger in rows:
        assert -(2**127) <= delta < 2**127
        old, seen = out.get((contract, account), (0, 0))
        out[contract, account] = (old + delta, max(seen, last_ledger))
    return out


def last(rows: Iterable[Row], *, key: int) -> dict[Row, Row]:
    """Merge what was written last by its place: the last three columns."""
    ordered = sorted(rows, key=lambda row: row[-3:])
    return {row[1 : 1 + key]: row[2 + key :] for row in ordered}


def agrees(tokens: Tokens, kept: Books) -> None:
    """Hold all rows of a chunk against the books."""
    assert tokens.history == kept.history["SEP41"]
    assert tokens.rows["sep50_state_changes"] == kept.history["SEP50"]
    assert tokens.chunk.left_alone == kept.left_alone
    for protocol, asked in kept.asked.items():
        rows = tokens.rows[f"{protocol.lower()}_events"]
        assert len({row[:2] for row in rows}) == len(rows)
        assert sum((Counter({contract: events}) for contract, _, events in rows), Counter()) == asked
    assert summed(tokens.rows["sep41_balances"]) == kept.balances
    assert last(tokens.rows["sep41_allowances"], key=3) == kept.allowances
    assert last(tokens.rows["sep50_tokens"], key=2) == kept.owners


@pytest.mark.slow
def test_the_tokens_of_every_real_ledger_are_those_of_the_books(shared: Path) -> None:
    """History, balances and allowances of every ledger of the lakes equal a fold that shares no code with ours."""
    rows = 0
    for passphrase, file, answer in lakes(shared):
        data = (shared / "ledgers" / file).read_bytes()
        ledger = zstandard.ZstdDecompressor().stream_reader(data).read()[12:]  # behind the batch's head
        tokens = decode(passphrase, answer["seq"], answer["seq"], [(file, answer["seq"], answer["seq"], data)])
        agrees(tokens, books(passphrase, [ledger]))
        rows += len(tokens.history)
    assert rows > 15_000


@pytest.mark.parametrize("name", [name for name in STREAMS if name.startswith("core")])
def test_the_tokens_of_every_core_stream_are_those_of_the_books(shared: Path, name: str) -> None:
    """Streams of stellar-core's own tests hold mints, burns, clawbacks, refunds and addresses of all kinds."""
    raw = records(shared / "ledgers" / "streams" / name)
    kept = books(CORE, raw)
    first = xdr.LedgerCloseMeta.from_xdr_bytes(raw[0])
    sequence = (first.v0 or first.v1 or first.v2).ledger_header.header.ledger_seq.uint32
    tokens = decode(CORE, sequence, sequence + len(raw) - 1, framed(name, sequence, raw), framed=True)
    agrees(tokens, kept)


@settings(max_examples=300, phases=QUICK)
@given(chain=chains())
def test_hostile_events_come_to_what_the_books_have(chain: list[list[Made]]) -> None:
    """Whatever contracts emit, in whatever transaction: rows and counts are those of the books."""
    objects = ledgers(FIRST, chain)
    tokens = decode(PASSPHRASE, FIRST, FIRST + len(chain) - 1, objects, framed=True)
    agrees(tokens, books(PASSPHRASE, [raw for *_, raw in objects]))


def transfer(index: int, data: xdr.SCVal) -> xdr.ContractEvent:
    topics = [scval.to_symbol("transfer"), ADDRESSES[0], ADDRESSES[1], *STRINGS[index : index + 1][: 2 - index]]
    return event(CONTRACTS[index], topics, data)


def one(*transactions: Made) -> Objects:
    return ledgers(FIRST, [transactions])


def test_a_failed_transaction_pays_and_does_nothing_else() -> None:
    """Of a failed transaction the fee is a change, and not what its operations say."""
    paid = event(CONTRACTS[0], [scval.to_symbol("fee"), ADDRESSES[0]], scval.to_int128(100))
    failed = Made([[transfer(0, scval.to_int128(7))]], [(0, paid)], successful=False)
    tokens = decode(PASSPHRASE, FIRST, FIRST, one(failed), framed=True)
    assert [row[8] for row in tokens.history] == [-100]
    assert tokens.chunk.left_alone == {"SEP41": 0, "SEP50": 0}


def test_a_contract_is_certain_by_proof_alone() -> None:
    """An asset's contract is certain; another one that names the asset is left alone, one without it is asked."""
    amount = scval.to_int128(7)
    thief = event(CONTRACTS[2], [scval.to_symbol("transfer"), *ADDRESSES[:2], STRINGS[0]], amount)
    bare = event(CONTRACTS[3], [scval.to_symbol("transfer"), *ADDRESSES[:2]], amount)
    tokens = decode(PASSPHRASE, FIRST, FIRST, one(Made([[thief, transfer(0, amount), bare]])), framed=True)
    found = [(row[0], row[4], row[3]) for row in tokens.history]
    proved, asked = CONTRACTS[0], CONTRACTS[3]
    assert found == [(True, proved, 2), (True, proved, 3), (False, asked, 4), (False, asked, 5)]
    sums = Counter(row[:2] for row in tokens.rows["sep41_balances"])
    assert sums == {(True, proved): 2, (False, asked): 2}
    assert tokens.chunk.left_alone == {"SEP41": 1, "SEP50": 1}


def test_only_wanted_sections_are_made() -> None:
    """Each section is there alone when it is asked for alone, and equals itself among all."""
    paid = event(CONTRACTS[0], [scval.to_symbol("fee"), ADDRESSES[0]], scval.to_int128(100))
    approve = [scval.to_symbol("approve"), *ADDRESSES[:2]]
    allowed = event(CONTRACTS[2], approve, scval.to_vec([scval.to_int128(5), scval.to_uint32(9)]))
    minted = event(CONTRACTS[3], [scval.to_symbol("mint"), ADDRESSES[0]], scval.to_uint32(1))
    objects = one(Made([[transfer(0, scval.to_int128(7)), allowed, minted]], [(0, paid)]))
    whole = decode(PASSPHRASE, FIRST, FIRST, objects, framed=True)
    assert list(whole.rows) == SECTIONS
    for section in SECTIONS:
        alone = decode(PASSPHRASE, FIRST, FIRST, objects, framed=True, tables=[section])
        assert alone.rows == {section: whole.rows[section]}
        assert alone.rows[section]
