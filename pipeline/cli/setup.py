"""`ledgerfill setup`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pipeline.cli.flags import SetupFlags

if TYPE_CHECKING:
    from pipeline.setup import SetUp

EXAMPLES = """\
Examples:
  ledgerfill setup --protocol-id SEP41 --protocol-id SEP50
  ledgerfill setup --source ./lake
  ledgerfill setup --protocol-id SEP41 \\
    --archive https://history.stellar.org/prd/core-live/core_live_001

Ends with 0 when all that the database holds is classified; 1 when it is not,
or failed; 2 refused before the start."""


def setup(flags: SetupFlags | None = None) -> int:
    """Set up protocols: show them every contract code that the database knows.

    What ledgers bring from then on is classified as it comes. A source is read only for ledgers that came before the
    database kept contracts.
    """
    from pipeline import setup as job
    from pipeline.cli.job import flags_of, print_lines, run
    from pipeline.config import SetupSettings
    from pipeline.config_sources import load
    from pipeline.progress import log

    settings = load(SetupSettings, flags_of(flags))
    log.configure(settings.log_level)
    unread = job.check(settings)
    if unread and settings.source:
        from pipeline import reading  # with the engine

        if code := run(settings, lambda watch: reading.run(settings, unread, watch), command="setup"):
            return code
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
        where = "an archive may have it, of a checkpoint where it is live (--archive, --checkpoint)"
        if found.checkpoint is not None:
            where = f"it is not live at checkpoint {found.checkpoint} of the archive; at another it may be"
        yield (
            f"  {units.plural(found.unseen_contracts, 'contract')} run code that was never seen "
            f"({units.plural(found.unseen_wasms, 'code')}): {where}"
        )
    for late in found.late:
        yield (
            f"  {units.plural(late.contracts, 'contract')} of {late.protocol_id} came to be known only now: its "
            f"{late.kind.replace('_', ' ')} has nothing of what they did up to ledger {late.ledger}"
        )
    for part in found.unread:
        yield f"  ledgers {part} came before the database kept contracts: they are not classified (setup --source)"
