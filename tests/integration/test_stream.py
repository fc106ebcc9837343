"""Record-marked streams: indexed once, read by position, with every way in which a ledger may not be there."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
import zstandard

from workers.failures import SourceError
from workers.messages import Failure, LedgerRange, StreamSpec
from workers.sources import Stream, prepare_stream

CORE = "core-9de975c631418bb4.xdr"


def records(raw: bytes) -> list[bytes]:
    """Cut a stream at its marks (RFC 5531: the highest bit says last fragment), by another way than the program's."""
    found = []
    while raw:
        length = struct.unpack(">I", raw[:4])[0] & 0x7FFFFFFF
        found.append(raw[4 : 4 + length])
        raw = raw[4 + length :]
    return found


def handmade(folder: Path, ledgers: list[int], damage: Failure | None = None) -> Stream:
    """A stream whose record of ledger N is the text of N, and its index."""
    plain, index = bytearray(), bytearray()
    for ledger in ledgers:
        text = str(ledger).encode()
        index += struct.pack("<QQI4x", len(plain) + 4, len(text), ledger)
        plain += struct.pack(">I", 0x80000000 | len(text)) + text
    (folder / "plain").write_bytes(plain)
    (folder / "index").write_bytes(index)
    names = {"plain_path": str(folder / "plain"), "index_path": str(folder / "index")}
    return Stream(StreamSpec(path="STREAM", damage=damage, **names))


def read(stream: Stream, first: int, last: int) -> tuple[list[str], Failure | None]:
    reading = stream.read(LedgerRange(first, last))
    assert all(name == "STREAM" and low == high for name, low, high, _ in reading.objects)
    texts = [bytes(raw).decode() for _, _, _, raw in reading.objects]
    assert [str(low) for _, low, _, _ in reading.objects] == texts
    return texts, reading.failure


def test_real_stream_gives_its_records(shared: Path, tmp_path: Path) -> None:
    """Every ledger of a real stream comes as the bytes between its marks."""
    path = shared / "ledgers/streams" / CORE
    prepared = prepare_stream(path, tmp_path)
    raw = records(path.read_bytes())
    assert (prepared.first, prepared.last, prepared.damage) == (2, 1 + len(raw), None)
    assert prepared.spec.plain_path == str(path.resolve())
    reading = Stream(prepared.spec).read(LedgerRange(prepared.first, prepared.last))
    assert reading.failure is None
    assert [bytes(one) for _, _, _, one in reading.objects] == raw
    middle = Stream(prepared.spec).read(LedgerRange(4, 5))
    assert [bytes(one) for _, _, _, one in middle.objects] == raw[2:4]


def test_compressed_stream_is_spooled(shared: Path, tmp_path: Path) -> None:
    """A zstd stream is decompressed once, beside its index, and read from there."""
    path = shared / "ledgers/streams/load-soroban-v27.xdr.zst"
    prepared = prepare_stream(path, tmp_path)
    plain = zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes())
    assert Path(prepared.spec.plain_path).parent == tmp_path
    assert Path(prepared.spec.plain_path).read_bytes() == plain
    wanted = LedgerRange(prepared.first, prepared.last)
    assert len(wanted) == 30
    assert [bytes(one) for _, _, _, one in Stream(prepared.spec).read(wanted).objects] == records(plain)


def test_torn_stream_gives_its_whole_records_and_the_damage(shared: Path, tmp_path: Path) -> None:
    """A stream that ends within a record is sound up to there; the ledger behind is refused with the reason."""
    raw = (shared / "ledgers/streams" / CORE).read_bytes()
    torn = tmp_path / "torn.xdr"
    torn.write_bytes(raw[:-100])
    prepared = prepare_stream(torn, tmp_path)
    assert prepared.last == 1 + len(records(raw)) - 1
    assert prepared.damage is not None
    assert not prepared.damage.transient
    reading = Stream(prepared.spec).read(LedgerRange(prepared.last, prepared.last + 1))
    assert len(reading.objects) == 1
    assert reading.failure == prepared.damage


def test_real_gap_is_named(shared: Path, tmp_path: Path) -> None:
    """Where a stream lacks a ledger, the reading ends before it and names it and the next one."""
    path = shared / "ledgers/must-fail/chain-gap.xdr"
    prepared = prepare_stream(path, tmp_path)
    reading = Stream(prepared.spec).read(LedgerRange(2, 9))
    assert [first for _, first, _, _ in reading.objects] == [2, 3, 4, 5, 6, 7]
    assert reading.failure is not None
    assert reading.failure.ledger == 9
    assert reading.failure.reason == (
        f"ledger 8 is missing in {path}: the next record holds ledger 9, "
        "whose previousLedgerHash does not link to ledger 7"
    )


@pytest.mark.parametrize("content", [None, b"", b"no stream at all", b"\x28\xb5\x2f\xfd junk"])
def test_what_is_no_stream_is_refused_by_name(content: bytes | None, tmp_path: Path) -> None:
    """A file that is absent, empty or something else is refused before the start, with its name."""
    path = tmp_path / "stream.xdr"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceError, match=r"stream\.xdr") as refused:
        prepare_stream(path, tmp_path)
    assert not refused.value.failure.transient


def test_chunks_before_at_and_behind_a_gap(tmp_path: Path) -> None:
    """Whatever chunk is asked for, it comes whole, or up to what is missing, and never with another ledger's bytes."""
    stream = handmade(tmp_path, [5, 6, 7, 9, 10])
    assert read(stream, 5, 7) == (["5", "6", "7"], None)
    assert read(stream, 9, 10) == (["9", "10"], None)
    texts, failure = read(stream, 6, 10)
    assert texts == ["6", "7"]
    assert failure is not None
    assert failure.ledger == 9
    texts, failure = read(stream, 8, 9)
    assert texts == []
    assert failure is not None
    assert failure.reason.startswith("ledger 8 is missing in STREAM: the next record holds ledger 9")


def test_ledgers_beyond_the_ends_are_refused(tmp_path: Path) -> None:
    """A stream is what it is: before its first and behind its last ledger nothing is waited for."""
    stream = handmade(tmp_path, [5, 6])
    for (first, last), texts, words, ledger in [
        ((3, 6), [], "begins with ledger 5, not 3", 3),
        ((6, 8), ["6"], "ends with ledger 6: it has no ledger 7", 7),
        ((9, 9), [], "ends with ledger 6: it has no ledger 9", 9),
    ]:
        found, failure = read(stream, first, last)
        assert found == texts
        assert failure is not None
        assert words in failure.reason
        assert (failure.ledger, failure.transient, failure.missing) == (ledger, False, False)


def test_repeated_ledger_is_refused(tmp_path: Path) -> None:
    """A ledger that stands twice ends the reading before the repetition."""
    texts, failure = read(handmade(tmp_path, [5, 6, 6, 7]), 5, 7)
    assert texts == ["5", "6"]
    assert failure is not None
    assert failure.reason.startswith("ledger 7 is missing in STREAM: the next record holds ledger 6")


def test_stream_cut_short_after_it_was_indexed(tmp_path: Path) -> None:
    """A file that shrinks under the run gives no half ledger: the whole chunk fails for good."""
    stream = handmade(tmp_path, [5, 6, 7])
    (tmp_path / "plain").write_bytes(b"\x80\0\0\x015")
    texts, failure = read(stream, 5, 7)
    assert texts == []
    assert failure is not None
    assert not failure.transient
    assert "cut short after it was indexed, at byte 5" in failure.reason


def test_vanished_stream_is_refused(tmp_path: Path) -> None:
    """A worker whose stream is gone says so, and does not wait for it as for a hole."""
    with pytest.raises(SourceError) as refused:
        Stream(StreamSpec(path="STREAM", plain_path=str(tmp_path / "a"), index_path=str(tmp_path / "b")))
    assert not refused.value.failure.missing


def test_sizes_are_those_of_the_records(tmp_path: Path) -> None:
    """The plan's sample holds the bytes of those ledgers that the stream has."""
    assert handmade(tmp_path, [9, 10, 12]).sizes([1, 9, 10, 11, 12, 13]) == {9: 1, 10: 2, 12: 2}
