"""The objects of a history archive, in a folder or behind HTTP: streamed, unpacked, and asked for again where it helps.

A stream that breaks goes on from where it broke, so that what was read of a large object is not lost.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import obstore
import tenacity
from obstore.exceptions import NotSupportedError
from obstore.store import HTTPStore

from workers.failures import SourceError, classify, message
from workers.sources.objects import open_store

if TYPE_CHECKING:
    from obstore import GetResult
    from obstore.store import LocalStore
    from typing_extensions import Buffer

logger = logging.getLogger(__name__)
_PIECE = 1 << 20  # plain bytes
_ARRIVED = 64 << 10  # bytes; what came of fewer before a break has to come again
_GZIP = 31  # what zlib calls a window of 32 KiB with gzip's header and trailer around it
_WHOLE_S = 7 * 24 * 3600  # seconds an object may take: what hangs is told by a single read


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveLimits:
    """How an archive is asked: seconds without a byte, tries without a byte, plain bytes of one object."""

    timeout_s: float = 30.0
    attempts: int = 6
    max_object_bytes: int = 64 << 30  # several times what the largest bucket of a public network has


class Archive:
    """An archive that has been opened. Thread-safe. `SourceError` at the start for a URL that cannot be used."""

    def __init__(self, url: str, limits: ArchiveLimits) -> None:
        """Open the archive at `url`, a folder, `file://`, `http://` or `https://`; nothing is requested."""
        self._limits = limits
        self._store = _opened(url, limits)

    def plain(self, key: str, most_bytes: int | None = None) -> Iterator[bytes]:
        """Iterate over the plain bytes of a gzip object, in pieces of at most 1 MiB.

        `SourceError`; its failure is `missing` where there is no such object. `most_bytes`: the limit's unless given.
        """
        return _unpacked(self._pieces(key), key, most_bytes or self._limits.max_object_bytes)

    def whole(self, key: str, most_bytes: int) -> bytes:
        """Return an object as it is stored. `SourceError`, like `plain`."""
        data = bytearray()
        for piece in self._pieces(key):
            data += piece
            if len(data) > most_bytes:
                raise SourceError(f"object {key} has more than the {most_bytes} bytes allowed")
        return bytes(data)

    def _pieces(self, key: str) -> Iterator[memoryview]:
        download = _Download(self._store, key)
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self._limits.attempts),
            wait=tenacity.wait_random_exponential(multiplier=0.5, max=10.0),
            retry=tenacity.retry_if_exception(_is_worth_a_retry),
            before_sleep=lambda state: _log_retry(key, state),
            reraise=True,
        )
        try:
            while (piece := retrying(download.next)) is not None:  # each piece with all its tries
                yield piece
        except SourceError:
            raise
        except Exception as error:  # an edge: every way to fail becomes a `Failure`, by `classify` alone
            raise SourceError(classify(error, name=key)) from error


class _Download:
    """One object, from its beginning; after an error, from where that came."""

    def __init__(self, store: HTTPStore | LocalStore, key: str) -> None:
        self._store, self._key = store, key
        self._got = 0  # bytes
        self._stream: Iterator[memoryview] | None = None

    def next(self) -> memoryview | None:
        """Return the next piece, or None at the end."""
        try:
            if self._stream is None:
                self._stream = self._opened()
            piece = next(self._stream, None)
        except BaseException:
            self._stream = None
            raise
        self._got += len(piece or b"")
        return piece

    def _opened(self) -> Iterator[memoryview]:
        if self._got:
            try:
                return _streamed(obstore.get(self._store, self._key, options={"range": {"offset": self._got}}))
            except NotSupportedError:  # a plain server, which has whole objects only
                pass
        return _without(_streamed(obstore.get(self._store, self._key)), self._got)


def _streamed(answer: GetResult) -> Iterator[memoryview]:
    return (memoryview(piece) for piece in answer.stream(min_chunk_size=_ARRIVED))


def _without(pieces: Iterable[memoryview], count: int) -> Iterator[memoryview]:
    """Leave away the first `count` bytes."""
    for piece in pieces:
        if len(piece) > count:
            yield piece[count:]
        count = max(0, count - len(piece))


def _unpacked(pieces: Iterable[Buffer], key: str, most_bytes: int) -> Iterator[bytes]:
    unpack, read, made = zlib.decompressobj(_GZIP), 0, 0
    for piece in pieces:
        rest: Buffer = piece
        read += len(memoryview(piece))
        while len(memoryview(rest)):
            if unpack.eof:  # gzip files may be joined
                unpack = zlib.decompressobj(_GZIP)
            try:
                plain = unpack.decompress(rest, _PIECE)
            except zlib.error as error:
                raise SourceError(
                    f"object {key} is no sound gzip file within its first {read} bytes: {error}"
                ) from error
            made += len(plain)
            if made > most_bytes:
                raise SourceError(f"object {key} unpacks to more than the {most_bytes} bytes allowed")
            if plain:
                yield plain
            rest = unpack.unused_data if unpack.eof else unpack.unconsumed_tail
    if not unpack.eof:
        raise SourceError(f"object {key} is cut off: after {read} bytes its gzip file has not ended")


def _opened(url: str, limits: ArchiveLimits) -> HTTPStore | LocalStore:
    scheme = urlsplit(url).scheme if "://" in url else ""
    if scheme in ("", "file"):
        return open_store(url, timeout_s=limits.timeout_s)  # type: ignore[return-value]  # a folder, for these two
    if scheme not in ("http", "https"):
        raise SourceError(f"unknown kind of archive: {url} (a folder, file://, http:// or https://)")
    try:
        return HTTPStore(
            url,
            client_options={
                "allow_http": True,  # as public archives are: what is read is proved by its hash
                "connect_timeout": f"{int(min(limits.timeout_s, 5.0) * 1000)}ms",
                "read_timeout": f"{int(limits.timeout_s * 1000)}ms",
                "timeout": f"{_WHOLE_S}s",
            },
            retry_config={"max_retries": 0},
        )
    except Exception as error:  # obstore has several ways to refuse a URL: each is the user's to mend
        raise SourceError(f"cannot open archive {url}: {message(error)}") from error


def _is_worth_a_retry(error: BaseException) -> bool:
    failure = classify(error)
    return failure.transient and not failure.missing


def _log_retry(key: str, state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    if error is not None:
        logger.info("try %s failed: %s", state.attempt_number, classify(error, name=key).reason)
