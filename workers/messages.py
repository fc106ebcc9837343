"""All that crosses a process border, and `LedgerRange`, which everything speaks.

Frozen dataclasses, matched by type. An exception never crosses: a failure is a message.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

MAX_LEDGER = 2**31 - 1  # `ledgers.sequence` is an int4 and a TOID holds the ledger in 31 bits
TABLES = ("ledgers", "transactions", "operations", "events")  # the base tables
CONTRACTS = ("contract_specs", "contract_instances")  # what ledgers say of contracts, to be merged with what is known
HASH_BYTES = 32


@dataclass(frozen=True, slots=True, order=True)
class LedgerRange:
    """First and last ledger sequence, both included, 1 <= first <= last <= 2**31 - 1; `ValueError` otherwise."""

    first: int
    last: int

    def __post_init__(self) -> None:
        """Refuse what is no range of ledgers."""
        if not 1 <= self.first <= self.last <= MAX_LEDGER:
            raise ValueError(f"no ledger range: {self.first} to {self.last} (ledgers count from 1 to {MAX_LEDGER})")

    def __len__(self) -> int:
        """Return how many ledgers these are."""
        return self.last - self.first + 1

    def __contains__(self, ledger: int) -> bool:
        """Return whether `ledger` is one of these."""
        return self.first <= ledger <= self.last

    def __iter__(self) -> Iterator[int]:
        """Iterate over the sequences in order."""
        return iter(range(self.first, self.last + 1))

    def __str__(self) -> str:
        """Write it as logs and errors do: `100-199`, or `100` for a single ledger."""
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"

    def overlap(self, other: LedgerRange) -> LedgerRange | None:
        """Return the ledgers in both, or None."""
        first, last = max(self.first, other.first), min(self.last, other.last)
        return LedgerRange(first, last) if first <= last else None


@dataclass(frozen=True, slots=True, kw_only=True)
class LakeSpec:
    """A lake as a worker opens it: keys follow from these numbers and a sequence alone (SEP-54)."""

    url: str
    ledgers_per_object: int
    objects_per_partition: int
    suffix: str = ".xdr.zst"


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSpec:
    """A record-marked stream (RFC 5531) as a worker opens it: plain bytes and an index, both files on this machine."""

    path: str  # what the user named; errors speak of it
    plain_path: str  # the same file, or its decompressed copy in the run's folder
    index_path: str  # records of 24 bytes, see `index_stream` in `_decode.pyi`
    damage: Failure | None = None  # what is wrong behind the last whole record


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """What a worker is given once, when it starts."""

    source: LakeSpec | StreamSpec
    network_passphrase: str
    trusted: tuple[tuple[int, bytes], ...] = ()
    tables: tuple[str, ...] = TABLES  # the sections wanted; with none ledgers are proved and nothing is written
    max_object_bytes: int = 256 << 20
    fetch_concurrency: int = 64
    fetch_timeout_s: float = 15.0
    fetch_attempts: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One attempt at one chunk; a worker may be given its next task before it ends this one, to read ahead."""

    token: int  # unique in a run; the result of a superseded token is dropped
    attempt: int  # from 1
    ledgers: LedgerRange
    path: str  # where the rows go; the coordinator names and removes it


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an attempt ended early."""

    reason: str
    transient: bool
    missing: bool = False  # the object is not there: a hole or the tip
    ledger: int | None = None
    object: str | None = None
    offset: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """The rows of one table in a result file: one whole binary COPY stream, header and trailer included."""

    table: str  # by the name that `Decoder` gives it
    rows: int
    offset: int  # bytes
    length: int  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Seconds of a chunk by stage; `wait_s` is the time the decoder waited for bytes to arrive."""

    wait_s: float = 0.0
    decompress_s: float = 0.0
    walk_s: float = 0.0
    prove_s: float = 0.0
    encode_s: float = 0.0
    write_s: float = 0.0
    elapsed_s: float = 0.0
    cpu_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A worker has started and waits for tasks."""

    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkStarted:
    """A worker has begun with a task: its deadline counts from here."""

    token: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlugInCalled:
    """A plug-in is about to make rows of a chunk: whatever ends the worker from here on may be its fault."""

    token: int
    plug_in: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkDone:
    """The end of an attempt: the sound first part of the chunk, and the failure that ended it early, if any.

    `ledgers` is None when not even the first ledger was sound; then there are no sections and no hashes.
    """

    token: int
    ledgers: LedgerRange | None
    failure: Failure | None = None
    path: str = ""
    sections: tuple[Section, ...] = ()
    previous_hash: bytes = b""  # of the ledger before the first, 32 bytes
    first_hash: bytes = b""
    last_hash: bytes = b""
    first_object: str = ""  # that holds the first ledger, and
    last_object: str = ""  # the last: what an error at a seam names
    object_bytes: int = 0  # as stored
    plain_bytes: int = 0  # decompressed
    event_hash_mismatches: int = 0  # Soroban event hashes that do not hold, below protocol 23
    left_alone: Mapping[str, int] = field(default_factory=dict)  # events with a token's name and not its types
    peak_rss: int = 0  # bytes, of the worker
    timings: Timings = field(default_factory=Timings)

    @property
    def row_bytes(self) -> int:
        """Bytes of the result file."""
        return sum(section.length for section in self.sections)


WorkerMessage = Ready | ChunkStarted | PlugInCalled | ChunkDone
