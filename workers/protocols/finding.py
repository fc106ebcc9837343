"""Finds the installed plug-ins by their entry points, and says of one that cannot be used which it is and why."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from importlib.metadata import EntryPoint, entry_points

from workers.failures import message
from workers.messages import CONTRACTS
from workers.protocols.contract import Protocol, ProtocolError

logger = logging.getLogger(__name__)
GROUP = "ledgerfill.protocols"
_LONG_S = 5  # code of a plug-in that takes longer is named: it may never come back
_printing = threading.RLock()  # where to is one for all threads


def installed(points: Iterable[EntryPoint] | None = None) -> dict[str, Protocol]:
    """Return the protocols by id, in the order of their ids; `points`: those of the group unless given.

    Raises `ProtocolError` for a plug-in that cannot be imported or is no `Protocol`, and for two that share an id or a
    state table.
    """
    found: dict[str, Protocol] = {}
    owners = {f"state table {name}": "this program" for name in CONTRACTS}  # they have a table or a section
    for point in entry_points(group=GROUP) if points is None else points:
        protocol = _load(point)
        _own(owners, f"id {protocol.id.lower()}", point)  # case aside: their tables and cursors would be hard to tell
        for table in protocol.state:
            _own(owners, f"state table {table.name}", point)
        for section in protocol.history:
            _own(owners, f"history {section}", point)
        found[protocol.id] = protocol
    return dict(sorted(found.items()))


class PlugInRaised(Exception):
    """Code of a plug-in has raised something: type and words."""


@contextmanager
def foreign(what: str) -> Iterator[None]:
    """Run code of a plug-in, which is anybody's and may even call `exit`: whatever it raises is a `PlugInRaised`.

    What it prints goes to stderr: what a command has to say goes to stdout, as JSON maybe.
    Where it takes long, `what` it is at is said.
    """
    long = threading.Timer(_LONG_S, logger.warning, ("%s has taken %s s and goes on", what, _LONG_S))
    long.daemon = True
    long.start()
    try:
        with _printing, redirect_stdout(sys.stderr):
            yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise PlugInRaised(f"{type(error).__name__}: {message(error)}") from error
    finally:
        long.cancel()


def _load(point: EntryPoint) -> Protocol:
    try:
        with foreign(f"loading {_named(point)}"):
            protocol = point.load()
    except PlugInRaised as error:
        raise ProtocolError(f"cannot load {_named(point)}: {error}") from error
    if not isinstance(protocol, Protocol):
        raise ProtocolError(f"{_named(point)} is no Protocol: {type(protocol).__name__}")
    return protocol


def _own(owners: dict[str, str], what: str, point: EntryPoint) -> None:
    owner = owners.setdefault(what, _named(point))
    if owner != _named(point):
        raise ProtocolError(f"{owner} and {_named(point)} both have the {what}")


def _named(point: EntryPoint) -> str:
    return f"plug-in {point.name} ({point.value})"
