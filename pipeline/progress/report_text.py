"""The short report at the end of a run, for people: what is there now, how fast it came, and how to go on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pipeline import secrets
from pipeline.progress import units
from pipeline.progress.printable import printable
from pipeline.progress.report import RunError, RunReport
from pipeline.progress.verification import ProofReport, VerifyReport
from workers.messages import LedgerRange

_SHOWN = 5  # ranges in a line


def run_lines(report: RunReport) -> Iterator[str]:
    """Iterate over the lines of a run's report, safe to print."""
    yield from map(printable, _run_lines(report))


def verify_lines(report: VerifyReport) -> Iterator[str]:
    """Iterate over the lines of a verification's report, safe to print."""
    yield from map(printable, _verify_lines(report))


def proof_lines(report: ProofReport) -> Iterator[str]:
    """Iterate over the lines of the report of a verification without a database, safe to print."""
    yield from map(printable, _proof_lines(report))


def ranges(parts: tuple[LedgerRange, ...]) -> str:
    """Write ranges: `2-99, 120-130 and 3 more`."""
    shown = ", ".join(map(str, parts[:_SHOWN]))
    return shown + (f" and {len(parts) - _SHOWN} more" if len(parts) > _SHOWN else "")


def place(database: str) -> str:
    """Name a database in a sentence."""
    return "the embedded store" if database == "embedded" else database


def _run_lines(report: RunReport) -> Iterator[str]:
    yield _outcome(report)
    if report.ledgers:
        yield f"  committed  ledgers {ranges(report.committed)} in {units.duration(report.elapsed_s)}"
        if report.rows:
            yield f"  rows       {_rows(report.rows)}"
        yield f"  speed      {_speed(report)}"
    if report.ledgers and report.limit:
        yield f"  limit      {report.limit}"
    if report.event_hash_mismatches:
        yield f"  note       {units.count(report.event_hash_mismatches)} event hashes below protocol 23 do not hold"
    for protocol, count in report.left_alone.items():
        yield f"  note       {units.plural(count, 'event')} left alone: they only look like those of {protocol}"
    if report.missing and report.outcome != "refused":
        yield f"  missing    ledgers {ranges(report.missing)}"
    if report.error:
        yield from _where(report.error)
    if report.resume:
        yield "  resume     the same command goes on from there:"
        yield f"    {report.resume}"
        if secrets.HIDDEN in report.database:
            yield "    (its password: from LEDGERFILL_DATABASE or DATABASE_URL as set now, elsewhere from PGPASSFILE)"


def _outcome(report: RunReport) -> str:
    if report.exit_code:
        return f"{report.outcome}: {report.error.message if report.error else 'ledgers are missing'}"
    where = place(report.database)
    if report.protocol_ids:
        what = report.job.removeprefix("migrate ").replace("-", " ")
        where = f"the {what} of {' and '.join(report.protocol_ids)} in {where}"
    if report.outcome == "handed_off":
        return f"done: live ingestion has taken over {where}"
    if not report.ledgers:
        return f"nothing to do: ledgers {report.wanted} are in {where} already"
    return f"done: ledgers {report.wanted} are in {where}"


def _where(error: RunError) -> Iterator[str]:
    known = {"object": error.object, "ledger": error.ledger, "byte": error.offset, "chunk": error.chunk}
    known |= {"worker": error.worker, "attempts": error.attempts}
    named = ", ".join(f"{name} {value}" for name, value in known.items() if value is not None)
    if named:
        yield f"  where      {named}"


def _rows(rows: Mapping[str, int]) -> str:
    counts = (
        units.plural(n, table.removesuffix("s")) if table.endswith("s") else f"{units.count(n)} {table}"
        for table, n in rows.items()
    )
    return f"{units.count(sum(rows.values()))}: " + ", ".join(counts)


def _speed(report: RunReport) -> str:
    return ", ".join(
        (
            f"{units.count(report.rate(report.ledgers))} ledgers/s",
            *([f"{units.count(report.rate(report.rows['events']))} events/s"] if "events" in report.rows else []),
            f"{units.count(report.rate(sum(report.rows.values())))} rows/s",
            f"{units.size(report.rate(report.plain_bytes))}/s plain",
            f"{units.size(report.rate(report.object_bytes))}/s stored",
        )
    )


def verify_failure(report: VerifyReport) -> str:
    """Say in one line why a verification is no success."""
    if report.difference:
        return f"different: {report.difference}"
    if report.error:
        return report.error.message
    return f"missing: ledgers {ranges(report.missing)} are not in {place(report.database)}"


def _verify_lines(report: VerifyReport) -> Iterator[str]:
    if report.exit_code == 0:
        yield f"equal: ledgers {report.wanted} in {place(report.database)} are what {report.source} gives"
    else:
        yield verify_failure(report)
        yield from _where(report.error) if report.error else ()
    if report.ledgers:
        yield f"  compared   ledgers {ranges(report.compared)} in {units.duration(report.elapsed_s)}"
        yield f"  rows       {_rows(report.rows)}"
    if report.missing and (report.difference or report.error):
        yield f"  missing    ledgers {ranges(report.missing)}"


def proof_failure(report: ProofReport) -> str:
    """Say in one line why a verification without a database is no success."""
    if report.error:
        return report.error.message
    return f"only {units.count(report.ledgers)} of {units.plural(len(report.wanted), 'ledger')} were proved"


def _proof_lines(report: ProofReport) -> Iterator[str]:
    if report.exit_code == 0:
        yield f"sound: ledgers {report.wanted} of {report.source}"
    else:
        yield proof_failure(report)
        yield from _where(report.error) if report.error else ()
    if report.ledgers:
        yield f"  proved     ledgers {ranges(report.proved)} in {units.duration(report.elapsed_s)}"
        plain, stored = (units.size(report.rate(n)) for n in (report.plain_bytes, report.object_bytes))
        yield f"  speed      {units.count(report.rate(report.ledgers))} ledgers/s, {plain}/s plain, {stored}/s stored"
        stages = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in report.cpu_s.items())
        yield f"  CPU        {sum(report.cpu_s.values()):.1f} s: {stages}"
    if report.event_hash_mismatches:
        yield f"  note       {units.count(report.event_hash_mismatches)} event hashes below protocol 23 do not hold"
