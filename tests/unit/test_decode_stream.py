"""The index of a stream, as Python sees it."""

from __future__ import annotations

import os
import struct
import tempfile
from pathlib import Path

import pytest
from decoding import records

from workers import _decode


def index(
    path: Path, **options: int
) -> tuple[int, int, _decode.CorruptLedger | None, list[tuple[int, int, int]], bytes]:
    with tempfile.TemporaryFile() as file, tempfile.TemporaryFile() as spool:
        first, last, error = _decode.index_stream(str(path), file.fileno(), spool.fileno(), **options)
        file.seek(0)
        found = list(struct.iter_unpack("<QQI4x", file.read()))
        spool.seek(0)
        return first, last, error, found, spool.read()


def test_every_stream_is_indexed_ledger_by_ledger(shared: Path) -> None:
    """Each entry of the index points at one ledger, and the numbers are those of the range, in order."""
    streams = sorted((shared / "ledgers" / "streams").glob("core-*.xdr"))
    assert len(streams) == 10
    for path in streams:
        first, last, error, found, spool = index(path)
        raw = path.read_bytes()
        assert (first, error, spool) == (2, None, b"")
        assert [ledger for _, _, ledger in found] == list(range(first, last + 1))
        assert [raw[offset : offset + length] for offset, length, _ in found] == records(path)


def test_a_zstd_stream_is_spooled_and_indexed_in_one_pass(shared: Path) -> None:
    """The spool holds the plain stream, and the offsets count in it."""
    path = shared / "ledgers" / "streams" / "load-soroban-v27.xdr.zst"
    first, last, error, found, spool = index(path)
    assert (first, last, error, len(spool)) == (10048, 10077, None, 39_934_100)
    assert [spool[offset : offset + length] for offset, length, _ in found] == records(path)


def test_a_gap_shows_in_the_index(shared: Path) -> None:
    """A record counts as the ledger that its header proves: a missing one is no entry."""
    first, last, error, found, _ = index(shared / "ledgers" / "must-fail" / "chain-gap.xdr")
    assert (first, last, error) == (2, 9, None)
    assert [ledger for _, _, ledger in found] == [2, 3, 4, 5, 6, 7, 9]


@pytest.mark.parametrize("name", ["header-hash.xdr", "unknown-ledger-close-meta.xdr"])
def test_a_record_that_proves_nothing_counts_after_the_one_before(shared: Path, name: str) -> None:
    """A damaged header keeps its place, so that the decoder names the right ledger."""
    first, last, error, found, _ = index(shared / "ledgers" / "must-fail" / name)
    assert (first, last, error) == (2, 9, None)
    assert [ledger for _, _, ledger in found] == list(range(2, 10))


def test_a_cut_stream_keeps_what_is_whole(shared: Path, tmp_path: Path) -> None:
    """A stream that ends within a record is indexed up to the record before, and the error says where it ends."""
    raw = (shared / "ledgers" / "streams" / "core-302126e9bbf11954.xdr").read_bytes()
    path = tmp_path / "cut.xdr"
    path.write_bytes(raw[:-1])
    first, last, error, found, _ = index(path)
    assert (first, last, len(found)) == (2, 8, 7)
    assert error is not None
    assert (error.object, error.ledger, error.container) == (str(path), 9, True)
    assert str(error).startswith(f"corrupt ledger 9 in {path} at byte {error.offset}: expected ")


def test_no_record_at_all_is_corrupt_and_no_file_an_os_error(tmp_path: Path) -> None:
    """An empty stream raises CorruptLedger, a file that is not there OSError."""
    path = tmp_path / "empty.xdr"
    path.touch()
    with pytest.raises(_decode.CorruptLedger, match="corrupt stream"):
        index(path)
    with pytest.raises(FileNotFoundError):
        index(tmp_path / "none.xdr")
    path.write_bytes(b"\x80\0\1\0" + bytes(256))
    with pytest.raises(_decode.CorruptLedger, match="a record of at most 100 bytes, found 256"):
        index(path, max_record_bytes=100)


def test_an_index_that_cannot_be_written_is_an_os_error(shared: Path) -> None:
    """A full or closed index file raises OSError."""
    path = shared / "ledgers" / "streams" / "core-302126e9bbf11954.xdr"
    closed = os.open(path, os.O_RDONLY)
    try:
        with pytest.raises(OSError, match="Bad file descriptor"):
            _decode.index_stream(str(path), closed, -1)
    finally:
        os.close(closed)
