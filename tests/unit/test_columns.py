"""Columns of ScVals read for plug-ins, and columns written as rows: each value is what stellar-sdk says of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal

import pyarrow as pa
import pytest
from decoding import parse
from hypothesis import given, settings
from hypothesis import strategies as st
from stellar_sdk import scval, xdr
from token_books import Holder, read
from token_events import ADDRESSES, AMOUNTS, IDS, OTHERS, TOKENS, WRONG_AMOUNTS, fields, pair
from token_rows import numeric

from workers._decode import COPY_HEADER, COPY_TRAILER, copy_rows
from workers.protocols import columns
from workers.protocols.columns import Events

MORE = [
    *(make(value) for make, bits in ((scval.to_int32, 31), (scval.to_int64, 63), (scval.to_int256, 255))
      for value in (-1, -(2**bits), 2**bits - 1)),
    scval.to_symbol("name"), scval.to_symbol(""), scval.to_timepoint(7), scval.to_duration(7),
]  # fmt: skip
KNOWN = [*ADDRESSES, *AMOUNTS, *WRONG_AMOUNTS, *TOKENS, *IDS, *OTHERS, *MORE]
VALUES = [*KNOWN, *(fields(amount=value) for value in KNOWN), *(pair(value, KNOWN[0]) for value in KNOWN)]
BYTES = [value.to_xdr_bytes() for value in VALUES]
WHOLE = {"u32", "i32", "u64", "i64", "u128", "i128"}


def integer(value: xdr.SCVal) -> int | None:
    native = scval.to_native(value)
    kind = value.type.name.removeprefix("SCV_").lower()
    return native if kind in WHOLE and isinstance(native, int) else None


def content(kind: str) -> Callable[[xdr.SCVal], bytes | None]:
    def of(value: xdr.SCVal) -> bytes | None:
        held = {"symbol": value.sym, "string": value.str, "bytes": value.bytes}[kind]
        return next(iter(vars(held).values())) if held else None

    return of


def address(value: xdr.SCVal) -> bytes | None:
    held = read(value).held
    return held.address if isinstance(held, Holder) else None


def second(value: xdr.SCVal) -> bytes | None:
    held = value.vec.sc_vec if value.vec else []
    return held[1].to_xdr_bytes() if len(held) > 1 else None


def amount(value: xdr.SCVal) -> bytes | None:
    held = {entry.key.sym.sc_symbol: entry.val for entry in value.map.sc_map} if value.map else {}
    return held[b"amount"].to_xdr_bytes() if b"amount" in held else None


READ = {
    "addresses": (columns.addresses, address),
    "integers": (columns.integers, lambda value: None if (found := integer(value)) is None else Decimal(found)),
    "symbols": (lambda values: columns.texts(values, "symbol"), content("symbol")),
    "strings": (lambda values: columns.texts(values, "string"), content("string")),
    "bytes": (lambda values: columns.texts(values, "bytes"), content("bytes")),
    "elements": (lambda values: columns.elements(values, 1), second),
    "fields": (lambda values: columns.fields(values, "amount"), amount),
}


@pytest.mark.parametrize(("found", "wanted"), READ.values(), ids=READ)
def test_values_are_read_as_their_types_say(found, wanted) -> None:
    """Of every type of ScVal: what it holds where it is of the type asked for, and NULL otherwise."""
    array = found(pa.array(BYTES))
    array.validate(full=True)
    expected = [wanted(value) for value in VALUES]
    assert array.to_pylist() == expected
    assert 2 < array.null_count == expected.count(None) < len(expected)
    assert found(pa.array([None, *BYTES], pa.large_binary()).slice(1)).to_pylist() == expected
    assert found(pa.chunked_array([BYTES[:3], BYTES[3:]])).to_pylist() == expected


@settings(max_examples=300)
@given(value=st.sampled_from(BYTES), cut=st.integers(0, 60), more=st.binary(min_size=1, max_size=5))
def test_bytes_that_are_no_value_are_null(value: bytes, cut: int, more: bytes) -> None:
    """A value that is cut or goes on, and anything else, is NULL to every reader, and none fails."""
    bad = value[: max(len(value) - cut, 0)] if cut else value + more
    array = pa.array([None, bad, bytes([255]) * cut])
    for found, _ in READ.values():
        assert found(array).null_count == 3


def test_what_is_no_column_of_values_is_refused() -> None:
    """Columns of other types, and texts of other kinds, are told."""
    with pytest.raises(TypeError, match=r"^ScVals are binary, not int64$"):
        columns.integers(pa.array([7]))
    with pytest.raises(ValueError, match=r'^no kind of text: "number"$'):
        columns.texts(pa.array([b""]), "number")  # type: ignore[arg-type]
    assert columns.integers(pa.nulls(2)).null_count == 2


def test_topics_are_columns_too() -> None:
    """The topics of one place, NULL where an event has not so many; also of a part of the events."""
    topics = [[b"a", b"b"], [b"c"], [b"d", b"e", b"f"]]
    same = {name: pa.array([0] * 3) for name in Events.__slots__}
    events = Events(**{**same, "topics": pa.array(topics, pa.list_(pa.binary()))})
    assert events.topic(0).to_pylist() == [b"a", b"c", b"d"]
    assert events.topic(1).to_pylist() == [b"b", None, b"e"]
    assert events.slice(1, 2).topic(2).to_pylist() == [None, b"f"]
    assert events.slice(1, 2).numbers.to_pylist() == [0, 1]


def written(kind: str, array: pa.Array, *, nullable: bool = False, values: bool = False) -> list[bytes | None]:
    rows = copy_rows(len(array), [("it", kind, nullable, values, array)])
    return [row[0] for row in parse(COPY_HEADER + rows + COPY_TRAILER)]


FITTING = [
    ("boolean", pa.array([True, None, False]), [b"\1", None, b"\0"]),
    ("int4", pa.array([7, None, -8], pa.int32()), [b"\0\0\0\7", None, b"\xff\xff\xff\xf8"]),
    ("int8", pa.array([-1, None], pa.int64()), [b"\xff" * 8, None]),
    ("bytes", pa.array([b"abc", None, b""]), [b"abc", None, b""]),
    ("value", pa.array([TOKENS[0].to_xdr_bytes(), None]), [TOKENS[0].to_xdr_bytes(), None]),
    ("contract", pa.array([b"c" * 32, None]), [b"c" * 32, None]),
    ("code", pa.array([1, None, 32_767], columns.INTEGER), [b"\0\1", None, b"\x7f\xff"]),
    ("u32", pa.array([0, None, 2**32 - 1], columns.INTEGER), [bytes(8), None, bytes(4) + b"\xff" * 4]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "array", "wanted"), FITTING, ids=[row[0] for row in FITTING])
def test_columns_are_written_as_fields(kind: str, array: pa.Array, wanted: list[bytes | None]) -> None:
    """Every kind of column as PostgreSQL takes it, from any part of an array; a NULL only where it may be."""
    if kind in ("code", "u32"):
        array = array.cast(pa.decimal256(76, 0))
    assert written(kind, array, nullable=True) == wanted
    assert written(kind, pa.concat_arrays([array, array]).slice(1, len(array)), nullable=True) == [
        *wanted[1:],
        wanted[0],
    ]
    with pytest.raises(ValueError, match=r"^it: a row without a value$"):
        written(kind, array)


def test_integers_of_any_size_are_written() -> None:
    """Decimals and the ScVals of every integer type are numerics of the same number, both extremes among them."""
    decimals = [0, 1, -1, 10**4, -(10**8), 2**127 - 1, -(2**127), 2**128 - 1, 10**76 - 1, -(10**76) + 1]
    array = pa.array([Decimal(each) for each in decimals], pa.decimal256(76, 0))
    assert [numeric(field) for field in written("integer", array)] == decimals
    numbers = [value for value in KNOWN if isinstance(read_integer(value), int)]
    assert len({value.type for value in numbers}) == 8
    array = pa.array([value.to_xdr_bytes() for value in numbers])
    assert [numeric(field) for field in written("integer", array, values=True)] == [*map(read_integer, numbers)]


def read_integer(value: xdr.SCVal) -> int | None:
    kind = value.type.name.removeprefix("SCV_").lower()
    return scval.to_native(value) if kind in (*WHOLE, "u256", "i256") else None


def test_every_strkey_is_an_address() -> None:
    """The addresses that are read of ScVals are those that may be written, of each kind that has a strkey."""
    array = columns.addresses(pa.array([value.to_xdr_bytes() for value in ADDRESSES]))
    assert written("address", array) == array.to_pylist()
    assert {field[0] >> 3 for field in written("address", array)} == {6, 2, 1, 11}


UNFIT = [
    ("address", b"\x30" + bytes(31), "no address: 30"),
    ("address", b"\x60" + bytes(32), "no address: 60"),  # of a muxed account
    ("address", b"\x08\1" + bytes(32), "no address: 0801"),
    ("address", b"", "no address: "),
    ("contract", bytes(33), "33 bytes where a contract has 32"),
    ("value", TOKENS[0].to_xdr_bytes() + bytes(4), "no ScVal: 0000000300000007"),
    ("value", b"", "no ScVal: "),
    ("code", 0, "0 is not within 1 to 32767"),
    ("code", 32_768, "32768 is not within 1 to 32767"),
    ("code", -1, "-1 is not within"),
    ("u32", 2**32, "4294967296 is not within 0 to 4294967295"),
    ("u32", 10**60, "a number of more than 128 bits is not within"),
    ("integer", scval.to_void().to_xdr_bytes(), "no integer: 00000001"),
    ("integer", scval.to_timepoint(1).to_xdr_bytes(), "no integer: 00000007"),
    ("integer", b"", "no integer: "),
]


@pytest.mark.parametrize(("kind", "value", "why"), UNFIT)
def test_values_that_do_not_fit_are_told(kind: str, value: object, why: str) -> None:
    """A value that is not of its column's kind is shown, with the column's name."""
    array = pa.array([value]) if isinstance(value, bytes) else pa.array([Decimal(value)], pa.decimal256(76, 0))
    with pytest.raises(ValueError, match=rf"^it: {re.escape(why)}"):
        written(kind, array, values=isinstance(value, bytes))


def test_columns_of_other_lengths_and_kinds_are_refused() -> None:
    """Columns that do not go together are a mistake of the caller's."""
    array = pa.array([1], pa.int32())
    with pytest.raises(ValueError, match=r"^it: 1 values for 2 rows$"):
        copy_rows(2, [("it", "int4", False, False, array)])
    with pytest.raises(ValueError, match=r'^it: no kind of column: "int2"$'):
        copy_rows(1, [("it", "int2", False, False, array)])
