"""The decoder on real ledgers: its rows are what an independent decoder found."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from decoding import CORE, EPOCH_SECONDS, LOAD, Decoded, answers, decode, digests, framed, number, records

from workers import _decode
from workers.messages import TABLES

STREAMS = [
    "core-03df1dc73d71eb00.xdr",
    "core-1e8e76b45b2c1981.xdr",
    "core-221f1cad327fb891.xdr",
    "core-302126e9bbf11954.xdr",
    "core-318b008d239ea9d8.xdr",
    "core-633ede77405d5244.xdr",
    "core-9de975c631418bb4.xdr",
    "core-d1522d4667822bc2.xdr",
    "core-d580226d468cd36a.xdr",
    "core-fdce9caeb61c5f3a.xdr",
    "load-soroban-v27.xdr.zst",
]


def check(decoded: Decoded, answer: dict[str, Any]) -> None:  # Any: JSON
    ledger = answer["seq"]
    row = next(row for row in decoded.rows["ledgers"] if number(row[0]) == ledger)
    assert row[1] == bytes.fromhex(answer["hash"])
    assert row[2] == bytes.fromhex(answer["previous_hash"])
    assert number(row[3]) == (answer["close_time"] - EPOCH_SECONDS) * 1_000_000
    events = answer["op_events"] + answer["tx_events"]
    counts = [answer["protocol"], answer["transactions"], answer["successful"], answer["operations"], events]
    assert [number(value) for value in row[4:]] == counts
    assert digests(decoded.rows, ledger) == answer["digest"]


def lakes(shared: Path) -> list[tuple[str, str, dict[str, Any]]]:  # Any: JSON
    out = []
    for lake in ("pubnet", "testnet"):
        manifest = json.loads((shared / "ledgers" / lake / ".config.json").read_text())
        for file, found in answers(shared).items():
            if file.startswith(lake):
                out.append((manifest["networkPassphrase"], file, found[0]))
    return out


def test_every_ledger_of_the_lakes_gives_the_rows_of_the_answers(shared: Path) -> None:
    """From protocol 2 to 26, meta V0 to V2, the rows are those of an independent decoder."""
    found = lakes(shared)
    assert len(found) == 24
    for passphrase, file, answer in found:
        data = (shared / "ledgers" / file).read_bytes()
        decoded = decode(passphrase, answer["seq"], answer["seq"], [(file, answer["seq"], answer["seq"], data)])
        assert decoded.chunk.error is None
        check(decoded, answer)


@pytest.mark.parametrize("name", STREAMS)
def test_every_stream_gives_the_rows_of_the_answers(shared: Path, name: str) -> None:
    """Streams of stellar-core's own tests, all kinds of transactions in them, give the rows of the answers."""
    found = answers(shared)[f"streams/{name}"]
    first, last = found[0]["seq"], found[-1]["seq"]
    objects = framed(name, first, records(shared / "ledgers" / "streams" / name))
    decoded = decode(LOAD if name.startswith("load") else CORE, first, last, objects, framed=True)
    assert decoded.chunk.error is None
    assert decoded.chunk.ledgers == len(found)
    for answer in found:
        check(decoded, answer)


def contiguous(shared: Path) -> tuple[str, list[tuple[str, int, int, bytes]]]:
    found = [(passphrase, file, answer["seq"]) for passphrase, file, answer in lakes(shared)]
    objects = [(file, seq, seq, (shared / "ledgers" / file).read_bytes()) for _, file, seq in found if seq >= 63092982]
    return found[0][0], sorted(objects, key=lambda entry: entry[1])


def test_a_chunk_tells_its_hashes_sections_and_sizes(shared: Path) -> None:
    """Hashes are those of the ends, sections lie end to end in the order of the tables."""
    passphrase, objects = contiguous(shared)
    decoded = decode(passphrase, 63092982, 63092995, objects)
    chunk = decoded.chunk
    ledgers = decoded.rows["ledgers"]
    assert chunk.ledgers == len(ledgers) == 14
    assert (chunk.previous_hash, chunk.first_hash, chunk.last_hash) == (ledgers[0][2], ledgers[0][1], ledgers[-1][1])
    assert all(below[1] == above[2] for below, above in pairwise(ledgers))
    assert tuple(section[0] for section in chunk.sections) == TABLES
    ends = [0, *(offset + length for _, _, offset, length in chunk.sections)]
    assert [offset for _, _, offset, _ in chunk.sections] == ends[:-1]
    assert ends[-1] == len(decoded.written)
    assert [rows for _, rows, _, _ in chunk.sections] == [len(decoded.rows[table]) for table in TABLES]
    assert chunk.plain_bytes > 13_000_000
    assert set(chunk.nanoseconds) == {"decompress", "walk", "prove", "encode", "write"}


def test_rows_are_in_key_order(shared: Path) -> None:
    """Every table comes in the order of its key: a transaction's own events before those of its operations."""
    passphrase, objects = contiguous(shared)
    rows = decode(passphrase, 63092982, 63092995, objects).rows
    for table, width in zip(TABLES, (1, 1, 1, 2), strict=True):
        keys = [tuple(number(value) for value in row[:width]) for row in rows[table]]
        assert all(below < above for below, above in pairwise(keys)), table


def test_rows_do_not_depend_on_chunks(shared: Path) -> None:
    """One chunk of fourteen ledgers has the rows of fourteen chunks of one, also through one decoder."""
    passphrase, objects = contiguous(shared)
    whole = decode(passphrase, 63092982, 63092995, objects)
    parts = [decode(passphrase, seq, seq, [entry]).rows for entry in objects for seq in [entry[1]]]
    for table in TABLES:
        assert whole.rows[table] == [row for part in parts for row in part[table]]


def test_accounts_are_plain_and_muxed_ids_apart(shared: Path) -> None:
    """Accounts are 33 bytes with the strkey's version byte; a fee bump names its payer, others none."""
    passphrase, objects = contiguous(shared)
    rows = decode(passphrase, 63092982, 63092995, objects).rows
    accounts = [row[5] for row in rows["transactions"]] + [row[2] for row in rows["operations"]]
    assert {(len(account or b""), (account or b"\0")[0]) for account in accounts} == {(33, 6 << 3)}
    payers = [row[7] for row in rows["transactions"]]
    assert any(payer is None for payer in payers)
    assert {len(payer) for payer in payers if payer is not None} == {33}


def test_without_tables_there_are_proofs_and_no_rows(shared: Path) -> None:
    """A decoder that shall make no rows checks a chunk, needs no descriptor and writes nothing."""
    passphrase, objects = contiguous(shared)
    chunk = _decode.Decoder(passphrase, tables=()).chunk(63092982, 63092983, objects[:2], -1)
    assert (chunk.ledgers, chunk.sections, chunk.error) == (2, (), None)


def test_rewritten_events_below_protocol_23_are_counted(shared: Path) -> None:
    """A lake that rewrote the events of old ledgers is read; how many hashes fail is told."""
    passphrase, file, answer = next(entry for entry in lakes(shared) if entry[2]["seq"] == 51000294)
    objects = [(file, 51000294, 51000294, (shared / "ledgers" / file).read_bytes())]
    chunk = decode(passphrase, 51000294, 51000294, objects).chunk
    assert chunk.error is None
    assert chunk.event_hash_mismatches <= answer["soroban"]


def test_a_file_that_cannot_be_written_is_an_os_error(shared: Path, tmp_path: Path) -> None:
    """A descriptor that is open for reading only raises OSError, as a full disk would."""
    passphrase, objects = contiguous(shared)
    file = tmp_path / "rows"
    file.touch()
    with file.open("rb") as rows, pytest.raises(OSError, match="Bad file descriptor"):
        _decode.Decoder(passphrase).chunk(63092982, 63092982, objects[:1], rows.fileno())
