"""`ledgerfill verify`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.cli.flags import VerifyFlags

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.config import VerifySettings
    from pipeline.progress.verification import ProofReport, VerifyReport
    from pipeline.progress.watch import Watch

EXAMPLES = """\
Examples:
  ledgerfill verify --source ./lake --start-ledger 2
  ledgerfill verify --source ./lake --start-ledger 2 --end-ledger 99 --report verify.json
  ledgerfill verify --source ./lake --start-ledger 2 --no-database

Ends with 0 only when every ledger of the range is there and equal (with --no-database: sound); 1 otherwise."""
_DATABASE_FLAGS = ("database", "insecure_tls")


def verify(flags: VerifyFlags | None = None) -> int:
    """Compute a range anew from its source, and compare it row by row with the database; name the first difference.

    With --no-database, prove the ledgers of the source alone, each of them and each link to the one before.
    """
    from workers import pool

    with pool.started_ahead():  # it is up when the rest is imported
        return _verify(flags)


def _verify(flags: VerifyFlags | None) -> int:
    from pipeline.cli.job import flags_of, print_lines, say, watching, write_report
    from pipeline.config import VerifySettings
    from pipeline.config_sources import flag_of, load
    from pipeline.errors import Refused
    from pipeline.progress import report_json
    from pipeline.progress.report import RunError

    given = flags_of(flags)
    settings = load(VerifySettings, given)
    for named in _DATABASE_FLAGS:
        if settings.no_database and given.get(named):
            raise Refused(f"--no-database and {flag_of(named)} contradict each other: give one")
    with watching(settings) as watch:
        try:
            report = _run(settings, watch)
        except Exception as error:  # what it is, the door decides
            write_report(report_json.unreported_document("verify", RunError.of(error)), settings.report)
            raise
    document, failure, lines = _said(report)
    written = write_report(document, settings.report)
    if failure:
        say(failure)
    print_lines(lines)
    return report.exit_code if written else report.exit_code or 1


def _run(settings: VerifySettings, watch: Watch) -> VerifyReport | ProofReport:
    """Carry out the job; without a database nothing of PostgreSQL is imported."""
    if settings.no_database:
        from pipeline import prove

        return prove.run(settings, watch)
    from pipeline import verify

    return verify.run(settings, watch)


def _said(report: VerifyReport | ProofReport) -> tuple[Mapping[str, object], str | None, Iterator[str]]:
    """Return a report as a document, what went wrong in one line, and the lines that people read."""
    from pipeline.progress import report_json, report_text
    from pipeline.progress.verification import ProofReport

    if isinstance(report, ProofReport):
        failure = report_text.proof_failure(report) if report.exit_code else None
        return report_json.proof_document(report), failure, report_text.proof_lines(report)
    failure = report_text.verify_failure(report) if report.exit_code else None
    return report_json.verify_document(report), failure, report_text.verify_lines(report)
