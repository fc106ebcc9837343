"""`ledgerfill store …`: the embedded PostgreSQL."""

from __future__ import annotations

import json as json_format
import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

if TYPE_CHECKING:
    from pipeline.store.embedded import EmbeddedServer, ServerStatus

_TEXT = """\
The program's own PostgreSQL, under LEDGERFILL_HOME. It is nobody's child and runs until `store stop`."""
_URL = """\
Example:
  psql "$(ledgerfill store url)\""""
_START = """\
Example:
  LEDGERFILL_HOME=/data/ledgerfill ledgerfill store start"""
_STOP = """\
Ends with 0 also where nothing runs.

Example:
  ledgerfill store stop"""
_STATUS = """\
Examples:
  ledgerfill store status
  ledgerfill store status --json"""
_RESET = """\
Examples:
  ledgerfill store reset
  ledgerfill store reset --yes"""

app = App(name="store", help=_TEXT)


def _server() -> EmbeddedServer:
    from pipeline.progress import log
    from pipeline.store.embedded import EmbeddedServer, default_home

    log.configure("info")
    return EmbeddedServer(default_home())


def _print(line: str) -> None:
    from pipeline.cli.job import print_lines
    from pipeline.progress.printable import printable

    print_lines(iter([printable(line)]))


@app.command(help_epilogue=_URL)
def url() -> int:
    """Print the server's URL, its password included, alone on standard output; create and start it if need be."""
    sys.stdout.write(f"{_server().ensure_running()}\n")
    return 0


@app.command(help_epilogue=_START)
def start() -> int:
    """Start the server, and create it if need be."""
    from pipeline.secrets import shown

    _print(f"running at {shown(_server().ensure_running())}")
    return 0


@app.command(help_epilogue=_STOP)
def stop() -> int:
    """Stop the server; nothing to do where none runs."""
    _print("stopped" if _server().stop() else "not running")
    return 0


@app.command(help_epilogue=_STATUS)
def status(*, json: Annotated[bool, Parameter(help="For programs.", negative="")] = False) -> int:
    """Say whether there is a server, whether it runs, and where; nothing is started."""
    found = _server().status()
    _print(json_format.dumps(document(found)) if json else line(found))
    return 0


@app.command(help_epilogue=_RESET)
def reset(*, yes: Annotated[bool, Parameter(help="Do not ask.", negative="")] = False) -> int:
    """Stop the server and delete everything in its store. Asks first."""
    from pipeline.errors import Refused
    from pipeline.progress.printable import printable
    from pipeline.store.embedded import default_home

    if not yes:
        if not sys.stdin.isatty():
            raise Refused("nobody is there to be asked: store reset --yes deletes everything in the embedded store")
        sys.stderr.write(printable(f"delete everything in the embedded store under {default_home()}? [y/N] "))
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            _print("nothing was deleted")
            return 1
    _server().reset()
    _print(f"deleted the embedded store under {default_home()}")
    return 0


def line(found: ServerStatus) -> str:
    """Say in one line how a server stands."""
    from pipeline.progress import units

    known = [found.state]
    known += [f"at {found.url}"] if found.url else []
    known += [f"process {found.pid}"] if found.pid else []
    known += [f"PostgreSQL {found.version}"] if found.version else []
    known += [units.size(found.data_bytes)] if found.data_bytes else []
    return ", ".join([*known, f"under {found.home}"]) + (f": {found.unusable}" if found.unusable else "")


def document(found: ServerStatus) -> dict[str, object]:
    """Return how a server stands as JSON values."""
    return {
        "state": found.state,
        "home": str(found.home),
        "pid": found.pid,
        "url": found.url,
        "version": found.version,
        "data_bytes": found.data_bytes,
        "unusable": found.unusable,
    }
