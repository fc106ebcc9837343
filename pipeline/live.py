"""The job `live`: follows the newest ledger of a source, ledger by ledger, and takes over from backfill and migrations.

It goes on from the highest ledger of the store. What a protocol makes of a ledger is written in the ledger's own
transaction, from the ledger on at which its cursor stands right below: there a migration has nothing left to do.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

import psycopg

from pipeline import source
from pipeline.account import Account
from pipeline.actions import CompleteSegment, Finish, ReadyChunk
from pipeline.classification import Classifier
from pipeline.config import LiveSettings
from pipeline.errors import BackfillError, CursorTaken, HandedOff, Refused, first_line
from pipeline.events import Ended, Grown
from pipeline.follower import Silence
from pipeline.job import BaseTables, account_of
from pipeline.plan import Gap, Plan
from pipeline.planning import check_held, check_trusted
from pipeline.progress.report import Observer, RunReport
from pipeline.readiness import tip
from pipeline.resume import other_command
from pipeline.segments import Segment
from pipeline.source import STREAM, OpenSource
from pipeline.store import books, contracts, locks, network, retention, segments, state_changes, stretches
from pipeline.store.books import Run
from pipeline.store.connection import may_pass, permitted
from pipeline.store.cursors import JOBS
from pipeline.store.database import Database
from pipeline.store.gates import Gate, LiveSwap, left_behind, lost, served
from pipeline.store.keeper import Keeper
from pipeline.store.segments import BASE
from pipeline.store.state_changes import HISTORY
from pipeline.store.stretches import Stretch
from pipeline.store.swap import LIVE, Swap
from workers.failures import SourceError
from workers.messages import CONTRACTS, TABLES, LedgerRange
from workers.sources import FIRST_CLOSED, Lake

if TYPE_CHECKING:
    from pipeline.follower import Look
    from pipeline.history import Scribe
    from pipeline.store.finish import Finisher

logger = logging.getLogger(__name__)
_LIST_S = 15.0  # between two listings of a source whose next object is not there: so is a hole found
_TRIM_LEDGERS = 1000  # what falls out together while there is much to load


@permitted()
def run(settings: LiveSettings, observer: Observer) -> RunReport:
    """Follow the source until somebody interrupts, and return how it went.

    Raises `Refused` before anything was begun, and `RunHeld` when another live ingestion has the store.
    """
    if settings.source.startswith(STREAM):
        raise Refused("a stream ends: live ingestion follows a lake")
    database = Database(settings)
    with ExitStack() as stack:
        every = settings.model_copy(update={"start_ledger": FIRST_CLOSED})  # where to begin, the store knows
        opened = stack.enter_context(source.opened(every, database.home))
        conn = stack.enter_context(closing(database.connect()))
        first = _first(settings, held := stretches.held(conn))
        newest = max([opened.wanted.last, *(each.ledgers.last for each in held)])  # the source may be behind
        if first is not None and first > newest:
            raise Refused(f"--start-ledger {first} is beyond the newest ledger of the source, {newest}")
        opened = replace(opened, wanted=LedgerRange(first or newest, newest))
        network.check(conn, opened.network_passphrase)
        check_trusted(settings, opened.wanted)
        check_held(settings, conn)
        this = books.new_run(conn, job=LIVE)
        stack.enter_context(closing(Keeper(database.connect, this, lock=locks.LIVE_INGESTION)))
        if settings.until_tip:
            stack.enter_context(database.loading(this))
        job = _Live(settings, database, opened, conn, account_of(database, observer))
        report = job.carry_out(this, observer)
        observer.finished(report)
        return report


def _first(settings: LiveSettings, held: Sequence[Stretch]) -> int | None:
    """Return the first ledger of what live ingestion goes on with; None: the newest of the source."""
    given = settings.start_given
    if not held or given is None:
        return held[-1].ledgers.first if held else given
    top = held[-1].ledgers
    kept = top.last - (settings.retention_ledgers or top.last) + 1
    if max(given, kept) < top.first:  # the same command goes on where that has fallen out meanwhile
        words = ("backfill", "--start-ledger", given, "--end-ledger", top.first - 1)
        raise Refused(
            f"--start-ledger {given} is below ledgers {top}, which live ingestion goes on from: leave it away, "
            f"and fill what is below with {other_command(settings, *words, sourced=True)}"
        )
    return top.first if given <= top.last + 1 else given


class _Live(BaseTables):
    """The base tables from some ledger on, and the protocols whose gates are open."""

    job = LIVE

    def __init__(
        self,
        settings: LiveSettings,
        database: Database,
        opened: OpenSource,
        conn: psycopg.Connection,
        account: Account,
    ) -> None:
        """Look at what is done already."""
        self._until_tip, self._keep = settings.until_tip, settings.retention_ledgers
        self._classifier = Classifier()
        for each in contracts.set_up(conn):
            self._classifier.protocol(each.id)  # without it, what this protocol makes of ledgers would be missed
        self._gates: tuple[Gate, ...] = ()
        self._again, self._unfound = False, ""
        self._listed, self._silence = time.monotonic(), Silence()
        super().__init__(settings, database, opened, conn, account)

    @property
    def _tip(self) -> int:
        return self._source.wanted.last

    def plan(self) -> Plan:
        """Return a plan of what is not done, which grows."""
        plan = super().plan()
        return plan if self._until_tip else plan.growing()

    @property
    def _has_history(self) -> bool:
        return any(gate.kind == "history" for gate in self._gates)

    def due(self, conn: psycopg.Connection) -> list[Segment]:
        """Return what of its own range waits to be completed: what lies below is the matter of who fills it."""
        found = {*segments.due(conn), *(state_changes.due(conn) if self._has_history else ())}
        return sorted(each for each in found if each.past > self._source.wanted.first)

    def complete(self, finisher: Finisher, wanted: CompleteSegment) -> None:
        """Complete a segment, and its history where that is written here: its migrations are at their ends."""
        trims = self._keep is not None and not self._until_tip  # wherever what falls out of the retention is
        kinds = (BASE, HISTORY) if self._has_history else (BASE,)
        finisher.finish(wanted.segment, *kinds, beside=wanted.beside or trims)

    def swap(self, chunk: ReadyChunk, run: Run, commit_id: UUID) -> Swap:
        """Return the swap of the stretch and of the gates."""
        return LiveSwap(chunk, run, commit_id, gates=self._gates)

    def work(self, plan: Plan, this: Run, scribe: Scribe) -> Finish:
        """Follow; begin anew where other gates are to be served, or somebody else has filled what comes next."""
        while True:
            with closing(self._database.connect()) as self._conn:
                self._warn_of_lost(self._conn)
                self._gates = self._served(self._conn)
                self._warn(self._conn)
                sections = [name for gate in self._gates for name in gate.sections]
                self.sections = (*TABLES, *CONTRACTS, *dict.fromkeys(sections))
                finish = super().work(self.plan() if self._again else plan, this, scribe)
                self._again = True
                taken = isinstance(finish.error, CursorTaken) and finish.error.job == "backfill"
                taken |= isinstance(finish.error, HandedOff)  # to a run before this one, whose last commit came late
                if finish.outcome != "success" and not taken:
                    return finish  # at once: what has fallen out meanwhile goes when somebody looks again
                if finish.outcome == "success" and self._until_tip:
                    with suppress(psycopg.Error):  # likewise
                        self._warn_of_lost(self._conn)
                        self._trim(self._conn, step=1)
                    return finish

    def _served(self, conn: psycopg.Connection) -> tuple[Gate, ...]:
        """Return the gates that are close to what the store has: the source may be far ahead, and is caught up with."""
        try:
            for each in contracts.set_up(conn):
                self._classifier.protocol(each.id)  # it may have been set up, and its plug-in installed, meanwhile
        except Refused as error:
            if str(error) != self._unfound:
                logger.warning("what protocols make of ledgers is not complete: %s", error)
            self._unfound = str(error)
        return served(conn, self._classifier.protocols, tip(conn), self._gates)

    def _warn(self, conn: psycopg.Connection) -> None:
        """Say of what it had taken over that somebody else has brought ledgers without it: that needs a migration."""
        for gate, last in left_behind(conn, self._classifier.protocols, tip(conn)):
            words = (*JOBS[gate.kind].split(), "--protocol-id", gate.protocol.id)
            logger.warning(
                "the %s of %s ends with ledger %s, since another run has brought those after it: %s goes on with it",
                gate.kind.replace("_", " "),
                gate.protocol.id,
                last,
                other_command(self._settings, *words, sourced=True),
            )

    def _warn_of_lost(self, conn: psycopg.Connection) -> None:
        """Say of what it has written so far that it cannot any more; once, for from then on it is not served."""
        for gate in lost(conn, self._gates):
            logger.warning(
                "the %s of %s is written no more: its cursor, %s, was removed from the store",
                gate.kind.replace("_", " "),
                gate.protocol.id,
                gate.key,
            )

    def look(self) -> Look | None:
        """Return what looks for newer ledgers, and for protocols that come close."""
        return None if self._until_tip else self._look

    def _look(self) -> Grown | Ended | None:
        try:
            newest = self._newest()
            with closing(self._database.connect()) as conn:
                if self._served(conn) != self._gates:
                    return Ended()
                below = stretches.hashes(conn, [self._tip]).get(self._tip) if newest > self._tip else None
                self._trim(conn, step=1 if newest <= self._tip else _TRIM_LEDGERS)
        except (SourceError, BackfillError, psycopg.Error) as error:  # who commits waits for the database, and says so
            why = f"cannot look for the next ledger: {first_line(error)}"
            if not may_pass(error):
                raise BackfillError(why) from error
            self._silence.troubled(why)
            return None
        if newest <= self._tip:
            self._silence.lasts(f"waiting for ledger {self._tip + 1}: nothing new in {self._settings.source_shown}")
            return None
        self._silence.ended()
        gap = Gap(ledgers=LedgerRange(self._tip + 1, newest), below=below)
        self._source = replace(self._source, wanted=LedgerRange(self._source.wanted.first, newest))
        return Grown(gap)

    def _newest(self) -> int:
        """Return the newest ledger of the source; as long as the next one is not there it is listed but seldom.

        Raises `SourceError` where it does not answer, or has lost every ledger.
        """
        assert isinstance(self._source.reader, Lake)  # noqa: S101 - a stream was refused
        now = time.monotonic()
        if now - self._listed < _LIST_S and not self._source.reader.exists(self._tip + 1):
            return self._tip
        newest = self._source.reader.newest()
        if newest is None:  # a folder that is no longer mounted, say
            raise SourceError(f"there is no ledger any more in {self._settings.source_shown}")
        self._listed = now  # after trouble it is listed at once again: else that would be said anew each time
        return newest

    def _trim(self, conn: psycopg.Connection, *, step: int) -> None:
        """Let go of what falls out of the retention, once it is `step` ledgers."""
        if not (self._keep and (held := stretches.held(conn))):
            return
        first = max(1, held[-1].ledgers.last - self._keep + 1)
        if 0 < first - held[0].ledgers.first < step:
            return
        wanted = self._source.wanted  # from here on less is, for a trim that breaks off may have let go of some
        self._source = replace(self._source, wanted=LedgerRange(max(first, wanted.first), wanted.last))
        retention.trim(conn, first)
