"""The whole run over its roofline, and what else `ledgerfill bench` measures, on both lakes; then memory by process.

Flags are those of `ledgerfill bench`: `run.py --rounds 3`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import figures
import inputs

MB, MIB = 1e6, 1 << 20


def main() -> None:
    """Measure both lakes."""
    for name, source in (("real", inputs.REAL), ("synthetic", None)):
        if source is None or source.is_dir():
            _show_memory(name, _bench([*(["--source", str(source)] if source else []), *sys.argv[1:]]))
        else:
            print(f"no real ledgers: there is no folder {source}")


def _bench(flags: Sequence[str]) -> dict[str, Any]:
    """Type the command, and return what it measured."""
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "bench.json"
        subprocess.run([inputs.PROGRAM, "bench", *flags, "--json", found], check=True)
        document: dict[str, Any] = json.loads(found.read_text())
        return document


def _show_memory(lake: str, bench: dict[str, Any]) -> None:
    """Hold the private memory of the processes of the run as typed against what they may have."""
    run = next(measure for measure in bench["measures"] if measure["key"] == "backfill")
    chunk = run["mb_per_s"] / run["ledgers_per_s"] * bench["chunk_ledgers"]
    figures.title(
        "run: private memory", lake, f"{bench['ledgers']} ledgers in chunks of up to {bench['chunk_ledgers']}"
    )
    for name, allowed in (("coordinator", 150.0), ("worker", 150.0 + 3 * chunk)):
        peak = run["private_memory_mib"][name] * MIB / MB
        figures.show(f"private memory of the {name} at its peak", f"{peak:.0f} MB")
        figures.share(f"private memory of the {name} over {allowed:.0f} MB", [peak / allowed], 1.0)


if __name__ == "__main__":
    main()
