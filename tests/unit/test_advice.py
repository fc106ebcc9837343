"""Advice on a server's settings: each rule speaks where it should, and nowhere else."""

from __future__ import annotations

import pytest

from pipeline.store.advice import Advice, Setting, advise, amount

# A server that nothing is to be said of.
GOOD = {
    "checkpoint_timeout": "5min",
    "fsync": "on",
    "max_connections": "100",
    "max_wal_size": "4GB",
    "reserved_connections": "0",
    "shared_buffers": "128MB",
    "superuser_reserved_connections": "3",
    "synchronous_commit": "on",
    "synchronous_standby_names": "",
    "wal_buffers": "16MB",
    "wal_compression": "off",
}


def advice(*, sessions: int = 10, connections: int = 7, **changed: str) -> dict[str, Advice]:
    settings = {name: Setting(value, name == "max_connections") for name, value in (GOOD | changed).items()}
    return {each.name: each for each in advise(settings, sessions=sessions, connections=connections)}


def test_a_good_server_is_left_alone():
    """Where all is well there is nothing to say, and a setting that a server does not have is none."""
    assert advice() == {}
    assert advise({}, sessions=0, connections=7) == ()


@pytest.mark.parametrize(
    ("name", "present", "proposed"),
    [
        ("fsync", "off", "on"),
        ("max_wal_size", "1GB", "4GB"),
        ("max_wal_size", "4095MB", "4GB"),
        ("checkpoint_timeout", "299s", "5min"),
        ("wal_buffers", "4MB", "16MB"),
        ("wal_buffers", "512kB", "16MB"),
        ("shared_buffers", "16MB", "128MB"),
        ("wal_compression", "pglz", "off"),
        ("wal_compression", "on", "off"),
    ],
)
def test_a_setting_that_holds_back_is_named(name: str, present: str, proposed: str):
    """Its present value, a better one and a reason; nothing is said of any other."""
    found = advice(**{name: present})
    assert list(found) == [name]
    assert (found[name].present, found[name].proposed) == (present, proposed)
    assert found[name].reason


@pytest.mark.parametrize(
    ("name", "present"),
    [
        ("max_wal_size", "1TB"),
        ("checkpoint_timeout", "1d"),
        ("shared_buffers", "1GB"),
        ("wal_buffers", "-1"),
        ("wal_compression", "lz4"),
        ("wal_compression", "zstd"),
        ("maintenance_work_mem", "4GB"),
        ("synchronous_commit", "off"),
    ],
)
def test_a_setting_that_does_not_hold_back_is_not_named(name: str, present: str):
    """More than enough is enough, quick compression is no burden, and a run sets for itself what its sorts have."""
    assert advice(**{name: present}) == {}


@pytest.mark.parametrize(
    ("commit", "reason"),
    [("on", "written it to disk"), ("remote_write", "received it"), ("remote_apply", "applied it")],
)
def test_a_standby_that_each_commit_waits_for_is_named(commit: str, reason: str):
    """What is waited for is said; where no standby is named, or none waited for, nothing is."""
    found = advice(synchronous_commit=commit, synchronous_standby_names="FIRST 1 (b)")
    assert found["synchronous_commit"].proposed == "local"
    assert reason in found["synchronous_commit"].reason
    assert advice(synchronous_commit=commit) == {}
    assert advice(synchronous_commit="local", synchronous_standby_names="*") == {}


def test_too_few_connections_are_counted():
    """Those in use and those kept back are not free; as many more are proposed as a run lacks."""
    assert advice(max_connections="20", sessions=10, connections=7) == {}
    found = advice(max_connections="20", sessions=10, reserved_connections="2", connections=7)["max_connections"]
    assert (found.proposed, found.restart) == ("22", True)
    assert found.reason == "a run takes up to 7 connections, 5 are free now"
    assert advice(max_connections="20", sessions=20)["max_connections"].proposed == "27"


def test_what_is_dangerous_comes_first():
    """A server that may lose the store is the first thing to know of."""
    assert next(iter(advice(fsync="off", max_wal_size="64MB", max_connections="5"))) == "fsync"


@pytest.mark.parametrize(
    ("value", "expected"),
    [("100", 100), ("8kB", 8192), ("16 MB", 1 << 24), ("3TB", 3 << 40), ("200ms", 0.2), ("5min", 300), ("1d", 86400)],
)
def test_amounts_are_read_with_their_units(value: str, expected: float):
    """Bytes, seconds or pieces, whatever unit they are written in."""
    assert amount(value) == pytest.approx(expected)


@pytest.mark.parametrize("value", ["", "off", "-1", "5 apples", "MB"])
def test_what_is_no_amount_is_none(value: str):
    """A word, a sign that another setting decides, a unit that nobody knows."""
    assert amount(value) is None
