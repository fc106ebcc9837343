"""Chunks made by hand, row by row, as a worker would deliver them: for tests of what comes after the workers."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

from pipeline.actions import ReadyChunk
from pipeline.plan import Gap
from workers.messages import TABLES, ChunkDone, LedgerRange, Section

Row = Sequence[bytes | None]

ACCOUNT = bytes([6 << 3]) + bytes(range(32))
PAYER = bytes([6 << 3]) + bytes(range(32, 64))
CONTRACT = bytes(range(100, 132))
TRANSFER = struct.pack(">II", 15, 8) + b"transfer"
TOPICS = struct.pack(">I", 1) + TRANSFER
CLOSED_2026_01_01 = struct.pack(">q", 820_540_800_000_000)  # microseconds since 2000


def int2(value: int) -> bytes:
    return struct.pack(">h", value)


def int4(value: int) -> bytes:
    return struct.pack(">i", value)


def int8(value: int) -> bytes:
    return struct.pack(">q", value)


def numeric(value: int) -> bytes:
    """Encode a whole number above zero as PostgreSQL's binary numeric."""
    digits = []
    while value:
        value, digit = divmod(value, 10_000)
        digits.append(digit)
    weight = max(0, len(digits) - 1)
    while digits and digits[0] == 0:
        digits.pop(0)
    return struct.pack(f">hhHh{len(digits)}h", len(digits), weight, 0, 0, *reversed(digits))


def i128(value: int) -> bytes:
    return struct.pack(">I", 10) + value.to_bytes(16, "big", signed=True)


def hash_of(ledger: int, branch: str = "") -> bytes:
    return hashlib.sha256(f"{branch}{ledger}".encode()).digest()


def toid(ledger: int, transaction: int = 1, operation: int = 0) -> int:
    return ledger << 32 | transaction << 12 | operation


def rows_of(ledger: int, branch: str = "") -> dict[str, list[Row]]:
    """Return one ledger with one fee bump of two operations and three events."""
    counts = [int4(23), int4(1), int4(1), int4(2), int4(3)]
    fee_event = [int8(toid(ledger)), int4(0), int2(0), int2(1), CONTRACT, TOPICS, i128(-7)]
    return {
        "ledgers": [[int4(ledger), hash_of(ledger, branch), hash_of(ledger - 1, branch), CLOSED_2026_01_01, *counts]],
        "transactions": [
            [int8(toid(ledger)), hash_of(ledger, "tx"), b"\1", int4(2), int8(12_345_678), ACCOUNT, None, PAYER, int2(1)]
        ],
        "operations": [
            [int8(toid(ledger, 1, 1)), int2(24), ACCOUNT, None, b"\0\0\0\x18"],
            [int8(toid(ledger, 1, 2)), int2(1), ACCOUNT, numeric(2**64 - 1), b"\0\0\0\1"],
        ],
        "events": [
            fee_event,
            [int8(toid(ledger, 1, 1)), int4(0), None, int2(1), CONTRACT, TOPICS, i128(10**30)],
            [int8(toid(ledger, 1, 1)), int4(1), None, int2(0), None, b"\0\0\0\0", b"\0\0\0\1"],
        ],
    }


def stream(rows: Iterable[Row]) -> bytes:
    """Return the rows as one whole binary COPY stream."""
    parts = [b"PGCOPY\n\xff\r\n\0", bytes(8)]
    for row in rows:
        parts.append(int2(len(row)))
        parts += [int4(-1) if field is None else int4(len(field)) + field for field in row]
    return b"".join([*parts, int2(-1)])


def chunk(  # noqa: PLR0913 - each is what one test turns
    folder: Path,
    first: int,
    last: int,
    *,
    gap: Gap | None = None,
    branch: str = "",
    previous_hash: bytes | None = None,
    rows: dict[str, list[Row]] | None = None,
    claimed: dict[str, int] | None = None,
) -> ReadyChunk:
    """Write the result file of ledgers `first` to `last`; `claimed` are row counts other than the true ones."""
    ledgers = LedgerRange(first, last)
    if rows is None:
        rows = {table: [] for table in TABLES}
        for ledger in ledgers:
            for table, some in rows_of(ledger, branch).items():
                rows[table] += some
    path, sections, content = folder / f"{branch}{ledgers}", [], b""
    for table in TABLES:
        part = stream(rows[table])
        count = (claimed or {}).get(table, len(rows[table]))
        sections.append(Section(table=table, rows=count, offset=len(content), length=len(part)))
        content += part
    path.write_bytes(content)
    done = ChunkDone(
        token=first,
        ledgers=ledgers,
        path=str(path),
        sections=tuple(sections),
        previous_hash=hash_of(first - 1, branch) if previous_hash is None else previous_hash,
        first_hash=hash_of(first, branch),
        last_hash=hash_of(last, branch),
        object_bytes=len(content) // 3,
        plain_bytes=len(content) * 2,
    )
    return ReadyChunk(
        ledgers=ledgers,
        chunk=ledgers,
        gap=gap or Gap(ledgers=ledgers),
        done=done,
        attempts=1,
        worker=1,
        previous=None,
    )
