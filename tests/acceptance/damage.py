"""Ways to damage one object of a lake, each a row of what input can be: `DAMAGES` by name."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import zstandard
from lakes import OTHER_CHAIN, batch, compressed, core_ledgers, key, write_object
from stellar_sdk import xdr

Ledgers = Mapping[int, bytes]
Make = Callable[[Ledgers, int], bytes]  # the object that stands for a ledger
BOMB_BYTES = 300 << 20  # more than an object may have
LEVELS = 1500  # of nesting that a ledger may have
_WORD = 4


def plain(ledgers: Ledgers, ledger: int) -> bytes:
    """Return the sound batch of a ledger."""
    return batch(ledger, ledger, [ledgers[ledger]])


def patched(raw: bytes, at: int, new: bytes) -> bytes:
    """Return the bytes with some of them replaced."""
    assert raw[at : at + len(new)] != new
    return raw[:at] + new + raw[at + len(new) :]


def word(number: int) -> bytes:
    """Return an XDR unsigned int."""
    return struct.pack(">I", number)


def in_ledger(find: Callable[[bytes], int], new: bytes) -> Make:
    """Return what replaces some bytes of a ledger, at the place that `find` gives."""

    def make(ledgers: Ledgers, ledger: int) -> bytes:
        raw = ledgers[ledger]
        return compressed(batch(ledger, ledger, [patched(raw, find(raw), new)]))

    return make


def place_of_topics(raw: bytes) -> int:
    """Return where the topics of the first transaction's fee event begin: their count, then `fee` as a symbol."""
    topics = word(2) + word(xdr.SCValType.SCV_SYMBOL) + word(3) + b"fee\0"
    assert topics in raw
    return raw.index(topics)


def replaced_topic(value: bytes) -> Make:
    """Return what puts another value in the place of the first topic of that event, which no hash proves."""

    def make(ledgers: Ledgers, ledger: int) -> bytes:
        raw, at = ledgers[ledger], place_of_topics(ledgers[ledger]) + _WORD
        return compressed(batch(ledger, ledger, [raw[:at] + value + raw[at + len(symbol(b"fee")) :]]))

    return make


_VECTOR = word(xdr.SCValType.SCV_VEC) + word(1) + word(1)


def symbol(text: bytes) -> bytes:
    """Return a symbol as XDR, whatever it holds."""
    return word(xdr.SCValType.SCV_SYMBOL) + word(len(text)) + text + bytes(-len(text) % _WORD)


def nested(levels: int) -> bytes:
    """Return vectors in one another as XDR, each of one element, around a void: each of these values is two levels."""
    return _VECTOR * (levels // 2 - 1) + word(xdr.SCValType.SCV_VOID)


def place_of_padding(raw: bytes) -> int:
    """Return where the byte is that fills up the symbol `fee`."""
    return place_of_topics(raw) + 3 * _WORD + len("fee")


def first_envelope(raw: bytes) -> xdr.TransactionEnvelope:
    """Return the first transaction of a ledger's set."""
    meta = xdr.LedgerCloseMeta.from_xdr_bytes(raw).v2
    phases = meta.tx_set.v1_tx_set.phases
    parts = [part for phase in phases for part in phase.v0_components or []]
    stages = [stage for phase in phases if (run := phase.parallel_txs_component) for stage in run.execution_stages]
    envelopes = [envelope for part in parts for envelope in part.txs_maybe_discounted_fee.txs]
    for cluster in (cluster for stage in stages for cluster in stage.parallel_tx_execution_stage):
        envelopes += cluster.dependent_tx_cluster
    return envelopes[0]


def place_of_option(raw: bytes) -> int:
    """Return where the first operation says whether it has a source account of its own."""
    envelope = first_envelope(raw)
    operation = (envelope.v1.tx if envelope.v1 else envelope.fee_bump.tx.inner_tx.v1.tx).operations[0]
    return raw.index(operation.to_xdr_bytes())


def place_of_signature(raw: bytes) -> int:
    """Return where the first signature is that only the hash of the transaction set covers."""
    envelope = first_envelope(raw)
    return raw.index((envelope.v1 or envelope.fee_bump).signatures[0].signature.signature)


def place_of_fee(raw: bytes) -> int:
    """Return where the first result says what was charged, behind the transaction's hash."""
    return raw.index(xdr.LedgerCloseMeta.from_xdr_bytes(raw).v2.tx_processing[0].result.to_xdr_bytes()) + 32


def place_of_hash(raw: bytes) -> int:
    """Return where the ledger's own hash is: before its header."""
    entry = xdr.LedgerCloseMeta.from_xdr_bytes(raw).v2.ledger_header
    assert hashlib.sha256(entry.header.to_xdr_bytes()).digest() == entry.hash.hash
    return raw.index(entry.hash.hash)


def bomb(_ledgers: Ledgers, _ledger: int) -> bytes:
    """Return a small object that would become a huge one, and says so."""
    return zstandard.ZstdCompressor(write_content_size=True).compress(bytes(BOMB_BYTES))


def silent_bomb(_ledgers: Ledgers, _ledger: int) -> bytes:
    """Return the same without a size in its header."""
    return compressed(bytes(BOMB_BYTES))


def lying_size(ledgers: Ledgers, ledger: int) -> bytes:
    """Return a frame whose header promises 4 TiB."""
    content = plain(ledgers, ledger)
    # Magic, a header with an 8-byte size and a window of 1 MiB, one raw block.
    head = b"\x28\xb5\x2f\xfd" + bytes([0b1100_0000, 10 << 3]) + struct.pack("<Q", 1 << 42)
    return head + raw_block(content)


def wide_window(ledgers: Ledgers, ledger: int) -> bytes:
    """Return a frame that asks for a window of 1 GiB."""
    return b"\x28\xb5\x2f\xfd" + bytes([0, 20 << 3]) + raw_block(plain(ledgers, ledger))


def raw_block(content: bytes) -> bytes:
    """Return content as the last block of a zstd frame, not compressed."""
    assert len(content) < 128 << 10
    return struct.pack("<I", len(content) << 3 | 1)[:3] + content


def of_another_chain(shared: Path) -> Make:
    """Return a ledger that is sound in itself, and links to none here."""
    others = core_ledgers(shared, OTHER_CHAIN)
    return lambda _, ledger: compressed(plain(others, ledger))


DAMAGES: dict[str, Make] = {
    "a bomb that says its size": bomb,
    "a bomb that does not": silent_bomb,
    "a size that is a lie": lying_size,
    "a window of 1 GiB": wide_window,
    "no bytes at all": lambda _ledgers, _ledger: b"",
    "no zstd frame": plain,
    "a frame cut in its midst": lambda ledgers, ledger: compressed(plain(ledgers, ledger))[:-500],
    "a frame cut before its checksum": lambda ledgers, ledger: compressed(plain(ledgers, ledger))[:-4],
    "a flipped bit": lambda ledgers, ledger: (
        lambda stored: patched(stored, len(stored) // 2, bytes([stored[len(stored) // 2] ^ 1]))
    )(compressed(plain(ledgers, ledger))),
    "a second frame": lambda ledgers, ledger: compressed(plain(ledgers, ledger)) * 2,
    "junk after the frame": lambda ledgers, ledger: compressed(plain(ledgers, ledger)) + b"junk",
    "trailing bytes in the batch": lambda ledgers, ledger: compressed(plain(ledgers, ledger) + word(0)),
    "a batch cut short": lambda ledgers, ledger: compressed(plain(ledgers, ledger)[:-8]),
    "a batch of 4294967295": lambda ledgers, ledger: compressed(patched(plain(ledgers, ledger), 8, word(0xFFFFFFFF))),
    "a batch of none": lambda _ledgers, ledger: compressed(batch(ledger, ledger, [])),
    "an array of 4294967295": in_ledger(place_of_topics, word(0xFFFFFFFF)),
    "an unknown union arm": in_ledger(lambda raw: place_of_topics(raw) + _WORD, word(99)),
    "an unknown version": in_ledger(lambda _raw: 0, word(9)),
    "a bool of 2": in_ledger(place_of_option, word(2)),
    "nesting of 1502 levels": replaced_topic(nested(LEVELS + 2)),
    "padding that is not zero": in_ledger(place_of_padding, b"\1"),
    "a damaged signature": in_ledger(place_of_signature, word(0)),
    "a damaged result": in_ledger(place_of_fee, word(1)),
    "a damaged header hash": in_ledger(place_of_hash, b"\0\0\0\0"),
    "a batch named for another ledger": lambda ledgers, ledger: compressed(
        batch(ledger + 1, ledger + 1, [ledgers[ledger]])
    ),
    "another ledger in its place": lambda ledgers, ledger: compressed(batch(ledger, ledger, [ledgers[ledger + 1]])),
    "another ledger's object": lambda ledgers, ledger: compressed(plain(ledgers, ledger + 1)),
    "more ledgers than its name says": lambda ledgers, ledger: compressed(
        batch(ledger, ledger + 1, [ledgers[ledger], ledgers[ledger + 1]])
    ),
}
PLACES: dict[str, Callable[[bytes], int]] = {  # where the error must point, for damage of one place
    "an array of 4294967295": place_of_topics,
    "an unknown union arm": lambda raw: place_of_topics(raw) + _WORD,
    "an unknown version": lambda _raw: 0,
    "a bool of 2": place_of_option,
    "nesting of 1502 levels": lambda raw: place_of_topics(raw) + _WORD + LEVELS // 2 * len(_VECTOR),
    "padding that is not zero": place_of_padding,
}
STRANGE = {  # values of a topic that are sound, each trouble for whoever takes strings for text or numbers for 64 bits
    "a NUL": symbol(b"a\0b"),
    "no UTF-8": symbol(b"\xff\xfe"),
    "half a surrogate pair": symbol(b"\xed\xa0\x80"),
    "the lowest i128": word(xdr.SCValType.SCV_I128) + b"\x80" + bytes(15),
    "the highest u256": word(xdr.SCValType.SCV_U256) + b"\xff" * 32,
    "nesting of 1500 levels": nested(LEVELS),
}


def put(folder: Path, ledgers: Ledgers, ledger: int, make: Make) -> str:
    """Replace the object of a ledger, and return its key."""
    assert (folder / key(ledger)).exists()
    return write_object(folder, ledger, make(ledgers, ledger))
