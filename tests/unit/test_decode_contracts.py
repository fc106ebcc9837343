"""Codes and instances of contracts in real ledgers: the sections are what a plain reading by stellar-sdk comes to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import zstandard
from decoding import CORE, decode, framed, number, records
from stellar_sdk import xdr

from workers import _decode
from workers.messages import TABLES

CONTRACTS = ("contract_specs", "contract_instances")
PUBNET = "Public Global Stellar Network ; September 2015"
PUBNET_LEDGERS = range(63092982, 63092986)
EMPTY_SECTION = 21  # bytes of a COPY stream without a row
STATE, REMOVED = xdr.LedgerEntryChangeType.LEDGER_ENTRY_STATE, xdr.LedgerEntryChangeType.LEDGER_ENTRY_REMOVED
WASM = xdr.ContractExecutableType.CONTRACT_EXECUTABLE_WASM

Instance = tuple[bytes, int, bytes | None, str | None]
Entry = tuple[int, bool, xdr.LedgerEntryData]  # ledger, whether it is what was before the change
Plain = tuple[str, int, list[bytes]]  # passphrase, first ledger, ledgers


def streams(shared: Path) -> list[Plain]:
    """Streams of stellar-core's own tests."""
    found = [records(path) for path in sorted((shared / "ledgers" / "streams").glob("core-*.xdr"))]
    return [(CORE, sequence(ledgers[0]), ledgers) for ledgers in found]


def pubnet(shared: Path) -> Plain:
    """Ledgers in a row of the public network."""
    ledgers = []
    for ledger in PUBNET_LEDGERS:
        (path,) = (shared / "ledgers" / "pubnet").glob(f"*/*--{ledger}.xdr.zst")
        ledgers.append(zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes())[12:])
    return (PUBNET, PUBNET_LEDGERS[0], ledgers)


def sequence(raw: bytes) -> int:
    return body(xdr.LedgerCloseMeta.from_xdr_bytes(raw)).ledger_header.header.ledger_seq.uint32


def body(meta: xdr.LedgerCloseMeta) -> xdr.LedgerCloseMetaV0 | xdr.LedgerCloseMetaV1 | xdr.LedgerCloseMetaV2:
    return meta.v0 or meta.v1 or meta.v2  # type: ignore[return-value]  # one of them is there


def changes(raw: bytes) -> Iterator[xdr.LedgerEntryChange]:
    """Iterate over all changes of a ledger in the order of its meta."""
    close = body(xdr.LedgerCloseMeta.from_xdr_bytes(raw))
    for tx in close.tx_processing:
        yield from tx.fee_processing.ledger_entry_changes
        meta = tx.tx_apply_processing
        inner = meta.v1 or meta.v2 or meta.v3 or meta.v4
        if inner is None:
            parts = [operation.changes for operation in meta.operations or ()]
        elif meta.v1:
            parts = [meta.v1.tx_changes, *(operation.changes for operation in meta.v1.operations)]
        else:
            operations = [operation.changes for operation in inner.operations]
            parts = [inner.tx_changes_before, *operations, inner.tx_changes_after]
        for part in parts:
            yield from part.ledger_entry_changes
        after = getattr(tx, "post_tx_apply_fee_processing", None)
        yield from after.ledger_entry_changes if after else ()
    for upgrade in close.upgrades_processing:
        yield from upgrade.changes.ledger_entry_changes


def entries(ledgers: Sequence[bytes], first: int) -> Iterator[Entry]:
    """Iterate over the entries of all changes."""
    for ledger, raw in enumerate(ledgers, first):
        for change in changes(raw):
            entry = change.created or change.updated or change.state or change.restored
            if entry is not None:
                yield ledger, change.type is STATE, entry.data


def codes(changed: Sequence[Entry]) -> dict[bytes, int]:
    """Distinct codes in order of first appearance, each with its ledger."""
    found: dict[bytes, int] = {}
    for ledger, _, data in changed:
        if data.contract_code:
            found.setdefault(data.contract_code.code, ledger)
    return found


def instances(changed: Sequence[Entry]) -> list[Instance]:
    """What each contract ran from when on, by the rules of the section."""
    rows: list[Instance] = []
    last: dict[bytes, bytes | None] = {}
    for ledger, is_state, data in changed:
        held = data.contract_data
        if held is None or held.key.type is not xdr.SCValType.SCV_LEDGER_KEY_CONTRACT_INSTANCE:
            continue
        contract, instance = held.contract.contract_id.contract_id.hash, held.val.instance  # type: ignore[union-attr]
        wasm = instance.executable.wasm_hash.hash if instance.executable.type is WASM else None  # type: ignore[union-attr]
        if contract in last and (is_state or last[contract] == wasm):
            continue
        last[contract] = wasm
        row = (contract, max(1, ledger - 1) if is_state else ledger, wasm, name(instance))  # type: ignore[arg-type]
        same = [at for at, (other, from_ledger, _, _) in enumerate(rows) if (other, from_ledger) == row[:2]]
        if same:
            rows[same[0]] = row
        else:
            rows.append(row)
    return rows


def name(instance: xdr.SCContractInstance) -> str | None:
    """The name in an instance's metadata; those of real ledgers are fit to be shown."""
    metadata = under(instance.storage, b"METADATA")
    found = under(metadata.map, b"name") if metadata else None
    return found.str.sc_string.decode() if found and found.str else None


def under(found: xdr.SCMap | None, key: bytes) -> xdr.SCVal | None:
    pairs = found.sc_map if found else ()
    return next((pair.val for pair in pairs if pair.key.sym and pair.key.sym.sc_symbol == key), None)


def check(plain: Plain) -> tuple[int, int]:
    passphrase, first, ledgers = plain
    objects = framed("ledgers", first, ledgers)
    decoded = decode(passphrase, first, first + len(ledgers) - 1, objects, framed=True, tables=CONTRACTS)
    assert decoded.chunk.error is None
    changed = list(entries(ledgers, first))
    wanted = [(hashlib.sha256(code).digest(), _decode.contract_spec(code), at) for code, at in codes(changed).items()]
    assert [(code, spec, number(at)) for code, spec, at in decoded.rows["contract_specs"]] == wanted
    observed = [
        (contract, number(ledger), wasm, label.decode() if label is not None else None)
        for contract, ledger, wasm, label in decoded.rows["contract_instances"]
    ]
    assert observed == instances(changed)
    return len(wanted), len(observed)


def test_sections_of_contracts_are_what_a_plain_reading_finds(shared: Path) -> None:
    """Streams of stellar-core's own tests: every code with its spec, every instance from its ledger on."""
    found = [check(plain) for plain in streams(shared)]
    assert sum(specs for specs, _ in found) >= 5
    assert sum(rows for _, rows in found) >= 20


def test_contracts_of_the_public_network_are_what_a_plain_reading_finds(shared: Path) -> None:
    """Ledgers in a row of the public network in one chunk: names and Stellar Asset Contracts among them."""
    _, rows = check(pubnet(shared))
    assert rows >= 5


def test_tables_do_not_depend_on_each_other(shared: Path) -> None:
    """Whatever is asked for, in whatever order, a table's rows are the same and sections have their own order."""
    plain = streams(shared)
    passphrase, first, ledgers = next(each for each in plain if codes(list(entries(each[2], each[1]))))
    objects, last = framed("ledgers", first, ledgers), first + len(ledgers) - 1
    everything = (*TABLES, *CONTRACTS)
    whole = decode(passphrase, first, last, objects, framed=True, tables=everything[::-1])
    assert tuple(section[0] for section in whole.chunk.sections) == everything
    for table in everything:
        alone = decode(passphrase, first, last, objects, framed=True, tables=(table,))
        assert alone.rows == {table: whole.rows[table]}
        assert len(alone.written) == alone.chunk.sections[0][3]
    assert whole.rows["contract_specs"]


def test_a_chunk_knows_nothing_of_the_one_before(shared: Path, tmp_path: Path) -> None:
    """One decoder that is given the same ledgers twice writes the same rows twice, every code and instance again."""
    decoder = _decode.Decoder(CORE, tables=CONTRACTS)
    for place, (_, first, ledgers) in enumerate(streams(shared)):
        objects, files = framed("ledgers", first, ledgers), [tmp_path / f"{place}-{turn}" for turn in range(2)]
        for file in files:
            with file.open("wb") as rows:
                decoder.chunk(first, first + len(ledgers) - 1, objects, rows.fileno(), framed=True)
        assert files[0].read_bytes() == files[1].read_bytes()


def test_wanted_sections_without_rows_are_there(shared: Path) -> None:
    """A ledger that says nothing of contracts has empty sections for them."""
    passphrase, first, ledgers = streams(shared)[1]
    found = [list(entries([raw], 1)) for raw in ledgers]
    quiet = next(at for at, changed in enumerate(found) if not codes(changed) and not instances(changed))
    objects = framed("ledgers", first + quiet, [ledgers[quiet]])
    decoded = decode(passphrase, first + quiet, first + quiet, objects, framed=True, tables=CONTRACTS)
    assert [section[1::2] for section in decoded.chunk.sections] == [(0, EMPTY_SECTION)] * 2


def test_a_table_that_nobody_knows_is_a_mistake() -> None:
    """An unknown name raises and names those that there are; rows need a descriptor."""
    with pytest.raises(ValueError, match='no table "ledger": there are ledgers, transactions, operations, events, con'):
        _decode.Decoder(CORE, tables=("ledger",))
    assert _decode.Decoder(CORE).tables == TABLES
    with pytest.raises(ValueError, match="no file descriptor: -1"):
        _decode.Decoder(CORE).chunk(1, 1, [("object", 1, 1, b"")], -1)
