"""What `backfill` and `verify` share: settings in, a run that is watched, a report out."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline import secrets
from pipeline.cli.flags import given
from pipeline.config import JobSettings
from pipeline.errors import BackfillError, Interrupted, Refused
from pipeline.progress import report_json, report_text
from pipeline.progress.printable import printable
from pipeline.progress.report import Outcome, RunError, RunReport
from pipeline.progress.watch import Watch
from pipeline.resume import resume_command


def flags_of(*groups: object) -> dict[str, Any]:
    """Return the flags that were given; warn of a password among them, which every process list shows."""
    named = dict(given(*groups))
    if secrets.passwords(named.get("database", "")):
        say("warning: others on this machine can see a password in a flag: use PGPASSFILE")
    return named


def say(line: str) -> None:
    """Write one line to standard error."""
    sys.stderr.write(f"ledgerfill: {printable(line)}\n")


@contextmanager
def watching(settings: JobSettings) -> Iterator[Watch]:
    """Check that the report can be written, and watch what runs inside; the terminal is whole again after it."""
    check_report(settings.report)
    watch = Watch.make(settings)
    try:
        yield watch
    finally:
        watch.close()


def check_report(path: Path | None) -> None:
    """Refuse a report that could not be written, before hours of work."""
    if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
        raise Refused(f"cannot write the report to {path}: no such folder, or a folder itself")


def run(settings: JobSettings, job: Callable[[Watch], RunReport], *, command: str = "backfill") -> int:
    """Run a job under watch, then write and print its report, however it ended; return the exit code.

    A job that fails may return a report that says so, or raise after or without having told `finished`.
    """
    with watching(settings) as watch:
        try:
            report = job(watch)
        except BackfillError as error:
            report = watch.report or unreported(settings, error, command, began=watch.began)
        except (KeyboardInterrupt, SystemExit) as error:  # before the job had handlers of its own, or behind them
            report = watch.report or unreported(settings, Interrupted.of(error), command, began=watch.began)
        except Exception as error:  # a fault of the program: the door says so, and the report does, too
            failed = watch.report or unreported(settings, error, command, began=True)
            write_report(report_json.run_document(failed), settings.report)
            raise
    if report.exit_code and report.outcome != "refused" and not report.complete and report.resume is None:
        report = replace(report, resume=resume_command(settings, command))
    written = write_report(report_json.run_document(report), settings.report)
    if report.error:
        say(report.error.message)
    if report.outcome != "refused":
        print_lines(report_text.run_lines(report))
    return report.exit_code if written else report.exit_code or 1


def unreported(settings: JobSettings, error: Exception, job: str = "backfill", *, began: bool) -> RunReport:
    """Return the report of a run that never began, or ended without one."""
    return RunReport(
        job=job,
        outcome=_outcome(error, began=began),
        source=settings.source_shown,
        database=settings.database_shown,
        error=RunError.of(error),
    )


def _outcome(error: Exception, *, began: bool) -> Outcome:
    if isinstance(error, Interrupted):
        return "interrupted"
    return "failed" if began else "refused"


def write_report(document: Mapping[str, object], path: Path | None) -> bool:
    """Write a report where it is wanted; say so and return False where it cannot be."""
    if path is None:
        return True
    try:
        report_json.write(document, path)
    except OSError as error:
        say(f"cannot write the report to {path}: {error.strerror}")
        return False
    return True


def print_lines(lines: Iterator[str]) -> None:
    """Print to standard output; a reader that has gone changes nothing about how the run ended, a full disk does."""
    try:
        for line in lines:
            print(line)
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains as it ends
        if not isinstance(error, BrokenPipeError):
            raise BackfillError(f"cannot write to standard output: {error.strerror}") from error
