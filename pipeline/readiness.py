"""Whether protocols are ready to be migrated, and over which ledgers; else it is refused, with what puts it right."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import psycopg

from pipeline.classification import Classifier
from pipeline.config import MigrateSettings
from pipeline.errors import Refused
from pipeline.progress import units
from pipeline.progress.report_text import place, ranges
from pipeline.resume import other_command
from pipeline.store import below, contracts, cursors, stretches, tokens, unread
from pipeline.store.cursors import Cursor, Kind
from pipeline.store.database import Database
from workers.messages import LedgerRange
from workers.protocols import Protocol

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ready:
    """Protocols that are ready, the first ledger of each, and how far they are."""

    kind: Kind
    protocols: tuple[Protocol, ...]
    firsts: Mapping[str, int]  # by protocol
    standing: Mapping[str, Cursor]  # by key
    tip: int
    below: tuple[LedgerRange, ...] = ()  # what histories lack below them

    def lowest(self, standing: Mapping[str, Cursor], ids: Iterable[str]) -> Cursor:
        """Return the lowest cursor of some protocols; one that is not there stands right below its first ledger."""
        new = (Cursor(cursors.key(each, self.kind), self.firsts[each] - 1, None, "", 0) for each in ids)
        found = (max(standing.get(each.key, each), each, key=lambda cursor: cursor.value) for each in new)
        return min(found, key=lambda cursor: cursor.value)

    @property
    def wanted(self) -> LedgerRange:
        """All that belongs to them, up to the tip."""
        return LedgerRange(min(self.tip, *self.firsts.values()), self.tip)

    @property
    def left(self) -> LedgerRange:
        """What is not done of it; the tip alone where all is."""
        lowest = self.lowest(self.standing, self.firsts).value + 1
        return LedgerRange(min(lowest, self.tip, *(each.first for each in self.below)), self.tip)


def ready(kind: Kind, settings: MigrateSettings, database: Database, conn: psycopg.Connection) -> Ready:
    """Return how far the protocols are that settings name. Raises `Refused` where one is not ready."""
    classifier, where = Classifier(), place(database.shown)
    ids = sorted(set(settings.protocol_ids))
    protocols = tuple(classifier.protocol(each) for each in ids)
    held = stretches.held(conn)
    if not held:
        first = "N" if settings.start_given is None else settings.start_given
        before = other_command(settings, "backfill", "--start-ledger", first, sourced=True)
        raise Refused(f"there are no ledgers in {where}; first comes: {before}")
    newest, firsts, standing = held[-1].ledgers, {}, {}
    for protocol in protocols:
        found = _ready(kind, protocol, settings, conn, where)
        if found.cursor is not None:
            standing[found.cursor.key] = found.cursor
        given = newest.first if kind == "history" else settings.start_given
        first = _first(kind, protocol.id, found, given)
        if first > newest.last and found.begins is None:
            words = ("backfill", "--start-ledger", newest.last + 1, "--end-ledger", first)
            before = other_command(settings, *words, sourced=True)
            raise Refused(
                f"--start-ledger {first} is beyond the tip, ledger {newest.last} of {where}; first comes: {before}"
            )
        firsts[protocol.id] = max(first, held[0].ledgers.first) if kind == "history" else first
    lower = below.found(conn, ids if kind == "history" else ())
    firsts |= {each: min(firsts[each], there.ledgers.first) for each, there in lower.items()}
    lacks = tuple(part for there in lower.values() for part in there.lacks)
    return Ready(kind, protocols, firsts, standing, newest.last, lacks)


def warn(found: Ready, conn: psycopg.Connection) -> None:
    """Say what will be missing in the end although all goes well."""
    for each, first in found.firsts.items() if found.kind == "history" else ():
        parts = (held.ledgers for held in stretches.held(conn) if held.ledgers.first < first)
        if without := tuple(LedgerRange(part.first, min(part.last, first - 1)) for part in parts):
            logger.warning(
                "the history of %s begins with ledger %s: of ledgers %s, which the store has as well, there is none",
                each,
                first,
                ranges(without),
            )
    unseen, wasms = contracts.unseen(conn)
    if unseen:
        logger.warning(
            "%s run code that was never seen (%s): what they do until it is seen is left out; "
            "ledgerfill setup --archive URL may bring it",
            units.plural(unseen, "contract"),
            units.plural(wasms, "code"),
        )


def tip(conn: psycopg.Connection) -> int:
    """Return the newest ledger of the store; 0 where there is none."""
    held = stretches.held(conn)
    return held[-1].ledgers.last if held else 0


def _ready(
    kind: Kind, protocol: Protocol, settings: MigrateSettings, conn: psycopg.Connection, where: str
) -> cursors.Standing:
    """Return how far a protocol is. Raises `Refused` unless it is set up and classified."""
    setup = ["setup", *(word for each in settings.protocol_ids for word in ("--protocol-id", each))]
    if not tokens.sections(protocol, kind):
        raise Refused(
            f"the plug-in of protocol {protocol.id} has no state tables: there is no current state to migrate"
            if protocol.rows is not None
            else f"the plug-in of protocol {protocol.id} has no `rows`: nothing makes its {kind.replace('_', ' ')}"
        )
    found = cursors.standing(conn, protocol.id, kind)
    if found is None:
        before = other_command(settings, *setup)
        raise Refused(f"protocol {protocol.id} is not set up in {where}; first comes: {before}")
    if found.classification != "success":
        before = other_command(settings, *setup, sourced=bool(unread.ranges(conn)))
        raise Refused(
            f"contracts in {where} are not classified for {protocol.id} (status {found.classification}); "
            f"first comes: {before}"
        )
    if found.begins is not None and found.cursor is None:
        raise Refused(
            f"the migration of {protocol.id} began with ledger {found.begins}, but its cursor "
            f"{cursors.key(protocol.id, kind)} is gone from {where}: restore the database from a backup"
        )
    reached = found.cursor.value if found.cursor else 0
    if reached > (last := tip(conn)):  # read after it: both may move on together
        raise Refused(
            f"the {kind.replace('_', ' ')} of {protocol.id} stands at ledger {reached}, beyond the tip, ledger {last} "
            f"of {where}: where ledgers were taken out of the store, take the protocol out as well"
        )
    return found


def _first(kind: Kind, protocol_id: str, found: cursors.Standing, given: int | None) -> int:
    """Return the first ledger of a migration: where it began, or where it shall begin."""
    if found.begins is not None:
        if kind == "current_state" and given not in (None, found.begins):
            raise Refused(
                f"the current state of {protocol_id} began with ledger {found.begins}, and --start-ledger is {given}: "
                f"leave it away, or give --start-ledger {found.begins}"
            )
        return found.begins
    if given is None:
        raise Refused(f"--start-ledger is missing: the current state of {protocol_id} has not begun yet")
    return given
