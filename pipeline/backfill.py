"""The job `backfill`: fills the base tables with what they lack of a range."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing, nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime

import psycopg

from pipeline import source
from pipeline.account import Account
from pipeline.actions import Finish
from pipeline.config import BackfillSettings
from pipeline.errors import BackfillError
from pipeline.plan import Plan, missing
from pipeline.planning import check_disk, check_held, check_trusted, make_plan
from pipeline.progress import report_json
from pipeline.progress.report import Observer, RunError, RunInfo, RunReport
from pipeline.seams import check_seams
from pipeline.source import OpenSource
from pipeline.store import books, gaps, network, segments, stretches
from pipeline.store.books import Run
from pipeline.store.connection import Limits, permitted
from pipeline.store.database import Database
from workers.messages import CONTRACTS, TABLES, LedgerRange

logger = logging.getLogger(__name__)
# Nobody shall wait long for a run that is over; to look at each of 64 million ledgers takes about 10 s.
_AT_THE_END = Limits(lock_s=5.0, statement_s=120.0)
_INTERRUPTED = Limits(connect_s=3, lock_s=2.0, statement_s=4.0, unacknowledged_s=2.0)  # somebody waits for its end


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
        account = Account(observer) if nothing else _account(database, observer)  # which looks at every process
        job = _Backfill(settings, database, opened, conn, account)
        if nothing:
            logger.info("ledgers %s are in the store already: nothing to do", opened.wanted)
            return job.report(Finish("success"), ())
        from pipeline.store.keeper import Keeper  # here, so that "nothing to do" is there without it

        this = books.new_run(conn)
        stack.enter_context(closing(Keeper(database.connect, this)))
        stack.enter_context(database.loading())
        report = job.carry_out(this, observer, absent)
        observer.finished(report)
        return report


def _account(database: Database, observer: Observer) -> Account:
    """Begin an account; the CPU of a server that is ours counts."""
    return Account(observer, server=database.embedded.pid() if database.embedded else None)


class _Backfill:
    """One run over one range, its lock held."""

    def __init__(
        self,
        settings: BackfillSettings,
        database: Database,
        opened: OpenSource,
        conn: psycopg.Connection,
        account: Account,
    ) -> None:
        self._settings, self._database, self._source, self._conn = settings, database, opened, conn
        self._account = account
        self._server_version = conn.info.parameter_status("server_version") or "unknown"
        self._run: Run | None = None
        self._started_at, self._start = datetime.now(UTC), time.monotonic()
        self._held = self._holds()

    def _holds(self) -> tuple[LedgerRange, ...]:
        wanted = self._source.wanted
        held = (stretch.ledgers.overlap(wanted) for stretch in stretches.held(self._conn, wanted))
        return tuple(part for part in held if part)

    def carry_out(self, this: Run, observer: Observer, absent: Sequence[LedgerRange] = ()) -> RunReport:
        """Load what is missing now that no other run can change it, and write down how it ended.

        `absent` are ledgers that the books claim wrongly.
        """
        # One transaction where the books are to be set right: a run that is refused after all leaves them alone.
        with self._conn.transaction() if absent else nullcontext():
            taken = [hole for part in absent for hole in gaps.take_out(self._conn, part)]
            self._held = self._holds()
            plan = self._begin(this)
        for part in taken:
            logger.warning(
                "ledgers %s were not in the store, though its books claimed them: they are filled anew", part
            )
        observer.started(self._info(plan, this))
        try:
            finish = self._load(plan, this)
        except BaseException as error:
            outcome = "failed" if isinstance(error, Exception) else "interrupted"  # by a signal, before it is an event
            with suppress(psycopg.Error):  # the lesser trouble
                books.end_run(self._conn, this, outcome=outcome, error=RunError.of(error).message)
            raise
        return self._end(this, finish)

    def _begin(self, this: Run) -> Plan:
        plan = self._plan()
        self._run = this
        network.pin(self._conn, self._source.network_passphrase)
        settings, wanted = self._settings, self._source.wanted
        books.start_run(self._conn, this, wanted, source=settings.source_shown, workers=settings.workers)
        return plan

    def _end(self, this: Run, finish: Finish) -> RunReport:
        """Report and write down how the run ended; over a new connection, since the first may have broken meanwhile."""
        wanted = self._source.wanted
        try:
            interrupted = finish.outcome == "interrupted"
            with closing(self._database.connect(_INTERRUPTED if interrupted else _AT_THE_END)) as conn:
                lacks = self._lacks(conn, looking=not interrupted)
                report = replace(self.report(finish, lacks), complete=not (lacks or segments.due(conn)))
                error = report.error.message if report.error else None
                document = report_json.text(report_json.run_document(report))
                books.end_run(conn, this, outcome=report.outcome, error=error, report=document)
                return report
        except (BackfillError, psycopg.Error) as lost:
            reason = next(iter(str(lost).splitlines()), type(lost).__name__)
            logger.warning("how the run ended could not be written down: %s", reason)
            unknown = BackfillError(f"the run ended well, but that could not be written down: {reason}")
            finish = finish if finish.error else Finish("failed", unknown)
            return self.report(finish, missing(wanted, (*self._held, *self._account.ledgers)))

    def _lacks(self, conn: psycopg.Connection, *, looking: bool) -> tuple[LedgerRange, ...]:
        """Return what the store lacks of the range by its books, and where asked what of this run's by `looking`."""
        wanted = self._source.wanted
        by_books = [gap.ledgers for gap in stretches.gaps(conn, wanted)]
        by_looking = [hole for part in self._account.ledgers for hole in gaps.holes(conn, part)] if looking else ()
        return missing(wanted, missing(wanted, (*by_books, *by_looking)))  # each once: they may overlap

    def report(self, finish: Finish, lacks: tuple[LedgerRange, ...]) -> RunReport:
        """Return the report; success only when the store lacks nothing of the range."""
        done, settings, wanted = self._account, self._settings, self._source.wanted
        error = finish.error
        if finish.outcome == "success" and lacks:
            error = BackfillError(f"the run ended well, but the store lacks ledgers {', '.join(map(str, lacks))}")
        return RunReport(
            outcome="failed" if error and finish.outcome == "success" else finish.outcome,
            source=settings.source_shown,
            database=self._database.shown,
            run_id=self._run.id if self._run else None,
            wanted=wanted,
            held=self._held,
            committed=tuple(done.ledgers),
            missing=lacks,
            chunks=done.chunks,
            attempts=done.attempts,
            rows=dict(done.rows),
            object_bytes=done.object_bytes,
            plain_bytes=done.plain_bytes,
            row_bytes=done.row_bytes,
            started_at=self._started_at,
            elapsed_s=time.monotonic() - self._start,
            stages_s=dict(done.stages_s),
            steps=tuple(done.steps),
            limit=done.limit,
            event_hash_mismatches=done.event_hash_mismatches,
            workers=settings.workers,
            connections=settings.connections,
            cpu_s=done.cpu_s,
            peak_memory=done.peak_memory,
            versions={"postgresql": self._server_version},
            error=RunError.of(error) if error else None,
        )

    def _plan(self) -> Plan:
        absent = stretches.gaps(self._conn, self._source.wanted)
        plan = make_plan(self._settings, self._source, absent)
        if absent and self._settings.end_ledger is not None:
            self._source.require(absent[-1].ledgers.last)
        check_seams(self._source, absent)
        check_disk(self._database, plan)
        return plan

    def _load(self, plan: Plan, this: Run) -> Finish:
        # Here, so that the decision "nothing to do" is there without them.
        from pipeline.engine import Writing, drive
        from pipeline.history import History, Scribe
        from pipeline.store.commit import Committer
        from pipeline.store.finish import Finisher

        connections = self._settings.connections + self._settings.more_connections
        with ExitStack() as stack:
            scribe = stack.enter_context(closing(Scribe(self._database.connect, this)))  # the last to be closed
            committers = [
                stack.enter_context(closing(Committer(self._database.connect, this)))
                for _ in range(min(connections, plan.chunk_count()))
            ]
            finisher = stack.enter_context(closing(Finisher(self._database.connect, connections)))

            def cancel() -> None:
                finisher.cancel()
                for committer in committers:
                    committer.cancel()

            writing = Writing(
                commits=[self._account.counting(committer.commit) for committer in committers],
                complete=finisher.finish,
                due=segments.due(self._conn),
                cancel=cancel,
            )
            history = History(self._account, scribe)
            config = replace(self._source.worker_config, tables=(*TABLES, *CONTRACTS))
            opened = replace(self._source, worker_config=config)
            return drive(plan, self._settings, opened, self._database.home, writing, history)

    def _info(self, plan: Plan, this: Run) -> RunInfo:
        settings = self._settings
        return RunInfo(
            run_id=this.id,
            source=settings.source_shown,
            database=self._database.shown,
            wanted=self._source.wanted,
            held=self._held,
            chunks=plan.chunk_count(),
            workers=settings.workers,
            window_chunks=settings.window_chunks,
            window_bytes=settings.window_bytes,
        )
