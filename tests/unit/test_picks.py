"""The events that the decoder picks for plug-ins, as columns: those that an independent reader picks."""

from __future__ import annotations

import os
from collections.abc import Sequence

from decoding import Objects
from hypothesis import given, settings
from made_ledgers import PASSPHRASE, Made, event, ledgers
from stellar_sdk import scval, xdr
from test_token_folds import batch
from test_token_rows import FIRST, one
from token_books import events_of, read, sac
from token_events import ADDRESSES, CONTRACTS, QUICK, STRINGS, chains

from workers._decode import Decoder
from workers.protocols.columns import Events

Row = tuple[int, int, int, bytes, list[bytes], bytes, bool]
WANTS = (({"transfer", "approve"}, False), ({"transfer", "mint", "unheard_of"}, True), ({"burn"}, False))


def picked(objects: Objects, wants: Sequence[tuple[set[str], bool]] = WANTS) -> list[list[Row]]:
    """Return what a decoder without tables picks, row by row."""
    decoder = Decoder(PASSPHRASE, tables=[], wanted=[(sorted(topics), assets) for topics, assets in wants])
    chunk = decoder.chunk(objects[0][1], objects[-1][2], objects, -1, framed=True)
    assert chunk.error is None
    assert all(len(calls) <= 1 for calls in chunk.events)
    return [[row for length, buffers in calls for row in rows(Events.of(length, buffers))] for calls in chunk.events]


def rows(events: Events) -> list[Row]:
    columns = [getattr(events, name) for name in Events.__slots__]
    for column in columns:
        column.validate(full=True)
        assert len(column) == len(events)
    return list(zip(*(column.to_pylist() for column in columns), strict=True))


def by_hand(objects: Objects, topics: set[str], assets: bool) -> list[Row]:
    found = []
    for _, sequence, _, raw in objects:
        for number, processed in enumerate(xdr.LedgerCloseMeta.from_xdr_bytes(raw).v1.tx_processing, 1):
            succeeded = processed.result.result.result.code == xdr.TransactionResultCode.txSUCCESS
            for operation, index, told in events_of(processed.tx_apply_processing, succeeded):
                values = [read(topic) for topic in told.body.v0.topics]
                if not operation or told.type != xdr.ContractEventType.CONTRACT or not told.contract_id:
                    continue
                if not values or values[0].kind != "symbol" or values[0].held not in topics:
                    continue
                contract, last = told.contract_id.contract_id.hash, values[-1]
                certain = last.kind == "string" and sac(PASSPHRASE, str(last.held)) == contract
                if assets or not certain:
                    place = (sequence, sequence << 32 | number << 12 | operation, index)
                    data = told.body.v0.data.to_xdr_bytes()
                    found.append((*place, contract, [value.xdr for value in values], data, certain))
    return found


@settings(max_examples=200, phases=QUICK)
@given(chain=chains())
def test_events_of_each_plug_in_are_those_that_it_wants(chain: list[list[Made]]) -> None:
    """Whatever contracts emit: each plug-in is given the events under its names that count, in their order."""
    objects = ledgers(FIRST, chain)
    assert picked(objects) == [by_hand(objects, *want) for want in WANTS]


def test_a_failed_transaction_and_diagnostics_give_nothing() -> None:
    """Only what operations of a successful transaction emit counts, and the number is that of all of its events."""
    moved = event(CONTRACTS[2], [scval.to_symbol("transfer"), *ADDRESSES[:2]], scval.to_int128(7))
    other = event(CONTRACTS[2], [scval.to_symbol("other")], scval.to_void())
    failed = Made([[moved]], successful=False)
    sound = Made([[other, moved]], own=[(0, moved)], diagnostic=[moved])
    (found,) = picked(one(failed, sound), [({"transfer"}, True)])
    assert [row[1:3] for row in found] == [(FIRST << 32 | 2 << 12 | 1, 1)]


def test_assets_go_to_whom_they_belong() -> None:
    """What proves to come from a Stellar Asset Contract is given to the plug-in that claims these, and to no other."""
    proved = event(CONTRACTS[0], [scval.to_symbol("transfer"), *ADDRESSES[:2], STRINGS[0]], scval.to_int128(7))
    thief = event(CONTRACTS[2], [scval.to_symbol("transfer"), *ADDRESSES[:2], STRINGS[0]], scval.to_int128(7))
    wants = [({"transfer"}, False), ({"transfer"}, True)]
    without, having = picked(one(Made([[proved, thief]])), wants)
    assert [(row[3], row[6]) for row in without] == [(CONTRACTS[2], False)]
    assert [(row[3], row[6]) for row in having] == [(CONTRACTS[0], True), (CONTRACTS[2], False)]


def test_rows_of_tables_do_not_change_with_what_is_picked(tmp_path) -> None:
    """A decoder writes the same rows whether plug-ins want events or not, and each chunk is picked from anew."""
    moved = event(CONTRACTS[2], [scval.to_symbol("transfer"), *ADDRESSES[:2]], scval.to_int128(7))
    objects, found = one(Made([[moved]])), []
    for wanted in ([], [(["transfer"], False)]):
        decoder = Decoder(PASSPHRASE, wanted=wanted)
        for _ in range(2):
            with (tmp_path / "rows").open("w+b") as file:
                chunk = decoder.chunk(FIRST, FIRST, objects, file.fileno(), framed=True)
                assert [[length for length, _ in calls] for calls in chunk.events] == [[1]] * len(wanted)
                found.append(os.pread(file.fileno(), 1 << 20, 0))
    assert len(set(found)) == 1


def test_much_comes_in_several_calls() -> None:
    """Beyond 64 MiB of topics and data a plug-in is called once more, so that no column overflows."""
    large = event(CONTRACTS[2], [scval.to_symbol("transfer")], scval.to_bytes(bytes(15 << 20)))
    objects = ledgers(FIRST, [[Made([[large] * 4])], [Made([[large] * 4])]])
    decoder = Decoder(PASSPHRASE, tables=[], wanted=[(["transfer"], False)])
    (calls,) = decoder.chunk(FIRST, FIRST + 1, objects, -1, framed=True).events
    assert [length for length, _ in calls] == [5, 3]
    assert [row[1:3] for call in calls for row in rows(Events.of(*call))] == [
        (ledger << 32 | 1 << 12 | 1, index) for ledger in (FIRST, FIRST + 1) for index in range(4)
    ]


def test_only_sound_ledgers_that_are_wanted_give_events() -> None:
    """Nothing is picked from a ledger that does not prove, nor from one outside of the chunk."""
    moved = event(CONTRACTS[2], [scval.to_symbol("transfer")], scval.to_void())
    *sound, (name, first, last, raw) = ledgers(FIRST, [[Made([[moved]])]] * 4)
    damaged = [*sound, (name, first, last, raw[:-40] + bytes([raw[-40] ^ 1]) + raw[-39:])]
    decoder = Decoder(PASSPHRASE, tables=[], wanted=[(["transfer"], False)])
    chunk = decoder.chunk(FIRST, FIRST + 3, damaged, -1, framed=True)
    assert (chunk.error is None, [length for length, _ in chunk.events[0]]) == (False, [3])
    many = [("many", FIRST, FIRST + 2, batch([raw for *_, raw in sound], FIRST))]
    (calls,) = decoder.chunk(FIRST + 1, FIRST + 1, many, -1).events
    assert [row[0] for call in calls for row in rows(Events.of(*call))] == [FIRST + 1]
