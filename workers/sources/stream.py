"""A record-marked stream (RFC 5531) of ledgers: indexed once, then read by position in every worker."""

from __future__ import annotations

import mmap
import os
import struct
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from workers._decode import CorruptLedger, index_stream
from workers.failures import SourceError, classify, message
from workers.messages import Failure, LedgerRange, StreamSpec
from workers.sources.reading import Object, Reading

_RECORD = struct.Struct("<QQI4x")  # offset, length, ledger: as `index_stream` writes it


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedStream:
    """A stream ready for workers; `damage` is what is wrong with its end, behind the last whole record."""

    spec: StreamSpec
    first: int
    last: int
    damage: Failure | None


def prepare_stream(path: Path, folder: Path) -> PreparedStream:
    """Index the stream at `path` in one pass, its plain bytes and index going to `folder`.

    `SourceError` when it cannot be read or holds not one record.
    """
    if not path.is_file():
        raise SourceError(f"no stream {path}")
    index, spool = folder / "stream.index", folder / "stream.plain"
    try:
        with index.open("wb") as index_file, spool.open("wb") as spool_file:
            first, last, error = index_stream(str(path), index_file.fileno(), spool_file.fileno())
    except CorruptLedger as corrupt:
        raise SourceError(classify(corrupt)) from corrupt
    except OSError as error:
        raise SourceError(f"cannot index stream {path} in {folder}: {error.strerror or message(error)}") from error
    spooled = spool.stat().st_size > 0
    damage = None if error is None else classify(error)
    spec = StreamSpec(
        path=str(path), plain_path=str(spool if spooled else path.resolve()), index_path=str(index), damage=damage
    )
    return PreparedStream(spec=spec, first=first, last=last, damage=damage)


class Stream:
    """One indexed stream; `SourceError` when its files cannot be opened."""

    framed = True

    def __init__(self, spec: StreamSpec) -> None:
        """Open the plain bytes and map the index."""
        self.spec = spec
        try:
            self._plain = os.open(spec.plain_path, os.O_RDONLY | os.O_CLOEXEC)
            with Path(spec.index_path).open("rb") as index:
                self._index = mmap.mmap(index.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise SourceError(classify(error, name=spec.path)) from error
        self._count = len(self._index) // _RECORD.size

    def read(self, ledgers: LedgerRange) -> Reading:
        """Read the records of `ledgers` at once, up to the first one that is not there."""
        found: list[tuple[int, int, int]] = []
        failure = None
        start = self._place(ledgers.first)
        for ledger in ledgers:
            place = start + len(found)
            if place >= self._count or self._record(place)[2] != ledger:
                failure = self._absent(ledger, place)
                break
            found.append(self._record(place))
        try:
            return self._read(found, failure)
        except (OSError, SourceError) as error:
            return Reading([], 0, classify(error, name=self.spec.path, ledger=ledgers.first))

    def _read(self, found: Sequence[tuple[int, int, int]], failure: Failure | None) -> Reading:
        if not found:
            return Reading([], 0, failure)
        begin, end = found[0][0], found[-1][0] + found[-1][1]
        whole = memoryview(self._bytes(begin, end - begin))
        objects: list[Object] = [
            (self.spec.path, ledger, ledger, whole[offset - begin : offset - begin + length])
            for offset, length, ledger in found
        ]
        return Reading(objects, len(whole), failure)

    def _bytes(self, offset: int, length: int) -> bytes:
        """Read exactly `length` bytes; the kernel gives at most 2 GiB at a time."""
        parts = []
        while length > 0:
            part = os.pread(self._plain, length, offset)
            if not part:
                raise SourceError(f"stream {self.spec.path} was cut short after it was indexed, at byte {offset}")
            parts.append(part)
            offset, length = offset + len(part), length - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _record(self, place: int) -> tuple[int, int, int]:
        offset, length, ledger = _RECORD.unpack_from(self._index, place * _RECORD.size)
        return offset, length, ledger

    def _place(self, ledger: int) -> int:
        """Return where `ledger` is: by counting from the first, else (behind a gap) by bisection."""
        place = ledger - self._record(0)[2]
        if 0 <= place < self._count and self._record(place)[2] == ledger:
            return place
        return bisect_left(range(self._count), ledger, key=lambda index: self._record(index)[2])

    def _absent(self, ledger: int, place: int) -> Failure:
        """Say what stands where `ledger` should; a stream does not change, so waiting for it is no use."""
        if place >= self._count:
            if self.spec.damage is not None:
                return self.spec.damage
            last = self._record(self._count - 1)[2]
            return self._permanent(
                f"stream {self.spec.path} ends with ledger {last}: it has no ledger {ledger}", ledger
            )
        follows = self._record(place)[2]
        if place == 0:
            return self._permanent(f"stream {self.spec.path} begins with ledger {follows}, not {ledger}", ledger)
        before = self._record(place - 1)[2]
        return self._permanent(
            f"ledger {ledger} is missing in {self.spec.path}: the next record holds ledger {follows}, "
            f"whose previousLedgerHash does not link to ledger {before}",
            follows,
        )

    def _permanent(self, reason: str, ledger: int) -> Failure:
        return Failure(reason=reason, transient=False, ledger=ledger, object=self.spec.path)

    def sizes(self, ledgers: Sequence[int], *, limit_s: float = 2.0) -> dict[int, int]:  # noqa: ARG002  # never late
        """Return the bytes of each ledger that the stream has."""
        found = {}
        for ledger in ledgers:
            place = self._place(ledger)
            if place < self._count and self._record(place)[2] == ledger:
                found[ledger] = self._record(place)[1]
        return found
