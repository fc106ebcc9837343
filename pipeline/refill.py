"""`--fill-gaps`: the range of a run from the gaps of the store."""

from __future__ import annotations

from contextlib import ExitStack, closing

from pipeline import gaps
from pipeline.config import BackfillSettings
from pipeline.errors import Refused
from pipeline.gaps import Gaps
from pipeline.progress.report_text import ranges
from pipeline.store import version
from pipeline.store.database import Database
from workers.messages import LedgerRange


def narrowed(settings: BackfillSettings, database: Database) -> tuple[BackfillSettings, tuple[LedgerRange, ...]]:
    """Return settings that reach from the first gap to the last, and the ledgers that the books claim wrongly.

    Settings without `fill_gaps` come back as they are; where nothing is missing the range is all that was looked at.
    Raises `Refused` where there is no range, and for rows that the books do not claim: no run can fill their place.
    """
    if not settings.fill_gaps:
        return settings, ()
    found = _look(settings, database)
    if found.wanted is None:
        raise Refused(
            f"there is no ledger in {database.shown}, so --fill-gaps has no range: give --start-ledger and --end-ledger"
        )
    if found.unbooked:
        raise Refused(
            f"the table ledgers has rows of ledgers {ranges(found.unbooked)}, which the books do not claim: "
            "delete these rows, then fill the gaps"
        )
    parts = found.to_fill or (found.wanted,)
    ends = {"start_ledger": parts[0].first, "end_ledger": parts[-1].last}
    return settings.model_copy(update=ends), found.absent


def _look(settings: BackfillSettings, database: Database) -> Gaps:
    """Look at a store of whatever version; one that does not exist holds no ledger."""
    first, last = settings.start_given, settings.end_ledger
    with ExitStack() as stack:
        conn = database.look(start=True)
        if conn is not None:
            stack.enter_context(closing(conn))
            version.missing(conn)  # refuses what this program does not know
            if version.current(conn) is not None:
                return gaps.find(conn, first=first, last=last)
    if first is None or last is None:
        return Gaps(wanted=None)
    return Gaps(wanted=LedgerRange(first, last), missing=(LedgerRange(first, last),))
