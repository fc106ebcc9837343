"""What a history archive says of contracts at a checkpoint, proved: header, bucket list and every bucket by its hash.

Layout and rules are stellar-core's: `docs/history.md` of its repository, and CAP-62 for the hot archive.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Annotated

from pydantic import BaseModel, Field, ValidationError

from pipeline import secrets
from pipeline.errors import ArchiveUnsound, Refused
from workers._decode import Buckets, CorruptArchive, ledger_header
from workers.failures import SourceError
from workers.sources.ahead import ahead
from workers.sources.archive import Archive, ArchiveLimits

logger = logging.getLogger(__name__)
_EVERY = 64  # ledgers; a checkpoint is the last of so many, counted from 0
_NEWEST = ".well-known/stellar-history.json"
_STATE_BYTES = 1 << 20
_HEADER_BYTES = 4 << 20  # of a checkpoint's 64 headers
_AHEAD = 4  # buckets under way at once
_LAST_FRAGMENT = 1 << 31  # the bit of a record's mark
_HOT_ARCHIVE_FROM = 23  # the protocol whose headers prove the hot archive too
_PROGRESS_S = 5.0

Instance = tuple[bytes, bytes | None, str | None]  # contract id, hash of its WASM (None: a Stellar Asset), name


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The live contracts and codes right after a ledger."""

    ledger: int
    hash: bytes  # of its header
    instances: tuple[Instance, ...]
    specs: tuple[tuple[bytes, bytes | None], ...]  # hash of a WASM, its `contractspecv0`


class _Level(BaseModel):
    curr: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    snap: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _State(BaseModel):
    """A state file: what the bucket list was at a checkpoint."""

    ledger: int = Field(alias="currentLedger", ge=1, lt=1 << 32)
    passphrase: str = Field(alias="networkPassphrase")
    live: list[_Level] = Field(alias="currentBuckets", min_length=1)
    hot: list[_Level] = Field(alias="hotArchiveBuckets", default=[])


def read_checkpoint(
    url: str, checkpoint: int | None, passphrase: str, *, limits: ArchiveLimits | None = None
) -> Checkpoint:
    """Read what is live at a checkpoint, the newest unless one is named, of an archive of this network.

    Raises what `opened` and `Opened.read` do.
    """
    return opened(url, checkpoint, passphrase, limits=limits).read()


def opened(url: str, checkpoint: int | None, passphrase: str, *, limits: ArchiveLimits | None = None) -> Opened:
    """Open an archive of this network at a checkpoint, the newest unless one is named: its state and its header.

    Raises `Refused` for an archive that cannot be opened or is of another network and for a ledger that is no
    checkpoint of it, and `ArchiveUnsound` where these two do not prove what they say.
    """
    if checkpoint is not None and not _is_checkpoint(checkpoint):
        near = " or ".join(str(ledger) for ledger in _beside(checkpoint))
        raise Refused(f"ledger {checkpoint} is no checkpoint of an archive: the nearest is {near}")
    shown = secrets.shown(url)
    try:
        archive = Archive(url, limits or ArchiveLimits())
    except SourceError as error:
        raise Refused(secrets.shown(str(error))) from error
    with _blamed(shown):
        return Opened(archive, shown, checkpoint, passphrase)


@contextmanager
def _blamed(shown: str) -> Iterator[None]:
    try:
        yield
    except (SourceError, CorruptArchive) as error:
        raise ArchiveUnsound(shown, secrets.shown(str(error))) from error


class Opened:
    """One checkpoint of an archive, whose header proves which buckets it has; none of these is read yet."""

    def __init__(self, archive: Archive, shown: str, checkpoint: int | None, passphrase: str) -> None:
        """Read state and header; use `opened`."""
        self._archive, self._shown = archive, shown
        state, key = self._state(checkpoint)
        if state.passphrase != passphrase:
            raise Refused(f"archive {self._shown} is of the network {state.passphrase!r}, not {passphrase!r}")
        self.ledger, self.hash, list_hash, protocol = self._header(state.ledger)
        hot = [] if protocol < _HOT_ARCHIVE_FROM else state.hot
        made = _list_hash(state.live) if not hot else sha256(_list_hash(state.live) + _list_hash(hot)).digest()
        if made != list_hash:
            raise ArchiveUnsound(
                self._shown,
                f"the buckets in object {key} hash to {made.hex()}; "
                f"the header of ledger {self.ledger} names {list_hash.hex()}",
            )
        self._live, self._hot = _hashes(state.live), _hashes(hot)

    def read(self) -> Checkpoint:
        """Read every bucket. Raises `ArchiveUnsound` for one that is not what its name says."""
        with _blamed(self._shown):
            found = self._contracts(self._live, self._hot)
            return Checkpoint(self.ledger, self.hash, tuple(found.instances()), tuple(found.specs()))

    def _state(self, checkpoint: int | None) -> tuple[_State, str]:
        """Return the state file of a checkpoint, the newest unless one is named, and its key."""
        if checkpoint is None:
            checkpoint = self._parsed(_NEWEST).ledger
            if not _is_checkpoint(checkpoint):
                raise ArchiveUnsound(self._shown, f"object {_NEWEST} names ledger {checkpoint}, which is no checkpoint")
        key = _key("history", f"{checkpoint:08x}", ".json")
        try:
            state = self._parsed(key)
        except SourceError as error:
            newest = self._parsed(_NEWEST).ledger if error.failure.missing else checkpoint
            if newest < checkpoint:
                raise Refused(
                    f"archive {self._shown} has no checkpoint {checkpoint}: its newest is {newest}"
                ) from error
            raise
        if state.ledger != checkpoint:
            raise ArchiveUnsound(self._shown, f"object {key} is of ledger {state.ledger}, not {checkpoint}")
        return state, key

    def _parsed(self, key: str) -> _State:
        try:
            return _State.model_validate_json(self._all(lambda: [self._archive.whole(key, _STATE_BYTES)]))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "its text"
            raise ArchiveUnsound(self._shown, f"object {key} is no state file: {where}: {first['msg']}") from error

    def _header(self, checkpoint: int) -> tuple[int, bytes, bytes, int]:
        """Return of the checkpoint's header its ledger, its hash, the hash of the bucket list and the protocol."""
        key = _key("ledger", f"{checkpoint:08x}", ".xdr.gz")
        record = self._last_record(key)
        ledger, header_hash, _, list_hash, protocol = ledger_header(record, name=key)
        if ledger != checkpoint:
            raise ArchiveUnsound(self._shown, f"object {key} ends with ledger {ledger}, not {checkpoint}")
        return ledger, header_hash, list_hash, protocol

    def _last_record(self, key: str) -> bytes:
        """Return the last record of a record-marked object (RFC 5531): each is one fragment, as stellar-core writes."""
        data = self._all(lambda: self._archive.plain(key, _HEADER_BYTES))
        at, record = 0, b""
        while at < len(data):
            length = int.from_bytes(data[at : at + 4], "big") - _LAST_FRAGMENT
            record = data[at + 4 : at + 4 + length]
            if length <= 0 or len(record) < length:
                raise ArchiveUnsound(self._shown, f"object {key} has no whole record at byte {at} of {len(data)}")
            at += 4 + length
        return record

    def _all(self, pieces: Callable[[], Iterable[bytes]]) -> bytes:
        with closing(ahead([pieces], 1)) as streams:
            return b"".join(next(streams))

    def _contracts(self, live: list[str], hot: list[str]) -> Buckets:
        """Read every bucket, the newest first, those of the hot archive for their hash alone.

        One that is listed again is not read again: it would say nothing new.
        """
        keys = {name: _key("bucket", name, ".xdr.gz") for name in live + hot}
        found, progress = Buckets(), _Progress(self._shown, len(keys))
        streams = ahead((partial(self._archive.plain, key) for key in keys.values()), _AHEAD)
        with closing(streams):
            for (name, key), pieces in zip(keys.items(), streams, strict=True):
                try:
                    found.start(bytes.fromhex(name), hash_only=name not in live)
                    for piece in pieces:
                        found.feed(piece)
                        progress.read(len(piece))
                    found.end()
                except CorruptArchive as error:
                    raise ArchiveUnsound(self._shown, f"object {key} is not sound: {error}") from error
                progress.ended()
        return found


class _Progress:
    """Says every few seconds how far the buckets are read."""

    def __init__(self, shown: str, buckets: int) -> None:
        self._shown, self._buckets = shown, buckets
        self._ended, self._bytes, self._said = 0, 0, time.monotonic()

    def read(self, count: int) -> None:
        self._bytes += count
        if time.monotonic() - self._said >= _PROGRESS_S:
            self._said = time.monotonic()
            logger.info(
                "read %s of %s buckets of archive %s, %.0f MB",
                self._ended,
                self._buckets,
                self._shown,
                self._bytes / 1e6,
            )

    def ended(self) -> None:
        self._ended += 1


def _is_checkpoint(ledger: int) -> bool:
    return ledger % _EVERY == _EVERY - 1


def _beside(ledger: int) -> list[int]:
    """Return the checkpoints below and above a ledger that is none; below the first there is no other."""
    below = ledger - ledger % _EVERY - 1
    return [near for near in (below, below + _EVERY) if near > 0]


def _key(kind: str, name: str, suffix: str) -> str:
    return f"{kind}/{name[:2]}/{name[2:4]}/{name[4:6]}/{kind}-{name}{suffix}"


def _hashes(levels: list[_Level]) -> list[str]:
    """Return the buckets that are there, the newest first."""
    return [name for level in levels for name in (level.curr, level.snap) if int(name, 16)]


def _list_hash(levels: list[_Level]) -> bytes:
    return sha256(b"".join(sha256(bytes.fromhex(level.curr + level.snap)).digest() for level in levels)).digest()
