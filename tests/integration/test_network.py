"""A store holds one network."""

from __future__ import annotations

import psycopg
import pytest

from pipeline.errors import Refused
from pipeline.store import network, segments
from workers.messages import LedgerRange


def test_network_that_a_transaction_proves_stays(conn: psycopg.Connection):
    """The first run pins the network; the same again is fine, and another is refused with both named."""
    assert network.pinned(conn) is None
    network.check(conn, "any; 2015")
    assert network.pinned(conn) is None
    network.pin(conn, "one; 2015")
    network.pin(conn, "one; 2015")
    segments.ensure(conn, LedgerRange(1, 1))
    conn.execute(
        "INSERT INTO ledgerfill.transactions VALUES (4294971392, '\\x01', true, 1, 100, '\\x30', NULL, NULL, 0)"
    )
    for refuse in (network.pin, network.check):
        with pytest.raises(Refused, match="of the network 'one; 2015', the source is of 'other; 2015'") as caught:
            refuse(conn, "other; 2015")
        assert caught.value.exit_code == 2
    assert network.pinned(conn) == "one; 2015"


def test_network_that_nothing_proves_may_be_mended(conn: psycopg.Connection):
    """A first run with a wrong passphrase stops before any transaction is there: the next may have the right one."""
    network.pin(conn, "wrong")
    network.check(conn, "right")
    assert network.pinned(conn) == "wrong", "a check writes nothing"
    network.pin(conn, "right")
    assert network.pinned(conn) == "right"
