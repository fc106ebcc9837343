"""The job `verify`: computes a range anew from its source and compares it row by row with the store."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from functools import partial

import psycopg

from pipeline import source
from pipeline.account import Account
from pipeline.actions import ReadyChunk
from pipeline.config import VerifySettings
from pipeline.engine import Writing, drive
from pipeline.errors import RowsUnlike
from pipeline.events import Committed
from pipeline.lanes import Turn
from pipeline.plan import Gap
from pipeline.planning import check_trusted, make_plan
from pipeline.progress.report import Observer, RunError
from pipeline.progress.verification import VerifyReport
from pipeline.segments import Segment, joined
from pipeline.store import network, segments, stretches
from pipeline.store.compare import compare
from pipeline.store.connection import cancel, permitted
from pipeline.store.database import Database

logger = logging.getLogger(__name__)


@permitted()
def run(settings: VerifySettings, observer: Observer) -> VerifyReport:
    """Compare what the store holds of the range with its source; ends at the first difference. Writes nothing."""
    database, start = Database(settings), time.monotonic()
    with ExitStack() as stack:
        opened = stack.enter_context(source.opened(settings, database.home))
        check_trusted(settings, opened.wanted)
        conn = stack.enter_context(closing(database.read()))
        network.check(conn, opened.network_passphrase)
        account = Account(observer)
        # What the store holds is what there is to compute: a plan whose "gaps" are the parts that are there.
        parts = tuple(
            Gap(ledgers=part)
            for stretch in stretches.held(conn, opened.wanted)
            if (part := stretch.ledgers.overlap(opened.wanted))
        )
        missing = tuple(gap.ledgers for gap in stretches.gaps(conn, opened.wanted))  # now: the connection may break
        plan = make_plan(settings, opened, parts)
        _warn(segments.unindexed(conn), parts)
        comparing = Writing(commits=[account.counting(partial(_compare, conn))], cancel=partial(cancel, conn))
        finish = drive(plan, settings, opened, database.home, comparing, account)
        unlike = isinstance(finish.error, RowsUnlike)
        return VerifyReport(
            source=settings.source_shown,
            database=database.shown,
            wanted=opened.wanted,
            compared=tuple(account.ledgers),
            missing=missing,
            rows=dict(account.rows),
            elapsed_s=time.monotonic() - start,
            difference=str(finish.error) if unlike else None,
            error=RunError.of(finish.error) if finish.error and not unlike else None,
        )


def _warn(unindexed: Sequence[Segment], parts: Sequence[Gap]) -> None:
    """Say why it will be slow: without the indexes of keys each chunk reads whole tables."""
    read = [segment for segment in unindexed if any(segment.ledgers.overlap(part.ledgers) for part in parts)]
    for ledgers in joined(read):
        logger.warning("reading is slow: indexes are due for ledgers %s, a backfill builds them", ledgers)


def _compare(conn: psycopg.Connection, chunk: ReadyChunk, _: Turn) -> Committed:
    """Take a chunk's turn, as a commit would: the first that differs ends the run."""
    if difference := compare(conn, chunk.done):
        raise RowsUnlike(str(difference))
    return Committed(chunk.ledgers, {section.table: section.rows for section in chunk.done.sections})
