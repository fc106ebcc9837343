"""A store holds one network."""

from __future__ import annotations

import psycopg
import pytest

from pipeline.errors import Refused
from pipeline.store import network


def test_first_network_stays(store: str):
    """The first run pins the network; the same again is fine, and another is refused with both named."""
    with psycopg.connect(store, autocommit=True) as conn:
        assert network.pinned(conn) is None
        network.check(conn, "any; 2015")
        assert network.pinned(conn) is None
        network.pin(conn, "one; 2015")
        network.pin(conn, "one; 2015")
        with pytest.raises(Refused, match="of the network 'one; 2015', the source is of 'other; 2015'") as caught:
            network.pin(conn, "other; 2015")
        assert caught.value.exit_code == 2
        assert network.pinned(conn) == "one; 2015"
