"""Snapshots of runs as the tests of pace, display and journal want them."""

from __future__ import annotations

from typing import Any

from pipeline.chunk import ChunkState
from pipeline.progress.snapshot import Snapshot, Waits
from workers.messages import LedgerRange


def snapshot(elapsed_s: float, ledgers: int, **other: Any) -> Snapshot:
    """Return a run of 1,000 ledgers, each of 10 rows and 1 MB, whose workers are busy all the time."""
    facts: dict[str, Any] = {
        "elapsed_s": elapsed_s,
        "ledgers_wanted": 1000,
        "ledgers_done": ledgers,
        "transactions": 2 * ledgers,
        "operations": 3 * ledgers,
        "events": 4 * ledgers,
        "object_bytes": 100_000 * ledgers,
        "plain_bytes": 1_000_000 * ledgers,
        "row_bytes": 500_000 * ledgers,
        "window": (
            (LedgerRange(100, 109), ChunkState.WORK),
            (LedgerRange(110, 119), ChunkState.HELD),
            (LedgerRange(120, 129), ChunkState.HELD),
            (LedgerRange(130, 139), ChunkState.WAITING),
        ),
        "head": LedgerRange(100, 109),
        "head_age_s": 12.5,
        "head_worker": 3,
        "head_attempt": 2,
        "workers_busy": 2,
        "workers_idle": 0,
        "workers_starting": 0,
        "held_bytes": 10_000_000,
        "waits": Waits(commit_s=0.5 * elapsed_s, work_s=2 * elapsed_s),
    }
    return Snapshot(**facts | other)
