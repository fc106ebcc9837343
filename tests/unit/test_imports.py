"""What a process does not import: each package that it does without is a short job's time, and every worker's."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import documented
import pytest

from pipeline import source
from pipeline.config import BackfillSettings

LOADED = "import json, sys; json.dump(sorted({name.partition('.')[0] for name in sys.modules}), sys.stdout)"


def imported_by(code: str, given: bytes = b"") -> set[str]:
    """Return the packages that a fresh process has imported after some code."""
    command = [sys.executable, "-c", f"{code}\n{LOADED}"]
    done = subprocess.run(command, input=given, capture_output=True, check=True)
    return set(json.loads(done.stdout))


def test_settings_of_a_worker_bring_no_package(tmp_path: Path) -> None:
    """What a worker is given is unpickled without the coordinator's packages."""
    manifest = {
        "networkPassphrase": "a network",
        "version": "1.0",
        "compression": "zstd",
        "ledgersPerBatch": 1,
        "batchesPerPartition": 64000,
    }
    (tmp_path / ".config.json").write_text(json.dumps(manifest))
    settings = BackfillSettings(source=str(tmp_path), start_ledger=2, end_ledger=9)
    with source.opened(settings, tmp_path) as opened:
        given = pickle.dumps(opened.worker_config)
    imported = imported_by("import pickle, sys; pickle.load(sys.stdin.buffer)", given)
    assert "workers" in imported
    assert not imported & {"pipeline", "pydantic", "psycopg"}


def test_commands_that_draw_nothing_import_no_rich() -> None:
    """The live display's package is imported where there is a terminal to draw on, and nowhere else."""
    assert not imported_by("import pipeline.cli.job, pipeline.backfill, pipeline.status") & {"rich"}


def test_decision_that_nothing_is_to_do_imports_no_engine() -> None:
    """What only a run needs is imported by a run: processes, lanes and commits."""
    assert not imported_by("import pipeline.backfill") & {"multiprocessing", "pydantic_settings"}


def test_pyarrow_comes_with_a_plug_in_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker without plug-ins, and who only looks for them, do without pyarrow; one that is wanted brings it."""
    look = "from workers import entry, protocols\nprotocols.installed()\n"
    assert "pyarrow" not in imported_by(f"{look}assert entry._plug_ins(entry.SECTIONS) == ()")
    monkeypatch.setenv("PYTHONPATH", str(documented.install(tmp_path)))
    assert "pyarrow" in imported_by("from workers import entry\nassert entry._plug_ins(['points_held'])")
