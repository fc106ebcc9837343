"""`ledgerfill gaps`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pipeline.cli.flags import DatabaseFlags, OutputFlags, whole_number

if TYPE_CHECKING:
    from pipeline.gaps import Gaps
    from workers.messages import LedgerRange

EXAMPLES = """\
Examples:
  ledgerfill gaps
  ledgerfill gaps --start-ledger 2 --end-ledger 99 --json
  ledgerfill backfill --source ./lake --fill-gaps

Ends with 0 whatever it finds."""
_FIRST = Parameter(help="First ledger, included (the lowest of the store).", metavar="N", converter=whole_number)
_LAST = Parameter(help="Last ledger, included (the highest of the store).", metavar="N", converter=whole_number)


def gaps(
    database: DatabaseFlags | None = None,
    output: OutputFlags | None = None,
    *,
    start_ledger: Annotated[int | None, _FIRST] = None,
    end_ledger: Annotated[int | None, _LAST] = None,
    books_only: Annotated[
        bool | None, Parameter(help="Believe the books, do not look at the rows.", negative="")
    ] = None,
    json: Annotated[bool, Parameter(help="For programs.", negative="")] = False,
) -> int:
    """Say which ledgers the database lacks: by its books, and by looking at its rows."""
    from pipeline import gaps as job
    from pipeline.cli.job import flags_of, print_lines
    from pipeline.config import GapsSettings
    from pipeline.config_sources import load
    from pipeline.progress import log

    given = {"start_ledger": start_ledger, "end_ledger": end_ledger, "books_only": books_only}
    settings = load(GapsSettings, flags_of(database, output) | given)
    log.configure(settings.log_level)
    shown, found = job.gather(settings)
    looked = not settings.books_only
    print_lines(json_lines(shown, found, looked=looked) if json else lines(shown, found, looked=looked))
    return 0


def lines(database: str, found: Gaps, *, looked: bool) -> Iterator[str]:
    """Iterate over what people are told, safe to print; every range has a line of its own."""
    from pipeline.progress.printable import printable

    yield from map(printable, _lines(database, found, looked=looked))


def _lines(database: str, found: Gaps, *, looked: bool) -> Iterator[str]:
    from pipeline.progress.report_text import place

    if found.wanted is None:
        yield f"there is no ledger in {place(database)}"
        return
    yield f"ledgers {found.wanted} in {place(database)}"
    yield from _part("missing by the books", found.missing)
    if looked:
        yield from _part("without a row, though the books claim them", found.absent)
        yield from _part("with a row, though the books do not claim them", found.unbooked)


def _part(title: str, parts: tuple[LedgerRange, ...]) -> Iterator[str]:
    from pipeline.progress import units

    yield f"  {title}: {units.plural(sum(map(len, parts)), 'ledger') if parts else 'none'}"
    for part in parts:
        yield f"    {part}"


def json_lines(database: str, found: Gaps, *, looked: bool) -> Iterator[str]:
    """Iterate over the lines of a JSON document; what was not looked for is null."""
    from json import dumps

    from pipeline.progress.report_json import pair, pairs

    document = {
        "database": database,
        "range": pair(found.wanted),
        "missing": pairs(found.missing),
        "absent": pairs(found.absent) if looked else None,
        "unbooked": pairs(found.unbooked) if looked else None,
    }
    yield dumps(document, indent=2)
