"""Staging: sections that are merged with what the store has wait in tables of this session for their chunk's turn."""

from __future__ import annotations

import psycopg
from psycopg import sql

from pipeline.store import queries

_SQL = queries.load("staging")
_STAGE = {  # what makes the table of a section
    "contract_specs": "contract_specs",
    "contract_instances": "contract_instances",
    "sep41_state_changes": "state_changes",
    "sep41_balances": "sep41_balances",
    "sep41_allowances": "sep41_allowances",
    "sep50_state_changes": "state_changes",
    "sep50_tokens": "sep50_tokens",
}


def table(section: str) -> sql.Identifier:
    """Return the name of the table in which the rows of a section wait."""
    return sql.Identifier(f"ledgerfill_{section}")


def copy_into(conn: psycopg.Connection, section: str) -> sql.Composed:
    """Return the COPY that takes a section, whose rows are gone again when the transaction ends."""
    names = {"staged": table(section)}
    conn.execute(queries.template(_SQL[_STAGE[section]], names))
    return queries.template(_SQL["copy"], names)
