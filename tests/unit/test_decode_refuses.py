"""What the decoder refuses, as Python sees it: the error's attributes, the sound part before it."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import zstandard
from decoding import CORE, Decoded, Objects, decode, framed, records

from workers import _decode

PUBNET = "Public Global Stellar Network ; September 2015"


def must_fail(shared: Path, name: str) -> tuple[dict[str, object], Decoded]:
    """What is expected of a damaged stream of ledgers 2 to 9, and what came of it."""
    folder = shared / "ledgers" / "must-fail"
    expected = json.loads((folder / "expected.json").read_text())[name]
    ledgers = framed(name, 2, records(folder / name))
    if name == "chain-gap.xdr":  # the index puts the last record where its header says
        ledgers = [*ledgers[:-1], (name, 9, 9, ledgers[-1][3])]
    return expected, decode(CORE, 2, 9, ledgers, framed=True)


DAMAGED = {
    "unknown-ledger-close-meta.xdr": "expected LedgerCloseMeta version 0 to 2, found 9",
    "unknown-transaction-meta.xdr": "expected TransactionMeta version 0 to 4, found 9",
    "unknown-sc-val.xdr": "expected SCVal with SCValType 0 to 22, found 99",
    "header-hash.xdr": "expected a header that hashes to ",
    "result-hash.xdr": "expected transaction results that hash to ",
    "chain-gap.xdr": "expected ledger 8, which is missing, found ledger 9: previousLedgerHash does not link",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_each_damaged_stream_is_refused_as_expected(shared: Path, name: str) -> None:
    """Each stream fails at the ledger and the byte that are expected, and keeps the ledgers before it."""
    expected, decoded = must_fail(shared, name)
    error = decoded.chunk.error
    assert isinstance(error, _decode.CorruptLedger)
    assert (error.object, error.ledger, error.container) == (name, expected["ledger"], False)
    assert error.offset == expected.get("frame_offset", error.offset)
    assert f"corrupt ledger 9 in {name} at byte {error.offset}: {DAMAGED[name]}" in str(error)
    assert error.expected in str(error)
    sound = 6 if name == "chain-gap.xdr" else 7
    assert decoded.chunk.ledgers == len(decoded.rows["ledgers"]) == sound
    assert decoded.chunk.last_hash == decoded.rows["ledgers"][-1][1]


def test_a_protocol_number_alone_refuses_nothing(shared: Path) -> None:
    """Ledgers of a protocol to come are read as long as the schema knows every arm."""
    ledgers = records(shared / "ledgers" / "must-fail" / "future-protocol-28.xdr")
    decoded = decode(CORE, 2, 1 + len(ledgers), framed("future", 2, ledgers), framed=True)
    assert (decoded.chunk.error, decoded.chunk.ledgers) == (None, len(ledgers))


def test_a_merged_load_stream_is_refused_by_its_proofs(shared: Path) -> None:
    """Ledgers that a load generator merged do not hold: refused, naming ledger 63."""
    ledgers = records(shared / "ledgers" / "streams" / "load-sac-transfers-v24.xdr.zst")
    error = decode(CORE, 62, 63, framed("load", 62, ledgers[:2]), framed=True).chunk.error
    assert error is not None
    assert error.ledger == 63


def real(shared: Path) -> tuple[str, int, int, bytes]:
    """One object of the pubnet lake."""
    path = next((shared / "ledgers" / "pubnet").glob("*/*--16154623.xdr.zst"))
    return path.name, 16154623, 16154623, path.read_bytes()


def refused(objects: Objects, **options: int) -> _decode.CorruptLedger:
    first, last = objects[0][1], objects[-1][2]
    decoded = decode(PUBNET, first, last, objects, max_object_bytes=options.get("max_object_bytes", 1 << 20))
    error = decoded.chunk.error
    assert error is not None
    assert (decoded.chunk.ledgers, decoded.chunk.sections, decoded.written) == (0, (), b"")
    assert decoded.chunk.previous_hash == decoded.chunk.first_hash == decoded.chunk.last_hash == b""
    return error


def test_damage_of_the_container_counts_from_the_plain_objects_start(shared: Path) -> None:
    """A wrong name, bytes after the batch, a cut frame and a bomb are told as damage of the container."""
    name, seq, _, data = real(shared)
    plain = zstandard.ZstdDecompressor().stream_reader(data).read()
    pack = zstandard.ZstdCompressor().compress
    cases = {
        0: refused([(name, seq + 1, seq + 1, data)]),
        len(plain): refused([(name, seq, seq, pack(plain + b"\0"))]),
        1000: refused([(name, seq, seq, data)], max_object_bytes=1000),
    }
    for offset, error in cases.items():
        assert (error.object, error.offset, error.container) == (name, offset, True), error
    cut = refused([(name, seq, seq, data[:-1])])
    assert (cut.ledger, cut.container) == (seq, True)
    assert "expected a whole zstd frame" in str(cut)


def test_another_networks_passphrase_is_named(shared: Path) -> None:
    """Under another passphrase no transaction hash holds, and the error says what that means."""
    name, seq, _, data = real(shared)
    error = decode("another network", seq, seq, [(name, seq, seq, data)]).chunk.error
    assert "the passphrase of another network?" in str(error)


def test_a_trusted_hash_anchors_the_chain(shared: Path) -> None:
    """The hash that the operator trusts has to be the ledger's."""
    name, seq, _, data = real(shared)
    chunk = decode(PUBNET, seq, seq, [(name, seq, seq, data)]).chunk
    held = decode(PUBNET, seq, seq, [(name, seq, seq, data)], trusted={seq: chunk.last_hash}).chunk
    assert held.error is None
    error = decode(PUBNET, seq, seq, [(name, seq, seq, data)], trusted={seq: bytes(32)}).chunk.error
    assert f"expected the trusted hash {'00' * 32}, found {chunk.last_hash.hex()}" in str(error)


def test_the_callers_mistakes_are_value_errors(shared: Path) -> None:
    """A range that the objects do not cover, or a hash of another length, is no corrupt ledger."""
    entry = real(shared)
    decoder = _decode.Decoder(PUBNET, tables=())
    with pytest.raises(ValueError, match="do not cover the range"):
        decoder.chunk(entry[1], entry[1] + 1, [entry], -1)
    with pytest.raises(ValueError, match="no objects"):
        decoder.chunk(1, 1, [], -1)
    with pytest.raises(ValueError, match="32 bytes"):
        _decode.Decoder(PUBNET, trusted={1: b"short"})


def test_buffers_are_taken_as_they_are(shared: Path) -> None:
    """Any contiguous buffer serves without a copy; a strided one is refused."""
    name, seq, _, data = real(shared)
    decoder = _decode.Decoder(PUBNET, tables=())
    for buffer in (data, bytearray(data), memoryview(b"ab" + data)[2:]):
        assert decoder.chunk(seq, seq, [(name, seq, seq, buffer)], -1).error is None
    with pytest.raises(ValueError, match="not contiguous"):
        decoder.chunk(seq, seq, [(name, seq, seq, memoryview(data)[::2])], -1)


def test_the_error_survives_pickling(shared: Path) -> None:
    """Its text and its attributes are there on the other side of a pickle."""
    name, seq, _, data = real(shared)
    error = refused([(name, seq, seq, data[:-1])])
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    assert vars(again) == vars(error)
