"""Staging: sections that are merged with what the store has wait in tables of this session for their chunk's turn."""

from __future__ import annotations

import hashlib

import psycopg
from psycopg import sql

from pipeline.store import queries

_SQL = queries.load("staging")
_LONGEST = 63  # bytes of a name in PostgreSQL
_STAGE = {  # what makes the table of a section
    "contract_specs": "contract_specs",
    "contract_instances": "contract_instances",
    "sep41_state_changes": "state_changes",
    "sep41_balances": "sep41_balances",
    "sep41_allowances": "sep41_allowances",
    "sep50_state_changes": "state_changes",
    "sep50_tokens": "sep50_tokens",
    "sep41_events": "token_events",
    "sep50_events": "token_events",
}


def name(section: str) -> str:
    """Return the name of the table in which the rows of a section wait."""
    whole = f"ledgerfill_{section}"
    if len(whole) <= _LONGEST:
        return whole
    return f"ledgerfill_{hashlib.sha256(section.encode()).hexdigest()[:32]}"  # the server cuts, and takes two for one


def table(section: str) -> sql.Identifier:
    """Return the same, quoted."""
    return sql.Identifier(name(section))


def copy_into(conn: psycopg.Connection, section: str, table_of: sql.Composed | None = None) -> sql.Composed:
    """Return the COPY that takes a section, whose rows are gone again when the transaction ends.

    `table_of`: what makes its table, where that is not known by the section's name.
    """
    names = {"staged": table(section)}
    conn.execute(table_of or queries.template(_SQL[_STAGE[section]], names))
    return queries.template(_SQL["copy"], names)


def changes(section: str) -> sql.Composed:
    """Return what makes the table for the history that a plug-in in Python makes."""
    return queries.template(_SQL["plug_in_changes"], {"staged": table(section)})
