"""SIGKILL of a worker at each step of its life by name: the run replaces it, does its chunk again and ends well.

`at_step/sitecustomize.py` is what kills, from within the worker; the product has nothing for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from lakes import core_ledgers, write_lake
from program import Program, Running, job
from stores import digests, held

FIRST, LAST = 18, 33  # the first chunk has rows for more than a page
CHUNK = 4
HEAD, BEHIND = FIRST, FIRST + CHUNK  # two chunks by their first ledgers
AT_STEP = Path(__file__).with_name("at_step")
SAYS = "multiprocessing.connection:Connection._send write"
STARTING = {
    "forked": "call workers.entry:main",
    "source open": "return workers.sources:open_source",
    "about to say that it is ready": f"c_call {SAYS} Ready",
    "ready, without a task": f"c_return {SAYS} Ready",
}
READING = {
    "task received": "call concurrent.futures.thread:ThreadPoolExecutor.submit",
    "about to read": "call workers.sources.lake:Lake.read",
    "an object open": "c_call workers.sources.folder:_read read",
    "an object read": "c_return workers.sources.folder:_read read",
    "all objects read": "return workers.sources.lake:Lake.read",
}
WORKING = {
    "about to say that it has begun": f"c_call {SAYS} ChunkStarted",
    "begun": f"c_return {SAYS} ChunkStarted",
    "about to make the file": "c_call workers.entry:_rows_file open",
    "the file empty": "c_call workers.entry:Worker._decode chunk",
    "in the midst of the file": "c_call workers.entry:Worker._decode chunk",
    "decoded": "c_return workers.entry:Worker._decode chunk",
    "the file cut to size": "c_return workers.entry:_rows_file ftruncate",
    "the file whole": "c_return workers.entry:_rows_file close",
    "about to answer": f"c_call {SAYS} ChunkDone",
    "in the midst of the answer": f"c_call {SAYS} ChunkDone",
}
ANSWERED = {"answered": f"c_return {SAYS} ChunkDone"}
STEPS = STARTING | READING | WORKING | ANSWERED
Digests = dict[str, tuple[int, str]]


@dataclass(frozen=True)
class Kill:
    """Which worker is killed at a step: the one that has a chunk, or one by its name."""

    of: int | str  # the first ledger of the chunk, or the name
    workers: int = 2
    head_held: bool = True  # until the kill nobody works on the head, so that the other is behind it

    def flags(self) -> tuple[object, ...]:
        """Return the flags of the run."""
        return "--chunk-ledgers", CHUNK, "--workers", self.workers

    def env(self, step: str, mark: Path) -> dict[str, str]:
        """Return the environment of the run."""
        hold = str(HEAD) if self.head_held else ""
        kill = {"STEP": STEPS[step], "OF": str(self.of), "HOW": step, "MARK": str(mark), "HOLD": hold}
        return {"PYTHONPATH": str(AT_STEP)} | {f"KILL_{name}": value for name, value in kill.items()}


AT_START = Kill("worker-1", workers=1), Kill("worker-2")
OF_CHUNK = Kill(HEAD, head_held=False), Kill(BEHIND)
QUEUED = Kill(BEHIND, workers=1)  # its objects are read while the worker is at the head
KILLS = (
    dict.fromkeys(STARTING, AT_START)
    | dict.fromkeys(READING, (*OF_CHUNK, QUEUED))
    | dict.fromkeys([*WORKING, *ANSWERED], OF_CHUNK)
)


@pytest.fixture(scope="module")
def lake(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of real ledgers that nobody changes."""
    return write_lake(tmp_path_factory.mktemp("whole") / "lake", core_ledgers(shared))


@pytest.fixture
def programs(
    step: str, tmp_path: Path, new_database: Callable[[str], str], drop_database: Callable[[str], None]
) -> Iterator[list[Program]]:
    """One for each kill at the step, with a home and a database of its own: they run side by side."""
    made = [Program(tmp_path / f"{n}" / "home", new_database("template0")) for n in range(len(KILLS[step]))]
    for program in made:
        program.home.mkdir(parents=True)
    yield made
    for program in made:
        program.end()
        drop_database(str(program.database))


@pytest.mark.parametrize("step", STEPS)
def test_run_heals_when_a_worker_dies_at_a_step(
    programs: list[Program], lake: Path, undisturbed_core: Callable[[int, int], Digests], step: str
) -> None:
    """By itself: what was not answered is done again, what was answered is not, and nothing is left of the dead."""
    running = [
        program.start(
            "backfill",
            *job(lake, FIRST, LAST),
            *kill.flags(),
            *("--report", program.home / "report.json"),
            env=kill.env(step, program.home / "killed"),
        )
        for kill, program in zip(KILLS[step], programs, strict=True)
    ]
    for kill, run in zip(KILLS[step], running, strict=True):
        require_healed(kill, step, run, undisturbed_core(FIRST, LAST))


def require_healed(kill: Kill, step: str, run: Running, undisturbed: Digests) -> None:
    """Wait for the end of a run whose worker was killed, and look at what is there."""
    ended, home = run.result(), run.program.home
    assert ended.returncode == 0, ended.stderr
    assert (home / "killed").exists(), f"no worker came to {STEPS[step]}"
    again = json.loads((home / "report.json").read_text())["steps"]
    assert {each["step"] for each in again} <= {"re-dispatch"}, again
    chunks = [each["chunk"][0] for each in again]
    if step in STARTING:
        assert len(chunks) <= (step == "ready, without a task"), again  # it may be given one before it is found dead
    elif step in ANSWERED:
        assert kill.of not in chunks, again
    else:
        assert chunks == [HEAD if kill is QUEUED else kill.of], again
        assert f"killed by {'SIGXFSZ' if step == 'in the midst of the file' else 'SIGKILL'}" in again[0]["why"]
    assert held(str(run.program.database)) == [(FIRST, LAST)]
    assert digests(str(run.program.database)) == undisturbed
