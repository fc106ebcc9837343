"""Numbers as people read them."""

from __future__ import annotations

_STEPS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def count(number: float) -> str:
    """Write a count: `1,234`, and one decimal below 100 where it has one."""
    return f"{number:,.1f}" if number < 100 and number != int(number) else f"{number:,.0f}"  # noqa: PLR2004  # as said


def size(number: float) -> str:
    """Write bytes in decimal units: `12.3 MB`."""
    for unit, name in _STEPS:
        if number >= unit:
            return f"{number / unit:,.1f} {name}"
    return f"{number:,.0f} B"


def duration(seconds: float) -> str:
    """Write seconds as `4.2 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`."""
    if seconds < 59.95:  # noqa: PLR2004  # what still rounds below a minute
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, name, lesser, lesser_name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= unit:
            return f"{whole // unit} {name} {whole % unit // lesser} {lesser_name}"
    return f"{whole} s"


def plural(number: int, noun: str) -> str:
    """Write a count with its noun: `1 chunk`, `2 chunks`."""
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"
