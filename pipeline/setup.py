"""The job `setup`: protocols are set up, and every contract code that the store knows is shown to them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg

from pipeline.classification import Classifier
from pipeline.config import SetupSettings
from pipeline.errors import Refused
from pipeline.progress.report_text import place
from pipeline.store import contracts, cursors, network, state, stretches, unread
from pipeline.store.connection import permitted
from pipeline.store.contracts import Counted
from pipeline.store.cursors import Late
from pipeline.store.database import Database
from workers.messages import LedgerRange

if TYPE_CHECKING:
    from pipeline.archive import Opened

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetUp:
    """How the classification of a store stands."""

    database: str
    protocols: tuple[Counted, ...]  # all of the store, by id
    unread: tuple[LedgerRange, ...]  # ledgers whose contracts were never read
    unseen_contracts: int  # that run code which neither a ledger nor an archive has shown
    unseen_wasms: int  # these codes
    checkpoint: int | None  # of the archive that was read
    late: tuple[Late, ...]  # what it has shown too late

    @property
    def complete(self) -> bool:
        """Whether all that the store holds is classified."""
        return not self.unread


@permitted()
def check(settings: SetupSettings) -> list[LedgerRange]:
    """Return the ledgers whose contracts were never read. Raises `Refused` for what cannot be set up."""
    database = Database(settings)
    with closing(database.connect()) as conn:
        _network(settings, conn)
        _ids(settings, conn, database, Classifier())
        return unread.ranges(conn)


@permitted()
def run(settings: SetupSettings) -> SetUp:
    """Set up protocols, feed the store from an archive where one is given, and say how the classification stands.

    The same command again goes on where it stopped. Raises `Refused` before anything was begun, and what a plug-in or
    an archive is at fault for; their classification is marked failed then.
    """
    database, classifier = Database(settings), Classifier()
    with closing(database.connect()) as conn:
        passphrase = _network(settings, conn)
        ids = _ids(settings, conn, database, classifier)
        opened = _archive(settings, conn, passphrase)
        for name in ids:
            state.ensure_all(conn, classifier.protocol(name))
        contracts.add(conn, ids, classifier)
        contracts.say(conn, ids, "in_progress")
        late = list[Late]()
        try:
            if opened is not None and passphrase is not None:
                late = _feed(conn, opened, passphrase, classifier)
        except BaseException:
            contracts.say(conn, ids, "failed")
            raise
        return _ended(conn, database, ids, opened, late)


def _ids(settings: SetupSettings, conn: psycopg.Connection, database: Database, classifier: Classifier) -> list[str]:
    """Return the protocols that are asked for, or else those that are set up."""
    ids = list(settings.protocol_ids) or [protocol.id for protocol in contracts.set_up(conn)]
    if not ids:
        known = ", ".join(sorted(classifier.protocols))
        raise Refused(f"no protocol is set up in {place(database.shown)}: give --protocol-id ({known})")
    assets = [name for name in ids if classifier.claims_assets(name)]
    standing = [protocol.id for protocol in contracts.set_up(conn) if protocol.claims_assets]
    if len(claiming := dict.fromkeys([*standing, *assets])) > 1:
        raise Refused(f"protocols {' and '.join(claiming)} both claim Stellar Asset Contracts: only one of them can")
    return ids


def _network(settings: SetupSettings, conn: psycopg.Connection) -> str | None:
    """Return the passphrase of the store's network, or that which an archive shall be of."""
    if settings.network_passphrase is not None:
        network.check(conn, settings.network_passphrase)
        return settings.network_passphrase
    pinned = network.pinned(conn)
    if settings.archive is not None and pinned is None:
        raise Refused("the store is of no network yet: give --network-passphrase")
    return pinned


def _archive(settings: SetupSettings, conn: psycopg.Connection, passphrase: str | None) -> Opened | None:
    """Open the archive, if one is given: whatever is refused of it is refused before anything is begun."""
    if settings.archive is None or passphrase is None:
        return None
    from pipeline import archive  # with an object store's client

    opened = archive.opened(settings.archive, settings.checkpoint, passphrase)
    held = stretches.hashes(conn, [opened.ledger]).get(opened.ledger, opened.hash)
    if held != opened.hash:
        raise Refused(
            f"the archive is of another history: its ledger {opened.ledger} is {opened.hash.hex()}, "
            f"the store holds {held.hex()}"
        )
    return opened


def _feed(conn: psycopg.Connection, opened: Opened, passphrase: str, classifier: Classifier) -> list[Late]:
    """Merge what is live at a checkpoint of an archive, in one transaction, and return where that comes late."""
    found = opened.read()
    with conn.transaction():
        network.pin(conn, passphrase)
        instances = ((contract, found.ledger, wasm, name) for contract, wasm, name in found.instances)
        contracts.stage(conn, found.specs, instances)
        contracts.merge(conn, contracts.STAGED, found.ledger, classifier)
        late = cursors.late(conn)
    logger.info(
        "checkpoint %s has %s live contracts and %s codes", found.ledger, len(found.instances), len(found.specs)
    )
    return late


def _ended(
    conn: psycopg.Connection, database: Database, ids: Sequence[str], opened: Opened | None, late: Sequence[Late]
) -> SetUp:
    left = tuple(unread.ranges(conn))
    unseen_contracts, unseen_wasms = contracts.unseen(conn)
    if not left:
        contracts.say(conn, ids, "success")
    return SetUp(
        database=database.shown,
        protocols=tuple(contracts.counts(conn)),
        unread=left,
        unseen_contracts=unseen_contracts,
        unseen_wasms=unseen_wasms,
        checkpoint=opened.ledger if opened else None,
        late=tuple(late),
    )
