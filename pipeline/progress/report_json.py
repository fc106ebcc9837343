"""The run report as JSON, for programs: whole and on disk, or not there at all."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import secrets
from pipeline.progress.report import RunError, RunReport
from pipeline.progress.verification import ProofReport, VerifyReport
from workers.messages import LedgerRange

if TYPE_CHECKING:
    from pipeline.actions import Note

FORMAT = 1  # of this document; a change of what a name means counts it up
_PACKAGES = ("ledgerfill", "psycopg", "obstore")


def run_document(report: RunReport) -> dict[str, object]:
    """Return the report of a run as JSON values; ranges are `[first, last]`, both included."""
    return {
        "format": FORMAT,
        "job": report.job,
        "protocols": list(report.protocol_ids),
        "outcome": report.outcome,
        "exit_code": report.exit_code,
        "run_id": report.run_id,
        "source": report.source,
        "database": report.database,
        "range": pair(report.wanted),
        "held_before": pairs(report.held),
        "committed": pairs(report.committed),
        "missing": pairs(report.missing),
        "ledgers": report.ledgers,
        "chunks": report.chunks,
        "attempts": report.attempts,
        "rows": dict(report.rows),
        "bytes": {"stored": report.object_bytes, "plain": report.plain_bytes, "rows": report.row_bytes},
        **_headlines(report),
        "rates": _rates(report),
        "started_at": report.started_at.isoformat() if report.started_at else None,
        "elapsed_s": round(report.elapsed_s, 3),
        "stages_s": {name: round(seconds, 3) for name, seconds in report.stages_s.items()},
        "steps": [step(note) for note in report.steps],
        "limit": report.limit,
        "event_hash_mismatches": report.event_hash_mismatches,
        "left_alone": dict(report.left_alone),
        "workers": report.workers,
        "connections": report.connections,
        "peak_memory_bytes": dict(report.peak_memory),
        "versions": versions(report.versions),
        "error": _error(report.error),
        "resume": report.resume,
    }


def verify_document(report: VerifyReport) -> dict[str, object]:
    """Return the report of a verification as JSON values."""
    return {
        "format": FORMAT,
        "job": "verify",
        "outcome": "success" if report.exit_code == 0 else "failed",
        "exit_code": report.exit_code,
        "source": report.source,
        "database": report.database,
        "range": pair(report.wanted),
        "equal": pairs(report.compared),
        "missing": pairs(report.missing),
        "ledgers": report.ledgers,
        "rows": dict(report.rows),
        "elapsed_s": round(report.elapsed_s, 3),
        "difference": report.difference,
        "versions": versions({}),
        "error": _error(report.error),
    }


def proof_document(report: ProofReport) -> dict[str, object]:
    """Return the report of a verification without a database as JSON values."""
    return {
        "format": FORMAT,
        "job": "verify",
        "outcome": "success" if report.exit_code == 0 else "failed",
        "exit_code": report.exit_code,
        "source": report.source,
        "database": None,
        "range": pair(report.wanted),
        "proved": pairs(report.proved),
        "ledgers": report.ledgers,
        "chunks": report.chunks,
        "bytes": {"stored": report.object_bytes, "plain": report.plain_bytes},
        "rates": {
            "ledgers_per_s": round(report.rate(report.ledgers), 3),
            "stored_bytes_per_s": round(report.rate(report.object_bytes), 3),
            "plain_bytes_per_s": round(report.rate(report.plain_bytes), 3),
        },
        "elapsed_s": round(report.elapsed_s, 3),
        "cpu_s": {name: round(seconds, 3) for name, seconds in report.cpu_s.items()},
        "event_hash_mismatches": report.event_hash_mismatches,
        "workers": report.workers,
        "peak_memory_bytes": dict(report.peak_memory),
        "versions": versions({}),
        "error": _error(report.error),
    }


def unreported_document(job: str, error: RunError) -> dict[str, object]:
    """Return what is left to say of a job that ended before it could report."""
    return {"format": FORMAT, "job": job, "outcome": "failed", "exit_code": error.exit_code, "error": _error(error)}


def text(document: Mapping[str, object]) -> str:
    """Return a report as text without secrets, in ASCII: JSON's own escapes keep out what could steer a terminal."""
    return secrets.hide(json.dumps(document, indent=2))


def write(document: Mapping[str, object], path: Path) -> None:
    """Write a report so that a reader finds the old one or the new one, never a part. Raises `OSError`."""
    whole = text(document) + "\n"
    if path.exists() and not path.is_file():  # /dev/stdout, a pipe: nothing to replace
        path.write_text(whole)
        return
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with part.open("w") as file:
            file.write(whole)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def versions(known: Mapping[str, str]) -> dict[str, str]:
    """Return the versions of what this runs on, and those the caller knows."""
    return {"python": platform.python_version()} | {name: version(name) for name in _PACKAGES} | dict(known)


def _headlines(report: RunReport) -> dict[str, object]:
    """Return the numbers that `bench` has under the same names; MB are of plain ledgers."""
    cpu = report.cpu_ms_per_ledger
    return {
        "ledgers_per_s": round(report.rate(report.ledgers), 3),
        "rows_per_s": round(report.rate(sum(report.rows.values())), 3),
        "mb_per_s": round(report.rate(report.plain_bytes) / 1e6, 3),
        "cpu_ms_per_ledger": round(sum(cpu.values()), 4) if cpu else None,
        "cpu_ms_per_ledger_by_process": {name: round(ms, 4) for name, ms in cpu.items()},
        "peak_memory_mib": round(report.peak_memory_mib, 1),
    }


def _rates(report: RunReport) -> dict[str, float]:
    amounts = {
        "ledgers_per_s": report.ledgers,
        "events_per_s": report.rows.get("events", 0),
        "rows_per_s": sum(report.rows.values()),
        "stored_bytes_per_s": report.object_bytes,
        "plain_bytes_per_s": report.plain_bytes,
        "row_bytes_per_s": report.row_bytes,
    }
    return {name: round(report.rate(amount), 3) for name, amount in amounts.items()}


def step(note: Note) -> dict[str, object]:
    """Return a step against a stall as JSON values."""
    return asdict(note) | {"chunk": pair(note.chunk)}


def _error(error: RunError | None) -> dict[str, object] | None:
    return None if error is None else asdict(error) | {"chunk": pair(error.chunk)}


def pair(ledgers: LedgerRange | None) -> list[int] | None:
    """Return a range as `[first, last]`."""
    return None if ledgers is None else [ledgers.first, ledgers.last]


def pairs(ranges: tuple[LedgerRange, ...]) -> list[list[int]]:
    """Return ranges as `[[first, last], …]`."""
    return [[each.first, each.last] for each in ranges]
