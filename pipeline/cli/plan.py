"""`ledgerfill plan`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pipeline.cli.flags import BackfillFlags

if TYPE_CHECKING:
    from pipeline.progress.survey import Survey

EXAMPLES = """\
Examples:
  ledgerfill plan --source ./lake --start-ledger 2
  ledgerfill plan --source ./lake --start-ledger 2 --chunks | less"""


def plan(
    flags: BackfillFlags | None = None,
    *,
    chunks: Annotated[bool, Parameter(help="List every chunk, one a line.", negative="")] = False,
) -> int:
    """Say what `backfill` with the same flags would do, and what it would take; nothing is written."""
    from pipeline import survey as job
    from pipeline.cli.job import check_report, flags_of, print_lines, write_report
    from pipeline.config import BackfillSettings
    from pipeline.config_sources import load
    from pipeline.progress import log

    settings = load(BackfillSettings, flags_of(flags))
    log.configure(settings.log_level)
    check_report(settings.report)
    survey = job.survey(settings)
    written = write_report(document(survey), settings.report)
    print_lines(map(str, survey.chunks()) if chunks else lines(survey))
    return 0 if written else 1


def lines(survey: Survey) -> Iterator[str]:
    """Iterate over what people are told of a survey, safe to print."""
    from pipeline.progress.printable import printable

    yield from map(printable, _lines(survey))


def _lines(survey: Survey) -> Iterator[str]:
    from pipeline.progress import units
    from pipeline.progress.report_text import ranges

    missing = sum(map(len, survey.gaps))
    yield f"ledgers {survey.wanted} from {survey.source} into {survey.database}"
    yield f"  network    {survey.network_passphrase}"
    if survey.store_outdated is not None:
        yield f"  store      of version {survey.store_outdated}: a backfill brings it up to date"
    yield f"  held       {ranges(survey.held) or 'nothing of it yet'}"
    if not missing:
        yield "  missing    nothing: there is nothing to do"
        return
    yield f"  missing    {units.plural(missing, 'ledger')}: {ranges(survey.gaps)}"
    yield f"  chunks     {units.count(survey.chunk_count)}, about {_chunk(survey, missing)} each (--chunks lists them)"
    yield f"  workers    {survey.workers}, window of {units.plural(survey.window_chunks, 'chunk')}"
    yield f"  to read    about {units.size(survey.object_bytes)}, by {units.plural(survey.sampled_objects, 'sample')}"
    yield f"  disk       about {units.size(survey.disk_needed_bytes)} needed, {_free(survey.disk_free_bytes)}"
    yield f"  memory     up to {units.size(survey.memory_bytes)} needed, {_free(survey.memory_free_bytes)}"
    yield from _settings(survey)
    if survey.too_little_disk:
        yield "  too little disk: backfill would refuse this range"


def _settings(survey: Survey) -> Iterator[str]:
    if survey.advice is None:
        return
    if not survey.advice:
        yield "  settings   none of the server's holds the load back"
    for number, each in enumerate(survey.advice):
        proposed = f"{each.proposed} (after a restart)" if each.restart else each.proposed
        label = "  settings  " if number == 0 else " " * 12
        yield f"{label} {each.name} is {each.present}, better {proposed}: {each.reason}"


def _chunk(survey: Survey, missing: int) -> str:
    from pipeline.progress import units

    count = max(1, survey.chunk_count)
    return f"{units.plural(round(missing / count), 'ledger')} ({units.size(survey.object_bytes / count)})"


def _free(amount: int | None) -> str:
    from pipeline.progress import units

    return "free space unknown" if amount is None else f"{units.size(amount)} free"


def document(survey: Survey) -> dict[str, object]:
    """Return a survey as JSON values."""
    from dataclasses import asdict

    from pipeline.progress.report_json import pair, pairs

    return {
        "job": "plan",
        "source": survey.source,
        "database": survey.database,
        "network_passphrase": survey.network_passphrase,
        "store_outdated": survey.store_outdated,
        "range": pair(survey.wanted),
        "held": pairs(survey.held),
        "missing": pairs(survey.gaps),
        "chunks": survey.chunk_count,
        "workers": survey.workers,
        "window_chunks": survey.window_chunks,
        "bytes_to_read": survey.object_bytes,
        "sampled_objects": survey.sampled_objects,
        "disk_bytes": {"needed": survey.disk_needed_bytes, "free": survey.disk_free_bytes},
        "memory_bytes": {"needed": survey.memory_bytes, "free": survey.memory_free_bytes},
        "settings": None if survey.advice is None else [asdict(each) for each in survey.advice],
    }
