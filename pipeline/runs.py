"""What `runs` and `runs show` gather: the books of runs, read only, also while a run is in progress."""

from __future__ import annotations

from contextlib import closing

from pipeline.config import RunsSettings
from pipeline.errors import Refused
from pipeline.progress.report_text import place
from pipeline.store import books, runs
from pipeline.store.books import RunRecord
from pipeline.store.connection import permitted
from pipeline.store.database import Database
from pipeline.store.runs import RunHistory


@permitted()
def recent(settings: RunsSettings) -> list[RunRecord]:
    """Return the newest runs first. Raises `Refused` where there is no store."""
    with closing(Database(settings).read()) as conn:
        return books.recent_runs(conn, limit=settings.limit)


@permitted()
def one(settings: RunsSettings, run_id: int) -> RunHistory:
    """Return one run. Raises `Refused` where there is no such one, or no store."""
    database = Database(settings)
    with closing(database.read()) as conn:
        found = runs.history(conn, run_id)
    if found is None:
        raise Refused(f"there is no run {run_id} in {place(database.shown)}: ledgerfill runs lists them")
    return found
