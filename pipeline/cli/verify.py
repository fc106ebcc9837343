"""`ledgerfill verify`."""

from __future__ import annotations

from pipeline.cli.flags import JobFlags

EXAMPLES = """\
Examples:
  ledgerfill verify --source ./lake --start-ledger 2
  ledgerfill verify --source ./lake --start-ledger 2 --end-ledger 99 --report verify.json

Ends with 0 only when every ledger of the range is there and equal; 1 otherwise."""


def verify(flags: JobFlags | None = None) -> int:
    """Compute a range anew from its source, and compare it row by row with the database; name the first difference."""
    from pipeline import verify as job
    from pipeline.cli.job import flags_of, print_lines, say, watching, write_report
    from pipeline.config import VerifySettings
    from pipeline.config_sources import load
    from pipeline.progress import report_json, report_text
    from pipeline.progress.report import RunError

    settings = load(VerifySettings, flags_of(flags))
    with watching(settings) as watch:
        try:
            report = job.run(settings, watch)
        except Exception as error:  # what it is, the door decides
            write_report(report_json.unreported_document("verify", RunError.of(error)), settings.report)
            raise
    written = write_report(report_json.verify_document(report), settings.report)
    if report.exit_code:
        say(report_text.verify_failure(report))
    print_lines(report_text.verify_lines(report))
    return report.exit_code if written else report.exit_code or 1
