"""Passwords stay out of what people see."""

from __future__ import annotations

import pytest
from psycopg.conninfo import conninfo_to_dict

from pipeline import secrets

URLS = [
    "postgresql://me:s3cr%40t!x@host:5432/db",
    "postgresql://host/db?user=me&password=s3cr%40t!x",
    "postgresql://host/db?password=s3cr%40t!x&user=me",
    "postgresql://host/db?user=me&password=s3cr%40t!x&connect_timeout=3",
    "host=h user=me password=s3cr@t!x dbname=db",
    "host=h password='s3cr@t!x' dbname=db",
    "postgresql://me:s3cr@t!x@host/db",
]


@pytest.mark.parametrize("url", URLS)
def test_shown_url_has_no_password(url: str) -> None:
    """However a URL carries its password, people see *** in its place."""
    seen = secrets.shown(url)
    assert "s3cr" not in seen
    assert "***" in seen


@pytest.mark.parametrize("url", URLS)
def test_url_without_password_keeps_the_rest(url: str) -> None:
    """What a resume command names is the same database, and asks for its password elsewhere."""
    rest = secrets.without_password(url)
    assert not secrets.passwords(rest)
    assert "s3cr" not in rest
    assert "db" in rest
    assert conninfo_to_dict(rest)["dbname"] == "db"


@pytest.mark.parametrize(
    "url", ["postgresql://me@host/db", "postgresql:///db", "dbname=db", "./lake", "s3://bucket/a:b@c"]
)
def test_url_without_password_is_shown_as_it_is(url: str) -> None:
    """Nothing is hidden where there is nothing to hide."""
    assert secrets.shown(url) == secrets.without_password(url) == url
    assert not secrets.passwords(url)


def test_remembered_password_is_hidden_wherever_it_turns_up() -> None:
    """An error text of a library that quotes the password, decoded or not, loses it."""
    secrets.remember("postgresql://me:marker%2Fpass@host/db")
    assert secrets.hide("cannot read marker/pass or marker%2Fpass") == "cannot read *** or ***"


def test_password_in_a_url_that_a_library_quotes_is_hidden() -> None:
    """One that nobody has remembered, as of an archive, and however short it is."""
    said = "Error performing GET http://me:pw@127.0.0.1:9/x in 2 ms, after http://me:hunter2@other/y"
    seen = secrets.hide(said)
    assert seen == "Error performing GET http://me:***@127.0.0.1:9/x in 2 ms, after http://me:***@other/y"
