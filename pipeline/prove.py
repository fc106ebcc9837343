"""`verify` without a database: proves a range of the source, and every link in it, by a run whose workers make no rows.

Nothing of PostgreSQL is even imported: that would take a tenth of a second.
"""

from __future__ import annotations

import time
from dataclasses import replace

from pipeline import source
from pipeline.account import Account
from pipeline.actions import ReadyChunk
from pipeline.config import VerifySettings
from pipeline.engine import Writing, drive
from pipeline.events import Committed
from pipeline.lanes import Turn
from pipeline.plan import Gap
from pipeline.planning import check_trusted, make_plan
from pipeline.progress.report import Observer, RunError
from pipeline.progress.verification import ProofReport, cpu_by_stage
from pipeline.store.embedded import default_home


def run(settings: VerifySettings, observer: Observer) -> ProofReport:
    """Prove every ledger that the source has of the range; ends at the first that is not sound.

    No row is made, and no database is touched or started. Raises `Refused` where the source cannot serve.
    """
    start, home = time.monotonic(), default_home()
    with source.opened(settings, home) as opened:
        check_trusted(settings, opened.wanted)
        if settings.end_ledger is not None:
            opened.require(opened.wanted.last)
        plan = make_plan(settings, opened, (Gap(ledgers=opened.wanted),))
        rowless = replace(opened, worker_config=replace(opened.worker_config, tables=()))
        account = Account(observer)
        proving = Writing(commits=[account.counting(_take_turn)], cancel=_cancel)
        finish = drive(plan, settings, rowless, home, proving, account)
        return ProofReport(
            source=settings.source_shown,
            wanted=opened.wanted,
            proved=tuple(account.ledgers),
            chunks=account.chunks,
            object_bytes=account.object_bytes,
            plain_bytes=account.plain_bytes,
            elapsed_s=time.monotonic() - start,
            cpu_s=cpu_by_stage(account.stages_s, time.process_time()),
            event_hash_mismatches=account.event_hash_mismatches,
            workers=settings.workers,
            peak_memory=account.peak_memory,
            error=RunError.of(finish.error) if finish.error else None,
        )


def _take_turn(chunk: ReadyChunk, _: Turn) -> Committed:
    """Stand for a commit: that the chunk links to the one before it is known by now, and there are no rows."""
    return Committed(chunk.ledgers, {})


def _cancel() -> None:
    """End a commit in hand: none takes any time."""
