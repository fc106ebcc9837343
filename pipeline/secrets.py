"""Keeps passwords out of everything that people see: a known one is replaced wherever it would be printed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import parse_qsl, quote, unquote, urlsplit

HIDDEN = "***"
_SHORTEST = 4  # a shorter one is replaced in URLs only: anywhere else it would blank out unrelated text
_known: set[str] = set()
_CONNINFO = re.compile(r"(?P<key>\b(?:ssl)?password\s*=\s*)(?P<value>'(?:[^'\\]|\\.)*'|[^\s&]*)")

_USERINFO = re.compile(r"(://[^:/@\s]*):[^/\s]*@")


def passwords(url: str) -> set[str]:
    """Return the passwords in a database URL or a libpq `key=value` text, as written and decoded."""
    found = {match["value"].strip("'") for match in _CONNINFO.finditer(url)}
    try:
        parts = urlsplit(url)
        found |= {value for key, value in parse_qsl(parts.query) if key in ("password", "sslpassword")}
        found.add(parts.password or "")
    except ValueError:
        found |= set(re.findall(r"://[^:/]*:([^@]*)@", url))  # no URL that Python can read: still no secret of it
    return {each for secret in found if secret for each in (secret, unquote(secret), quote(secret, safe=""))}


def remember(url: str) -> None:
    """From now on `hide` replaces the passwords in `url`, wherever they turn up."""
    _known.update(secret for secret in passwords(url) if len(secret) >= _SHORTEST)


def shown(url: str) -> str:
    """Write a URL, of a database or of a source, as people may see it: `***` for its password."""
    without = _CONNINFO.sub(lambda match: match["key"] + HIDDEN, url)
    return hide(without)


def without_password(url: str) -> str:
    """Return a URL that asks for its password elsewhere."""
    rest = re.sub(r"&{2,}", "&", _CONNINFO.sub("", url)).replace("?&", "?")
    return _USERINFO.sub(r"\1@", rest).rstrip("?& ")


def with_password(url: str, others: Iterable[str]) -> str:
    """Return the first of `others` that is `url` with a password, where that has none; else `url` itself."""
    same = (other for other in others if passwords(other) and without_password(other) == url)
    return next(same, url)


def hide(text: str) -> str:
    """Replace each password that was remembered, and those in URLs: libraries quote the URL that they ask."""
    text = _USERINFO.sub(rf"\1:{HIDDEN}@", text)
    for secret in sorted(_known, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text
