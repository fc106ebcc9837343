"""`ledgerfill status`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pipeline.cli.flags import DatabaseFlags, OutputFlags, whole_number

if TYPE_CHECKING:
    from pipeline.progress.status import RunSeen, Status
    from pipeline.store.books import Said
    from pipeline.store.contracts import Protocol

EXAMPLES = """\
Examples:
  ledgerfill status
  ledgerfill status --database postgresql://localhost/history --runs 3
  ledgerfill status --json"""
_STANDING = {
    "equal": "",
    "older": " (older than this program: a backfill brings it up to date)",
    "newer": " (newer than this program: use a newer ledgerfill)",
    "unknown": " (unknown to this program)",
}


def status(
    database: DatabaseFlags | None = None,
    output: OutputFlags | None = None,
    *,
    runs: Annotated[
        int | None,
        Parameter(
            help="How many of the newest runs to show (10), besides those in progress.",
            metavar="N",
            converter=whole_number,
        ),
    ] = None,
    json: Annotated[bool, Parameter(help="For programs.", negative="")] = False,
) -> int:
    """Say what the database holds and how its runs went, also while one is in progress."""
    from pipeline import status as job
    from pipeline.cli.job import flags_of, print_lines
    from pipeline.config import StatusSettings
    from pipeline.config_sources import load
    from pipeline.progress import log

    named = flags_of(database, output) | ({} if runs is None else {"runs": runs})
    settings = load(StatusSettings, named)
    log.configure(settings.log_level)
    found = job.gather(settings)
    print_lines(json_lines(found) if json else lines(found))
    return 0


def lines(found: Status) -> Iterator[str]:
    """Iterate over what people are told, safe to print."""
    from pipeline.progress.printable import printable

    yield from map(printable, _lines(found))


def _lines(found: Status) -> Iterator[str]:
    from pipeline.progress import units

    yield f"database  {found.database}"
    if found.server_version is None:
        yield "  the embedded server does not run (ledgerfill store start)"
        return
    yield f"  server   PostgreSQL {found.server_version}"
    if found.store_version is None:
        yield "  store    none yet: nothing was filled"
        return
    size = "" if found.size_bytes is None else f", {units.size(found.size_bytes)}"
    yield f"  store    version {found.store_version}{_STANDING[found.store_standing]}{size}"
    if found.store_standing in ("newer", "unknown"):
        return
    yield f"  network  {found.network_passphrase or 'none yet'}"
    yield f"stretches {len(found.stretches)}"
    for stretch in found.stretches:
        held = units.plural(len(stretch.ledgers), "ledger")
        yield f"  {stretch.ledgers}  {held}, last hash {stretch.last_hash.hex()}"
    if found.protocols:
        yield from _protocols(found)
    yield from _indexes(found)
    yield f"runs      {len(found.runs)}"
    for run in found.runs:
        yield f"  {_run(run)}"
        if run.outcome == "running":
            yield from _now(run)
    for blocker in found.blocked_by:
        yield f"waiting   for a lock in the database: it is held by {blocker}"


def _protocols(found: Status) -> Iterator[str]:
    from pipeline.progress.report_text import ranges

    yield f"protocols {len(found.protocols)}"
    for each in found.protocols:
        jobs = f"classification {each.classification}, history {each.history}{_span(found, each, 'history')}"
        jobs += f", current state {each.current_state}{_span(found, each, 'current_state')}"
        yield f"  {each.id}  {jobs.replace('_', ' ')}"
    for name, below in found.below.items():
        there = f" (but has {below.done})" if below.done else ""
        builder = "run in progress" if name in found.filling else "next migrate history"
        yield f"the history of {name} lacks ledgers {ranges(below.lacks)} below it{there}: the {builder} brings them"
    for ledgers in found.unread:
        yield f"contracts of ledgers {ledgers} were never read: setup --source reads them"


def _span(found: Status, protocol: Protocol, kind: str) -> str:
    ledgers = found.migrated.get((protocol.id, kind))
    return f" ({ledgers})" if ledgers else ""


def _indexes(found: Status) -> Iterator[str]:
    """Say which are due, and who builds them: what lies below its own range, live ingestion leaves to others."""
    running = {run.job: run.wanted for run in found.runs if run.outcome == "running"}
    for ledgers in found.unindexed:
        live = "live" in running and ledgers.last >= running["live"].first
        builder = "run in progress" if live or "backfill" in running else "next backfill"
        yield f"indexes are due for ledgers {ledgers}: the {builder} builds them"
    for ledgers in found.history_unindexed:
        live = "live" in running and ledgers.last >= running["live"].first
        builder = "run in progress" if "migrate history" in running else "next migrate history"
        unless = ", unless live ingestion takes the history over before" if live and builder.startswith("next") else ""
        yield f"indexes of the history are due for ledgers {ledgers}: the {builder} builds them{unless}"


def _run(run: RunSeen) -> str:
    from pipeline.progress import units

    parts = [f"{run.run_id}  {run.job} {run.wanted}  {run.outcome}, {units.plural(run.ledgers, 'ledger')} committed"]
    parts.append("nothing yet" if run.cursor is None else f"up to {run.cursor}")
    parts.append(f"began {run.started_at.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}")
    if run.ended_at is not None:
        parts.append(f"took {units.duration((run.ended_at - run.started_at).total_seconds())}")
    elif run.pid is not None:
        parts.append(f"process {run.pid} on {run.host}")
    return ", ".join(parts) + (f": {run.error}" if run.error else "")


def _now(run: RunSeen) -> Iterator[str]:
    from pipeline.progress import units
    from pipeline.progress.journal import step

    if run.said is None:
        yield "    has not said yet what it waits for"
    else:
        word = run.said.word
        done = f"{units.count(word.ledgers_done)} of {units.plural(word.ledgers_wanted, 'ledger')}"
        yield f"    said {units.duration(run.said.age_s)} ago: {done}; head: {word.head}; {word.waits_for}"
    for taken in run.steps:
        yield f"    {taken.at.astimezone(UTC):%Y-%m-%d %H:%M:%SZ} {step(taken.note)}"


def json_lines(found: Status) -> Iterator[str]:
    """Iterate over the lines of a JSON document."""
    from json import dumps

    from pipeline.progress.report_json import pair, pairs

    document = {
        "database": found.database,
        "server_version": found.server_version,
        "store_version": found.store_version,
        "store_standing": found.store_standing,
        "network_passphrase": found.network_passphrase,
        "size_bytes": found.size_bytes,
        "stretches": [
            {"ledgers": pair(each.ledgers), "last_hash": each.last_hash.hex(), "run_id": each.run_id}
            for each in found.stretches
        ],
        "protocols": [
            {
                "id": each.id,
                "classification_status": each.classification,
                "history_migration_status": each.history,
                "current_state_migration_status": each.current_state,
                "history_ledgers": pair(found.migrated.get((each.id, "history"))),
                "history_below_ledgers": pair(below.done if (below := found.below.get(each.id)) else None),
                "history_lacks": pairs(below.lacks if below else ()),
                "current_state_ledgers": pair(found.migrated.get((each.id, "current_state"))),
            }
            for each in found.protocols
        ],
        "contracts_unread": [pair(ledgers) for ledgers in found.unread],
        "blocked_by": list(found.blocked_by),
        "indexes_due": [pair(ledgers) for ledgers in found.unindexed],
        "history_indexes_due": [pair(ledgers) for ledgers in found.history_unindexed],
        "runs": [_run_document(run) for run in found.runs],
    }
    yield dumps(document, indent=2)


def _run_document(run: RunSeen) -> dict[str, object]:
    from pipeline.progress.report_json import pair, step

    return {
        "run_id": run.run_id,
        "job": run.job,
        "outcome": run.outcome,
        "range": pair(run.wanted),
        "cursor": run.cursor,
        "chunks": run.chunks,
        "ledgers": run.ledgers,
        "started_at": run.started_at.isoformat(),
        "ended_at": run.ended_at.isoformat() if run.ended_at else None,
        "host": run.host,
        "pid": run.pid,
        "error": run.error,
        "said": _said_document(run.said),
        "steps": [{"at": taken.at.isoformat()} | step(taken.note) for taken in run.steps],
    }


def _said_document(said: Said | None) -> dict[str, object] | None:
    from dataclasses import asdict

    if said is None:
        return None
    return {"at": said.at.isoformat(), "age_s": round(said.age_s, 3)} | asdict(said.word)
