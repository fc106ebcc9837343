"""One run of a job over a range of ledgers: planned, begun in the books, loaded, looked at again, and reported."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

import psycopg

from pipeline.account import Account
from pipeline.actions import CompleteSegment, Finish, ReadyChunk
from pipeline.config import JobSettings
from pipeline.errors import BackfillError, Interrupted, first_line
from pipeline.plan import TARGET_BYTES, Gap, Plan, missing
from pipeline.planning import make_plan
from pipeline.progress import report_json
from pipeline.progress.report import Observer, RunError, RunInfo, RunReport
from pipeline.seams import check_seams
from pipeline.segments import Segment
from pipeline.source import OpenSource
from pipeline.store import books, gaps, network, segments, stretches
from pipeline.store.books import Run
from pipeline.store.connection import Limits
from pipeline.store.database import Database
from workers.messages import LedgerRange

if TYPE_CHECKING:
    from pipeline.follower import Look
    from pipeline.history import Scribe
    from pipeline.store.finish import Finisher
    from pipeline.store.swap import Swap

logger = logging.getLogger(__name__)
# Nobody shall wait long for a run that is over; to look at each of 64 million ledgers takes about 10 s.
_AT_THE_END = Limits(lock_s=5.0, statement_s=120.0)
_INTERRUPTED = Limits(connect_s=3, lock_s=2.0, statement_s=4.0, unacknowledged_s=2.0)  # somebody waits for its end


def account_of(database: Database, observer: Observer) -> Account:
    """Begin an account; the CPU of a server that is ours counts."""
    return Account(observer, server=database.embedded.pid() if database.embedded else None)


class Job(ABC):
    """One run over one range, its lock held; what is particular to a job is in the classes derived from this."""

    job = "backfill"  # as the books have it
    sections: tuple[str, ...]  # what workers write of a ledger
    completes = False  # whether segments are completed beside it
    target_bytes = TARGET_BYTES  # of a chunk
    protocol_ids: tuple[str, ...] = ()  # that it is for, where it is for protocols

    def __init__(
        self,
        settings: JobSettings,
        database: Database,
        opened: OpenSource,
        conn: psycopg.Connection,
        account: Account,
    ) -> None:
        """Look at what is done already."""
        self._settings, self._database, self._source, self._conn = settings, database, opened, conn
        self._account = account
        self._server_version = conn.info.parameter_status("server_version") or "unknown"
        self._run: Run | None = None
        self._started_at, self._start = datetime.now(UTC), time.monotonic()
        self._held = self._done()

    @abstractmethod
    def gaps(self, conn: psycopg.Connection) -> tuple[Gap, ...]:
        """Return what is not done of the range, by the books."""

    @abstractmethod
    def swap(self, chunk: ReadyChunk, run: Run, commit_id: UUID) -> Swap:
        """Return how a chunk's commit is written into the books."""

    def due(self, conn: psycopg.Connection) -> list[Segment]:
        """Return the segments that wait to be completed; unless told else, those of the base tables."""
        return segments.due(conn)

    def complete(self, finisher: Finisher, wanted: CompleteSegment) -> None:
        """Complete a segment as it is wanted."""
        finisher.finish(wanted.segment, segments.BASE, beside=wanted.beside)

    def lacks_by_looking(self, conn: psycopg.Connection) -> tuple[LedgerRange, ...]:
        """Return what is not done at the end of a run, by the books and by looking at what the run has written."""
        return self._lacks(conn)

    def look(self) -> Look | None:
        """Return what looks for more where the range grows."""
        return None

    def plan(self) -> Plan:
        """Return a plan of what is not done. Raises `Refused` where it cannot be carried out."""
        absent = self.gaps(self._conn)
        plan = make_plan(self._settings, self._source, absent, self.target_bytes)
        if absent and self._settings.end_ledger is not None:
            self._source.require(self.required(absent))
        check_seams(self._source, absent)
        return plan

    def required(self, absent: Sequence[Gap]) -> int:
        """Return the ledger that the source must have before anything is begun; unless told else, the last of all."""
        return absent[-1].ledgers.last

    def carry_out(self, this: Run, observer: Observer) -> RunReport:
        """Do what is not done now that no other run can change it, and write down how it ended."""
        return self.go_on(self.begin(this), this, observer)

    def begin(self, this: Run) -> Plan:
        """Plan what is not done, and begin in the books."""
        self._held = self._done()
        plan = self.plan()
        self._run = this
        network.pin(self._conn, self._source.network_passphrase)
        settings, wanted = self._settings, self._source.wanted
        books.start_run(self._conn, this, wanted, source=settings.source_shown, workers=settings.workers)
        return plan

    def go_on(self, plan: Plan, this: Run, observer: Observer) -> RunReport:
        """Carry out what was begun, and write down how it ended."""
        observer.started(self._info(plan, this))
        try:
            finish = self._load(plan, this)
        except BaseException as error:
            outcome = "failed" if isinstance(error, Exception) else "interrupted"  # by a signal, before it is an event
            why = RunError.of(error if isinstance(error, Exception) else Interrupted.of(error)).message
            with suppress(psycopg.Error):  # the lesser trouble
                books.end_run(self._conn, this, outcome=outcome, error=why)
            raise
        return self._end(this, finish)

    def _done(self) -> tuple[LedgerRange, ...]:
        return missing(self._source.wanted, self._lacks(self._conn))

    def _lacks(self, conn: psycopg.Connection) -> tuple[LedgerRange, ...]:
        return tuple(gap.ledgers for gap in self.gaps(conn))

    def _due(self, conn: psycopg.Connection) -> list[Segment]:
        return self.due(conn) if self.completes else []

    def _load(self, plan: Plan, this: Run) -> Finish:
        # Here, so that the decision "nothing to do" is there without them.
        from pipeline.history import Scribe

        with closing(Scribe(self._database.connect, this)) as scribe:
            return self.work(plan, this, scribe)

    def work(self, plan: Plan, this: Run, scribe: Scribe) -> Finish:
        """Do what is planned, and return how it ended."""
        from pipeline.engine import Writing, drive
        from pipeline.history import History
        from pipeline.store.commit import Committer
        from pipeline.store.finish import Finisher

        connections = self._settings.connections + self._settings.more_connections
        with ExitStack() as stack:
            committers = [
                stack.enter_context(closing(Committer(self._database.connect, this, swap=self.swap)))
                for _ in range(connections if plan.grows else min(connections, plan.chunk_count()))
            ]
            finisher = stack.enter_context(closing(Finisher(self._database.connect, connections, run=this)))

            def cancel() -> None:
                finisher.cancel()
                for committer in committers:
                    committer.cancel()

            writing = Writing(
                commits=[self._account.counting(committer.commit) for committer in committers],
                complete=partial(self.complete, finisher) if self.completes else None,
                due=self._due(self._conn),
                cancel=cancel,
                look=self.look(),
            )
            history = History(self._account, scribe)
            config = replace(self._source.worker_config, tables=self.sections)
            opened = replace(self._source, worker_config=config)
            return drive(plan, self._settings, opened, self._database.home, writing, history)

    def _end(self, this: Run, finish: Finish) -> RunReport:
        """Report and write down how the run ended; over a new connection, since the first may have broken meanwhile."""
        wanted = self._source.wanted
        try:
            interrupted = finish.outcome == "interrupted"
            with closing(self._database.connect(_INTERRUPTED if interrupted else _AT_THE_END)) as conn:
                lacks = self._lacks(conn) if interrupted else self.lacks_by_looking(conn)
                endless = interrupted and self.look() is not None  # it would have gone on with what comes
                report = replace(self.report(finish, lacks), complete=not (lacks or self._due(conn) or endless))
                error = report.error.message if report.error else None
                document = report_json.text(report_json.run_document(report))
                books.end_run(conn, this, outcome=report.outcome, error=error, report=document)
                return report
        except (BackfillError, psycopg.Error) as lost:
            reason = first_line(lost)
            logger.warning("how the run ended could not be written down: %s", reason)
            unknown = BackfillError(f"the run ended well, but that could not be written down: {reason}")
            finish = finish if finish.error else Finish("failed", unknown)
            return self.report(finish, missing(wanted, (*self._held, *self._account.ledgers)))

    def report(self, finish: Finish, lacks: tuple[LedgerRange, ...]) -> RunReport:
        """Return the report; success only when the store lacks nothing of the range."""
        done, settings, wanted = self._account, self._settings, self._source.wanted
        error = finish.error
        if finish.outcome == "success" and lacks:
            error = BackfillError(f"the run ended well, but the store lacks ledgers {', '.join(map(str, lacks))}")
        return RunReport(
            job=self.job,
            protocol_ids=self.protocol_ids,
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
            left_alone=dict(done.left_alone),
            workers=settings.workers,
            connections=settings.connections,
            cpu_s=done.cpu_s,
            peak_memory=done.peak_memory,
            versions={"postgresql": self._server_version},
            error=RunError.of(error) if error else None,
        )

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


class BaseTables(Job):
    """A job that fills what the base tables lack of its range."""

    completes = True

    def gaps(self, conn: psycopg.Connection) -> tuple[Gap, ...]:
        """Return what the stretches lack of the range."""
        return stretches.gaps(conn, self._source.wanted)

    def lacks_by_looking(self, conn: psycopg.Connection) -> tuple[LedgerRange, ...]:
        """Return what the store lacks of the range by its books, and by looking of what this run has brought."""
        wanted = self._source.wanted
        brought = (part for each in self._account.ledgers if (part := each.overlap(wanted)))  # some may not be kept
        by_looking = (hole for part in brought for hole in gaps.holes(conn, part))
        return missing(wanted, missing(wanted, (*self._lacks(conn), *by_looking)))  # each once: they may overlap
