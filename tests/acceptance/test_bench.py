"""`ledgerfill bench`, for real and in small: what it measures, and that nothing of it is left."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from program import Program, Running, wait_for

TOP = ("ledgers_per_s", "rows_per_s", "mb_per_s", "roofline_ledgers_per_s", "share_of_roofline")
TOP += ("cpu_ms_per_ledger", "peak_memory_mib")
MEASURES = {"rust", "copy_plain", "copy", "copy_2", "copy_before", "backfill", "backfill_before"}
TARGETS = {"run_over_roofline", "run_over_before", "connections", "server_over_plain", "coordinator"}


@pytest.fixture
def ground(reachable: Path, tmp_path: Path, processes: Callable[[Path], list[int]]) -> Iterator[Path]:
    """Where throw-away folders are made: empty afterwards, and no server runs in it."""
    folder = reachable / f"bench-{tmp_path.name}"
    folder.mkdir()
    yield folder
    wait_for(lambda: not list(folder.iterdir()) and not processes(folder))


def is_untouched(ledgerfill: Program) -> bool:
    """Tell whether neither the user's database nor the user's home holds anything."""
    with psycopg.connect(ledgerfill.database or "") as conn:
        found = conn.execute("SELECT to_regnamespace('ledgerfill'), to_regnamespace('trial')").fetchone()
    return found == (None, None) and not list(ledgerfill.home.iterdir())


@pytest.mark.slow
def test_bench_measures_on_ground_of_its_own(ledgerfill: Program, core_lake: Path, ground: Path) -> None:
    """Everything is measured over a repeated lake and written as JSON; the user's own store is not touched."""
    old, new = ledgerfill.home.parent / "old.json", ledgerfill.home.parent / "new.json"
    old.write_text(json.dumps({"job": "bench", "format": 1, "measures": [], "ledgers_per_s": 1e-3}))
    flags = ["--source", core_lake, "--ledgers", 60, "--folder", ground, "--json", new, "--compare", old]
    elsewhere = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing", "PGHOSTADDR": "127.0.0.9"}
    ended = ledgerfill("bench", *flags, env=elsewhere, timeout_s=250.0)
    assert ended.returncode == 0, ended.stderr
    assert is_untouched(ledgerfill)
    found = json.loads(new.read_text())
    assert all(isinstance(found[name], int | float) and found[name] > 0 for name in TOP), found
    assert found["share_of_roofline"] == pytest.approx(
        found["ledgers_per_s"] / found["roofline_ledgers_per_s"], abs=1e-4
    )
    assert found["cpu_ms_per_ledger"] == pytest.approx(sum(found["cpu_ms_per_ledger_by_process"].values()), abs=1e-3)
    measures = {measure["key"]: measure for measure in found["measures"]}
    assert measures.keys() >= MEASURES
    assert {measures[key]["ledgers"] for key in measures if key.startswith("copy")} == {20}
    assert {measures[key]["ledgers"] for key in ("backfill", "backfill_before")} == {60}
    assert {target["key"] for target in found["targets"]} == TARGETS
    assert "backfill, as typed" in ended.stdout
    assert "compared with" in ended.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "moment", "code"),
    [
        (signal.SIGINT, "lake", 130),
        (signal.SIGTERM, "COPY, indexes at the end", 143),
        (signal.SIGINT, "backfill, as typed", 130),
        (signal.SIGKILL, "lake", -9),
        (signal.SIGKILL, "backfill, as typed", -9),
    ],
)
def test_interrupted_bench_leaves_nothing(
    ledgerfill: Program, ground: Path, number: signal.Signals, moment: str, code: int
) -> None:
    """However a bench ends, its server, its folder and what it had started are gone."""
    running = ledgerfill.start("bench", "--ledgers", 300, "--folder", ground)
    reached(running, moment, ground)
    running.send(number)
    running.process.wait(30)
    wait_for(lambda: not list(ground.iterdir()))
    assert running.process.returncode == code
    wait_for(lambda: not ledgerfill.processes())
    assert is_untouched(ledgerfill)


def reached(running: Running, moment: str, ground: Path) -> None:
    """Wait until a bench is in the midst of something."""
    if moment == "lake":
        wait_for(lambda: len(list(ground.glob("*/lake/*/*"))) > 20)
        return
    assert running.process.stderr is not None
    while moment not in (line := running.process.stderr.readline()):
        assert line, "it ended before"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--source", "nowhere"], ["no folder", "nowhere"]),
        (["--source", "stream:file"], ["stream"]),
        (["--compare", "nowhere.json"], ["nowhere.json", "No such file"]),
        (["--compare", os.devnull], [os.devnull, "no JSON"]),
        (["--json", "nowhere/new.json"], ["nowhere/new.json"]),
        (["--ledgers", "0"], ["--ledgers is 0"]),
        (["--rounds", "0"], ["--rounds is 0"]),
        (["--ledgers", "2000000000"], ["too little disk", "--folder"]),
        (["--folder", "nowhere"], ["nowhere", "--folder"]),
    ],
    ids=" ".join,
)
def test_bench_that_cannot_be_is_one_line(
    ledgerfill: Program, ground: Path, flags: list[str], words: list[str]
) -> None:
    """What a bench cannot use is refused in one line that names it, before anything is made."""
    ended = ledgerfill("bench", *([] if "--folder" in flags else ["--folder", ground]), *flags)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1), ended.stderr
    for word in words:
        assert word in ended.stderr
    assert not list(ground.iterdir())
