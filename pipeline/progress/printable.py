"""Text from ledgers, object names and errors, made safe for a terminal and a log: strangers wrote it."""

from __future__ import annotations

import unicodedata

from pipeline import secrets

# Control, format (bidirectional overrides, zero-width), surrogate, private, line and paragraph separators.
_UNSAFE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def printable(text: str) -> str:
    r"""Hide passwords and write each character that could steer a terminal as its escape, such as `\x1b`."""
    hidden = secrets.hide(text)
    if hidden.isascii() and hidden.isprintable():
        return hidden
    return "".join(_escape(char) if unicodedata.category(char) in _UNSAFE else char for char in hidden)


def printable_lines(text: str) -> str:
    """Do the same and keep line breaks, for tracebacks."""
    return "\n".join(map(printable, text.split("\n")))


def _escape(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")
