"""How fast a run is of late, how long it will still take, and what holds it up: pure, drawn from its last snapshots."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from pipeline.chunk import ChunkState
from pipeline.progress.snapshot import Snapshot, Waits
from pipeline.progress.units import duration, plural, size

SPAN_S = 30.0  # what counts as of late
_MOSTLY = 0.5
_HARDLY = 0.15
_SELDOM = 0.4  # of a whole run, which begins before there is anything to commit


class Pace:
    """Keeps the snapshots of the last `SPAN_S` seconds."""

    def __init__(self) -> None:
        """Start with none."""
        self._recent: deque[Snapshot] = deque()

    def add(self, snapshot: Snapshot) -> None:
        """Take the newest, and let go of those that are too old to matter."""
        self._recent.append(snapshot)
        while len(self._recent) > 2 and self._recent[1].elapsed_s < snapshot.elapsed_s - SPAN_S:  # noqa: PLR2004  # two ends
            self._recent.popleft()

    @property
    def span_s(self) -> float:
        """Seconds between the oldest and the newest; the whole run while it is young."""
        if not self._recent:
            return 0.0
        return self._recent[-1].elapsed_s - (self._recent[0].elapsed_s if len(self._recent) > 1 else 0.0)

    def rate(self, amount: Callable[[Snapshot], float]) -> float:
        """Return what `amount` grew by a second."""
        if not self.span_s:
            return 0.0
        before = amount(self._recent[0]) if len(self._recent) > 1 else 0.0
        return (amount(self._recent[-1]) - before) / self.span_s

    def seconds_left(self) -> float | None:
        """Return how long the rest will take at this rate; None while nothing is known."""
        speed = self.rate(lambda snapshot: snapshot.ledgers_done)
        newest = self._recent[-1] if self._recent else None
        return (newest.ledgers_wanted - newest.ledgers_done) / speed if newest and speed > 0 else None

    def sentence(self) -> str:
        """Name what the run waits for."""
        if not self._recent:
            return "starting"
        now = self._recent[-1]
        if now.at_tip and not now.completing:
            return "at the newest ledger: waiting for the next"
        if now.completing and not now.window_open:
            return f"every ledger is committed: building the indexes of {plural(now.completing, 'segment')}"
        if now.workers_starting and not now.workers_busy:
            return f"starting {plural(now.workers_starting, 'worker')}"
        if not now.ledgers_done and not self._share(lambda waits: waits.head_s) > _MOSTLY:
            committing = (now.head, ChunkState.COMMITTING) in now.window
            return f"waiting for the first chunk{' to be committed' if committing else ''}"
        return self._bottleneck(now)

    def _bottleneck(self, now: Snapshot) -> str:
        held = sum(1 for _, state in now.window if state == ChunkState.HELD)
        if now.head and held and self._share(lambda waits: waits.head_s) > _MOSTLY:
            return f"waiting for {head(now)}: {plural(held, 'chunk')} ({size(now.held_bytes)}) held behind it"
        if self._share(lambda waits: waits.commit_s) < _HARDLY:
            return "the database is the limit: something is being committed all the time"
        reading = self._reading()
        if reading > _MOSTLY:
            return f"the source is the limit: workers wait for its bytes {reading:.0%} of their time"
        if self._share(lambda waits: waits.window_s) > _MOSTLY:
            return "the window is the limit: workers have no task while it is full"
        return "the workers are the limit: they decode all the time"

    def _share(self, wait: Callable[[Waits], float]) -> float:
        return self.rate(lambda snapshot: wait(snapshot.waits))

    def _reading(self) -> float:
        work = self._share(lambda waits: waits.work_s)
        return self._share(lambda waits: waits.read_s) / work if work > 0 else 0.0


def limit(whole: Snapshot) -> str:
    """Name what a run that has ended has waited for, over all of its time."""
    waits = whole.waits
    loading_s = max(whole.elapsed_s - waits.complete_s - waits.more_s, 1e-9)
    for seconds, what in (
        (waits.more_s, "the network was the limit: {} with every ledger committed that it had"),
        (waits.complete_s, "building indexes was the limit: {} behind the last commit"),
    ):
        if seconds > _MOSTLY * whole.elapsed_s:
            return what.format(duration(seconds))
    if whole.worst_head and waits.head_s > _MOSTLY * loading_s:
        worst = whole.worst_head
        where = "no worker" if worst.worker is None else f"worker {worst.worker}"
        longest = f"the longest for ledgers {worst.ledgers} on {where}, {duration(worst.seconds)}"
        waited = f"{waits.head_s / loading_s:.0%} of the time"
        return f"late chunks were the limit: results waited for one {waited}, {longest}"
    if waits.commit_s < _SELDOM * loading_s:
        busy = 1 - waits.commit_s / loading_s
        return f"the database was the limit: something was being committed {busy:.0%} of the time"
    reading = waits.read_s / waits.work_s if waits.work_s else 0.0
    if reading > _MOSTLY:
        return f"the source was the limit: workers waited for its bytes {reading:.0%} of their time"
    if waits.window_s > _MOSTLY * loading_s:
        return "the window was the limit: workers had no task while it was full"
    return f"the workers were the limit: nothing was there to commit {waits.commit_s / loading_s:.0%} of the time"


def rows(snapshot: Snapshot) -> int:
    """Return the rows committed, over all tables."""
    return snapshot.ledgers_done + snapshot.transactions + snapshot.operations + snapshot.events


def head(snapshot: Snapshot) -> str:
    """Name the head, and who has it since when."""
    if snapshot.head is None:
        return "no ledger"
    if (snapshot.head, ChunkState.COMMITTING) in snapshot.window:
        return f"ledgers {snapshot.head}, being committed"
    if snapshot.head_worker is None:
        return f"ledgers {snapshot.head}, in no worker's hands yet"
    return (
        f"ledgers {snapshot.head} on worker {snapshot.head_worker}, attempt {snapshot.head_attempt}, "
        f"for {duration(snapshot.head_age_s)}"
    )
