"""Small lakes made of real ledgers: written by the tests' own few lines, so that they can be damaged anywhere."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import zstandard

CORE_PASSPHRASE = "(V) (;,,;) (V)"
FIRST, LAST = 2, 45
CORE = "streams/core-9de975c631418bb4.xdr"  # those ledgers
OTHER_CHAIN = "core-d1522d4667822bc2"  # ledgers 2 to 27 under the same passphrase, others from 3 on
PUBNET = (63092982, 63092995)
SINGLE = (7320888, 9652679, 9652698, 16154623, 36154623, 50733210, 51000294, 53312000)  # of pubnet as well
STREAMS = {  # first and last ledger, passphrase
    "core-03df1dc73d71eb00.xdr": (2, 34, CORE_PASSPHRASE),
    "core-1e8e76b45b2c1981.xdr": (2, 162, CORE_PASSPHRASE),
    "core-221f1cad327fb891.xdr": (2, 22, CORE_PASSPHRASE),
    "core-302126e9bbf11954.xdr": (2, 9, CORE_PASSPHRASE),
    "core-318b008d239ea9d8.xdr": (2, 18, CORE_PASSPHRASE),
    "core-633ede77405d5244.xdr": (2, 11, CORE_PASSPHRASE),
    "core-9de975c631418bb4.xdr": (2, 45, CORE_PASSPHRASE),
    "core-d1522d4667822bc2.xdr": (2, 27, CORE_PASSPHRASE),
    "core-d580226d468cd36a.xdr": (2, 9, CORE_PASSPHRASE),
    "core-fdce9caeb61c5f3a.xdr": (2, 14, CORE_PASSPHRASE),
    "load-soroban-v27.xdr.zst": (10048, 10077, "Apply Load"),
}
MERGED = ("load-sac-transfers-v24.xdr.zst", "load test network")  # of which ledger 62 alone has its proofs
PER_PARTITION = 64000


def records(path: Path) -> list[bytes]:
    """Return the records of a record-marked stream, plain or zstd."""
    raw, at, found = path.read_bytes(), 0, []
    if path.suffix == ".zst":
        raw = plain(raw)
    while at < len(raw):
        length = struct.unpack_from(">I", raw, at)[0] & 0x7FFFFFFF
        found.append(raw[at + 4 : at + 4 + length])
        at += 4 + length
    return found


def core_ledgers(shared: Path, stream: str = "core-9de975c631418bb4") -> dict[int, bytes]:
    """Return the ledgers of a core stream, each a `LedgerCloseMeta`; they count from 2."""
    return dict(enumerate(records(shared / "ledgers" / "streams" / f"{stream}.xdr"), 2))


def ledger_hash(shared: Path, ledger: int) -> str:
    """Return the hash of a ledger of the core stream by the answers."""
    answers = map(json.loads, (shared / "ledgers" / "answers.jsonl").read_text().splitlines())
    return next(answer["hash"] for answer in answers if (answer["file"], answer["seq"]) == (CORE, ledger))


def key(ledger: int, per_object: int = 1) -> str:
    """Return the key of the object that holds a ledger (SEP-54)."""
    span = per_object * PER_PARTITION
    part, start = ledger - ledger % span, ledger - ledger % per_object
    end = f"-{start + per_object - 1}" if per_object > 1 else ""
    return f"{0xFFFFFFFF - part:08X}--{part}-{part + span - 1}/{0xFFFFFFFF - start:08X}--{start}{end}.xdr.zst"


def batch(first: int, last: int, ledgers: list[bytes]) -> bytes:
    """Return a `LedgerCloseMetaBatch`."""
    return struct.pack(">III", first, last, len(ledgers)) + b"".join(ledgers)


def compressed(plain: bytes) -> bytes:
    """Return one zstd frame with a checksum and no content size, as Galexie writes it."""
    return zstandard.ZstdCompressor(write_checksum=True, write_content_size=False).compress(plain)


def plain(packed: bytes) -> bytes:
    """Return what a zstd frame holds, whether it says its size or not."""
    return zstandard.ZstdDecompressor().stream_reader(packed).read()


def write_manifest(folder: Path, passphrase: str = CORE_PASSPHRASE, per_object: int = 1, **other: object) -> None:
    """Write a lake's manifest."""
    fields = {
        "networkPassphrase": passphrase,
        "version": "1.0",
        "compression": "zstd",
        "ledgersPerBatch": per_object,
        "batchesPerPartition": PER_PARTITION,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".config.json").write_text(json.dumps(fields | other))


def write_object(folder: Path, ledger: int, content: bytes) -> str:
    """Write the object of one ledger and return its key."""
    path = folder / key(ledger)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return key(ledger)


def write_lake(folder: Path, ledgers: Mapping[int, bytes], passphrase: str = CORE_PASSPHRASE) -> Path:
    """Write a lake of one ledger an object."""
    write_manifest(folder, passphrase)
    for ledger, raw in ledgers.items():
        write_object(folder, ledger, compressed(batch(ledger, ledger, [raw])))
    return folder


def mend(folder: Path, shared: Path, ledger: int) -> None:
    """Put a missing ledger back into a lake of the core stream."""
    write_object(folder, ledger, compressed(batch(ledger, ledger, [core_ledgers(shared)[ledger]])))
