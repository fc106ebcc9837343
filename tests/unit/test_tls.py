"""When a server has to prove who it is."""

from __future__ import annotations

import pytest
from psycopg.conninfo import conninfo_to_dict

from pipeline.errors import Refused
from pipeline.store import tls


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch):
    for name in ("PGHOST", "PGHOSTADDR", "PGSSLMODE", "PGSSLROOTCERT", "PGSERVICE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("postgresql:///x", True),
        ("postgresql://localhost/x", True),
        ("postgresql://127.0.0.1/x", True),
        ("postgresql://127.3.2.1/x", True),
        ("postgresql://[::1]/x", True),
        ("postgresql://%2Fvar%2Frun/x", True),
        ("host=/var/run dbname=x", True),
        ("postgresql://10.0.0.1/x", False),
        ("postgresql://db.example.com/x", False),
        ("postgresql://localhost.example.com/x", False),
        ("postgresql://localhost,db.example.com/x", False),
        ("postgresql://db.example.com/x?hostaddr=127.0.0.1", False),
        ("postgresql://localhost/x?hostaddr=10.0.0.1", False),
        ("service=remote", False),
    ],
)
def test_local_means_this_machine_alone(url: str, local: bool):
    """Only sockets and loopback are local, and of several hosts every one has to be."""
    assert tls.is_local(conninfo_to_dict(url)) is local


def test_a_server_elsewhere_has_to_prove_who_it_is():
    """Without another word a server that is not local is verified in full, against the system's authorities."""
    found = tls.parameters({"host": "db.example.com"}, insecure=False)
    assert found["sslmode"] == "verify-full"
    assert found["sslrootcert"]


def test_the_users_own_authority_counts():
    """An authority that the URL names is the one that is asked."""
    named = {"host": "db.example.com", "sslrootcert": "/own.crt", "sslmode": "verify-full"}
    assert tls.parameters(named, insecure=False) == {"sslmode": "verify-full"}


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer", "require", "verify-ca"])
def test_less_takes_a_flag(mode: str, monkeypatch: pytest.MonkeyPatch):
    """A weaker mode, from the URL or the environment, is refused without the flag and obeyed with it."""
    asked = {"host": "db.example.com", "sslmode": mode}
    with pytest.raises(Refused, match=f"asks for sslmode={mode} and its host is not local: .*--insecure-tls"):
        tls.parameters(asked, insecure=False)
    assert tls.parameters(asked, insecure=True) == {"sslmode": mode}
    monkeypatch.setenv("PGSSLMODE", mode)
    with pytest.raises(Refused):
        tls.parameters({"host": "db.example.com"}, insecure=False)


def test_the_flag_alone_still_encrypts():
    """With the flag and nothing else said the connection is encrypted, to whomever."""
    assert tls.parameters({"host": "db.example.com"}, insecure=True) == {"sslmode": "require"}


def test_a_local_server_is_left_alone():
    """On this machine the URL decides."""
    assert tls.parameters({"host": "localhost"}, insecure=False) == {}
    assert tls.parameters({"host": "localhost", "sslmode": "require"}, insecure=False) == {"sslmode": "require"}
