"""The tally: what a run has done and what it has waited for, counted as it goes."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping

from pipeline.chunk import Chunk
from pipeline.progress.snapshot import HeadWait, Waits
from workers.messages import ChunkDone, LedgerRange

RECENT_CHUNKS = 32  # committed ones that a display still shows


class Tally:
    """Counters of one run; each grows, none grows with the number of ledgers."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self.ledgers = 0
        self.rows: Counter[str] = Counter()  # by table
        self.object_bytes = self.plain_bytes = self.row_bytes = 0
        self.recent: deque[LedgerRange] = deque(maxlen=RECENT_CHUNKS)
        self._workers_s = self._commit_s = self._head_s = self._window_s = self._read_s = self._work_s = 0.0
        self._complete_s = 0.0
        self._head: HeadWait | None = None
        self.worst_head: HeadWait | None = None

    def committed(self, ledgers: LedgerRange, rows: Mapping[str, int], done: ChunkDone) -> None:
        """Count a chunk that is in the database."""
        self.ledgers += len(ledgers)
        self.rows.update(rows or {section.table: section.rows for section in done.sections})
        self.object_bytes += done.object_bytes
        self.plain_bytes += done.plain_bytes
        self.row_bytes += done.row_bytes
        self._read_s += done.timings.wait_s
        self._work_s += done.timings.elapsed_s
        self.recent.append(ledgers)

    def waited(self, seconds: float, *, idle: int, committing: bool, late: Chunk | None, window_full: bool) -> None:
        """Count time in one state: `idle` workers without a task, `late` a head that everything ready waits for."""
        self._workers_s += seconds * idle
        self._window_s += seconds if idle and window_full else 0.0
        self._commit_s += 0.0 if committing else seconds
        if late and not committing:
            self._head_s += seconds
            self._waited_for(late, seconds)

    def completed(self, seconds: float) -> None:
        """Count time in which nothing was left but to build indexes."""
        self._complete_s += seconds

    def _waited_for(self, chunk: Chunk, seconds: float) -> None:
        worker = chunk.attempts[0].worker if chunk.attempts else None
        if self._head and self._head.ledgers == chunk.ledgers:
            worker, seconds = self._head.worker if worker is None else worker, self._head.seconds + seconds
        self._head = HeadWait(chunk.ledgers, worker, seconds)
        if self.worst_head is None or self._head.seconds > self.worst_head.seconds:
            self.worst_head = self._head

    @property
    def waits(self) -> Waits:
        """What was waited for so far."""
        return Waits(
            workers_s=self._workers_s,
            commit_s=self._commit_s,
            head_s=self._head_s,
            window_s=self._window_s,
            read_s=self._read_s,
            work_s=self._work_s,
            complete_s=self._complete_s,
        )
