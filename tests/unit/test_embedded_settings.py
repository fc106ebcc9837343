"""The embedded server's settings follow the machine's memory and what the server does."""

from __future__ import annotations

import pytest

from pipeline.store.embedded import settings

GIB = 1 << 30


def test_profiles_set_the_same_settings():
    """One takes the place of the other whole: nothing of loading is left when serving."""
    assert settings.LOADING.keys() == settings.SERVING.keys()
    assert not settings.LOADING.keys() & settings.common(GIB).keys()


@pytest.mark.parametrize(
    ("memory", "shared"), [(GIB // 4, "128MB"), (GIB, "256MB"), (8 * GIB, "2048MB"), (64 * GIB, "4096MB")]
)
def test_buffers_follow_the_memory(memory: int, shared: str):
    """A quarter of the memory, within bounds."""
    assert settings.common(memory)["shared_buffers"] == shared


def test_durability_is_in_no_profile():
    """Loading is no reason to lose what was committed."""
    durable = {"fsync", "full_page_writes", "synchronous_commit"}
    assert not durable & (settings.LOADING.keys() | settings.SERVING.keys() | settings.common(GIB).keys())


def test_what_is_written_can_be_read_back():
    """Quotes and empty values included."""
    wanted = {"a": "", "log_line_prefix": "%m 'it''s' [%p] ", "port": "5432"}
    assert settings.parse(settings.text(wanted)) == wanted


def test_queries_may_name_every_segment():
    """A join of three tables over 64 million ledgers, by five at once, finds room for its locks."""
    common = settings.common(GIB)
    segments, locks = 977, (3 + 2 + 3)  # tables with their indexes
    assert int(common["max_locks_per_transaction"]) * int(common["max_connections"]) >= 5 * segments * locks
