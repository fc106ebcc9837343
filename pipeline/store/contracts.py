"""Contracts in the store: what a chunk or an archive says of them is staged, then merged at the commit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg

from pipeline.errors import Unclassified
from pipeline.store import queries, staging
from workers.messages import CONTRACTS

if TYPE_CHECKING:  # who only looks needs no plug-ins
    from pipeline.classification import Classifier

_SQL = queries.load("contracts")
SINCE = 4  # store version
SPECS, INSTANCES = STAGED = CONTRACTS

Spec = tuple[bytes, bytes | None]  # hash of a contract code, its contractspecv0
Instance = tuple[bytes, int, bytes | None, str | None]  # contract, from ledger, hash of its code, name


@dataclass(frozen=True, slots=True)
class Protocol:
    """A protocol that was set up, and how far each of its three jobs is."""

    id: str
    claims_assets: bool
    classification: str
    history: str
    current_state: str


@dataclass(frozen=True, slots=True)
class Counted:
    """How much of a protocol there is: codes that it claims, and contracts that run one of them last."""

    id: str
    wasms: int
    contracts: int


def stage(conn: psycopg.Connection, specs: Iterable[Spec], instances: Iterable[Instance]) -> None:
    """Stage what an archive says, in the caller's transaction."""
    types = {SPECS: ("bytea", "bytea", "int4"), INSTANCES: ("bytea", "int4", "bytea", "text")}
    rows: dict[str, Iterable[Sequence[object]]] = {SPECS: ((*spec, None) for spec in specs), INSTANCES: instances}
    for section in STAGED:
        with conn.cursor().copy(staging.copy_into(conn, section)) as copy:
            copy.set_types(types[section])
            for row in rows[section]:
                copy.write_row(row)


def merge(conn: psycopg.Connection, staged: Iterable[str], since: int, classifier: Classifier) -> None:
    """Merge what is `staged` into the books, in the caller's transaction; code that is new is classified at once.

    `since`: from this ledger on, up to what is staged, all were read and merged: what says nothing new is left out.
    Raises what `Classifier.verdict` does.
    """
    if SPECS in staged:
        conn.execute(_SQL["share"])
    if INSTANCES in staged:  # before code: what is wrong with that names who runs it
        conn.execute(_SQL["merge_instances"], {"since": since})
    if SPECS in staged and (new := conn.execute(_SQL["merge_specs"]).fetchall()):
        _claim(conn, new, classifier, staged=True)


def set_up(conn: psycopg.Connection) -> list[Protocol]:
    """Return the protocols that this store has, by id."""
    return [Protocol(*row) for row in conn.execute(_SQL["set_up"])]


def add(conn: psycopg.Connection, ids: Sequence[str], classifier: Classifier) -> None:
    """Set up protocols, and show those that are new all code: in one transaction.

    Raises what `Classifier.verdict` does, also where one claims what another has claimed before; then none was set up.
    """
    with conn.transaction():
        conn.execute(_SQL["alone"])
        rows = {name: {"id": name, "claims_assets": classifier.claims_assets(name)} for name in ids}
        new = [name for name, row in rows.items() if conn.execute(_SQL["add"], row).rowcount]
        for wasm_hash, spec, owner in conn.execute(_SQL["claimed"]).fetchall() if new else ():
            _verdict(conn, (wasm_hash, spec), new, classifier, owner=owner)
        _claim(conn, conn.execute(_SQL["unclaimed"]).fetchall(), classifier)


def say(conn: psycopg.Connection, ids: Sequence[str], status: str) -> None:
    """Write down how far the classification of protocols is."""
    for name in ids:
        conn.execute(_SQL["status"], {"id": name, "status": status})


def counts(conn: psycopg.Connection) -> list[Counted]:
    """Return how much of each protocol there is, by id."""
    return [Counted(*row) for row in conn.execute(_SQL["counts"])]


def unseen(conn: psycopg.Connection) -> tuple[int, int]:
    """Return how many contracts run code that was never seen, and how many codes these are."""
    contracts, wasms = conn.execute(_SQL["unseen"]).fetchone() or (0, 0)
    return contracts, wasms


def _claim(conn: psycopg.Connection, specs: Iterable[Spec], classifier: Classifier, *, staged: bool = False) -> None:
    ids = [protocol.id for protocol in set_up(conn)]
    for code in specs:
        if protocol := _verdict(conn, code, ids, classifier, staged=staged):
            conn.execute(_SQL["claim"], {"wasm_hash": code[0], "protocol_id": protocol})


def _verdict(
    conn: psycopg.Connection,
    code: Spec,
    ids: Sequence[str],
    classifier: Classifier,
    *,
    owner: str | None = None,
    staged: bool = False,
) -> str | None:
    """Return what `Classifier.verdict` does; what it raises names the ledger as far as it is known.

    That is from which on a contract runs this code, or else the one that has it of those that are `staged`.
    """
    try:
        return classifier.verdict(*code, ids, owner=owner)
    except Unclassified as error:
        asked = {"wasm_hash": code[0]}
        if seen := conn.execute(_SQL["seen"], asked).fetchone():
            contract, ledger = seen
            raise Unclassified(f"{error}; contract {contract} runs it from ledger {ledger} on") from error
        if staged and (seen := conn.execute(_SQL["staged"], asked).fetchone()):
            raise Unclassified(f"{error}; ledger {seen[0]} has it") from error
        raise
