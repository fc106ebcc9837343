"""What both built-in protocols cost: time, and CPU of the program and its server together.

`migrate current-state` over `verify --no-database` of the same ledgers, which decodes and proves and makes no rows.
Then base tables, history and state of both in one pass, as live ingestion writes them, over base tables alone: the
command is `live --until-tip` in both cases, into an empty store, indexes included. Each side's turn is the command as
typed, from its start to its end.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import get_args

import figures
import inputs
import psycopg

from pipeline.bench.scratch import Scratch, scratch
from pipeline.store import books, cursors, state
from pipeline.store.cursors import Kind
from pipeline.usage import machine_s
from workers.protocols import Protocol
from workers.protocols.sep41 import PROTOCOL as SEP41
from workers.protocols.sep50 import PROTOCOL as SEP50

STATE_TARGET, PASS_TARGET = 1.5, 1.3
WORKERS = ("--workers", "2")
BOTH = ("--protocol-id", "SEP41", "--protocol-id", "SEP50")
_AGAIN = """
    DELETE FROM ledgerfill.ingest_store;
    UPDATE ledgerfill.protocols SET current_state_from = NULL;
    TRUNCATE ledgerfill.sep41_balances, ledgerfill.sep41_allowances, ledgerfill.sep50_tokens
"""

_WRITTEN = """
    SELECT EXISTS (SELECT FROM ledgerfill.state_changes),
        (SELECT count(*) FROM ledgerfill.ingest_store WHERE value = %(last)s AND job = 'live')
"""


@dataclass(frozen=True, slots=True)
class Turn:
    """One command: seconds from start to end, CPU seconds of the program, of the server, and of everybody meanwhile."""

    elapsed_s: float
    program_s: float
    server_s: float
    machine_s: float

    @property
    def cpu_s(self) -> float:
        """What it took of the machine."""
        return self.program_s + self.server_s

    @property
    def others(self) -> float:
        """The share of the cores that somebody else had."""
        return max(0.0, self.machine_s - self.cpu_s) / self.elapsed_s / len(os.sched_getaffinity(0))


def main() -> None:
    """Measure both lakes."""
    given = inputs.arguments(__doc__, ledgers=8000, rounds=3)
    with scratch(inputs.SCRATCH) as ground, inputs.lakes(given.ledgers, given.lakes) as lakes:
        for lake in lakes:
            _state(lake, given.rounds, ground)
            _one_pass(lake, given.rounds, ground)


def _state(lake: inputs.Input, rounds: int, ground: Scratch) -> None:
    ledgers = len(lake.ledgers)
    figures.title("protocols: current state of both over a bare decode", lake.name, f"{ledgers} ledgers")
    source = ("--source", str(lake.path))
    start = ("--start-ledger", str(lake.ledgers.first))
    ground.renew()
    _turn(ground, "backfill", *source, *start, *WORKERS)
    _turn(ground, "setup", *BOTH)
    turns = []
    for _ in range(rounds + 1):  # the first fills the page cache and does not count
        bare = _turn(ground, "verify", "--no-database", *source, *start, *WORKERS)
        state = _turn(ground, "migrate", "current-state", *source, *start, *BOTH, "--until-tip", *WORKERS)
        turns.append((bare, state))
        with psycopg.connect(ground.url) as conn:
            rows = conn.execute("SELECT count(*) FROM ledgerfill.sep41_balances").fetchone()
            conn.execute(_AGAIN)
    figures.show("rows of sep41_balances in the end", f"{rows[0] if rows else 0:,}")
    _show(("bare decode", "current state"), ledgers, turns[1:], STATE_TARGET)


def _one_pass(lake: inputs.Input, rounds: int, ground: Scratch) -> None:
    ledgers = len(lake.ledgers)
    figures.title("protocols: base tables with history and state, over without", lake.name, f"{ledgers} ledgers")
    turns = []
    for _ in range(rounds + 1):
        turns.append((_live(lake, ground, ()), _live(lake, ground, (SEP41, SEP50))))
    _show(("base tables", "with history and state"), ledgers, turns[1:], PASS_TARGET)


def _live(lake: inputs.Input, ground: Scratch, protocols: Sequence[Protocol]) -> Turn:
    """Follow the lake from its first ledger to its last, with the gates of some protocols open from the start."""
    ground.renew()
    if protocols:
        _turn(ground, "setup", *BOTH)
    begun = books.new_run(ground.conn)
    for protocol, kind in product(protocols, get_args(Kind)):
        for table in protocol.state:
            state.ensure(ground.conn, table)
        cursors.begin(ground.conn, protocol.id, kind, lake.ledgers.first, None, begun)
    source, first = ("--source", str(lake.path)), str(lake.ledgers.first)
    turn = _turn(ground, "live", *source, "--start-ledger", first, "--until-tip", *WORKERS)
    written = ground.conn.execute(_WRITTEN, {"last": lake.ledgers.last}).fetchone()
    assert written == (bool(protocols), 2 * len(protocols)), written
    return turn


def _turn(ground: Scratch, *command: str) -> Turn:
    """Type a command, and return what it took."""
    before, server, machine, began = os.times(), ground.cpu_s(), machine_s(), time.monotonic()
    with ground.child(*command) as process:
        process.wait()
    elapsed, after = time.monotonic() - began, os.times()
    ground.require_success(process, command[0])
    program = after.children_user + after.children_system - before.children_user - before.children_system
    return Turn(elapsed, program, ground.cpu_s() - server, machine_s() - machine)


def _show(names: tuple[str, str], ledgers: int, turns: Sequence[tuple[Turn, Turn]], target: float) -> None:
    for name, side in zip(names, zip(*turns, strict=True), strict=True):
        speed = figures.median(ledgers / turn.elapsed_s for turn in side)
        program, server = (
            figures.median(cpu) / ledgers * 1e3
            for cpu in ([turn.program_s for turn in side], [turn.server_s for turn in side])
        )
        others = figures.median(turn.others for turn in side)
        figures.show(f"{name}, ledgers/s", f"{speed:.0f}")
        figures.show(f"{name}, CPU: program + server", f"{program:.3f} + {server:.3f} ms a ledger")
        figures.show(f"{name}, cores taken by others", f"{others:.0%}{' TOO BUSY' if others > 0.1 else ''}")
    figures.share("CPU", [whole.cpu_s / bare.cpu_s for bare, whole in turns], target)
    figures.share("time", [whole.elapsed_s / bare.elapsed_s for bare, whole in turns], target)


if __name__ == "__main__":
    main()
