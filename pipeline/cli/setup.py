"""`ledgerfill setup`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pipeline.cli.flags import DatabaseFlags, OutputFlags, whole_number

if TYPE_CHECKING:
    from pipeline.setup import SetUp

EXAMPLES = """\
Examples:
  ledgerfill setup --protocol-id SEP41 --protocol-id SEP50
  ledgerfill setup --protocol-id SEP41 \\
    --archive https://history.stellar.org/prd/core-live/core_live_001

Ends with 0 when all that the database holds is classified; 1 when it is not,
or failed; 2 refused before the start."""


def setup(
    database: DatabaseFlags | None = None,
    output: OutputFlags | None = None,
    *,
    protocol_id: Annotated[
        list[str] | None,
        Parameter(
            help="A protocol to set up: SEP41, SEP50, or that of a plug-in (those that are). May be repeated.",
            metavar="ID",
            negative_iterable="",
        ),
    ] = None,
    archive: Annotated[
        str | None,
        Parameter(help="A history archive, a folder or http(s)://…: its live contracts are read.", metavar="URL"),
    ] = None,
    checkpoint: Annotated[
        int | None,
        Parameter(help="The archive's checkpoint (its newest).", metavar="LEDGER", converter=whole_number),
    ] = None,
    network_passphrase: Annotated[
        str | None, Parameter(help="The archive's network, where the database is of none yet.", metavar="TEXT")
    ] = None,
) -> int:
    """Set up protocols: show them every contract code that the database knows.

    What ledgers bring from then on is classified as it comes.
    """
    from pipeline import setup as job
    from pipeline.cli.job import flags_of, print_lines
    from pipeline.config import SetupSettings
    from pipeline.config_sources import load
    from pipeline.progress import log

    given = {
        "protocol_id": protocol_id,
        "archive": archive,
        "checkpoint": checkpoint,
        "network_passphrase": network_passphrase,
    }
    settings = load(SetupSettings, flags_of(database, output) | given)
    log.configure(settings.log_level)
    found = job.run(settings)
    print_lines(lines(found))
    return 0 if found.complete else 1


def lines(found: SetUp) -> Iterator[str]:
    """Iterate over what people are told, safe to print."""
    from pipeline.progress.printable import printable

    yield from map(printable, _lines(found))


def _lines(found: SetUp) -> Iterator[str]:
    from pipeline.progress import units
    from pipeline.progress.report_text import place

    yield f"protocols in {place(found.database)}"
    for protocol in found.protocols:
        codes, contracts = units.plural(protocol.wasms, "code"), units.plural(protocol.contracts, "contract")
        yield f"  {protocol.id}: {codes}, {contracts}"
    if found.unseen_contracts:
        yield (
            f"  {units.plural(found.unseen_contracts, 'contract')} run code that was never seen "
            f"({units.plural(found.unseen_wasms, 'code')}): an archive may have it (--archive)"
        )
    for part in found.unread:
        yield f"  ledgers {part} came into the database before it kept contracts: they are not classified"
