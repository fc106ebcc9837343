"""SQL in its own files: what Python names is there, and what is there is named and described."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.store import queries

STORE = Path(queries.__file__).parent
LOADED = {
    match[1]: path
    for path in sorted(STORE.rglob("*.py"))
    for match in re.finditer(r'queries\.load\("(\w+)"\)', path.read_text())
}


@pytest.mark.parametrize("name", LOADED)
def test_each_query_is_described(name: str):
    """Each query says in a comment what it is for."""
    for query, text in queries.load(name).items():
        assert text.startswith(b"-- "), f"{name}.{query} has no description"


@pytest.mark.parametrize("name", LOADED)
def test_each_query_is_used_and_each_use_has_a_query(name: str):
    """The names in Python and those in the file are the same."""
    users = [path.read_text() for path in STORE.rglob("*.py") if f'queries.load("{name}")' in path.read_text()]
    used = set(re.findall(r'_SQL\["(\w+)"\]', "".join(users)))
    known = set(queries.load(name))
    assert used <= known
    assert not {query for query in known - used if not re.search(rf'"{query}"', "".join(users))}
