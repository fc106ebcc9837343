"""The jobs `migrate history` and `migrate current-state`: what protocols make of ledgers that the store has already.

They read these ledgers again from a source, from where each protocol's cursor stands up to the tip, in legs: protocols
that stand at one ledger go on together. Of histories, what the store has got below them meanwhile comes first.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

import psycopg

from pipeline import source
from pipeline.account import Account
from pipeline.actions import CompleteSegment, Finish, ReadyChunk
from pipeline.config import MigrateSettings
from pipeline.errors import BackfillError, FallenOut, HandedOff, Refused, first_line
from pipeline.events import Ended, Grown
from pipeline.follower import Silence
from pipeline.job import Job, account_of
from pipeline.plan import FOLDED_BYTES, Gap, Plan, missing
from pipeline.planning import check_held, check_trusted, make_plan
from pipeline.progress.report import Observer, RunReport
from pipeline.readiness import Ready, ready, tip, warn
from pipeline.segments import Segment
from pipeline.source import STREAM, OpenSource
from pipeline.store import below, books, cursors, locks, network, state, state_changes, stretches
from pipeline.store.books import Run
from pipeline.store.connection import may_pass, permitted
from pipeline.store.cursors import JOBS, Kind
from pipeline.store.database import Database
from pipeline.store.keeper import Keeper
from pipeline.store.legs import Leg, LegSwap, next_leg
from pipeline.store.state_changes import HISTORY
from pipeline.store.swap import Swap
from workers.messages import LedgerRange

if TYPE_CHECKING:
    from pipeline.follower import Look
    from pipeline.history import Scribe
    from pipeline.store.finish import Finisher

logger = logging.getLogger(__name__)
_SAY_S = 10.0  # at the end of a run, while the database is away


@permitted()
def run(kind: Kind, settings: MigrateSettings, observer: Observer) -> RunReport:
    """Bring protocols from where they stand to the tip, and return how it went; being there already is a success.

    Raises `Refused` before anything was begun, and `RunHeld` when another run has one of the protocols.
    """
    database = Database(settings)
    if settings.source.startswith(STREAM) and not settings.until_tip:
        raise Refused("a stream ends, and live ingestion does not take over from it: give --until-tip")
    with ExitStack() as stack:
        conn = stack.enter_context(closing(database.connect()))
        ready(kind, settings, database, conn)  # before the lock, too: who is refused shall not wait for it
        this = books.new_run(conn, job=JOBS[kind])
        for each in sorted(set(settings.protocol_ids)):
            stack.enter_context(closing(Keeper(database.connect, this, lock=locks.MIGRATION[kind] + each)))
        stack.enter_context(database.loading(this))
        found = ready(kind, settings, database, conn)
        warn(found, conn)
        account = account_of(database, observer)
        left = {"start_ledger": found.left.first, "end_ledger": found.left.last}
        opened = stack.enter_context(source.opened(narrowed := settings.model_copy(update=left), database.home))
        network.check(conn, opened.network_passphrase)
        check_trusted(narrowed, opened.wanted)
        check_held(narrowed, conn)
        job = _Migration(narrowed, database, replace(opened, wanted=found.wanted), conn, account, found)
        report = job.carry_out(this, observer)
        observer.finished(report)
        return report


class _Migration(Job):
    """Protocols, from where their cursors stand to the tip."""

    sections: tuple[str, ...] = ()  # those of the leg, once there is one

    def __init__(
        self,
        settings: MigrateSettings,
        database: Database,
        opened: OpenSource,
        conn: psycopg.Connection,
        account: Account,
        found: Ready,
    ) -> None:
        """Look at what is done already."""
        self._kind, self._found = found.kind, found
        self._left = {each.id: each for each in found.protocols}  # that live ingestion has not taken over
        self._until_tip = settings.until_tip
        self._leg: Leg | None = None
        self._said, self._silence = False, Silence()  # that it waits
        self._plan = Plan(wanted=opened.wanted, gaps=())
        self.job, self.protocol_ids = JOBS[found.kind], tuple(self._left)
        self.completes = found.kind == "history"
        if found.kind == "current_state" and not any(each.rows for each in found.protocols):
            self.target_bytes = FOLDED_BYTES  # rows that are made in Python may take as much memory before the fold
        super().__init__(settings, database, opened, conn, account)

    def gaps(self, conn: psycopg.Connection) -> tuple[Gap, ...]:
        """Return the ledgers that one of the protocols lacks; live ingestion lacks none of what it has taken over."""
        wanted, lacks = self._source.wanted, list[LedgerRange]()
        if self._kind == "history":
            lacks += (part for each in below.found(conn, self._found.firsts).values() for part in each.lacks)
        known = {each.ledgers.first - 1: each.previous_hash for each in stretches.held(conn)}
        if self._left:
            standing = cursors.read(conn, [cursors.key(each, self._kind) for each in self._left])
            lowest = self._found.lowest(standing, self._left)
            if lowest.value < wanted.last:
                lacks.append(LedgerRange(lowest.value + 1, wanted.last))
                known |= {lowest.value: lowest.hash} if lowest.hash else {}
        parts = missing(wanted, missing(wanted, lacks))  # each ledger once
        known |= stretches.hashes(conn, [ledger for part in parts for ledger in (part.first - 1, part.last)])
        return tuple(Gap(ledgers=each, below=known.get(each.first - 1), above=known.get(each.last)) for each in parts)

    def required(self, absent: Sequence[Gap]) -> int:
        """Return the end of what comes first: what is above a part below may come from another source."""
        return absent[0 if self._found.below else -1].ledgers.last

    def begin(self, this: Run) -> Plan:
        """Plan, and begin in the books: from here on where a protocol began stays as it is."""
        if self._kind == "current_state":
            for protocol in self._found.protocols:
                state.ensure_all(self._conn, protocol)
        plan = super().begin(this)
        known = stretches.hashes(self._conn, [first - 1 for first in self._found.firsts.values()])
        for each, first in self._found.firsts.items():
            cursors.begin(self._conn, each, self._kind, first, known.get(first - 1), this)
        return plan

    def go_on(self, plan: Plan, this: Run, observer: Observer) -> RunReport:
        """Carry out what was begun, and write down how it ended, also with each protocol."""
        try:
            report = super().go_on(plan, this, observer)
        except Exception:
            self._say("failed")
            raise
        if report.outcome != "interrupted":  # which stays in progress
            self._say("failed" if report.exit_code else "success")
        return report

    def _say(self, status: str) -> None:
        """Write down how far the protocols are, in several tries: after a run that ended well nobody else says it."""
        from pipeline.store.reconnect import Patience, retrying

        patience = Patience("write down how far the protocols are", _SAY_S)
        try:
            for attempt in retrying(patience, _is_away, cancelled=threading.Event()):
                with attempt, closing(self._database.connect()) as conn:
                    cursors.say(conn, self.protocol_ids, self._kind, status)
        except (BackfillError, psycopg.Error) as error:  # the lesser trouble
            reason = first_line(error)
            logger.warning("how far the protocols are could not be written down: %s", reason)

    def work(self, plan: Plan, this: Run, scribe: Scribe) -> Finish:
        """Go leg by leg, to the tip or until live ingestion has taken over every protocol."""
        while leg := self._next_leg(this):
            self._leg, self.sections = leg, leg.sections
            gaps = (leg.gap,) if leg.gap else ()
            if [gap.ledgers for gap in plan.gaps] != [gap.ledgers for gap in gaps]:
                plan = make_plan(self._settings, self._source, gaps, self.target_bytes)
            last = gaps[-1].ledgers.last if gaps else self._source.wanted.last
            at_tip = last == self._source.wanted.last and not leg.below
            together = leg.gap is None or len(leg.protocols) == len(self._left)  # else others would be left behind
            self._plan = plan.growing() if at_tip and together and not self._until_tip else plan
            finish = super().work(self._plan, this, scribe)
            if finish.outcome != "success" and not isinstance(finish.error, HandedOff | FallenOut):
                return finish
        if (self._leg is None or self._leg.below) and self._due(self._conn):  # left by a run that was killed at its end
            self._leg = None
            return super().work(replace(plan, gaps=()), this, scribe)
        return Finish("success")

    def _next_leg(self, this: Run) -> Leg | None:
        """Find the next leg; without an end, at the tip that is one which grows. Return None where there is none."""
        with closing(self._database.connect()) as conn:
            filled = self._found.protocols if self._kind == "history" else ()
            for each in filled:
                below.catch_up(conn, each.id, this)
            below.begin(conn, [each.id for each in filled], this)
            # After the jump: else ledgers may have come and fallen out meanwhile, and it would be beyond its own end.
            if not self._until_tip:
                self._widen(LedgerRange(newest := tip(conn), newest))
            last = self._source.wanted.last
            for taken in cursors.taken_over(conn, self._left, self._kind, last):
                logger.info("live ingestion has taken over the %s of %s", self._kind.replace("_", " "), taken)
                del self._left[taken]
            leg = next_leg(conn, self._kind, self._left.values(), last, filled=filled)
        if leg.gap:
            self._widen(leg.gap.ledgers)
        return leg if leg.gap or (self._left and not self._until_tip) else None

    def _widen(self, ledgers: LedgerRange) -> None:
        """Have the run be for ledgers that came to the store after it began, above or below, too."""
        wanted = self._source.wanted
        both = LedgerRange(min(wanted.first, ledgers.first), max(wanted.last, ledgers.last))
        self._source = replace(self._source, wanted=both)

    def look(self) -> Look | None:
        """Return what looks for ledgers that live ingestion has brought, and for what it has taken over."""
        return self._look if self._plan.grows else None

    def _look(self) -> Grown | Ended | None:
        last = self._source.wanted.last
        try:
            with closing(self._database.connect()) as conn:
                if cursors.taken_over(conn, self._left, self._kind, last) or self._found_below(conn):
                    return Ended()
                if (newest := tip(conn)) > last:
                    known = stretches.hashes(conn, [last, newest])  # but what has fallen out of the retention meanwhile
                    self._widen(gap := LedgerRange(last + 1, newest))
                    return Grown(Gap(ledgers=gap, below=known.get(last), above=known.get(newest)))
                if not self._said and next_leg(conn, self._kind, self._left.values(), last).gap is None:
                    self._said = True
                    logger.info(
                        "at ledger %s, the newest of the store: waiting for live ingestion to bring the next", last
                    )
            self._silence.ended()
        except (BackfillError, psycopg.Error) as error:
            why = f"cannot look for live ingestion: {first_line(error)}"
            if not may_pass(error):
                raise BackfillError(why) from error
            self._silence.troubled(why)
        return None

    def _found_below(self, conn: psycopg.Connection) -> bool:
        """Return whether ledgers have come below a history: they go before those that are waited for."""
        return self._kind == "history" and bool(below.found(conn, self._found.firsts))

    def due(self, conn: psycopg.Connection) -> list[Segment]:
        """Return the segments whose history lacks indexes."""
        return state_changes.due(conn)

    def complete(self, finisher: Finisher, wanted: CompleteSegment) -> None:
        """Complete the history of a segment, unless the next leg goes into it, too."""
        legs_end = self._leg.gap.ledgers.last if self._leg and self._leg.gap else self._source.wanted.last
        if self._plan.grows or legs_end >= min(wanted.segment.ledgers.last, self._source.wanted.last):
            finisher.finish(wanted.segment, HISTORY, beside=wanted.beside)

    def swap(self, chunk: ReadyChunk, run: Run, commit_id: UUID) -> Swap:
        """Return the swap of the leg's cursors."""
        assert self._leg is not None  # noqa: S101 - chunks are of a leg
        return LegSwap(chunk, run, commit_id, leg=self._leg)

    def report(self, finish: Finish, lacks: tuple[LedgerRange, ...]) -> RunReport:
        """Return the report; handed off where live ingestion has taken over every protocol."""
        report = super().report(finish, lacks)
        handed_off = report.outcome == "success" and not self._left
        return replace(report, outcome="handed_off") if handed_off else report


def _is_away(error: BaseException) -> bool:
    return isinstance(error, BackfillError | psycopg.OperationalError) and may_pass(error)
