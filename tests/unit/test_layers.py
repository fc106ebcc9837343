"""Arrows between layers point one way."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PURE = ("plan", "reorder", "stall", "window", "coordinator", "chunk", "crew", "chain", "commit_queue", "tally")
IMPURE = {"os", "time", "threading", "socket", "subprocess", "psycopg", "asyncio", "signal", "select", "datetime"}


def imported(path: Path) -> set[str]:
    """Return the first names of all modules that a file imports, also inside functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("path", sorted((ROOT / "workers").rglob("*.py")), ids=lambda path: path.name)
def test_workers_import_neither_pipeline_nor_database(path):
    """A worker knows nothing of the coordinator's side and has no way to a database."""
    assert not imported(path) & {"pipeline", "psycopg"}


@pytest.mark.parametrize("name", PURE)
def test_rules_do_no_io(name):
    """The rules import nothing that could reach a clock, a file, a process or a network."""
    assert not imported(ROOT / "pipeline" / f"{name}.py") & IMPURE


def test_only_the_store_speaks_sql():
    """Outside of `pipeline/store`, a database is a connection to pass on: no module executes a query."""
    for path in (ROOT / "pipeline").rglob("*.py"):
        if "store" not in path.relative_to(ROOT / "pipeline").parts[0]:
            assert ".execute(" not in path.read_text(), path
