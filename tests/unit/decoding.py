"""What the decoder's tests share: real files as objects, COPY rows taken apart, digests as the answers have them."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import struct
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zstandard

from workers import _decode
from workers.messages import TABLES

CORE = "(V) (;,,;) (V)"
LOAD = "Apply Load"
COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
EPOCH_SECONDS = 946_684_800

Objects = Sequence[tuple[str, int, int, bytes]]
Rows = dict[str, list[tuple[bytes | None, ...]]]


@dataclass(frozen=True)
class Decoded:
    """A chunk with its file, and its rows as fields."""

    chunk: _decode.Chunk
    written: bytes
    rows: Rows = field(default_factory=dict)


def decode(  # noqa: PLR0913  # the arguments are those of the decoder itself
    passphrase: str,
    first: int,
    last: int,
    objects: Objects,
    *,
    framed: bool = False,
    trusted: Mapping[int, bytes] | None = None,
    max_object_bytes: int = 256 << 20,
    tables: Sequence[str] = TABLES,
) -> Decoded:
    """Decode with a new decoder and read back what it wrote."""
    decoder = _decode.Decoder(passphrase, trusted=trusted or {}, max_object_bytes=max_object_bytes, tables=tables)
    with tempfile.TemporaryFile() as file:
        chunk = decoder.chunk(first, last, objects, file.fileno(), framed=framed)
        file.seek(0)
        written = file.read()
    rows = {table: parse(written[offset : offset + length]) for table, _, offset, length in chunk.sections}
    return Decoded(chunk, written, rows)


def parse(section: bytes) -> list[tuple[bytes | None, ...]]:
    """Take a binary COPY stream apart; its header and trailer have to be there."""
    assert section.startswith(COPY_HEADER)
    rows, at = [], len(COPY_HEADER)
    while (count := struct.unpack_from(">h", section, at)[0]) != -1:
        at += 2
        row: list[bytes | None] = []
        for _ in range(count):
            (length,) = struct.unpack_from(">i", section, at)
            at += 4
            row.append(None if length < 0 else section[at : at + length])
            at += max(length, 0)
        rows.append(tuple(row))
    assert at + 2 == len(section)
    return rows


def number(value: bytes | None) -> int:
    """An int2, int4, int8 or bool."""
    assert value is not None
    return int.from_bytes(value, "big", signed=len(value) > 1)


def records(file: Path) -> list[bytes]:
    """The ledgers of a record-marked stream, plain or zstd, read without the decoder."""
    raw = file.read_bytes()
    if file.suffix == ".zst":
        raw = zstandard.ZstdDecompressor().stream_reader(raw).read()
    out, at = [], 0
    while at < len(raw):
        length = struct.unpack_from(">I", raw, at)[0] & 0x7FFFFFFF
        out.append(raw[at + 4 : at + 4 + length])
        at += 4 + length
    return out


def framed(name: str, first: int, ledgers: Sequence[bytes]) -> Objects:
    """Ledgers in a row as framed objects."""
    return [(name, first + i, first + i, ledger) for i, ledger in enumerate(ledgers)]


@functools.cache
def answers(shared: Path) -> dict[str, list[dict[str, Any]]]:  # Any: JSON
    """What the independent decoder says, by file."""
    out: dict[str, list[dict[str, Any]]] = {}  # Any: JSON
    for line in (shared / "ledgers" / "answers.jsonl").read_text().splitlines():
        answer = json.loads(line)
        out.setdefault(answer["file"], []).append(answer)
    return out


def digests(rows: Rows, ledger: int) -> dict[str, str]:
    """The digests of one ledger, as `oracle.py` of the real ledgers defines them."""
    lines = {
        "transactions": [_transaction(row) for row in _of(rows["transactions"], ledger)],
        "operations": [_operation(row) for row in _of(rows["operations"], ledger)],
        "op_events": [_event(row) for row in _of(rows["events"], ledger) if number(row[0]) & 0xFFF],
        "tx_events": [_event(row) for row in _of(rows["events"], ledger) if not number(row[0]) & 0xFFF],
    }
    return {name: hashlib.sha256("".join(f"{x}\n" for x in some).encode()).hexdigest() for name, some in lines.items()}


def _of(rows: list[tuple[bytes | None, ...]], ledger: int) -> Iterator[tuple[Any, ...]]:  # Any: bytes, NULL known
    return (row for row in rows if number(row[0]) >> 32 == ledger)


def _place(toid: bytes) -> str:
    return f"{number(toid) >> 32}|{number(toid) >> 12 & 0xFFFFF}"


def _transaction(row: tuple[Any, ...]) -> str:  # Any: bytes, NULL known
    toid, tx_hash, ok, operations, fee, source, *_ = row
    return f"{_place(toid)}|{tx_hash.hex()}|{number(ok)}|{number(operations)}|{number(fee)}|{source[1:].hex()}"


def _operation(row: tuple[Any, ...]) -> str:  # Any: bytes, NULL known
    toid, kind, source, *_ = row
    return f"{_place(toid)}|{(number(toid) & 0xFFF) - 1}|{number(kind)}|{source[1:].hex()}"


def _event(row: tuple[Any, ...]) -> str:  # Any: bytes, NULL known
    toid, index, stage, kind, contract, topics, data = row
    where = number(stage) if stage is not None else (number(toid) & 0xFFF) - 1
    tail = f"{base64.b64encode(topics).decode()}|{base64.b64encode(data).decode()}"
    return f"{_place(toid)}|{where}|{number(index)}|{contract.hex() if contract else ''}|{number(kind)}|{tail}"
