"""The run's own books: who runs, what was asked for, what it waits for, what it did about stalls, how it ended."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import version

import psycopg

from pipeline.actions import Note
from pipeline.store import queries
from workers.messages import LedgerRange

_SQL = queries.load("books")
HISTORY_SINCE = 3  # store version; before, a run wrote neither its steps nor what it waits for


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Who writes: a number from the store, and the command that was typed."""

    id: int
    job: str = "backfill"
    process_id: int
    host: str


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as the books have it, with what it has committed."""

    id: int
    job: str
    wanted: LedgerRange
    source: str
    workers: int
    process_id: int
    host: str
    version: str
    started_at: datetime
    ended_at: datetime | None
    outcome: str  # `running`, or `died` where neither an end nor a holder of the lock is known, or how it ended
    error: str | None
    cursor: int | None  # the highest ledger that it committed
    chunks: int
    ledgers: int
    committed_at: datetime | None  # of its last chunk


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What a run says of itself while it goes on: how far it is, and what it waits for."""

    ledgers_done: int
    ledgers_wanted: int  # missing when it began
    head: str  # what comes next, and who has it
    waits_for: str


@dataclass(frozen=True, slots=True)
class Said:
    """The last word of a run, and how old it was when it was read, by the clock that dated it."""

    word: Word
    at: datetime
    age_s: float


@dataclass(frozen=True, slots=True)
class NewStep:
    """A step against a stall that was taken `age_s` seconds ago; `number` counts a run's steps from 1."""

    number: int
    age_s: float
    note: Note


@dataclass(frozen=True, slots=True)
class StepRecord:
    """A step against a stall as the books have it."""

    at: datetime
    note: Note


def new_run(conn: psycopg.Connection, *, job: str = "backfill") -> Run:
    """Return a run of this process with a number that no other has; nothing is written before `start_run`."""
    row = conn.execute(_SQL["new_id"]).fetchone()
    assert row is not None  # noqa: S101 - a sequence always answers
    return Run(id=row[0], job=job, process_id=os.getpid(), host=socket.gethostname())


def start_run(conn: psycopg.Connection, run: Run, wanted: LedgerRange, *, source: str, workers: int) -> None:
    """Write the run down. Its lock is held: a run of this job with neither lock nor end has died, and is marked so."""
    with conn.transaction():
        conn.execute(_SQL["mark_died"], {"job": run.job, "id": run.id, "running": running(conn)})
        conn.execute(_SQL["forget_now"])
        conn.execute(
            _SQL["start"],
            {
                "id": run.id,
                "job": run.job,
                "first": wanted.first,
                "last": wanted.last,
                "source": source,
                "workers": workers,
                "process_id": run.process_id,
                "host": run.host,
                "version": version("ledgerfill"),
            },
        )


def end_run(
    conn: psycopg.Connection, run: Run, outcome: str, *, error: str | None = None, report: str | None = None
) -> None:
    """Write down how the run ended: `success`, `handed_off`, `failed` or `interrupted`; `report` is JSON."""
    conn.execute(_SQL["end"], {"id": run.id, "outcome": outcome, "error": error, "report": report})


def need_not_wait(conn: psycopg.Connection) -> None:
    """Have this session's words on disk when it suits the server: one that is lost is said anew anyway."""
    conn.execute(_SQL["soon"])


def say(conn: psycopg.Connection, run: Run, word: Word, age_s: float) -> None:
    """Write down what the run waits for, or waited for `age_s` seconds ago, in place of what it said before."""
    conn.execute(_SQL["say"], {"run_id": run.id, "age_s": age_s} | asdict(word))


def add_steps(conn: psycopg.Connection, run: Run, steps: Sequence[NewStep]) -> None:
    """Write steps down, all or none; one that is there already, after a lost acknowledgement, stays as it is."""
    with conn.transaction():
        conn.execute(_SQL["for_good"])
        for step in steps:
            note = step.note
            conn.execute(
                _SQL["add_step"],
                {
                    "run_id": run.id,
                    "number": step.number,
                    "age_s": step.age_s,
                    "step": note.step,
                    "first": note.chunk.first,
                    "last": note.chunk.last,
                    "worker": note.worker,
                    "attempt": note.attempt,
                    "elapsed_s": note.elapsed_s,
                    "why": note.why,
                },
            )


def said(conn: psycopg.Connection, run_id: int) -> Said | None:
    """Return the last word of a run that has not ended; None where it has said nothing yet, or has ended."""
    row = conn.execute(_SQL["said"], {"run_id": run_id}).fetchone()
    if row is None:
        return None
    at, age_s, done, wanted, head, waits_for = row
    return Said(Word(ledgers_done=done, ledgers_wanted=wanted, head=head, waits_for=waits_for), at, age_s)


def steps(conn: psycopg.Connection, run_id: int, *, newest: int | None = None) -> list[StepRecord]:
    """Return the steps of a run in order, all of them or the newest so many."""
    rows = conn.execute(_SQL["steps"], {"run_id": run_id, "newest": newest})
    return [
        StepRecord(at, Note(step=step, chunk=LedgerRange(*chunk), worker=worker, attempt=attempt, elapsed_s=s, why=why))
        for at, step, chunk, worker, attempt, s, why in rows
    ]


def running(conn: psycopg.Connection) -> list[int]:
    """Return the runs that hold the lock of their job now."""
    return [run_id for (run_id,) in conn.execute(_SQL["running"])]


def recent_runs(conn: psycopg.Connection, *, limit: int = 10) -> list[RunRecord]:
    """Return the newest runs first; those that are running are among them, however many came after."""
    names = {"limit": limit, "running": running(conn)}
    return [
        RunRecord(number, job, LedgerRange(first, last), *rest)
        for number, job, first, last, *rest in conn.execute(_SQL["runs"], names)
    ]


def table_bytes(conn: psycopg.Connection) -> dict[str, int]:
    """Return about what the big tables take on disk, indexes included; each gets VACUUM when it is complete."""
    return dict(conn.execute(_SQL["sizes"]).fetchall())
