"""The job `backfill`: fills the base tables with what they lack of a range."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from uuid import UUID

from pipeline import source
from pipeline.account import Account
from pipeline.actions import Finish, ReadyChunk
from pipeline.config import BackfillSettings
from pipeline.errors import HandedOff
from pipeline.job import BaseTables, account_of
from pipeline.plan import Plan
from pipeline.planning import check_disk, check_held, check_trusted
from pipeline.progress.report import Observer, RunReport
from pipeline.store import books, gaps, network, segments, stretches
from pipeline.store.books import Run
from pipeline.store.connection import permitted
from pipeline.store.database import Database
from pipeline.store.swap import StretchSwap, Swap
from workers.messages import CONTRACTS, TABLES, LedgerRange

logger = logging.getLogger(__name__)


@permitted()
def run(settings: BackfillSettings, observer: Observer) -> RunReport:
    """Fill what the store lacks of the range, and return how it went; a range that is there already is a success.

    Raises `Refused` before anything was begun, and `RunHeld` when another run has the store.
    """
    database = Database(settings)
    absent: tuple[LedgerRange, ...] = ()
    if settings.fill_gaps:
        from pipeline import refill  # which other runs do without

        settings, absent = refill.narrowed(settings, database)
    with ExitStack() as stack:
        opened = stack.enter_context(source.opened(settings, database.home))
        check_trusted(settings, opened.wanted)
        conn = stack.enter_context(closing(database.connect()))
        network.check(conn, opened.network_passphrase)
        check_held(settings, conn)
        nothing = not (absent or stretches.gaps(conn, opened.wanted) or segments.due(conn))
        account = Account(observer) if nothing else account_of(database, observer)  # which looks at every process
        job = _Backfill(settings, database, opened, conn, account)
        if nothing:
            logger.info("ledgers %s are in the store already: nothing to do", opened.wanted)
            return job.report(Finish("success"), ())
        from pipeline.store.keeper import Keeper  # here, so that "nothing to do" is there without it

        this = books.new_run(conn)
        stack.enter_context(closing(Keeper(database.connect, this)))
        stack.enter_context(database.loading(this))
        report = job.go_on(job.set_right(this, absent) if absent else job.begin(this), this, observer)
        observer.finished(report)
        return report


class _Backfill(BaseTables):
    """The base tables: what they lack of a range."""

    sections = (*TABLES, *CONTRACTS)

    def set_right(self, this: Run, absent: Sequence[LedgerRange]) -> Plan:
        """Begin with ledgers out of the books that these claim wrongly."""
        # One transaction where the books are to be set right: a run that is refused after all leaves them alone.
        with self._conn.transaction():
            taken = [hole for part in absent for hole in gaps.take_out(self._conn, part)]
            plan = self.begin(this)
        for part in taken:
            logger.warning(
                "ledgers %s were not in the store, though its books claimed them: they are filled anew", part
            )
        return plan

    def swap(self, chunk: ReadyChunk, run: Run, commit_id: UUID) -> Swap:
        """Return the swap of a stretch."""
        return StretchSwap(chunk, run, commit_id)

    def report(self, finish: Finish, lacks: tuple[LedgerRange, ...]) -> RunReport:
        """Return the report; handed off where live ingestion has brought what this run had yet to bring."""
        handed_off = isinstance(finish.error, HandedOff) and not lacks
        report = super().report(Finish("success") if handed_off else finish, lacks)
        return replace(report, outcome="handed_off") if handed_off else report

    def plan(self) -> Plan:
        """Return the plan. Raises `Refused` where the range would not fit on the disk, too."""
        plan = super().plan()
        check_disk(self._database, plan)
        return plan
