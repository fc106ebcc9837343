"""Plain log lines, for where there is no terminal: start, progress at least each minute, steps against stalls."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from pipeline.progress import units
from pipeline.progress.pace import Pace, head, rows
from pipeline.progress.report import RunInfo, RunReport

if TYPE_CHECKING:
    from pipeline.actions import Note
    from pipeline.progress.snapshot import Snapshot

logger = logging.getLogger(__name__)
EVERY_S = 20.0


class Journal:
    """An `Observer` that logs."""

    def __init__(self, every_s: float = EVERY_S) -> None:
        """Log progress every so many seconds of the run."""
        self._every_s, self._next_s = every_s, every_s
        self._pace = Pace()
        self._told = 0  # ledgers that were done at the last line

    def started(self, run: RunInfo) -> None:
        """Log what is about to be done."""
        logger.info(
            "run %s: ledgers %s from %s into %s, %s held already, %s to go with %s, window of %s (%s)",
            run.run_id,
            run.wanted,
            run.source,
            run.database,
            units.plural(sum(map(len, run.held)), "ledger"),
            units.plural(run.chunks, "chunk"),
            units.plural(run.workers, "worker"),
            units.plural(run.window_chunks, "chunk"),
            units.size(run.window_bytes),
        )

    def progress(self, snapshot: Snapshot) -> None:
        """Log how far it is, when it is time; at the newest ledger only if more have come."""
        self._pace.add(snapshot)
        idle = snapshot.at_tip and not snapshot.completing and snapshot.ledgers_done == self._told
        if snapshot.elapsed_s < self._next_s or idle:
            return
        self._next_s, self._told = snapshot.elapsed_s + self._every_s, snapshot.ledgers_done
        left = self._pace.seconds_left()
        logger.info(
            "progress: %s of %s ledgers (%.1f %%), %s ledgers/s, %s events/s, %s rows/s, %s/s, %s left; head: %s; %s",
            units.count(snapshot.ledgers_done),
            units.count(snapshot.ledgers_wanted),
            100 * snapshot.ledgers_done / max(1, snapshot.ledgers_wanted),
            units.count(self._pace.rate(lambda each: each.ledgers_done)),
            units.count(self._pace.rate(lambda each: each.events)),
            units.count(self._pace.rate(rows)),
            units.size(self._pace.rate(lambda each: each.plain_bytes)),
            "unknown time" if left is None else units.duration(left),
            head(snapshot),
            self._pace.sentence(),
        )

    def note(self, note: Note) -> None:
        """Log a step against a stall."""
        logger.warning("%s", step(note))

    def finished(self, report: RunReport) -> None:
        """Log how it ended."""
        logger.info(
            "%s: %s committed in %s",
            report.outcome,
            units.plural(report.ledgers, "ledger"),
            units.duration(report.elapsed_s),
        )


def step(note: Note) -> str:
    """Write a step against a stall, in the log as elsewhere."""
    who = "no worker" if note.worker is None else f"worker {note.worker}"
    where = f"ledgers {note.chunk} on {who}, attempt {note.attempt}, after {note.elapsed_s:.1f} s"
    return f"{note.step}: {where}: {note.why}"
