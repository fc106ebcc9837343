"""Short jobs, each the command as typed in a fresh process: in a ready store, and again in one whose books have grown.

The grown store has the segments of 64 million ledgers, none of them full, a thousand runs, a million chunks and ten
thousand steps against stalls in the newest ten of them (one died and could not report), and thousands of stretches.
What is planned are 64 million ledgers of a lake that has its manifest and, for its newest ledger, a file without
anything in it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import figures
import inputs

from pipeline.bench.scratch import Scratch, environment, scratch
from pipeline.store import segments
from workers.messages import LedgerRange
from workers.sources import Layout

PLANNED = LedgerRange(2, 64_000_000)
RUNS, CHUNKS, STEPS = 1_000, 100_000, 1_000  # chunks and steps of each of the newest ten
HELP_S, NOTHING_S, ONE_S, LOOK_S, LOOK_MB = 0.2, 0.5, 1.0, 1.0, 100.0
_POLL_S = 0.002
_MANY_RUNS = """
INSERT INTO ledgerfill.backfill_runs
    (id, job, first, last, source, workers, process_id, host, version, ended_at, outcome, report)
SELECT nextval('ledgerfill.run_ids'), 'backfill', 2, 64000000, '/lake', 2, 1, 'host', '0.1.0', now(), 'success',
    jsonb_build_object('chunks', %(chunks)s::int8, 'ledgers', %(chunks)s::int8 * 64)
FROM generate_series(1, %(runs)s)"""
_ONE_DIED = """
UPDATE ledgerfill.backfill_runs SET outcome = 'died', report = NULL
WHERE id = (SELECT max(id) FROM ledgerfill.backfill_runs)"""
_MANY_CHUNKS = """
INSERT INTO ledgerfill.backfill_chunks (run_id, first, last, commit_id, first_hash, last_hash, worker, attempts,
    transactions, operations, events, contracts, object_bytes, plain_bytes, row_bytes, timings)
SELECT r.id, 2 + 64 * n, 65 + 64 * n, gen_random_uuid(), sha256('first'), sha256('last'), 1, 1,
    20000, 50000, 60000, 0, 16000000, 120000000, 60000000,
    '{"wait_s": 0.1, "decompress_s": 0.1, "walk_s": 0.1, "prove_s": 0.1, "encode_s": 0.1, "write_s": 0.1}'
FROM (SELECT id FROM ledgerfill.backfill_runs ORDER BY id DESC LIMIT 10) r, generate_series(0, %(chunks)s - 1) n"""
_MANY_STEPS = """
INSERT INTO ledgerfill.backfill_steps (run_id, number, at, step, first, last, worker, attempt, elapsed_s, why)
SELECT r.id, n, now(), 'suspect', 2 + 64 * n, 65 + 64 * n, 1, 1, 10, 'everything waits for it'
FROM (SELECT id FROM ledgerfill.backfill_runs ORDER BY id DESC LIMIT 10) r, generate_series(1, %(steps)s) n"""
_MANY_STRETCHES = """
INSERT INTO ledgerfill.ledger_stretches
    (first, last, previous_hash, first_hash, last_hash, job, run_id, epoch, commit_id)
SELECT 1000000 + 6000 * n, 1003000 + 6000 * n, sha256('below'), sha256('first'), sha256('last'), 'backfill', 1, 1,
    gen_random_uuid()
FROM generate_series(1, %(stretches)s) n"""
_INDEXED = "UPDATE ledgerfill.segments SET indexed = true"


@dataclass(slots=True)
class Store:
    """A ready store, and a lake of which it lacks some ledgers: each turn fills the next one."""

    ground: Scratch
    lake: inputs.Input
    wide: Path  # the lake of 64 million ledgers
    held: int  # the last ledger that is there

    def commands(self) -> dict[str, tuple[list[str], float]]:
        """Return the commands that only look, each with its seconds."""
        wide = [f"--source={self.wide}", f"--start-ledger={PLANNED.first}", f"--end-ledger={PLANNED.last}"]
        return {
            "backfill, nothing to do": (["backfill", *self._one(self.held)], NOTHING_S),
            "plan of 64 million ledgers": (["plan", *wide], LOOK_S),
            "status": (["status"], LOOK_S),
        }

    def next_one(self) -> list[str]:
        """Return the command that fills the next ledger."""
        self.held += 1
        return ["backfill", *self._one(self.held)]

    def _one(self, ledger: int) -> list[str]:
        return [f"--source={self.lake.path}", f"--start-ledger={ledger}", f"--end-ledger={ledger}"]


def main() -> None:
    """Measure in a store that is ready, then let its books grow, and measure again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="how often each command is typed")
    parser.add_argument("--stretches", type=int, default=2_000, help="of the grown store")
    parser.add_argument("--lakes", type=Path, help="folder where the lake is kept and found again")
    given = parser.parse_args()
    turns: int = given.rounds
    with inputs.lakes(64, given.lakes, only="synthetic") as (lake,), scratch(inputs.SCRATCH) as ground:
        store = Store(ground, lake, _wide_lake(ground.folder / "wide", lake), lake.ledgers.first - 1)
        _type(ground, store.next_one())
        figures.title("short: jobs in a ready store", lake.name, f"{turns} turns each")
        _median(ground, "--help", [["--help"]] * turns, HELP_S)
        _without_a_store(ground, store, turns)
        _measure(ground, store, turns)
        _grow(ground, given.stretches)
        books = f"{RUNS} runs, {10 * CHUNKS:,} chunks, {10 * STEPS:,} steps, {given.stretches:,} stretches"
        detail = f"{books}, segments of 64 million ledgers"
        figures.title("short: the same in a store that has grown", lake.name, detail)
        _measure(ground, store, turns)


def _without_a_store(ground: Scratch, store: Store, turns: int) -> None:
    command, limit_s = store.commands()["plan of 64 million ledgers"]
    empty = ground.folder / "empty"
    _median(ground, "plan of 64 million ledgers, no store", [command] * turns, limit_s, home=empty)
    figures.share("  its memory, MB", [_peak_mb(ground, command, empty)], LOOK_MB)


def _measure(ground: Scratch, store: Store, turns: int) -> None:
    for name, (command, limit_s) in store.commands().items():
        _median(ground, name, [command] * turns, limit_s)
        if limit_s == LOOK_S:
            figures.share("  its memory, MB", [_peak_mb(ground, command)], LOOK_MB)
    _median(ground, "backfill of one ledger", [store.next_one() for _ in range(turns)], ONE_S)


def _median(ground: Scratch, name: str, commands: list[list[str]], limit_s: float, home: Path | None = None) -> None:
    taken, cpu = zip(*(_type(ground, command, home) for command in commands), strict=True)
    figures.share(f"{name}, s", taken, limit_s)
    figures.show("  its CPU, s", f"{figures.median(cpu):.3f}")  # which holds on a busy machine, too


def _type(ground: Scratch, command: list[str], home: Path | None = None) -> tuple[float, float]:
    """Type one command; return the seconds from its start to its end, and those of CPU that it and its workers had."""
    began = time.monotonic()
    process = _start(ground, command, home)
    _, status, used = os.wait4(process.pid, 0)
    took = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    ground.require_success(process, " ".join(command))
    return took, used.ru_utime + used.ru_stime


def _peak_mb(ground: Scratch, command: list[str], home: Path | None = None) -> float:
    """Type one command and look at it all the time; return the most memory that it was seen to have."""
    process, peak_kib = _start(ground, command, home), 0
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        with suppress(OSError):  # it has just ended
            lines = status.read_text().splitlines()
            peak_kib = max(peak_kib, *(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)
        time.sleep(_POLL_S)
    ground.require_success(process, " ".join(command))
    return peak_kib * 1024 / 1e6


def _start(ground: Scratch, command: list[str], home: Path | None) -> subprocess.Popen[bytes]:
    with ground.log.open("wb") as out:
        return subprocess.Popen(
            [inputs.PROGRAM, *command],
            cwd=ground.folder,
            env=environment(home or ground.home),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )


def _wide_lake(folder: Path, lake: inputs.Input) -> Path:
    """Make a lake of the same network that has nothing but its manifest, and a newest ledger of 200 kB of nothing."""
    newest = folder / Layout.of(lake.found.lake.spec).key(PLANNED.last)
    newest.parent.mkdir(parents=True)
    shutil.copy(lake.path / ".config.json", folder)
    newest.touch()
    os.truncate(newest, 200_000)
    return folder


def _grow(ground: Scratch, stretches: int) -> None:
    """Fill the books as years of runs would."""
    segments.ensure(ground.conn, PLANNED)
    ground.conn.execute(_INDEXED)
    counts = {"runs": RUNS, "chunks": CHUNKS, "steps": STEPS, "stretches": stretches}
    for query in (_MANY_RUNS, _ONE_DIED, _MANY_CHUNKS, _MANY_STEPS, _MANY_STRETCHES):
        ground.conn.execute(query, {name: count for name, count in counts.items() if f"%({name})s" in query})
    for settle in ("VACUUM (ANALYZE)", "CHECKPOINT"):  # what it takes to fill them is not the question
        ground.conn.execute(settle)


if __name__ == "__main__":
    main()
