"""A history archive, read and proved: the real one, the same behind HTTP, and with every kind of damage."""

from __future__ import annotations

import gzip
import json
import logging
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from archive_server import FUTURENET, NEWEST, STATE, ArchiveServer
from stellar_sdk import xdr

from pipeline import archive
from pipeline.archive import Checkpoint, read_checkpoint
from pipeline.errors import ArchiveUnsound
from workers.sources.archive import ArchiveLimits

HEADERS = "ledger/00/03/c6/ledger-0003c6bf.xdr.gz"
LIVE = "48a1a0a3a6fa5dd7973e6e7f0acd8bb7a09787c67b01e839a7b6e0c431003d3b"  # a bucket of level 0
LARGE = "2d92b3e98afe5e7c70265cd2e183894cb7d972c511f48a20429e8495f1196d08"  # of 1.5 MB
HOT = "95079eba2ff8ef53c179aa3dedb62b78acd7aa9ba5ddcc391436812c5f7084aa"  # one that is there a dozen times
QUICK = ArchiveLimits(timeout_s=0.5, attempts=3)


@pytest.fixture
def plain_server(real: Path) -> Iterator[ArchiveServer]:
    with ArchiveServer(real, ranges=False).serving() as server:
        yield server


@pytest.fixture
def server(real: Path) -> Iterator[ArchiveServer]:
    with ArchiveServer(real, ranges=True).serving() as server:
        yield server


def bucket(name: str) -> str:
    return f"bucket/{name[:2]}/{name[2:4]}/{name[4:6]}/bucket-{name}.xdr.gz"


def repacked(path: Path, change: Callable[[bytearray], None]) -> None:
    data = bytearray(gzip.decompress(path.read_bytes()))
    change(data)
    path.write_bytes(gzip.compress(bytes(data)))


def assert_all_live(found: Checkpoint, shared: Path) -> None:
    answers = json.loads((shared / "archive/answers.json").read_text())
    assert found.ledger == answers["checkpoint"]
    assert {contract.hex(): wasm.hex() if wasm else "SAC" for contract, wasm, _ in found.instances} == answers[
        "contracts"
    ]
    assert {wasm.hex() for wasm, _ in found.specs} == set(answers["wasms"])


@pytest.mark.parametrize("form", ["{}", "file://{}", "{}/"])
def test_real_archive_gives_exactly_its_live_contracts(real: Path, shared: Path, form: str) -> None:
    """The newest checkpoint of the real archive, by path or URL, has the contracts and codes that are known of it."""
    found = read_checkpoint(form.format(real), None, FUTURENET)
    assert_all_live(found, shared)
    assert all(spec for wasm, spec in found.specs)


def test_earlier_checkpoint_can_be_named(real: Path) -> None:
    """A checkpoint that is named is read as it was then: its hash is the one that the next headers build upon."""
    found = read_checkpoint(str(real), 247423, FUTURENET)
    following = gzip.decompress((real / HEADERS).read_bytes())
    first = xdr.LedgerHeaderHistoryEntry.from_xdr_bytes(
        following[4 : int.from_bytes(following[:4], "big") - (1 << 31) + 4]
    )
    assert (found.ledger, found.hash) == (247423, first.header.previous_ledger_hash.hash)


def test_archive_over_http(plain_server: ArchiveServer, shared: Path) -> None:
    """Behind a web server the same comes out, and no bucket is asked for twice, however often it is listed."""
    assert_all_live(read_checkpoint(plain_server.url, None, FUTURENET), shared)
    assert plain_server.asked[bucket(HOT)] == 1
    assert set(plain_server.asked.values()) == {1}
    assert sum(key.startswith("bucket/") for key in plain_server.asked) > 20


def test_transient_answers_are_asked_again(server: ArchiveServer, shared: Path) -> None:
    """Refusals, hanging answers and broken transfers of any object are tried again, as long as something comes."""
    server.faults = {
        "stellar-history": ["503", "hang"],
        STATE: [100],
        HEADERS: ["503", 200],
        LIVE: ["503", 50],
        LARGE: [
            "503",
            300_000,
            300_000,
            "503",
            300_000,
            "hang",
            300_000,
            300_000,
        ],  # more than the tries, never without a byte
    }
    assert_all_live(read_checkpoint(server.url, None, FUTURENET, limits=QUICK), shared)
    assert not any(server.faults.values())
    assert server.from_middle == 5


def test_broken_transfer_goes_on_without_ranges(plain_server: ArchiveServer, shared: Path) -> None:
    """A server that only has whole objects is asked for the whole again; what was read already is left away."""
    plain_server.faults = {LARGE: [200_000, 900_000, 1_200_000, 100_000]}
    assert_all_live(read_checkpoint(plain_server.url, None, FUTURENET, limits=QUICK), shared)
    assert not any(plain_server.faults.values())


def test_server_that_never_answers_is_given_up(server: ArchiveServer) -> None:
    """After its tries an object is given up, with the archive, the object and what the last one met."""
    server.faults = {LIVE: ["503"] * 9}
    with pytest.raises(ArchiveUnsound, match=rf"^archive {server.url}: cannot read object {bucket(LIVE)}: .*503"):
        read_checkpoint(server.url, None, FUTURENET, limits=QUICK)
    assert server.asked[bucket(LIVE)] == QUICK.attempts


def test_missing_bucket_is_named(copied: Path) -> None:
    """An archive that lacks a bucket is refused, and the bucket named."""
    (copied / bucket(LIVE)).unlink()
    with pytest.raises(ArchiveUnsound, match=rf"^archive {copied}: object {bucket(LIVE)} is missing$"):
        read_checkpoint(str(copied), None, FUTURENET)


def test_missing_object_over_http_is_not_waited_for(copied: Path) -> None:
    """What a server says is not there is missing at once: an archive does not grow behind its checkpoint."""
    (copied / HEADERS).unlink()
    with ArchiveServer(copied, ranges=True).serving() as server:
        with pytest.raises(ArchiveUnsound, match=rf"^archive {server.url}: object {HEADERS} is missing$"):
            read_checkpoint(server.url, None, FUTURENET)
        assert server.asked[HEADERS] == 1


@pytest.mark.parametrize("name", [LIVE, HOT], ids=["live", "hot archive"])
@pytest.mark.parametrize("part", [0.0, 0.5, 0.999])
def test_flipped_byte_of_a_bucket_is_found(copied: Path, name: str, part: float) -> None:
    """One changed byte anywhere in any bucket, also one of the hot archive, and nothing of the archive is used."""

    def flip(data: bytearray) -> None:
        data[int(part * len(data))] ^= 1

    repacked(copied / bucket(name), flip)
    with pytest.raises(ArchiveUnsound, match=rf"^archive {copied}: object {bucket(name)} is not sound: .*expected"):
        read_checkpoint(str(copied), None, FUTURENET)


def test_bucket_of_another_hash_is_found(copied: Path) -> None:
    """A sound bucket in the place of another is told by its hash, with both."""
    other = next(path for path in (copied / "bucket").rglob("*.gz") if LIVE not in path.name and HOT not in path.name)
    shutil.copyfile(other, copied / bucket(LIVE))
    with pytest.raises(ArchiveUnsound, match=rf"object {bucket(LIVE)} is not sound: .*expected .*{LIVE}"):
        read_checkpoint(str(copied), None, FUTURENET)


@pytest.mark.parametrize("key", [bucket(LIVE), HEADERS])
def test_cut_off_gzip_is_named(copied: Path, key: str) -> None:
    """An object whose gzip file ends early is refused, with the bytes that are there."""
    path = copied / key
    data = path.read_bytes()
    for length in (0, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(ArchiveUnsound, match=rf"object {key} is cut off: after {length} bytes"):
            read_checkpoint(str(copied), None, FUTURENET)


@pytest.mark.parametrize("damage", ["no gzip at all", "checksum"])
def test_object_that_is_no_gzip_is_named(copied: Path, damage: str) -> None:
    """An object that is no gzip file, or does not add up to its checksum, is refused."""
    path = copied / bucket(LIVE)
    data = bytearray(path.read_bytes())
    data[0 if damage == "no gzip at all" else -5] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArchiveUnsound, match=rf"object {bucket(LIVE)} is no sound gzip file within its first"):
        read_checkpoint(str(copied), None, FUTURENET)


def test_joined_gzip_files_are_one(copied: Path, shared: Path) -> None:
    """An object may be several gzip files one after another, as some tools write large ones."""
    path = copied / bucket(LARGE)
    data = gzip.decompress(path.read_bytes())
    path.write_bytes(b"".join(gzip.compress(part) for part in (data[:1000], b"", data[1000:])))
    assert_all_live(read_checkpoint(str(copied), None, FUTURENET), shared)


@pytest.mark.parametrize(
    ("key", "why"),
    [
        (bucket(LIVE), "is not sound: "),
        (HEADERS, "unpacks to more than the 4194304 bytes allowed"),
        (STATE, "is no state"),
    ],
)
def test_gzip_bomb_is_stopped(copied: Path, key: str, why: str) -> None:
    """A small object that unpacks to a large one is given up early: a bucket at its first record, headers at 4 MiB."""
    (copied / key).write_bytes(gzip.compress(bytes(256 << 20)))
    with pytest.raises(ArchiveUnsound, match=rf"^archive {copied}: object {key} {why}"):
        read_checkpoint(str(copied), None, FUTURENET)


def test_bucket_beyond_the_limit_is_given_up(real: Path) -> None:
    """No bucket unpacks to more than the limit, sound or not: neither disk nor time is a stranger's to take."""
    with pytest.raises(ArchiveUnsound, match=r"object bucket/.* unpacks to more than the 200000 bytes allowed"):
        read_checkpoint(str(real), None, FUTURENET, limits=ArchiveLimits(max_object_bytes=200_000))


def rewritten(copied: Path, change: Callable[[xdr.LedgerHeaderHistoryEntry], None]) -> None:
    """Change the last header of the newest checkpoint."""

    def rewrite(data: bytearray) -> None:
        at = 0
        while (after := at + 4 + int.from_bytes(data[at : at + 4], "big") - (1 << 31)) < len(data):
            at = after
        entry = xdr.LedgerHeaderHistoryEntry.from_xdr_bytes(bytes(data[at + 4 :]))
        change(entry)
        record = entry.to_xdr_bytes()
        data[at:] = (len(record) | 1 << 31).to_bytes(4, "big") + record

    repacked(copied / HEADERS, rewrite)


def rehashed(entry: xdr.LedgerHeaderHistoryEntry) -> None:
    entry.hash = xdr.Hash(sha256(entry.header.to_xdr_bytes()).digest())


def test_header_that_does_not_hash_to_its_hash_is_found(copied: Path) -> None:
    """A header that was changed is told by its own hash."""

    def change(entry: xdr.LedgerHeaderHistoryEntry) -> None:
        entry.header.bucket_list_hash = xdr.Hash(bytes(32))

    rewritten(copied, change)
    with pytest.raises(ArchiveUnsound, match=rf"^archive {copied}: corrupt {HEADERS} at byte .*expected"):
        read_checkpoint(str(copied), None, FUTURENET)


def test_header_of_another_bucket_list_is_found(copied: Path) -> None:
    """A header with a sound hash that names other buckets than the state file is refused, with both hashes."""

    def change(entry: xdr.LedgerHeaderHistoryEntry) -> None:
        entry.header.bucket_list_hash = xdr.Hash(b"\7" * 32)
        rehashed(entry)

    rewritten(copied, change)
    wanted = rf"the buckets in object {STATE} hash to \w{{64}}; the header of ledger {NEWEST} names {'07' * 32}$"
    with pytest.raises(ArchiveUnsound, match=wanted):
        read_checkpoint(str(copied), None, FUTURENET)


def test_header_of_another_ledger_is_found(copied: Path) -> None:
    """The headers of another checkpoint in the place of these are refused."""
    shutil.copyfile(copied / HEADERS.replace("c6bf", "c67f"), copied / HEADERS)
    with pytest.raises(ArchiveUnsound, match=rf"object {HEADERS} ends with ledger {NEWEST - 64}, not {NEWEST}$"):
        read_checkpoint(str(copied), None, FUTURENET)


@pytest.mark.parametrize("cut", [2, 100, -1])
def test_headers_in_broken_records_are_found(copied: Path, cut: int) -> None:
    """An object of headers that ends inside a record is refused, with the place."""

    def shorten(data: bytearray) -> None:
        del data[cut:]

    repacked(copied / HEADERS, shorten)
    with pytest.raises(ArchiveUnsound, match=rf"object {HEADERS} has no whole record at byte \d+ of \d+$"):
        read_checkpoint(str(copied), None, FUTURENET)


def test_before_protocol_23_the_header_names_the_live_buckets_alone(copied: Path, shared: Path) -> None:
    """Older headers do not know of a hot archive: its buckets are not read then, and prove nothing."""
    state = json.loads((copied / STATE).read_text())
    levels = b"".join(
        sha256(bytes.fromhex(level["curr"] + level["snap"])).digest() for level in state["currentBuckets"]
    )

    def change(entry: xdr.LedgerHeaderHistoryEntry) -> None:
        entry.header.ledger_version = xdr.Uint32(22)
        entry.header.bucket_list_hash = xdr.Hash(sha256(levels).digest())
        rehashed(entry)

    rewritten(copied, change)
    (copied / bucket(HOT)).unlink()
    assert_all_live(read_checkpoint(str(copied), None, FUTURENET), shared)


def test_progress_is_logged(real: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """While buckets are read, a line every few seconds says how many there are and how many are done."""
    monkeypatch.setattr(archive, "_PROGRESS_S", 0.0)
    with caplog.at_level(logging.INFO, "pipeline.archive"):
        read_checkpoint(str(real), None, FUTURENET)
    assert re.fullmatch(rf"read \d+ of \d+ buckets of archive {real}, [1-9]\d* MB", caplog.messages[-1])


@pytest.mark.parametrize("key", ["stellar-history", HEADERS, LARGE])
def test_interrupt_is_heeded_while_a_server_hangs(server: ArchiveServer, key: str) -> None:
    """Ctrl-C ends the reading at once, whatever is being waited for."""
    server.faults = {key: ["hang"]}
    code = f"from pipeline import archive; archive.read_checkpoint({server.url!r}, None, {FUTURENET!r})"
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 30
        while server.faults[key]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=10)
    assert process.returncode == -signal.SIGINT
    assert said.endswith(b"KeyboardInterrupt\n")
