"""What is logged, and what is not."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest

from pipeline.progress import log


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """Log as a command does; what was set before is put back."""
    loggers = [logging.getLogger(name) for name in (None, "psycopg", *log.OURS)]
    before = [(each, each.level, each.handlers[:]) for each in loggers]
    stream = io.StringIO()
    log.configure("info", logging.StreamHandler(stream))
    yield stream
    for each, level, handlers in before:
        each.setLevel(level)
        each.handlers[:] = handlers


def test_warnings_of_libraries_are_heard_but_for_those_that_we_say_better(logged: io.StringIO) -> None:
    """A connection that breaks in the midst of a COPY is told once, in our words."""
    logging.getLogger("psycopg").warning("error ignored terminating <psycopg.Copy [BAD] at 0x7f5befa55c90>")
    logging.getLogger("another").warning("heard")
    logging.getLogger("pipeline.store").info("ours")
    assert [line.split(" ", 1)[1] for line in logged.getvalue().splitlines()] == ["WARNING heard", "INFO ours"]
