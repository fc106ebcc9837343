"""The network of a store: the first run pins it, and no other network's ledgers come in."""

from __future__ import annotations

import psycopg

from pipeline.errors import Refused
from pipeline.store import queries

_SQL = queries.load("network")


def pinned(conn: psycopg.Connection) -> str | None:
    """Return the passphrase of the store's network; None while it holds nothing."""
    row = conn.execute(_SQL["pinned"]).fetchone()
    return row[0] if row else None


def pin(conn: psycopg.Connection, passphrase: str) -> None:
    """Make this the store's network unless it is bound to one; `Refused` when it holds another's ledgers."""
    conn.execute(_SQL["pin"], {"passphrase": passphrase})
    if pinned(conn) != passphrase:
        conn.execute(_SQL["correct"], {"passphrase": passphrase})
    check(conn, passphrase)


def check(conn: psycopg.Connection, passphrase: str) -> None:
    """Raise `Refused` when the store holds another network's ledgers; writes nothing.

    A passphrase that not one transaction in the store bears out binds nobody: a run may have failed at the first.
    """
    held = pinned(conn)
    if held is not None and held != passphrase and conn.execute(_SQL["bound"]).fetchone() == (True,):
        raise Refused(f"the store holds ledgers of the network {held!r}, the source is of {passphrase!r}")
