"""The columns of the big tables, in the order of the binary COPY rows, and how to read a value of each."""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # PostgreSQL's


def _number(value: bytes) -> str:
    return str(int.from_bytes(value, "big", signed=True))


def _truth(value: bytes) -> str:
    return "true" if value == b"\1" else "false"


def _time(value: bytes) -> str:
    microseconds = int.from_bytes(value, "big", signed=True)
    try:
        return f"{_EPOCH + timedelta(microseconds=microseconds):%Y-%m-%d %H:%M:%S.%f UTC}"
    except OverflowError:
        return f"{microseconds} microseconds after 2000"


def _numeric(value: bytes) -> str:
    """Read a whole number: count of digits, weight of the first, sign, scale, then digits to base 10,000."""
    count, weight, sign, scale = struct.unpack_from(">hhHh", value)
    if sign or scale or len(value) != 8 + 2 * count:
        return value.hex()
    digits = struct.unpack_from(f">{count}h", value, 8)
    return str(sum(digit * 10_000 ** (weight - place) for place, digit in enumerate(digits) if weight >= place))


def _address(value: bytes) -> str:
    """Write it as a strkey (SEP-23), whatever its version byte is."""
    checksum = struct.pack("<H", binascii.crc_hqx(value, 0))
    return base64.b32encode(value + checksum).decode().rstrip("=")


def _hex(value: bytes) -> str:
    return value.hex() or "empty"


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, and its binary form as text."""

    name: str
    text: Callable[[bytes], str]


COLUMNS: dict[str, tuple[Column, ...]] = {
    "ledgers": (
        Column("sequence", _number),
        Column("hash", _hex),
        Column("previous_hash", _hex),
        Column("closed_at", _time),
        Column("protocol_version", _number),
        Column("transaction_count", _number),
        Column("successful_transaction_count", _number),
        Column("operation_count", _number),
        Column("event_count", _number),
    ),
    "transactions": (
        Column("id", _number),
        Column("hash", _hex),
        Column("successful", _truth),
        Column("operation_count", _number),
        Column("fee_charged", _number),
        Column("source_account", _address),
        Column("source_muxed_id", _numeric),
        Column("fee_account", _address),
        Column("result_code", _number),
    ),
    "operations": (
        Column("id", _number),
        Column("type", _number),
        Column("source_account", _address),
        Column("source_muxed_id", _numeric),
        Column("body", _hex),
    ),
    "events": (
        Column("operation_id", _number),
        Column("event_index", _number),
        Column("stage", _number),
        Column("type", _number),
        Column("contract_id", _hex),
        Column("topics", _hex),
        Column("data", _hex),
    ),
}
KEY_COLUMNS = {"ledgers": 1, "transactions": 1, "operations": 1, "events": 2}  # the first so many


def key_of(table: str, ledger: int) -> int:
    """Return the lowest key that a row of `ledger` can have: its sequence, or its TOID (SEP-35)."""
    return ledger if table == "ledgers" else ledger << 32
