"""The account of a run: what each finished chunk adds to its report."""

from __future__ import annotations

import resource
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import asdict, replace

from pipeline import usage
from pipeline.actions import Note, ReadyChunk
from pipeline.events import Committed
from pipeline.lanes import Turn
from pipeline.progress import pace
from pipeline.progress.printable import printable
from pipeline.progress.report import Observer
from pipeline.progress.snapshot import Snapshot
from workers.messages import LedgerRange

STEPS_KEPT = 1000  # the first ones; a run with more has a log for the rest


class Account:
    """Adds up; does not grow with the number of chunks. Passes on what an observer wants to see."""

    def __init__(self, observer: Observer, *, server: int | None = None) -> None:
        """Begin at nothing; `server` is the process id of a postmaster whose CPU counts, too."""
        self._observer = observer
        self._server = server
        self._before = self._spent_by_others()
        self.ledgers: list[LedgerRange] = []  # neighbours joined
        self.rows: Counter[str] = Counter()  # by table
        self.stages_s: defaultdict[str, float] = defaultdict(float)
        self.chunks = self.attempts = self.object_bytes = self.plain_bytes = self.row_bytes = 0
        self.event_hash_mismatches = 0
        self.left_alone: Counter[str] = Counter()  # by protocol
        self.steps: list[Note] = []
        self._last: Snapshot | None = None
        self._peak_memory: dict[str, int] = {}

    def progress(self, snapshot: Snapshot) -> None:
        """Keep the last, and pass it on."""
        self._last = snapshot
        self._observer.progress(snapshot)

    @property
    def limit(self) -> str | None:
        """What the run has waited for most; None before it has begun."""
        return pace.limit(self._last) if self._last else None

    def note(self, note: Note) -> None:
        """Keep a step against a stall, and pass it on: strangers' bytes in its reason as text that all can take."""
        note = replace(note, why=printable(note.why))
        if len(self.steps) < STEPS_KEPT:
            self.steps.append(note)
        self._observer.note(note)

    def counting(self, commit: Callable[[ReadyChunk, Turn], Committed]) -> Callable[[ReadyChunk, Turn], Committed]:
        """Return `commit` such that each chunk is counted, and timed, once it is done."""

        def counted(chunk: ReadyChunk, turn: Turn) -> Committed:
            start = time.monotonic()
            answer = commit(chunk, turn)
            self._add(chunk, answer, time.monotonic() - start)
            return answer

        return counted

    def _add(self, chunk: ReadyChunk, answer: Committed, commit_s: float) -> None:
        done = chunk.done
        if self.ledgers and self.ledgers[-1].last + 1 == answer.ledgers.first:
            self.ledgers[-1] = LedgerRange(self.ledgers[-1].first, answer.ledgers.last)
        else:
            self.ledgers.append(answer.ledgers)
        self.rows.update(answer.rows)
        self.chunks += 1
        self.attempts += chunk.attempts
        self.object_bytes += done.object_bytes
        self.plain_bytes += done.plain_bytes
        self.row_bytes += done.row_bytes
        self.event_hash_mismatches += done.event_hash_mismatches
        self.left_alone.update(done.left_alone)
        self.left_alone.update({protocol: events for protocol, events in answer.left_alone.items() if events})
        for stage, seconds in asdict(done.timings).items():
            self.stages_s[stage.removesuffix("_s")] += seconds
        self.stages_s["commit"] += commit_s
        worker = f"worker {chunk.worker}"
        self._peak_memory[worker] = max(self._peak_memory.get(worker, 0), done.peak_rss)

    @property
    def cpu_s(self) -> dict[str, float]:
        """CPU seconds by process: of this one since its start, of others since this account began."""
        now = self._spent_by_others()
        others = {name: now[name] - before for name, before in self._before.items() if name in now}
        return {"coordinator": time.process_time(), **others}

    def _spent_by_others(self) -> dict[str, float]:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)  # a worker counts as soon as it has been waited for
        spent = {"workers": children.ru_utime + children.ru_stime}
        server_s = None if self._server is None else usage.tree_s(self._server)
        return spent if server_s is None else spent | {"server": server_s}

    @property
    def peak_memory(self) -> dict[str, int]:
        """Resident bytes by process at their highest."""
        return {"coordinator": usage.peak_bytes(), **self._peak_memory}
