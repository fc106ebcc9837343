"""Text that strangers wrote cannot steer a terminal or forge a line."""

from __future__ import annotations

import io
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import secrets
from pipeline.progress.log import LineFormatter
from pipeline.progress.printable import printable


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\nb\r\tc\x00", r"a\nb\r\tc\x00"),
        ("\x9b2J", r"\x9b2J"),
        ("abc\u202egpj.exe", r"abc\u202egpj.exe"),
        ("line\u2028break", r"line\u2028break"),
        ("lone \ud800", r"lone \ud800"),
        ("Zürich → 東京", "Zürich → 東京"),
    ],
)
def test_control_characters_become_their_escapes(text: str, escaped: str) -> None:
    """Escape codes, line breaks, text direction and lone surrogates are shown, never sent; letters stay."""
    assert printable(text) == escaped


@given(st.text(st.characters()))
def test_any_text_becomes_one_printable_line(text: str) -> None:
    """Whatever goes in, what comes out is printable, encodable and one line."""
    safe = printable(text)
    assert all(char.isprintable() or char.isspace() for char in safe)
    assert len(safe.splitlines()) <= 1
    safe.encode()


def test_log_record_with_hostile_text_is_one_line_without_secret() -> None:
    """A record's message, arguments and traceback make one line, and no password gets through."""
    secrets.remember("postgresql://me:marker-in-log@host/db")
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter())
    try:
        raise ValueError("\x1b]0;owned\x07 marker-in-log")
    except ValueError:
        record = logging.getLogger("pipeline").makeRecord(
            "pipeline", logging.INFO, __file__, 1, "object %s", ("evil\n2026 ERROR forged",), None
        )
        import sys

        record.exc_info = sys.exc_info()
    handler.handle(record)
    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()
    assert "marker-in-log" not in stream.getvalue()
