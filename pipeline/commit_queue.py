"""The commit queue: results come in any order, ready chunks leave in ledger order, linked by their hashes."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from pipeline.actions import ReadyChunk
from pipeline.chain import broken_link
from pipeline.chunk import Chunk, ChunkState, Result
from pipeline.reorder import ReorderBuffer
from workers.messages import Failure, LedgerRange


class CommitQueue:
    """Holds early chunks, lines up those whose turn it is, and remembers which commits were not answered yet."""

    def __init__(self, gaps: Sequence[LedgerRange], ahead: int) -> None:
        """Expect every ledger of `gaps`, and let `ahead` commits be outstanding."""
        self._buffer = ReorderBuffer[Result](gaps)
        self.ahead = ahead
        self._last_hash = b""  # of the last ledger that was lined up
        self._ready: deque[tuple[ReadyChunk, Chunk]] = deque()
        self._committing: deque[tuple[ReadyChunk, Chunk]] = deque()

    @property
    def committing(self) -> int:
        """How many commits were not answered yet."""
        return len(self._committing)

    @property
    def next_ledger(self) -> int | None:
        """The ledger that everything held waits for; None when all had their turn."""
        return self._buffer.next_ledger

    @property
    def held(self) -> int:
        """How many chunks wait for one before them."""
        return len(self._buffer)

    def expect(self, ledgers: LedgerRange) -> None:
        """Expect more ledgers, above all others."""
        self._buffer.expect(ledgers)

    def hold(self, result: Result) -> tuple[Result, Failure] | None:
        """Take a result in, and line up all whose turn it is now.

        Returns the first of these whose hashes do not link, and why; it and those after it are not lined up.
        """
        for turn in self._buffer.add(result.ledgers, result):
            ready = self._ready_chunk(turn)
            if failure := broken_link(ready.gap, ready.ledgers, ready.done, ready.previous):
                return turn, failure
            turn.attempt.chunk.in_order = True
            self._last_hash = ready.done.last_hash
            self._ready.append((ready, turn.attempt.chunk))
        return None

    def next_commit(self) -> ReadyChunk | None:
        """Return the chunk to commit now, or None while enough commits are outstanding or none is ready."""
        if not self._ready or len(self._committing) >= self.ahead:
            return None
        ready, chunk = self._ready.popleft()
        chunk.state = ChunkState.COMMITTING
        self._committing.append((ready, chunk))
        return ready

    def committed(self, ledgers: LedgerRange) -> tuple[ReadyChunk, Chunk]:
        """Take the answer to the lowest outstanding commit; `ValueError` when it is not for these ledgers."""
        if not self._committing or self._committing[0][0].ledgers != ledgers:
            raise ValueError(f"ledgers {ledgers} were committed, and another chunk or none was to be")
        return self._committing.popleft()

    def _ready_chunk(self, result: Result) -> ReadyChunk:
        chunk = result.attempt.chunk
        first = chunk.ledgers.first == chunk.gap.ledgers.first
        return ReadyChunk(
            ledgers=result.ledgers,
            chunk=chunk.ledgers,
            gap=chunk.gap,
            done=result.done,
            attempts=result.attempt.number,
            lost_attempts=chunk.lost,
            lost_s=chunk.lost_s,
            worker=result.attempt.worker,
            previous=chunk.gap.below if first else self._last_hash,
        )
