"""What a plug-in is given and what it gives: columns of pyarrow, and what reads many `ScVal`s at once.

Apart from the rest of the contract because it brings pyarrow, which only those need that work on events.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from workers import _decode

INTEGER = pa.decimal256(39, 0)  # what `integers` gives: it holds every i128 and u128
_TOPICS = pa.list_(pa.binary())


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """Events that a plug-in wants, a row each, in the order in which they happened.

    Only what operations of successful transactions emit, and only events of contracts: never diagnostic ones.
    """

    ledger: pa.Array  # int32
    operation_id: pa.Array  # int64, a TOID (SEP-35)
    event_index: pa.Array  # int32, as in `events`: with `operation_id` it is the event's key
    contract_id: pa.Array  # 32 bytes
    topics: pa.Array  # list of binary: the XDR of an ScVal each, the first a symbol that is wanted
    data: pa.Array  # binary: the XDR of an ScVal
    certain: pa.Array  # bool: the contract is a Stellar Asset Contract, by proof

    @classmethod
    def of(cls, length: int, buffers: Sequence[bytes]) -> Events:
        """Make the columns of what `Chunk.events` holds of one call, without copying."""
        ledger, operation, index, contract, lists, offsets, topics, data_offsets, data, certain = map(
            pa.py_buffer, buffers
        )
        values = pa.Array.from_buffers(pa.binary(), len(offsets) // 4 - 1, [None, offsets, topics])
        return cls(
            ledger=pa.Array.from_buffers(pa.int32(), length, [None, ledger]),
            operation_id=pa.Array.from_buffers(pa.int64(), length, [None, operation]),
            event_index=pa.Array.from_buffers(pa.int32(), length, [None, index]),
            contract_id=pa.Array.from_buffers(pa.binary(32), length, [None, contract]),
            topics=pa.Array.from_buffers(_TOPICS, length, [None, lists], children=[values]),
            data=pa.Array.from_buffers(pa.binary(), length, [None, data_offsets, data]),
            certain=pa.Array.from_buffers(pa.bool_(), length, [None, certain]),
        )

    def __len__(self) -> int:
        """Return how many events these are."""
        return len(self.ledger)

    @property
    def numbers(self) -> pa.Array:
        """The numbers of the events, from 0: what the column `event` of rows is about."""
        return pa.arange(0, len(self))

    def topic(self, index: int) -> pa.Array:
        """Return one topic of each event, from 0, the name; NULL where an event has not so many."""
        return pc.list_slice(self.topics, index, index + 1, return_fixed_size_list=True).flatten()

    def slice(self, first: int, length: int) -> Events:
        """Return some of the events."""
        columns = {name: getattr(self, name).slice(first, length) for name in self.__slots__}
        return Events(**columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What events come to. `event` is the number of a row's event, `side` tells the rows of one event apart.

    `history`: `event`, `account`, `category`, `reason`, and where there are any `side`, `amount`, `token_id`,
    `counterparty`, `muxed_id`, `live_until_ledger`.
    `state`: by the name of the table `event`, where needed `side`, and the columns that the table declares, but for
    `contract_id` and columns of type `ledger`: these are the event's.
    """

    history: pa.Table | None = None
    state: Mapping[str, pa.Table] = field(default_factory=dict)


def addresses(values: pa.Array) -> pa.Array:
    """Return the addresses in `values` (binary, ScVals): strkeys without checksum; NULL where a value is none.

    Of a muxed account it is the account's. A muxed contract has no strkey yet: NULL.
    """
    return _binary(len(values), *_decode.scval_addresses(scvals(values)))


def integers(values: pa.Array) -> pa.Array:
    """Return the integers in `values` (u32, i32, u64, i64, u128, i128) as decimals; NULL where a value is none.

    Those of 256 bits are NULL too: a column of rows that holds integers takes the ScVals as they are.
    """
    values = scvals(values)
    nulls, validity, _, content = _decode.scval_integers(values)
    return pa.Array.from_buffers(INTEGER, len(values), [pa.py_buffer(validity), pa.py_buffer(content)], nulls)


def texts(values: pa.Array, kind: Literal["symbol", "string", "bytes"]) -> pa.Array:
    """Return what symbols, strings or bytes in `values` hold, as binary; NULL where a value is of another type."""
    return _binary(len(values), *_decode.scval_texts(scvals(values), kind))


def elements(values: pa.Array, index: int) -> pa.Array:
    """Return an element of each vector in `values`, from 0, as ScVals; NULL where there is none."""
    return _binary(len(values), *_decode.scval_elements(scvals(values), index))


def fields(values: pa.Array, name: str) -> pa.Array:
    """Return a field of each map in `values`, by its name, as ScVals; NULL where there is none.

    A map with a key that is no symbol, or with this one twice, has none.
    """
    return _binary(len(values), *_decode.scval_fields(scvals(values), name))


def scvals(values: pa.Array) -> pa.Array:
    """Return `values` as one array of binary; `TypeError` where they are nothing of the kind."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if not is_bytes(values.type):
        raise TypeError(f"ScVals are binary, not {values.type}")
    return values.cast(pa.binary())


def is_bytes(kind: pa.DataType) -> bool:
    """Return whether values of a type are bytes, or all NULL."""
    tests = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary, pa.types.is_null)
    return any(test(kind) for test in tests)


def _binary(length: int, nulls: int, validity: bytes, offsets: bytes, content: bytes) -> pa.Array:
    buffers = map(pa.py_buffer, (validity, offsets, content))
    return pa.Array.from_buffers(pa.binary(), length, list(buffers), nulls)
