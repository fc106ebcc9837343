"""Damaged bytes at every door: only the errors that are named come out, and the process lives on.

`make fuzz` takes longer than a test run does: LEDGERFILL_TEST_FUZZ_S seconds a door. A find repeats with its seed.
"""

from __future__ import annotations

import functools
import itertools
import os
import random
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import sha256

import pytest
import zstandard
from decoding import decode, framed
from made_ledgers import PASSPHRASE, Made, event, ledgers
from specs import MAGIC, bytes_n, custom, function, option, pair, plain, user
from stellar_sdk import scval
from token_events import ADDRESSES, AMOUNTS, CONTRACTS, STRINGS, TOKENS, fields
from token_rows import SECTIONS

from workers import _decode
from workers.failures import SourceError
from workers.sources.layout import Layout
from workers.sources.manifest import parse_manifest

SECONDS = float(os.environ.get("LEDGERFILL_TEST_FUZZ_S", "1"))
SEED = int(os.environ.get("LEDGERFILL_TEST_SEED", "0"))
NETWORK = "ledgerfill synthetic network ; 2026"
FIRST, LEDGERS = 2, 3
BATCH_HEAD = 12  # bytes of a LedgerCloseMetaBatch before its only ledger: first, last, count
SUFFIXES = (".xdr.zst", ".xdr.zstd")
MANIFEST = (
    b'{"networkPassphrase":"x","version":"1","compression":"zstd","ledgersPerBatch":1,"batchesPerPartition":64000}'
)
SPEC = function(b"f", option(pair(user(b"A"), bytes_n(32))), outputs=(plain("U64"),)) + function(b"g")
META = struct.pack(">iII", -1, 25, 0)  # `BucketEntry` of a bucket's metadata
CODE_ENTRY = (
    struct.pack(">II32sI", 7, 0, sha256(b"code").digest(), 4) + b"code" + bytes(4)
)  # `LedgerEntry` behind its age
EDGES = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\0\0\0\1", b"\xff", b"\0")


@pytest.fixture(scope="module")
def batches(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """The plain objects of a small lake, each a batch of one ledger, the lowest first."""
    lake = tmp_path_factory.mktemp("fuzz")
    _decode.make_lake(str(lake), ledgers=LEDGERS, shape="sparse")
    objects = sorted(lake.glob("*/*.zst"), reverse=True)  # names count down
    plain = [zstandard.ZstdDecompressor().decompress(path.read_bytes(), max_output_size=1 << 26) for path in objects]
    ledgers = framed("stream", FIRST, [batch[BATCH_HEAD:] for batch in plain])
    assert decode(NETWORK, FIRST, FIRST + LEDGERS - 1, ledgers, framed=True).chunk.error is None
    return plain


def damaged(draw: random.Random, sound: bytes) -> bytes:
    """Change some bytes, take some out, put some in, or cut the end off."""
    bytes_ = bytearray(sound)
    for _ in range(draw.choice((1, 1, 1, 2, 4, 16))):
        at = draw.randrange(len(bytes_) + 1)
        match draw.randrange(5):
            case 0:
                bytes_[at : at + 1] = draw.randbytes(1)
            case 1:
                edge = draw.choice(EDGES)
                at -= at % 4 if draw.random() < 0.8 else 0  # XDR counts in fours
                bytes_[at : at + len(edge)] = edge
            case 2:
                del bytes_[at : at + draw.choice((1, 4, 64))]
            case 3:
                bytes_[at:at] = draw.randbytes(draw.choice((1, 4, 64)))
            case _:
                other = draw.randrange(len(bytes_) + 1)
                bytes_[at : at + 32] = bytes_[other : other + 32]
    return bytes(bytes_[: draw.randrange(len(bytes_) + 1)] if draw.random() < 0.1 else bytes_)


def rounds() -> Iterator[random.Random]:
    """Iterate for so many seconds, each time with another seed that a failure shows."""
    end = time.monotonic() + SECONDS
    for seed in itertools.count(SEED):
        if time.monotonic() > end:
            print(f"{seed - SEED} rounds")
            return
        print(f"LEDGERFILL_TEST_SEED={seed}", flush=True)
        yield random.Random(seed)


def batch_of_one(draw: random.Random, batches: list[bytes]) -> None:
    """An object whose plain bytes are damaged."""
    name = "object"
    packed = [zstandard.compress(batch, 1) for batch in batches]
    at = draw.randrange(LEDGERS)
    packed[at] = zstandard.compress(damaged(draw, batches[at]), 1)
    require_named(decode(NETWORK, FIRST, FIRST + LEDGERS - 1, [(name, n, n, each) for n, each in numbered(packed)]))


def compressed_batch(draw: random.Random, batches: list[bytes]) -> None:
    """An object whose compressed bytes are damaged."""
    packed = [zstandard.compress(batch, 1) for batch in batches]
    at = draw.randrange(LEDGERS)
    packed[at] = damaged(draw, packed[at])
    objects = [("object", n, n, each) for n, each in numbered(packed)]
    require_named(decode(NETWORK, FIRST, FIRST + LEDGERS - 1, objects, max_object_bytes=1 << 24))


def record_marked(draw: random.Random, batches: list[bytes]) -> None:
    """A ledger of a stream."""
    ledgers = [batch[BATCH_HEAD:] for batch in batches]
    at = draw.randrange(LEDGERS)
    ledgers[at] = damaged(draw, ledgers[at])
    require_named(decode(NETWORK, FIRST, FIRST + LEDGERS - 1, framed("stream", FIRST, ledgers), framed=True))


def stream_file(draw: random.Random, batches: list[bytes]) -> None:
    """A file of record-marked ledgers."""
    whole = b"".join(struct.pack(">I", 0x80000000 | len(batch) - BATCH_HEAD) + batch[BATCH_HEAD:] for batch in batches)
    with tempfile.NamedTemporaryFile() as file, tempfile.TemporaryFile() as index, tempfile.TemporaryFile() as spool:
        file.write(damaged(draw, whole))
        file.flush()
        with suppress(_decode.CorruptLedger):
            _decode.index_stream(file.name, index.fileno(), spool.fileno(), max_record_bytes=1 << 24)


def object_key(draw: random.Random, _: list[bytes]) -> None:
    """The name of an object, as a listing gives it."""
    layout = Layout(ledgers_per_object=draw.choice((1, 64)), objects_per_partition=64_000, suffix=draw.choice(SUFFIXES))
    key = damaged(draw, layout.key(draw.randrange(1, 1 << 31)).encode()).decode("utf-8", "surrogateescape")
    with suppress(ValueError):
        assert layout.key(layout.parse(key).first) == key


def manifest(draw: random.Random, _: list[bytes]) -> None:
    """A lake's `.config.json`."""
    with suppress(SourceError):
        parse_manifest(damaged(draw, MANIFEST))


def contract_code(draw: random.Random, _: list[bytes]) -> None:
    """The WASM of a contract, and the specification in it."""
    spec = damaged(draw, SPEC) if draw.random() < 0.5 else SPEC
    code = MAGIC + custom(spec)
    found = _decode.contract_spec(damaged(draw, code) if draw.random() < 0.5 else code)
    for bytes_ in (found or b"", spec):
        with suppress(ValueError):
            told = _decode.spec_functions(bytes_)
            assert all(
                name.isprintable() for function, inputs, outputs in told for name in (function, *inputs, *outputs)
            )


def archive_bucket(draw: random.Random, batches: list[bytes]) -> None:
    """The buckets of a history archive, in pieces, and the header of a ledger."""
    entry = struct.pack(">II", 0, 7) + CODE_ENTRY  # live, since ledger 7
    plain = damaged(draw, b"".join(struct.pack(">I", 0x80000000 | len(each)) + each for each in (META, entry)))
    at = draw.randrange(len(plain) + 1)
    buckets = _decode.Buckets()
    buckets.start(sha256(plain).digest() if plain else bytes(32))
    with suppress(_decode.CorruptArchive):
        for piece in (plain[:at], plain[at:]):
            buckets.feed(piece)
        buckets.end()
    assert all(len(key) == 32 for key, _ in buckets.specs())  # bytes of a sha256
    with suppress(_decode.CorruptArchive):
        _decode.ledger_header(damaged(draw, batches[0][BATCH_HEAD + 8 :][:600]))


@functools.cache
def token_ledger() -> bytes:
    """A ledger with events of tokens, which no hash covers."""
    who, asset = ADDRESSES[:2], STRINGS[0]
    approve = fields(amount=AMOUNTS[1], live_until_ledger=scval.to_uint32(9))
    events = [
        event(CONTRACTS[0], [scval.to_symbol("transfer"), *who, asset], fields(amount=AMOUNTS[1], to_muxed_id=asset)),
        event(CONTRACTS[2], [scval.to_symbol("mint"), *ADDRESSES[3:5]], AMOUNTS[1]),
        event(CONTRACTS[2], [scval.to_symbol("approve"), *who], approve),
        event(CONTRACTS[3], [scval.to_symbol("transfer"), *ADDRESSES[4:]], TOKENS[3]),
        event(CONTRACTS[3], [scval.to_symbol("approve"), who[0], TOKENS[0]], scval.to_vec([who[1], AMOUNTS[0]])),
    ]
    fee = event(CONTRACTS[0], [scval.to_symbol("fee"), who[0]], AMOUNTS[1])
    (((*_, raw),)) = ledgers(FIRST, [[Made([events], [(0, fee)])]])
    return raw


def token_events(draw: random.Random, _: list[bytes]) -> None:
    """Events of tokens, in a ledger whose hashes hold."""
    at = draw.randrange(len(token_ledger()) - 256)
    raw = token_ledger()
    raw = raw[:at] + damaged(draw, raw[at : at + 256]) + raw[at + 256 :]
    chunk = decode(PASSPHRASE, FIRST, FIRST, framed("made", FIRST, [raw]), framed=True, tables=SECTIONS).chunk
    assert chunk.error is None or isinstance(chunk.error, _decode.CorruptLedger)


def numbered(objects: list[bytes]) -> Iterator[tuple[int, bytes]]:
    return zip(range(FIRST, FIRST + LEDGERS), objects, strict=True)


def require_named(decoded: object) -> None:
    """What is wrong has an object, a ledger and an offset; what was sound before it is kept as whole rows."""
    chunk = decoded.chunk  # type: ignore[attr-defined]
    if chunk.error is not None:
        assert isinstance(chunk.error, _decode.CorruptLedger)
        assert chunk.error.object
        assert chunk.error.offset >= 0
        assert FIRST <= chunk.error.ledger < FIRST + LEDGERS
        assert chunk.ledgers == chunk.error.ledger - FIRST
    assert len(decoded.rows.get("ledgers", ())) == chunk.ledgers  # type: ignore[attr-defined]


@pytest.mark.timeout(SECONDS + 120)
@pytest.mark.parametrize(
    "door",
    [
        batch_of_one,
        compressed_batch,
        record_marked,
        token_events,
        stream_file,
        object_key,
        manifest,
        contract_code,
        archive_bucket,
    ],
)
def test_only_named_errors_come_out(door: Callable[[random.Random, list[bytes]], None], batches: list[bytes]):
    """However its bytes are damaged, a door refuses them by name or reads them whole."""
    for draw in rounds():
        door(draw, batches)
