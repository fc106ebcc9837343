"""The window: the chunks from the head on, bounded in number and in bytes of rows; the head always has a place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sortedcontainers import SortedDict

from pipeline.chunk import Chunk, ChunkState


class Window:
    """All chunks that are handed out or wait to be again, held or being committed, in ledger order.

    The bytes of the head are not counted: were they, results behind it could keep it out for ever.
    """

    def __init__(self, most_chunks: int, most_bytes: int) -> None:
        """Bound the window to `most_chunks` chunks, and to `most_bytes` of rows behind the head."""
        self.most_chunks, self._most_bytes = most_chunks, most_bytes
        self._chunks: SortedDict[int, Chunk] = SortedDict()  # by first ledger

    def __len__(self) -> int:
        """Return how many chunks are open."""
        return len(self._chunks)

    def __iter__(self) -> Iterator[Chunk]:
        """Iterate in ledger order."""
        return iter(self._chunks.values())

    @property
    def head(self) -> Chunk | None:
        """The chunk that everything waits for."""
        return self._chunks.peekitem(0)[1] if self._chunks else None

    @property
    def held_bytes(self) -> int:
        """Bytes of rows behind the head that are there, known exactly."""
        return sum(chunk.size for chunk in self._behind() if chunk.result is not None)

    @property
    def bytes(self) -> int:
        """Bytes of rows behind the head, those still to come by their estimate."""
        return sum(chunk.size for chunk in self._behind())

    def admits(self, size: int) -> bool:
        """Return whether one more chunk of that many bytes may be opened; the parts of a split one count as one."""
        planned = len({chunk.planned for chunk in self})
        return not planned or (planned < self.most_chunks and self.bytes + size <= self._most_bytes)

    def serves(self, chunk: Chunk) -> bool:
        """Return whether an open chunk that waits may be handed out."""
        return chunk is self.head or self.bytes <= self._most_bytes

    def has_room(self, chunk: Chunk, size: int) -> bool:
        """Return whether a result of that many bytes may be held."""
        return chunk is self.head or self.held_bytes + size <= self._most_bytes

    def open(self, chunk: Chunk) -> None:
        """Take a chunk in."""
        self._chunks[chunk.ledgers.first] = chunk

    def close(self, chunk: Chunk) -> None:
        """Let a chunk go: it is committed, or nobody wants it any more."""
        del self._chunks[chunk.ledgers.first]

    def split(self, chunk: Chunk, parts: Iterable[Chunk]) -> None:
        """Put parts in a chunk's place."""
        self.close(chunk)
        for part in parts:
            self.open(part)

    def waiting(self, now: float) -> Chunk | None:
        """Return the lowest chunk that waits for a worker and whose back-off has passed."""
        return next((c for c in self if c.state is ChunkState.WAITING and c.not_before <= now), None)

    def from_ledger(self, ledger: int) -> list[Chunk]:
        """Return the chunks that start at `ledger` or later."""
        return [self._chunks[first] for first in self._chunks.irange(minimum=ledger)]

    def _behind(self) -> Iterator[Chunk]:
        chunks = iter(self)
        next(chunks, None)
        return chunks
