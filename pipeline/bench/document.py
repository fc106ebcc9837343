"""A bench as JSON, for programs and for `--compare`; and what an older one says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.bench.figures import RUN, Figure, Measured, Target
from pipeline.bench.measuring import Bench
from pipeline.errors import Refused
from pipeline.progress.report_json import versions

FORMAT = 1  # of this document; a change of what a name means counts it up
HEADLINES = (
    "ledgers_per_s",
    "rows_per_s",
    "mb_per_s",
    "roofline_ledgers_per_s",
    "share_of_roofline",
    "cpu_ms_per_ledger",
    "peak_memory_mib",
)
Document = Mapping[str, Any]  # JSON values


def document(bench: Bench) -> Document:
    """Return it as JSON values; the numbers at the top are those of the whole run with the program's own defaults."""
    measured = bench.measured
    run = _measure(measured, RUN)
    return {
        "format": FORMAT,
        "job": "bench",
        "ledgers_per_s": run["ledgers_per_s"],
        "rows_per_s": run["rows_per_s"],
        "mb_per_s": run["mb_per_s"],
        "roofline_ledgers_per_s": round(measured.roofline, 3),
        "share_of_roofline": run["share_of_roofline"],
        "cpu_ms_per_ledger": round(sum(run["cpu_ms_per_ledger"].values()), 4),
        "cpu_ms_per_ledger_by_process": run["cpu_ms_per_ledger"],
        "peak_memory_mib": run["peak_memory_mib"],
        "roofline_cpu_ms_per_ledger": {name: round(ms, 4) for name, ms in measured.roofline_ms.items()},
        "targets": [_target(target) for target in measured.targets()],
        "measures": [_measure(measured, key) for key in measured.rounds[0]],
        "source": bench.source,
        "ledgers": bench.ledgers,
        "copied_ledgers": bench.copied,
        "chunk_ledgers": bench.chunk,
        "rounds": len(measured.rounds),
        "workers": bench.workers,
        "connections": bench.connections,
        "machine": {"cores": measured.cores, "memory_bytes": bench.memory_bytes, "processor": bench.processor},
        "versions": versions({"postgresql": bench.server_version}),
        "began_at": bench.began.isoformat(),
        "took_s": round(bench.took_s, 1),
    }


def read(path: Path) -> Document:
    """Return the JSON of an older bench. Raises `Refused` where there is none to read."""
    try:
        found = json.loads(path.read_text())
    except OSError as error:
        raise Refused(f"cannot read {path} to compare with: {error.strerror}") from error
    except ValueError as error:  # no JSON, or not even text
        raise Refused(f"cannot read {path} to compare with: it is no JSON") from error
    if not isinstance(found, dict) or found.get("job") != "bench" or not isinstance(found.get("measures"), list):
        raise Refused(f"cannot compare with {path}: it was not written by ledgerfill bench --json")
    if found.get("format") != FORMAT:
        raise Refused(f"cannot compare with {path}: it has format {found.get('format')}, this program knows {FORMAT}")
    return found


def _measure(measured: Measured, key: str) -> dict[str, Any]:
    """Return one thing that was measured: medians over the rounds."""

    def middle(of: str, digits: int = 3) -> float:
        return round(measured.middle(key, lambda figure: float(getattr(figure, of))), digits)

    first = measured.rounds[0][key]
    return {
        "key": key,
        "name": first.name,
        "ledgers": first.ledgers,
        "elapsed_s": middle("elapsed_s"),
        "ledgers_per_s": middle("ledgers_per_s"),
        "mb_per_s": middle("mb_per_s"),
        "rows_per_s": middle("rows_per_s"),
        "cpu_ms_per_ledger": {name: round(_cpu(measured, key, name), 4) for name in first.cpu_s},
        "share_of_roofline": round(measured.share(key), 4),
        "peak_memory_mib": middle("peak_memory_mib", 1) if first.memory else None,
        "private_memory_mib": {name: round(_private(measured, key, name), 1) for name in first.private},
        "cores_taken_by_others": round(measured.middle(key, _others), 3) if first.memory else None,
    }


def _cpu(measured: Measured, key: str, name: str) -> float:
    return measured.middle(key, lambda figure: figure.cpu_ms[name])


def _private(measured: Measured, key: str, name: str) -> float:
    return measured.middle(key, lambda figure: figure.private.get(name, 0) / (1 << 20))


def _others(figure: Figure) -> float:
    return figure.others_s / figure.elapsed_s


def _target(target: Target) -> dict[str, Any]:
    return {
        "key": target.key,
        "name": target.name,
        "ratio": round(target.ratio, 4),
        "target": target.bound,
        "at_least": target.at_least,
        "met": target.met,
    }
