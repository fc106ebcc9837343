"""A bench as people read it, and what changed since an older one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from benched import bench, measures

from pipeline.bench.document import document, read
from pipeline.bench.table import changes, lines
from pipeline.errors import Refused


def test_table_has_a_row_for_everything() -> None:
    """Rates, share of the roofline, memory and CPU by process stand in the row of what was measured."""
    table = list(lines(document(bench())))
    row = next(line for line in table if line.startswith("backfill, as typed"))
    assert row.split()[3:10] == ["10,000", "400", "400", "600,000", "0.80", "200", "MiB"]
    assert row.endswith("4.30: workers 1.20, coordinator 0.35, server 2.75")
    assert any(line.startswith("roofline: 2 cores") and " 500 " in line for line in table)
    assert any("0.800  at least 0.8: met" in line for line in table)
    assert any("at most 0.04: MISSED" in line for line in table)
    assert not any("too busy" in line for line in table)


def test_table_warns_of_a_busy_machine() -> None:
    """Where others took more than a tenth of the cores during a run, its row is said to mean little."""
    disturbed = dict(measures())
    disturbed["backfill"] = replace(disturbed["backfill"], others_s=6.0)
    warnings = [line for line in lines(document(bench(disturbed))) if line.startswith("too busy")]
    assert len(warnings) == 1
    assert "backfill, as typed" in warnings[0]


def test_changes_are_in_percent_by_what_was_measured() -> None:
    """Every number that both have is shown with its change; a run that is twice as quick is 100 % quicker."""
    old, new = document(bench(measures(run_s=50.0))), document(bench(measures(run_s=25.0)))
    told = list(changes(old, new))
    assert next(line for line in told if line.startswith("ledgers/s")).split()[1:] == ["200", "400", "+100", "%"]
    assert any(line.startswith("backfill, as typed: ledgers/s") and "+100 %" in line for line in told)
    assert any(line.startswith("COPY, one: CPU ms a ledger") and "+0 %" in line for line in told)
    assert any(line.startswith("the whole run over the roofline") and "0.400" in line for line in told)
    assert not any("another" in line for line in told)


def test_changes_say_what_makes_two_benches_differ() -> None:
    """Another machine or other ledgers are named: the numbers are then not of the same thing."""
    old = {**document(bench()), "machine": {"cores": 8}, "source": "./lake"}
    told = "\n".join(changes(old, document(bench())))
    assert "another machine: then cores 8, now cores 2" in told
    assert "another source: then ./lake, now synthetic" in told


def test_what_an_older_bench_lacks_is_left_out() -> None:
    """An older document without a measure, or with something else in its place, is compared as far as it goes."""
    old = {**document(bench()), "measures": [{"key": "rust"}, 7, {"key": "copy", "ledgers_per_s": "fast"}]}
    old.pop("targets")
    told = list(changes(old, document(bench())))
    assert not any(line.startswith(("Rust pass", "COPY")) for line in told)
    assert any(line.startswith("ledgers/s") for line in told)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        (b"\xff\xfe", "no JSON"),
        (b"{", "no JSON"),
        (b"[1]", "not written by ledgerfill bench"),
        (b'{"job": "backfill", "measures": []}', "not written by ledgerfill bench"),
        (b'{"job": "bench", "format": 99, "measures": []}', "format 99"),
    ],
)
def test_what_is_no_bench_is_refused(tmp_path: Path, content: bytes | None, words: str) -> None:
    """A file that cannot be compared with is refused by name before anything is measured."""
    path = tmp_path / "old.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Refused, match=words):
        read(path)


def test_document_is_read_as_it_was_written(tmp_path: Path) -> None:
    """What `--json` wrote is what `--compare` reads."""
    path = tmp_path / "new.json"
    path.write_text(json.dumps(document(bench())))
    assert read(path) == document(bench())
