"""The tally: what a run has done and what it has waited for, counted as it goes."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping

from pipeline.chunk import Chunk, ChunkState
from pipeline.crew import Crew
from pipeline.progress.snapshot import HeadWait, Snapshot, Waits
from pipeline.window import Window
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
        self._complete_s = self._more_s = 0.0
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

    def rested(self, seconds: float, *, completing: bool) -> None:
        """Count time in which nothing was left but to build indexes, or to wait for more."""
        self._complete_s += seconds if completing else 0.0
        self._more_s += 0.0 if completing else seconds

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
            more_s=self._more_s,
        )


def standing(tally: Tally, window: Window, crew: Crew, now: float) -> Snapshot:
    """Return how a run stands, by what these know of it."""
    head = window.head
    attempt = head.attempts[0] if head and head.attempts else None
    recent = ((ledgers, ChunkState.COMMITTED) for ledgers in tally.recent)
    return Snapshot(
        elapsed_s=0.0,
        ledgers_wanted=0,
        ledgers_done=tally.ledgers,
        transactions=tally.rows["transactions"],
        operations=tally.rows["operations"],
        events=tally.rows["events"],
        object_bytes=tally.object_bytes,
        plain_bytes=tally.plain_bytes,
        row_bytes=tally.row_bytes,
        window=(*recent, *((chunk.ledgers, chunk.state) for chunk in window)),
        head=head.ledgers if head else None,
        head_age_s=now - attempt.since if attempt else 0.0,
        head_worker=attempt.worker if attempt else None,
        head_attempt=attempt.number if attempt else 0,
        workers_busy=crew.busy,
        workers_idle=crew.idle,
        workers_starting=crew.starting,
        held_bytes=window.held_bytes,
        waits=tally.waits,
        worst_head=tally.worst_head,
    )
