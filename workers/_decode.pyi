"""The Rust core: raw ledgers in, proofs checked, rows out as binary COPY. Nothing here holds the GIL while it works.

Tokens
------
What the sections of tokens hold, of fungible ones (SEP-41, CAP-67) and of collectibles (SEP-50).

They come from events of `ContractEventType` CONTRACT: of operations, unless the transaction failed, and `fee` of
transactions also then; never from diagnostic events. Addresses are a strkey's version byte and payload: G, C and L
33 bytes, B 34; a muxed account is its plain one. A muxed contract has no strkey yet: its event is left alone.

What is certain is that the contract is a Stellar Asset Contract, by proof: its id is the hash of the network and of
the asset that stands last in the event's topics (of the native asset, for fees). Its history is a section of its own,
its state has a column `certain` (bool). All other rows are for whoever knows what the contract is: it looked like a
token of this protocol in this event, and one that fits both is in both.
`as_of` (int4), in state: the chunk's first ledger, or the ledger in it since which the contract runs what it ran at
the event, as `contract_instances` has it; what is known of the contract at `as_of` decides for the whole row.

History, one row a side, in the order of events: `sep41_certain_changes`, and what is not certain in
`sep41_state_changes` and `sep50_state_changes`
(protocol_id text, operation_id int8, change_index int4, contract_id, account, category int2, reason int2,
amount numeric, token_id bytea, counterparty, muxed_id bytea, live_until_ledger int8).
protocol_id is `SEP41` or `SEP50`; it, the TOID operation_id (operation 0: a transaction's fees) and change_index
are the key. change_index is twice the `event_index` that the event has in `events`, and 1 more for the second side.
The first of two sides is who gives, or the old administrator. The last five columns may be NULL.
Rows that are certain have no token_id: the table of history takes them as they are.

- category 1, balance: reason 1 transfer, 2 mint, 3 burn, 4 clawback, 5 fee. amount is what the balance changes by:
  negative for who gives, positive for a fee's refund. counterparty is the other side of a transfer.
- category 2, allowance: reason 6 approve, 7 approve_for_all (SEP-50, every token). account is the owner,
  counterparty who may spend, amount how much (SEP-41), token_id which (SEP-50), live_until_ledger a u32.
- category 3, authorization (SEP-41): reason 8 authorize, 9 deauthorize; 10 set_admin (the new one, second side),
  11 remove_admin (the old one), each the other's counterparty.
- category 4, ownership (SEP-50): reason 1 transfer, 2 mint, 3 burn. amount is 1 or -1, token_id the token.

token_id is the XDR of the SCVal as it stands: u32, u64, u128 or u256. muxed_id is the XDR of an SCVal too, of the
side that it belongs to: a u64 of a muxed address, else `to_muxed_id` in the data (u64, bytes or string).

State of the chunk, in order of first appearance, no row twice for a key (certain, contract_id, …, as_of) but for
sums that one row does not hold:

- `sep41_balances` (certain, contract_id, account, as_of, delta numeric, last_ledger int4): sums of history's
  amounts, each within an i128; a key may have several, with the same last_ledger: what is merged is their sum.
  A sum of zero is a row too, for its last_ledger.
- `sep41_allowances` (certain, contract_id, owner, spender, as_of, amount numeric, live_until_ledger int8,
  last_ledger int4, operation_id int8, event_index int4): as last approved; (operation_id, event_index) orders them.
- `sep50_tokens` (certain, contract_id, token_id, as_of, owner, last_ledger int4, operation_id int8,
  event_index int4): the last owner; NULL when it was burned.

How many events each contract has emitted that are a token's if it is one, what is certain aside:

- `sep41_events`, `sep50_events` (contract_id, as_of, events int8).

Shapes: transfer [from, to], mint [to], burn [from], clawback [from], approve [from, spender], set_authorized [id],
set_admin [admin], fee [from] after the name; mint, clawback and set_authorized may have an administrator first.
A string last is an asset and has to prove the contract. An amount is an i128, or `amount` in a map beside other
fields; only a fee's may be negative. approve: a vector of amount and u32, or `amount` and `live_until_ledger` or
`expiration_ledger` in a map. SEP-50 has token ids where SEP-41 has amounts (`token_id` in a map), no asset and no
administrator; approve [owner, token_id] with (approved, u32), or [owner, approved] with (token_id, u32);
approve_for_all [owner] with (operator, u32). `consecutive_mint` is not of the standard and not read.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from pyarrow import Array
from typing_extensions import Buffer

SECTIONS: Final[list[str]]  # what `Decoder` can make, in its order
COPY_HEADER: Final[bytes]  # of a binary COPY stream
COPY_TRAILER: Final[bytes]

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
    sections: tuple[tuple[str, int, int, int], ...]  # table, rows, offset, length: of each table wanted, in their order
    plain_bytes: int
    event_hash_mismatches: int
    left_alone: dict[str, int]  # by protocol whose tables are wanted, else 0: events with a token's name, not its types
    events: tuple[tuple[tuple[int, list[bytes]], ...], ...]  # by plug-in, and by call of it: see `Decoder`
    nanoseconds: dict[str, int]  # decompress, walk, prove, encode, write
    error: CorruptLedger | None

class Decoder:
    """Decodes chunk after chunk; keeps its buffers, so one a worker.

    It makes the rows of the tables that it is asked for and computes nothing for others; with none it only proves.
    The order of sections is this one, whatever the order in which they are asked for:

    - `ledgers`, `transactions`, `operations`, `events`: the base tables, in key order;
    - `contract_specs` (wasm_hash, spec): one row for each distinct contract code in the chunk's ledger entry changes,
      in order of first appearance; spec is what `contract_spec` says of it, or NULL;
    - `contract_instances` (contract_id, from_ledger, wasm_hash, name): what contracts ran, from their instances in
      ledger entry changes, in the order of the meta. A contract's first entry that is a STATE is seen from the ledger
      before on (ledger 1 in ledger 1); any other entry is a row where it differs from the last one, and takes the
      place of a row of the same contract and ledger. wasm_hash is NULL for a Stellar Asset Contract, and 32 zeros for
      an executable that another contract holds (CONTRACT_EXECUTABLE_EXTERNAL_REF). name is text: the String under
      METADATA, name in the instance's storage where it is UTF-8 of up to 256 bytes without control characters.
    - `sep41_certain_changes`, `sep41_state_changes`, `sep41_balances`, `sep41_allowances`, `sep50_state_changes`,
      `sep50_tokens`, `sep41_events`, `sep50_events`: see above.
    """

    tables: tuple[str, ...]  # the sections that it makes

    def __init__(
        self,
        network_passphrase: str,
        *,
        trusted: Mapping[int, bytes] = ...,
        max_object_bytes: int = ...,  # plain bytes of one object; default 256 MiB
        tables: Sequence[str] = ...,  # default: the base tables
        wanted: Sequence[tuple[Sequence[str], bool]] = ...,
    ) -> None:
        """Take what all chunks have in common; `ValueError` for a hash that has not 32 bytes and an unknown table.

        `wanted`: for each plug-in the symbols that its events begin with, and whether Stellar Asset Contracts are its
        own; else it gets no event of a contract that is one by proof. `Chunk.events` holds what was picked for it in
        the sound ledgers: `ContractEventType` CONTRACT, of operations of successful transactions, in their order.
        They come in portions for one call each, of not much more than 64 MiB of topics and data, each as the number
        of events and raw buffers in the layout of Arrow, none of them with NULLs: ledger int32, operation_id int64,
        event_index int32, contract_id of 32 bytes, topics list<binary> (offsets, offsets of binary, bytes), data binary
        (offsets, bytes), certain bool.
        """
    def chunk(
        self, first: int, last: int, objects: Sequence[tuple[str, int, int, Buffer]], fd: int, *, framed: bool = False
    ) -> Chunk:
        """Decode ledgers `first` to `last` and write their rows to the file descriptor `fd` (no rows: any).

        `objects`: (name, first ledger, last ledger, bytes) in ascending order, covering the range: zstd objects of one
        `LedgerCloseMetaBatch` (SEP-54) each, or with `framed` one plain `LedgerCloseMeta` each.
        A range may begin and end inside an object; the others of its ledgers are checked and make no rows
        (so there may be an `error` although all of the range is sound: it lies behind the range in its object).
        Ledgers that no object covers are missing: the error names them together with the ledger found instead.
        Rows are whole binary COPY streams, one after another; a table that has no row has a stream too.
        Never raises for bad data: see `Chunk.error`. Raises `OSError` when `fd` cannot be written, and `ValueError`
        for objects that are out of order, do not reach both ends of the range or are no contiguous buffers, and for
        a negative `fd` where rows are to be written.
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
    shape: str = "pubnet",  # or "sparse", "tokens"
    source: Sequence[tuple[str, Buffer]] = (),  # `--from`: (name, zstd object), repeated in order
    source_passphrase: str = "",
    ledgers_per_object: int = 1,
    objects_per_partition: int = 64000,
    threads: int = 1,
) -> None:
    """Write a SEP-54 lake with its manifest `.config.json` and `expected.json` (counts) under the folder `path`.

    A lake of tokens has `truth.jsonl` too: what its contracts are and what their events come to (docs/protocols.md).
    The same arguments give the same bytes. Objects are whole: where they hold several ledgers, the lake's ends move
    out to their borders, and `expected.json` says which ledgers there are. The manifest and then `expected.json` are
    written last. Raises `ValueError` for arguments, `OSError` for the folder (`FileExistsError` unless it is empty),
    `CorruptLedger` for a source object that does not decode or whose proofs do not hold.
    """

def contract_spec(code: bytes) -> bytes | None:
    """Return the specification in a contract's WASM: its custom sections `contractspecv0`, joined in their order.

    None where there is none, or none that can be read: no sound WASM, or more than 1 MiB. Never raises, runs nothing.
    """

def spec_functions(spec: bytes) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    r"""Return the functions that a specification tells of, in its order: name, types of inputs, types of outputs.

    Types as text: `address`, `muxed_address`, `i128`, `bytes`, `bytes32`, `val`, `option<T>`, `vec<T>`, `map<K,V>`,
    `tuple<T,U>`, `result<T,E>`. A type of the contract's own is its name, which stands in quotes unless it is made of
    ASCII letters, digits and underscores behind a capital: so none can pass for a built-in.
    All names are escaped as Rust's `escape_ascii` does it (``, `\\`), one to one and printable.
    Raises `ValueError` for more than 1 MiB, and for bytes that are no sequence of `ScSpecEntry` with at most 1,500
    levels of nesting.
    """

class CorruptArchive(Exception):
    """Bytes of a history archive that are not sound.

    `str()` reads `corrupt bucket-6c48… at byte 1292: expected …, found …`; `offset` counts in the plain bytes.
    """

    object: str
    offset: int
    expected: str

class Buckets:
    """What a bucket list says of contracts: fed bucket after bucket, the newest level first, `curr` before `snap`.

    The first entry that is met of a contract's instance or of a code is its newest: it decides, live or dead.
    What is kept grows with the number of contracts and codes, not with the size of the buckets.
    A bucket counts once it has ended well: one that broke off or failed may simply be started again.
    """

    def __init__(self) -> None: ...
    def start(self, bucket_hash: bytes, *, hash_only: bool = False) -> None:
        """Begin the bucket with this hash (32 bytes, else `ValueError`); 32 zeros are the empty bucket.

        With `hash_only` its bytes are hashed and not looked at: for the hot archive, whose entries are not live.
        """
    def feed(self, plain: Buffer) -> None:
        """Take the next bytes of its record-marked `BucketEntry` stream, in pieces of any size.

        Raises `CorruptArchive` for a record that is no sound entry, one of more than 16 MiB (stellar-core's largest
        message: nothing larger can enter a ledger) and a code that does not hash to its key; `ValueError` where no
        bucket has been started.
        """
    def end(self) -> None:
        """End the bucket; raises `CorruptArchive` where it ends inside a record or does not hash to its hash."""
    def instances(self) -> Iterator[tuple[bytes, bytes | None, str | None]]:
        """Iterate over live instances by contract: contract id, hash of its WASM, name.

        Hash and name are those of the section `contract_instances`, see `Decoder`.
        """
    def specs(self) -> Iterator[tuple[bytes, bytes | None]]:
        """Iterate over live codes by hash: hash, and what `contract_spec` finds in the code."""

def ledger_header(raw: Buffer, *, name: str = "ledger header") -> tuple[int, bytes, bytes, bytes, int]:
    """Read a `LedgerHeaderHistoryEntry`: sequence, hash, previous hash, hash of the bucket list, protocol.

    Raises `CorruptArchive` with `name` as its object where it is none, does not hash to its own hash, or is followed by
    anything.
    """

def scval_addresses(values: Array) -> tuple[int, bytes, bytes, bytes]:
    """Read the addresses in a column of ScVals: strkeys without checksum, of muxed accounts those of their accounts.

    This and the next four take an array of pyarrow of type `binary`, and give the number of NULLs and three buffers in
    the layout of Arrow: validity, offsets, bytes. A value of another type, and one that is not one whole ScVal, gives
    NULL. Bytes whose buffers contradict themselves raise; nothing is read beyond them.
    """

def scval_integers(values: Array) -> tuple[int, bytes, bytes, bytes]:
    """Read integers of up to 128 bits: as decimals of 256 bits; the buffer of offsets means nothing."""

def scval_texts(values: Array, kind: str) -> tuple[int, bytes, bytes, bytes]:
    """Read the content of each `symbol`, `string` or `bytes`; `ValueError` for another kind."""

def scval_elements(values: Array, index: int) -> tuple[int, bytes, bytes, bytes]:
    """Read one element of each vector, an ScVal."""

def scval_fields(values: Array, name: str) -> tuple[int, bytes, bytes, bytes]:
    """Read the field of this name, a symbol, of each map, an ScVal; of a map with another kind of key none."""

def copy_rows(rows: int, columns: Sequence[tuple[str, str, bool, bool, Array]]) -> bytes:
    """Write columns as the rows of a binary COPY stream, without its header and trailer.

    A column: its name, its kind, whether it may have NULLs, whether its integers are ScVals and no decimals, an array
    of pyarrow of `rows` rows. Kinds, with the type of the array and of the field: `boolean` (bool_, bool), `int4`
    (int32, int4), `int8` (int64, int8), `bytes` (binary, bytea), `value` (binary, bytea: an ScVal), `contract` (binary,
    bytea: 32 bytes), `address` (binary, bytea: a strkey without checksum, G, C, L or B), `integer` (decimal256,
    numeric), `code` (decimal256, int2 from 1 to 32,767), `u32` (decimal256, int8). Integers as ScVals are binary.
    Raises `ValueError` for the first value, row by row, that is not of its kind; the text begins with the column.
    """
