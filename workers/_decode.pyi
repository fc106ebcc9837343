"""The Rust core: raw ledgers in, proofs checked, rows out as binary COPY. Nothing here holds the GIL while it works."""

from collections.abc import Mapping, Sequence

from typing_extensions import Buffer

class CorruptLedger(Exception):
    """Bytes that are no sound ledger.

    `str()` reads `corrupt ledger 9 in KEY at byte 1292: expected …, found …`.
    `offset` counts from the start of the `LedgerCloseMeta`; for damage of the container (`container` is true)
    from the start of the plain object.
    `ledger` is 0, and the text begins `corrupt stream`, where a stream has not one ledger that proves its number.
    """

    object: str
    ledger: int
    offset: int
    expected: str
    container: bool

class Chunk:
    """What one call of `Decoder.chunk` made. With an `error`, it holds the sound ledgers before it."""

    ledgers: int  # sound ledgers, from the first on
    previous_hash: bytes  # 32 bytes; b"" when no ledger is sound
    first_hash: bytes
    last_hash: bytes
    sections: tuple[tuple[str, int, int, int], ...]  # table, rows, offset, length: in the order of messages.TABLES
    plain_bytes: int
    event_hash_mismatches: int
    nanoseconds: dict[str, int]  # decompress, walk, prove, encode, write
    error: CorruptLedger | None

class Decoder:
    """Decodes chunk after chunk; keeps its buffers, so one a worker."""

    def __init__(
        self,
        network_passphrase: str,
        *,
        trusted: Mapping[int, bytes] = ...,
        max_object_bytes: int = ...,  # plain bytes of one object; default 256 MiB
    ) -> None: ...
    def chunk(
        self, first: int, last: int, objects: Sequence[tuple[str, int, int, Buffer]], fd: int, *, framed: bool = False
    ) -> Chunk:
        """Decode ledgers `first` to `last` and write their rows to the file descriptor `fd` (-1: no rows).

        `objects`: (name, first ledger, last ledger, bytes) in ascending order, covering the range: zstd objects of one
        `LedgerCloseMetaBatch` (SEP-54) each, or with `framed` one plain `LedgerCloseMeta` each.
        A range may begin and end inside an object; the others of its ledgers are checked and make no rows
        (so there may be an `error` although all of the range is sound: it lies behind the range in its object).
        Ledgers that no object covers are missing: the error names them together with the ledger found instead.
        Rows are four whole binary COPY streams, one after another, in key order.
        Never raises for bad data: see `Chunk.error`. Raises `OSError` when `fd` cannot be written, and `ValueError`
        for objects that are out of order, do not reach both ends of the range or are no contiguous buffers.
        """

def index_stream(
    path: str, index_fd: int, spool_fd: int, *, max_record_bytes: int = ...
) -> tuple[int, int, CorruptLedger | None]:
    """Index an RFC 5531 record-marked stream of `LedgerCloseMeta`, plain or in one zstd frame, in one pass.

    Writes one record of 24 bytes a ledger to `index_fd`, little-endian: offset u64 (of the ledger, after its mark),
    length u64, ledger u32, 4 zero bytes. A zstd stream's plain bytes go to `spool_fd` (offsets count in them).
    Returns the first and the last ledger, and what is wrong with the stream's end, if anything.
    A record whose header proves another sequence than its place is indexed under the one it proves;
    one whose header proves nothing counts as the ledger after the record before it (before the first that proves
    its number: back from that). The index ends before a ledger that comes again or out of order.
    Raises `CorruptLedger` when there is not one record, `OSError` for the file.
    """

def make_lake(
    path: str,
    *,
    ledgers: int,
    first: int = 2,
    seed: int = 1,
    shape: str = "pubnet",  # or "sparse"
    source: Sequence[tuple[str, Buffer]] = (),  # `--from`: (name, zstd object), repeated in order
    source_passphrase: str = "",
    ledgers_per_object: int = 1,
    objects_per_partition: int = 64000,
    threads: int = 1,
) -> None:
    """Write a SEP-54 lake with its manifest `.config.json` and `expected.json` (counts) under the folder `path`.

    The same arguments give the same bytes. Objects are whole: where they hold several ledgers, the lake's ends move
    out to their borders, and `expected.json` says which ledgers there are. The manifest and then `expected.json` are
    written last. Raises `ValueError` for arguments, `OSError` for the folder (`FileExistsError` unless it is empty),
    `CorruptLedger` for a source object that does not decode or whose proofs do not hold.
    """
