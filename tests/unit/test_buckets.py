"""The buckets of a history archive: what lives in them by the newest entry of each key, and what is refused."""

from __future__ import annotations

import gzip
import json
import os
import random
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from specs import MAGIC, custom
from stellar_sdk import xdr

from workers._decode import Buckets, CorruptArchive, contract_spec, ledger_header

CHECKPOINT = "0003c6bf"
EMPTY = bytes(32)
MAX_ENTRY = 16 << 20  # bytes
LIVE, DEAD, INIT, META = (xdr.BucketEntryType[name] for name in ("LIVEENTRY", "DEADENTRY", "INITENTRY", "METAENTRY"))
CODE = MAGIC + custom(b"spec")

Files = dict[str, bytes]


@pytest.fixture(scope="module")
def archive(shared: Path) -> Path:
    """The archive of a test network."""
    return shared / "archive" / "futurenet"


def below(archive: Path, kind: str) -> Iterator[str]:
    """Iterate over a bucket list's hashes, the newest first."""
    state = json.loads((archive / "history/00/03/c6" / f"history-{CHECKPOINT}.json").read_text())
    for level in state[kind]:
        yield from (level["curr"], level["snap"])


def plain(archive: Path, name: str) -> bytes:
    if name == EMPTY.hex():
        return b""
    path = archive / "bucket" / name[:2] / name[2:4] / name[4:6] / f"bucket-{name}.xdr.gz"
    return gzip.decompress(path.read_bytes())


def answers(shared: Path) -> dict[str, Any]:  # Any: JSON
    return json.loads((shared / "archive" / "answers.json").read_text())  # type: ignore[no-any-return]  # as above


def one_by_one(content: bytes, *, hash_only: bool = False) -> Buckets:
    """Feed one bucket that holds."""
    buckets = Buckets()
    add(buckets, content, hash_only=hash_only)
    return buckets


def add(buckets: Buckets, content: bytes, *, hash_only: bool = False) -> None:
    buckets.start(sha256(content).digest() if content else EMPTY, hash_only=hash_only)
    buckets.feed(content)
    buckets.end()


def record(content: bytes) -> bytes:
    return (0x80000000 | len(content)).to_bytes(4, "big") + content


def bucket(*entries: xdr.BucketEntry) -> bytes:
    return b"".join(record(entry.to_xdr_bytes()) for entry in entries)


def ledger_entry(data: xdr.LedgerEntryData) -> xdr.LedgerEntry:
    return xdr.LedgerEntry(xdr.Uint32(7), data, xdr.LedgerEntryExt(0))


def address(contract: int) -> xdr.SCAddress:
    of = xdr.ContractID(xdr.Hash(bytes([contract]) * 32))
    return xdr.SCAddress(xdr.SCAddressType.SC_ADDRESS_TYPE_CONTRACT, contract_id=of)


def instance(contract: int, wasm: int, *, kind: xdr.BucketEntryType = LIVE) -> xdr.BucketEntry:
    """The instance of a contract that runs WASM; both by the byte that is repeated in their hash."""
    executable = xdr.ContractExecutable(
        xdr.ContractExecutableType.CONTRACT_EXECUTABLE_WASM, wasm_hash=xdr.Hash(bytes([wasm]) * 32)
    )
    held = xdr.SCContractInstance(executable, None)
    data = xdr.ContractDataEntry(
        xdr.ExtensionPoint(0),
        address(contract),
        xdr.SCVal(xdr.SCValType.SCV_LEDGER_KEY_CONTRACT_INSTANCE),
        xdr.ContractDataDurability.PERSISTENT,
        xdr.SCVal(xdr.SCValType.SCV_CONTRACT_INSTANCE, instance=held),
    )
    entry = ledger_entry(xdr.LedgerEntryData(xdr.LedgerEntryType.CONTRACT_DATA, contract_data=data))
    return xdr.BucketEntry(kind, live_entry=entry)


def no_instance(contract: int, *, key: str = "SCV_LEDGER_KEY_CONTRACT_INSTANCE") -> xdr.BucketEntry:
    of = xdr.LedgerKeyContractData(
        address(contract), xdr.SCVal(xdr.SCValType[key]), xdr.ContractDataDurability.PERSISTENT
    )
    return xdr.BucketEntry(DEAD, dead_entry=xdr.LedgerKey(xdr.LedgerEntryType.CONTRACT_DATA, contract_data=of))


def code(content: bytes, *, key: bytes | None = None) -> xdr.BucketEntry:
    held = xdr.ContractCodeEntry(xdr.ContractCodeEntryExt(0), xdr.Hash(key or sha256(content).digest()), content)
    data = xdr.LedgerEntryData(xdr.LedgerEntryType.CONTRACT_CODE, contract_code=held)
    return xdr.BucketEntry(INIT, live_entry=ledger_entry(data))


def no_code(content: bytes) -> xdr.BucketEntry:
    of = xdr.LedgerKeyContractCode(xdr.Hash(sha256(content).digest()))
    return xdr.BucketEntry(DEAD, dead_entry=xdr.LedgerKey(xdr.LedgerEntryType.CONTRACT_CODE, contract_code=of))


def meta() -> xdr.BucketEntry:
    return xdr.BucketEntry(META, meta_entry=xdr.BucketMetadata(xdr.Uint32(25), xdr.BucketMetadataExt(0)))


def live(buckets: Buckets) -> dict[int, int | None]:
    """What contracts run, by their bytes."""
    return {contract[0]: wasm and wasm[0] for contract, wasm, _ in buckets.instances()}


def refused(content: bytes, *, named: bytes | None = None) -> CorruptArchive:
    """What is said of a bucket that does not hold; it has to be said by its end, and leaves nothing behind."""
    name = named or sha256(content).digest()
    buckets = Buckets()
    with pytest.raises(CorruptArchive) as raised:  # noqa: PT012  # which of the two says it depends on what is wrong
        buckets.start(name)
        buckets.feed(content)
        buckets.end()
    assert (list(buckets.instances()), list(buckets.specs())) == ([], [])
    assert raised.value.object == f"bucket-{name.hex()}"
    assert str(raised.value).startswith(f"corrupt bucket-{name.hex()} at byte {raised.value.offset}: expected ")
    return raised.value


def test_exactly_the_live_contracts_of_a_real_archive_are_found(shared: Path, archive: Path) -> None:
    """Over a whole bucket list and its hot archive, in pieces of any size, the answers are those at hand."""
    draw, buckets = random.Random(6), Buckets()
    for kind in ("currentBuckets", "hotArchiveBuckets"):
        for name in below(archive, kind):
            content = plain(archive, name)
            buckets.start(bytes.fromhex(name), hash_only=kind == "hotArchiveBuckets")
            at = 0
            while at < len(content):
                size = draw.choice((1, 3, 100, 4096, 1 << 20))
                buckets.feed(memoryview(content)[at : at + size])
                at += size
            buckets.end()
    wanted = answers(shared)
    found = list(buckets.instances())
    assert {contract.hex(): wasm.hex() if wasm else "SAC" for contract, wasm, _ in found} == wanted["contracts"]
    assert {code.hex() for code, _ in buckets.specs()} == set(wanted["wasms"])
    assert len(found) == len(wanted["contracts"])
    assert "HYPEa" in {name for *_, name in found}
    assert [each[0] for each in found] == sorted(each[0] for each in found)


def test_specifications_are_those_of_the_codes(archive: Path, shared: Path) -> None:
    """A code of the archive that is also at hand as a file has the specification of the file."""
    buckets = Buckets()
    for name in below(archive, "currentBuckets"):
        add(buckets, plain(archive, name))
    specs = dict(buckets.specs())
    token = (shared / "wasm" / "sep41-token.wasm").read_bytes()
    assert specs[sha256(token).digest()] == contract_spec(token)


def test_the_newest_entry_of_a_key_decides() -> None:
    """An older entry changes nothing, whether it is live or dead, and whether the newer one is."""
    buckets = Buckets()
    add(buckets, bucket(meta(), instance(1, 5), no_instance(2), no_code(CODE)))
    add(buckets, bucket(meta(), instance(2, 6), no_instance(1), instance(3, 6, kind=INIT)))
    add(buckets, bucket(instance(1, 7), instance(2, 7), instance(3, 7), instance(4, 7), code(CODE), code(MAGIC)))
    assert live(buckets) == {1: 5, 3: 6, 4: 7}
    assert list(buckets.specs()) == [(sha256(MAGIC).digest(), None)]


def test_codes_come_with_their_specification() -> None:
    """What `contract_spec` finds in a code, or None."""
    found = dict(one_by_one(bucket(code(CODE), code(b"no wasm"))).specs())
    assert found == {sha256(CODE).digest(): b"spec", sha256(b"no wasm").digest(): None}


def test_a_dead_entry_of_other_data_says_nothing_of_the_instance() -> None:
    """Only the key of the instance itself kills it."""
    assert live(one_by_one(bucket(no_instance(1, key="SCV_VOID"), instance(1, 5)))) == {1: 5}


def test_a_bucket_that_is_hashed_only_brings_nothing() -> None:
    """Its hash is still proved."""
    assert live(one_by_one(bucket(instance(1, 5)), hash_only=True)) == {}
    buckets = Buckets()
    buckets.start(sha256(b"this").digest(), hash_only=True)
    buckets.feed(b"that")
    with pytest.raises(CorruptArchive, match="at byte 0: expected a bucket that hashes to"):
        buckets.end()


def test_the_empty_bucket_has_a_hash_of_zeros() -> None:
    """It holds where nothing was fed, and only there."""
    assert live(one_by_one(b"")) == {}
    assert "a bucket that hashes to" in refused(bucket(meta()), named=EMPTY).expected
    assert "a bucket that hashes to" in refused(b"", named=sha256(b"").digest()).expected


def test_a_bucket_that_broke_off_or_failed_is_started_again() -> None:
    """What it brought before is forgotten: it was never proved."""
    buckets, content = Buckets(), bucket(instance(1, 5))
    buckets.start(sha256(content).digest())
    buckets.feed(bucket(instance(2, 6)) + content[:9])
    add(buckets, content)
    assert live(buckets) == {1: 5}
    buckets.start(sha256(content).digest())
    with pytest.raises(CorruptArchive):
        buckets.feed(b"\0\0\0\0")
    for again in (buckets.end, lambda: buckets.feed(b"")):
        with pytest.raises(ValueError, match="no bucket has been started"):
            again()
    assert live(buckets) == {1: 5}


@pytest.mark.parametrize(
    ("content", "offset", "expected"),
    [
        (b"\0\0\0\x0c" + bytes(12), 0, "the mark of a record in one fragment"),
        ((0x80000000 | MAX_ENTRY + 1).to_bytes(4, "big"), 0, f"a record of at most {MAX_ENTRY} bytes"),
        (bucket(meta()) + b"\x80", 16, "4 bytes of a record"),
        (bucket(meta()) + bucket(instance(1, 5))[:-1], 16, "112 bytes of a record"),
        (bucket(meta()) + record(b""), 20, "4 more bytes"),
        (record(meta().to_xdr_bytes() + bytes(4)), 16, "the end of the record"),
        (record(b"\0\0\0\x03"), 4, "BucketEntry with BucketEntryType -1 to 2"),
        (record(b"\xff\xff\xff\xfe"), 4, "BucketEntry with BucketEntryType -1 to 2"),
        (record(instance(1, 5).to_xdr_bytes()[:-8]), 104, "4 more bytes"),
    ],
)
def test_records_that_do_not_hold_are_refused_where_they_are(content: bytes, offset: int, expected: str) -> None:
    """Also where the bucket has just the hash that it should have: the offset is that of the damage."""
    error = refused(content)
    assert (error.offset, error.expected) == (offset, expected)


def test_a_code_that_does_not_hash_to_its_key_is_refused() -> None:
    """The offset is that of the key."""
    content = bucket(meta(), code(CODE, key=b"k" * 32))
    error = refused(content)
    assert error.offset == content.index(b"k" * 32)
    assert error.expected == f"the hash of a code, {sha256(CODE).hexdigest()}"


def test_a_changed_byte_is_refused(archive: Path) -> None:
    """A real bucket with a byte of another value."""
    name = next(below(archive, "currentBuckets"))
    content = bytearray(plain(archive, name))
    content[-1] ^= 1
    refused(bytes(content), named=bytes.fromhex(name))


def test_memory_grows_with_contracts_and_not_with_buckets() -> None:
    """Many megabytes of other entries leave nothing behind."""
    piece = bucket(no_instance(1, key="SCV_VOID")) * 20_000
    buckets = Buckets()
    buckets.start(EMPTY)
    buckets.feed(piece)
    before = resident_bytes()
    for _ in range(64):
        buckets.feed(piece)
    assert resident_bytes() - before < len(piece) * 8


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def headers(archive: Path) -> Sequence[bytes]:
    content = gzip.decompress((archive / "ledger/00/03/c6" / f"ledger-{CHECKPOINT}.xdr.gz").read_bytes())
    out, at = [], 0
    while at < len(content):
        end = at + 4 + (int.from_bytes(content[at : at + 4], "big") & 0x7FFFFFFF)
        out.append(content[at + 4 : end])
        at = end
    return out


def test_headers_of_a_real_archive_are_read_and_link(archive: Path) -> None:
    """Each is what stellar-sdk reads, and names the one before it; the last has the hash of the bucket list."""
    previous = None
    for raw in headers(archive):
        wanted = xdr.LedgerHeaderHistoryEntry.from_xdr_bytes(raw)
        header = wanted.header
        found = ledger_header(raw)
        assert found[:2] == (header.ledger_seq.uint32, wanted.hash.hash)
        assert found[2:4] == (header.previous_ledger_hash.hash, header.bucket_list_hash.hash)
        assert found[4] == header.ledger_version.uint32
        assert previous in (None, found[2])
        previous = found[1]
    lists = [list(below(archive, kind)) for kind in ("currentBuckets", "hotArchiveBuckets")]
    assert found[3] == sha256(b"".join(map(list_hash, lists))).digest()


def list_hash(names: list[str]) -> bytes:
    pairs = zip(names[::2], names[1::2], strict=True)
    return sha256(b"".join(sha256(bytes.fromhex(curr + snap)).digest() for curr, snap in pairs)).digest()


def test_a_header_that_does_not_hold_is_refused_by_its_name(archive: Path) -> None:
    """Changed, cut or followed by something."""
    raw = headers(archive)[0]
    for bad, offset in ((bytes([raw[0] ^ 1]) + raw[1:], 0), (raw[:-1], len(raw) - 4), (raw + b"\0", len(raw))):
        with pytest.raises(CorruptArchive, match=rf"^corrupt ledger-7 at byte {offset}: expected ") as raised:
            ledger_header(bad, name="ledger-7")
        assert (raised.value.object, raised.value.offset) == ("ledger-7", offset)


def test_a_hash_of_another_length_is_a_mistake() -> None:
    """A bucket's hash has 32 bytes."""
    with pytest.raises(ValueError, match="the hash of a bucket has 32 bytes"):
        Buckets().start(b"short")
