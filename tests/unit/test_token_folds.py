"""Folds of tokens' events: cutting a range anywhere changes nothing."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import pairwise

import zstandard
from decoding import Objects
from hypothesis import given, settings
from hypothesis import strategies as st
from made_ledgers import PASSPHRASE, Made, event, instance, ledgers
from stellar_sdk import scval, xdr
from test_token_rows import last, summed
from token_events import ADDRESSES, CONTRACTS, I128_MAX, QUICK, chains
from token_rows import Row, decode

FIRST = 5


def parts(objects: Objects, cuts: set[int]) -> list[Objects]:
    """Cut a range before some of its ledgers."""
    edges = [0, *sorted(cut for cut in cuts if cut < len(objects)), len(objects)]
    return [objects[at:end] for at, end in pairwise(edges)]


def batch(raw: Sequence[bytes], first: int) -> bytes:
    """Put ledgers into one zstd object."""
    head = struct.pack(">III", first, first + len(raw) - 1, len(raw))
    return zstandard.compress(head + b"".join(raw))


def merged(chunks: Sequence[Objects]) -> tuple[list[Row], list[Row], dict[Row, Row], dict[Row, Row], dict[Row, Row]]:
    """Decode each chunk and merge what all of them come to."""
    found = [decode(PASSPHRASE, part[0][1], part[-1][2], part, framed=True) for part in chunks]
    rows = {section: [row for some in found for row in some.rows[section]] for section in found[0].rows}
    history = [row for some in found for row in some.history]
    balances = summed(rows["sep41_balances"])
    allowances, owners = last(rows["sep41_allowances"], key=3), last(rows["sep50_tokens"], key=2)
    return history, rows["sep50_state_changes"], balances, allowances, owners


@settings(max_examples=150, phases=QUICK)
@given(chain=chains(), cuts=st.sets(st.integers(1, 4)))
def test_folds_of_the_parts_merge_into_the_fold_of_the_whole(chain: list[list[Made]], cuts: set[int]) -> None:
    """A range in one chunk, in chunks of a ledger, or cut anywhere: history and merged state are the same."""
    objects = ledgers(FIRST, chain)
    whole = merged([objects])
    assert merged(parts(objects, cuts)) == whole
    assert merged(parts(objects, set(range(1, len(objects))))) == whole


def test_sums_that_leave_an_i128_are_rows_of_their_own() -> None:
    """A token that mints the most there is, again and again, comes to the exact sum."""
    topics = [scval.to_symbol("mint"), ADDRESSES[0]]
    mint = event(CONTRACTS[2], topics, scval.to_int128(I128_MAX))
    burn = event(CONTRACTS[2], [scval.to_symbol("burn"), ADDRESSES[0]], scval.to_int128(I128_MAX))
    objects = ledgers(FIRST, [[Made([[mint] * 5])], [Made([[burn] * 2])], [Made([[]])]])
    rows = decode(PASSPHRASE, FIRST, FIRST + 2, objects, framed=True).rows["sep41_balances"]
    assert len(rows) > 1
    assert summed(rows) == {rows[0][1:3]: (3 * I128_MAX, FIRST + 1)}
    assert {row[5] for row in rows} == {FIRST + 1}


def test_a_balance_that_comes_back_is_a_row_of_zero() -> None:
    """What comes and goes within a chunk changes no balance, but the ledger of its last change."""
    mint, burn = (
        event(CONTRACTS[2], [scval.to_symbol(name), ADDRESSES[0]], scval.to_int128(5)) for name in ("mint", "burn")
    )
    objects = ledgers(FIRST, [[Made([[mint]])], [Made([[burn]])]])
    rows = decode(PASSPHRASE, FIRST, FIRST + 1, objects, framed=True).rows["sep41_balances"]
    assert [row[4:] for row in rows] == [(0, FIRST + 1)]


def test_what_a_contract_was_before_an_upgrade_is_kept_apart() -> None:
    """State says from which ledger on the contract ran what it ran, as far as the chunk has seen."""
    kinds = xdr.LedgerEntryChangeType
    upgrade = [
        instance(kinds.LEDGER_ENTRY_STATE, CONTRACTS[2], b"a" * 32),
        instance(kinds.LEDGER_ENTRY_UPDATED, CONTRACTS[2], b"b" * 32),
    ]
    amount, allowance = scval.to_int128(5), scval.to_vec([scval.to_int128(5), scval.to_uint32(9)])
    emitted = [
        event(CONTRACTS[2], [scval.to_symbol("mint"), ADDRESSES[0]], amount),
        event(CONTRACTS[2], [scval.to_symbol("approve"), *ADDRESSES[:2]], allowance),
        event(CONTRACTS[2], [scval.to_symbol("mint"), ADDRESSES[0]], scval.to_uint32(1)),
    ]
    plain, upgrading = Made([emitted]), Made([emitted], changes=upgrade)
    objects = ledgers(FIRST, [[plain], [plain, upgrading], [plain], [Made([[]], changes=upgrade[1:])], [plain]])
    found = decode(PASSPHRASE, FIRST, FIRST + 4, objects, framed=True).rows
    assert [row[3:] for row in found["sep41_balances"]] == [(FIRST, 5, FIRST), (FIRST + 1, 20, FIRST + 4)]
    assert [(row[4], row[7]) for row in found["sep41_allowances"]] == [(FIRST, FIRST), (FIRST + 1, FIRST + 4)]
    assert [(row[3], row[5]) for row in found["sep50_tokens"]] == [(FIRST, FIRST), (FIRST + 1, FIRST + 4)]
    assert [row[1:] for row in found["sep41_events"]] == [(FIRST, 2), (FIRST + 1, 8)]
    assert [row[1:] for row in found["sep50_events"]] == [(FIRST, 1), (FIRST + 1, 4)]


def test_ledgers_outside_the_range_add_nothing() -> None:
    """Of an object that reaches beyond the range only the ledgers in it count, and the range's first is the first."""
    mint = event(CONTRACTS[2], [scval.to_symbol("mint"), ADDRESSES[0]], scval.to_int128(5))
    objects = ledgers(FIRST, [[Made([[mint]])]] * 4)
    stored = [("made", FIRST, FIRST + 3, batch([raw for *_, raw in objects], FIRST))]
    rows = decode(PASSPHRASE, FIRST + 1, FIRST + 2, stored).rows
    assert [row[3:] for row in rows["sep41_balances"]] == [(FIRST + 1, 10, FIRST + 2)]
    assert len(rows["sep41_state_changes"]) == 2
