"""`ledgerfill store …`: the embedded PostgreSQL."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

if TYPE_CHECKING:
    from pipeline.store.embedded import EmbeddedServer

_TEXT = """\
The program's own PostgreSQL, under LEDGERFILL_HOME. It is nobody's child and runs until `store stop`."""
_URL = """\
Example:
  psql "$(ledgerfill store url)\""""
_RESET = """\
Examples:
  ledgerfill store reset
  ledgerfill store reset --yes"""

app = App(name="store", help=_TEXT)


def _server() -> EmbeddedServer:
    from pipeline.store.embedded import EmbeddedServer, default_home

    return EmbeddedServer(default_home())


@app.command(help_epilogue=_URL)
def url() -> int:
    """Print the server's URL, its password included, alone on standard output; create and start it if need be."""
    print(_server().ensure_running())
    return 0


@app.command
def start() -> int:
    """Start the server, and create it if need be."""
    from pipeline.secrets import shown

    print(f"running at {shown(_server().ensure_running())}")
    return 0


@app.command
def stop() -> int:
    """Stop the server; nothing to do where none runs."""
    print("stopped" if _server().stop() else "not running")
    return 0


@app.command
def status() -> int:
    """Say whether there is a server, whether it runs, and where."""
    from pipeline.progress.printable import printable

    print(printable(str(_server().status())))
    return 0


@app.command(help_epilogue=_RESET)
def reset(*, yes: Annotated[bool, Parameter(help="Do not ask.", negative="")] = False) -> int:
    """Stop the server and delete all of its data. Asks first."""
    from pipeline.errors import Refused
    from pipeline.progress.printable import printable

    server = _server()
    if not yes:
        if not sys.stdin.isatty():
            raise Refused("nobody is there to be asked: store reset --yes deletes everything in the embedded store")
        answer = input(printable(f"delete everything in the embedded store under {server.home}? [y/N] "))
        if answer.strip().lower() not in ("y", "yes"):
            print("nothing was deleted")
            return 1
    server.reset()
    print(printable(f"deleted the embedded store under {server.home}"))
    return 0
