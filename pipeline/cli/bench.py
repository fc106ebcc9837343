"""`ledgerfill bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pipeline.cli.flags import whole_number

EXAMPLES = """\
Examples:
  ledgerfill bench
  ledgerfill bench --source ./lake --json today.json --compare yesterday.json

Takes a few minutes; the machine should have nothing else to do.
Its server is a throw-away one: no store of yours is touched."""


def _n(text: str) -> Parameter:
    return Parameter(help=text, metavar="N", converter=whole_number)


def bench(
    *,
    source: Annotated[
        str | None, Parameter(help="Real ledgers: a lake, repeated where it is short (synthetic ones).", metavar="URL")
    ] = None,
    json: Annotated[Path | None, Parameter(help="Write everything that was measured there.", metavar="FILE")] = None,
    compare: Annotated[
        Path | None, Parameter(help="Say what changed since the bench that wrote this JSON.", metavar="OLD.json")
    ] = None,
    ledgers: Annotated[int | None, _n("Ledgers of a run (what makes it last 20 s).")] = None,
    rounds: Annotated[int, _n("How often everything is measured, in turns (1).")] = 1,
    folder: Annotated[
        Path,
        Parameter(help="Where the throw-away folder is made, on the disk to be measured (/var/tmp).", metavar="DIR"),
    ] = Path("/var/tmp"),  # noqa: S108  # a folder of its own is made in it
) -> int:
    """Measure on this machine what is possible, and what the program makes of it."""
    import logging

    from pipeline.bench.document import document, read
    from pipeline.bench.measuring import Wishes
    from pipeline.bench.measuring import bench as measure
    from pipeline.bench.table import changes, lines
    from pipeline.cli.job import check_report, print_lines, write_report
    from pipeline.progress import log
    from pipeline.progress.printable import printable

    log.configure("info")
    for quiet in ("version", "finish"):  # they tell of every store that is laid out
        logging.getLogger(f"pipeline.store.{quiet}").setLevel(logging.WARNING)
    check_numbers({"--ledgers": ledgers, "--rounds": rounds})
    check_report(json)
    old = read(compare) if compare else None
    new = document(measure(Wishes(source=source, ledgers=ledgers, rounds=rounds, folder=folder.absolute())))
    written = write_report(new, json)
    print_lines(map(printable, lines(new)))
    if old is not None:
        print_lines(map(printable, ["", *changes(old, new)]))
    return 0 if written else 1


def check_numbers(given: dict[str, int | None]) -> None:
    """Refuse a count below one."""
    from pipeline.errors import Refused

    for flag, number in given.items():
        if number is not None and number < 1:
            raise Refused(f"{flag} is {number}: at least 1")
