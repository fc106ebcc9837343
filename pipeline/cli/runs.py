"""`ledgerfill runs` and `ledgerfill runs show ID`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from pipeline.cli.flags import DatabaseFlags, OutputFlags, whole_number

if TYPE_CHECKING:
    from pipeline.store.books import RunRecord
    from pipeline.store.runs import ChunkRecord, RunHistory

_RUNS = """\
Examples:
  ledgerfill runs
  ledgerfill runs --limit 3 --json
  ledgerfill runs show 12"""
_SHOW = """\
Examples:
  ledgerfill runs show 12
  ledgerfill runs show 12 --json"""
_TOTALS = ("elapsed", "cpu")  # over all stages of a worker

app = App(name="runs", help="List the newest runs by the store's books.", help_epilogue=_RUNS)


@app.default
def runs(
    database: DatabaseFlags | None = None,
    output: OutputFlags | None = None,
    *,
    limit: Annotated[
        int | None, Parameter(help="How many of the newest runs (20).", metavar="N", converter=whole_number)
    ] = None,
    json: Annotated[bool, Parameter(help="For programs.", negative="")] = False,
) -> int:
    """List the newest runs by the store's books."""
    from pipeline import runs as job
    from pipeline.cli.job import flags_of, print_lines
    from pipeline.config import RunsSettings
    from pipeline.config_sources import load
    from pipeline.progress import log

    settings = load(RunsSettings, flags_of(database, output) | {"limit": limit})
    log.configure(settings.log_level)
    found = job.recent(settings)
    print_lines(_json({"runs": list(map(record_document, found))}) if json else lines(found))
    return 0


@app.command(help_epilogue=_SHOW)
def show(
    run_id: Annotated[int, Parameter(help="Its number, as `runs` lists it.", name="ID", converter=whole_number)],
    /,
    database: DatabaseFlags | None = None,
    output: OutputFlags | None = None,
    *,
    json: Annotated[bool, Parameter(help="For programs.", negative="")] = False,
) -> int:
    """Say all that the books hold of one run: who, when, how it ended, what it cost, and its slowest chunks."""
    from pipeline import runs as job
    from pipeline.cli.job import flags_of, print_lines
    from pipeline.config import RunsSettings
    from pipeline.config_sources import load
    from pipeline.progress import log

    settings = load(RunsSettings, flags_of(database, output))
    log.configure(settings.log_level)
    found = job.one(settings, run_id)
    print_lines(_json(history_document(found)) if json else history_lines(found))
    return 0


def lines(found: list[RunRecord]) -> Iterator[str]:
    """Iterate over what people are told of the newest runs, safe to print."""
    from pipeline.progress.printable import printable

    yield f"runs      {len(found)}"
    for run in found:
        yield printable(f"  {_line(run)}")


def _line(run: RunRecord) -> str:
    from pipeline.progress import units

    committed = f"{units.plural(run.ledgers, 'ledger')} committed in {units.plural(run.chunks, 'chunk')}"
    parts = [f"{run.id}  {run.job} {run.wanted}  {run.outcome}, {committed}", f"began {_time(run.started_at)}"]
    if run.ended_at is not None:
        parts.append(f"took {units.duration((run.ended_at - run.started_at).total_seconds())}")
    elif run.outcome == "running":
        parts.append(f"process {run.process_id} on {run.host}")
    return ", ".join(parts) + (f": {run.error}" if run.error else "")


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"


def history_lines(found: RunHistory) -> Iterator[str]:
    """Iterate over what people are told of one run, safe to print."""
    from pipeline.progress.printable import printable

    yield from map(printable, _history_lines(found))


def _history_lines(found: RunHistory) -> Iterator[str]:
    from pipeline.progress.journal import step

    run = found.record
    yield f"run {run.id}  {run.outcome}"
    yield f"  asked for  {run.job} of ledgers {run.wanted} from {run.source}"
    yield f"  by         process {run.process_id} on {run.host}, ledgerfill {run.version}, {_workers(run)}"
    yield f"  when       {_when(found)}"
    if run.error:
        yield f"  error      {run.error}"
    if not run.chunks:
        yield "  committed  nothing"
    else:
        yield from _sums(found)
    for number, taken in enumerate(found.steps):
        yield f"  {'steps' if number == 0 else '':<9}  {_time(taken.at)} {step(taken.note)}"


def _sums(found: RunHistory) -> Iterator[str]:
    from pipeline.progress import units
    from pipeline.progress.report_text import ranges

    run = found.record
    yield (
        f"  committed  {units.plural(run.ledgers, 'ledger')} in {units.plural(run.chunks, 'chunk')}: "
        f"{ranges(found.committed)}"
    )
    yield f"  rows       {units.count(sum(found.rows.values()))}: {_rows(found.rows)}"
    stored, plain, rows = map(units.size, (found.object_bytes, found.plain_bytes, found.row_bytes))
    yield f"  bytes      {stored} stored, {plain} plain, {rows} of rows"
    yield f"  attempts   {units.count(found.more_attempts)} beyond the first of each chunk{_lost(found)}"
    yield f"  speed      {_speed(found)}"
    yield f"  stages     {_stages(found.stages_s)}"
    for number, chunk in enumerate(found.slowest):
        yield f"  {'slowest' if number == 0 else '':<9}  {_chunk(chunk)}"


def _workers(run: RunRecord) -> str:
    from pipeline.progress import units

    return units.plural(run.workers, "worker")


def _when(found: RunHistory) -> str:
    from pipeline.progress import units

    run = found.record
    if run.outcome == "running":
        return f"{_time(run.started_at)} until now, {units.duration(found.elapsed_s)}"
    end = run.ended_at or run.committed_at
    until = f"to {_time(end)}, {units.duration(found.elapsed_s)}" if end else "and nothing since"
    return f"{_time(run.started_at)} {until}" + ("" if run.ended_at else " (its last chunk: nobody saw its end)")


def _rows(rows: Mapping[str, int]) -> str:
    from pipeline.progress import units

    return ", ".join(units.plural(count, table.removesuffix("s")) for table, count in rows.items())


def _speed(found: RunHistory) -> str:
    from pipeline.progress import units

    ledgers, rows = found.rate(found.record.ledgers), found.rate(sum(found.rows.values()))
    plain, stored = (units.size(found.rate(amount)) for amount in (found.plain_bytes, found.object_bytes))
    return f"{units.count(ledgers)} ledgers/s, {units.count(rows)} rows/s, {plain}/s plain, {stored}/s stored"


def _stages(stages_s: Mapping[str, float]) -> str:
    told = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in stages_s.items() if stage not in _TOTALS)
    return f"{told} ({', '.join(f'{total} {stages_s.get(total, 0.0):.1f} s' for total in _TOTALS)})"


def _chunk(chunk: ChunkRecord) -> str:
    from pipeline.progress import units

    several = f" in {units.plural(chunk.chunks, 'chunk')}, the last" if chunk.chunks > 1 else ""
    attempts = f", {units.plural(chunk.attempts, 'attempt')}" if chunk.attempts > chunk.chunks else ""
    return f"{chunk.ledgers}{several} on worker {chunk.worker}{attempts}{_lost(chunk)}: {_stages(chunk.stages_s)}"


def _lost(cost: RunHistory | ChunkRecord) -> str:
    from pipeline.progress import units

    if not cost.lost_attempts:
        return ""
    return f", {units.duration(cost.lost_s)} in {units.count(cost.lost_attempts)} that came to nothing"


def _json(document: Mapping[str, object]) -> Iterator[str]:
    from json import dumps

    yield dumps(document, indent=2)


def record_document(run: RunRecord) -> dict[str, object]:
    """Return a run as JSON values."""
    from pipeline.progress.report_json import pair

    return {
        "run_id": run.id,
        "job": run.job,
        "outcome": run.outcome,
        "range": pair(run.wanted),
        "source": run.source,
        "workers": run.workers,
        "host": run.host,
        "pid": run.process_id,
        "version": run.version,
        "started_at": run.started_at.isoformat(),
        "ended_at": run.ended_at.isoformat() if run.ended_at else None,
        "error": run.error,
        "cursor": run.cursor,
        "chunks": run.chunks,
        "ledgers": run.ledgers,
        "committed_at": run.committed_at.isoformat() if run.committed_at else None,
    }


def history_document(found: RunHistory) -> dict[str, object]:
    """Return one run with its sums as JSON values."""
    from pipeline.progress.report_json import pairs, step

    return record_document(found.record) | {
        "elapsed_s": round(found.elapsed_s, 3),
        "committed": pairs(found.committed),
        "rows": dict(found.rows),
        "bytes": {"stored": found.object_bytes, "plain": found.plain_bytes, "rows": found.row_bytes},
        "attempts": found.record.chunks + found.more_attempts,
        "lost": _lost_document(found),
        "rates": {
            "ledgers_per_s": round(found.rate(found.record.ledgers), 3),
            "rows_per_s": round(found.rate(sum(found.rows.values())), 3),
            "plain_bytes_per_s": round(found.rate(found.plain_bytes), 3),
            "stored_bytes_per_s": round(found.rate(found.object_bytes), 3),
        },
        "stages_s": _rounded(found.stages_s),
        "slowest": list(map(_chunk_document, found.slowest)),
        "steps": [{"at": taken.at.isoformat()} | step(taken.note) for taken in found.steps],
    }


def _chunk_document(chunk: ChunkRecord) -> dict[str, object]:
    from pipeline.progress.report_json import pair

    return {
        "chunk": pair(chunk.ledgers),
        "chunks": chunk.chunks,
        "worker": chunk.worker,
        "attempts": chunk.attempts,
        "lost": _lost_document(chunk),
        "stages_s": _rounded(chunk.stages_s),
    }


def _lost_document(cost: RunHistory | ChunkRecord) -> dict[str, float]:
    return {"attempts": cost.lost_attempts, "seconds": round(cost.lost_s, 3)}


def _rounded(stages_s: Mapping[str, float]) -> dict[str, float]:
    return {stage: round(seconds, 3) for stage, seconds in stages_s.items()}
