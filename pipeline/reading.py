"""The job behind `setup --source`: reads the contracts of ledgers that came before the store kept any."""

from __future__ import annotations

from contextlib import ExitStack, closing
from uuid import UUID

import psycopg

from pipeline import source
from pipeline.actions import ReadyChunk
from pipeline.config import SetupSettings
from pipeline.job import Job, account_of
from pipeline.plan import Gap
from pipeline.progress.report import Observer, RunReport
from pipeline.store import books, network, unread
from pipeline.store.books import Run
from pipeline.store.connection import permitted
from pipeline.store.database import Database
from pipeline.store.keeper import Keeper
from pipeline.store.swap import Swap
from workers.messages import CONTRACTS, LedgerRange

JOB = "setup"
LOCK = "contracts"


@permitted()
def run(settings: SetupSettings, ranges: list[LedgerRange], observer: Observer) -> RunReport:
    """Read the contracts of `ranges`, ascending, that were never read, and return how it went.

    Raises `Refused` before anything was begun, and `RunHeld` when another run is at it.
    """
    database = Database(settings)
    settings = settings.model_copy(update={"start_ledger": ranges[0].first, "end_ledger": ranges[-1].last})
    with ExitStack() as stack:
        opened = stack.enter_context(source.opened(settings, database.home))
        conn = stack.enter_context(closing(database.connect()))
        network.check(conn, opened.network_passphrase)
        account = account_of(database, observer)
        job = _Reading(settings, database, opened, conn, account)
        this = books.new_run(conn, job=JOB)
        stack.enter_context(closing(Keeper(database.connect, this, lock=LOCK)))
        report = job.carry_out(this, observer)
        observer.finished(report)
        return report


class _Reading(Job):
    """Codes and instances alone, of the ledgers that are unread."""

    job = JOB
    sections = CONTRACTS

    def gaps(self, conn: psycopg.Connection) -> tuple[Gap, ...]:
        """Return what is unread."""
        return unread.gaps(conn)

    def swap(self, chunk: ReadyChunk, run: Run, commit_id: UUID) -> Swap:
        """Return the swap of what is unread."""
        return unread.UnreadSwap(chunk, run, commit_id)
