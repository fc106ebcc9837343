"""One run as the books have it: what it was asked for, what its chunks cost together, and which took longest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import psycopg
from psycopg.rows import TupleRow

from pipeline.store import books, queries
from pipeline.store.books import RunRecord, StepRecord
from pipeline.store.moment import one_moment
from workers.messages import LedgerRange, Timings

_SQL = queries.load("runs")
SLOWEST = 5  # chunks that are shown
_STAGES = [*(field.name for field in fields(Timings)), "copy_s"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkRecord:
    """A committed chunk, and the attempt whose result it was; or the sums of several that share a row."""

    ledgers: LedgerRange
    chunks: int
    worker: int  # of the last of them
    attempts: int
    lost_attempts: int  # that were begun and came to nothing
    lost_s: float  # of workers, in these
    stages_s: Mapping[str, float]  # of the worker, over which `elapsed` and `cpu` are; `copy` of the database


@dataclass(frozen=True, slots=True, kw_only=True)
class RunHistory:
    """A run with the sums of its committed chunks; of one in progress, as far as it is."""

    record: RunRecord
    elapsed_s: float
    committed: tuple[LedgerRange, ...]
    rows: Mapping[str, int]  # by table
    object_bytes: int
    plain_bytes: int
    row_bytes: int
    more_attempts: int  # beyond the first of each chunk
    lost_attempts: int  # that were begun and came to nothing
    lost_s: float  # of workers, in these
    stages_s: Mapping[str, float]  # summed over workers, `copy` over connections; `commit` where the run could report
    slowest: tuple[ChunkRecord, ...]
    steps: tuple[StepRecord, ...]  # against stalls, in order

    def rate(self, amount: float) -> float:
        """Return `amount` a second of this run; 0 for a run that took no time."""
        return amount / self.elapsed_s if self.elapsed_s > 0 else 0.0


def history(conn: psycopg.Connection, run_id: int) -> RunHistory | None:
    """Return a run as of one moment, or None where there is none."""
    with one_moment(conn):
        row = conn.execute(_SQL["run"], {"id": run_id, "running": books.running(conn)}).fetchone()
        if row is None:
            return None
        number, job, first, last, *rest = row
        record = RunRecord(number, job, LedgerRange(first, last), *rest[:13])
        elapsed_s, transactions, operations, events, object_bytes, plain_bytes, row_bytes, *costs = rest[13:]
        more, lost, commit_s = costs
        sums: dict[str, float] = dict(_rows(conn, "stages", run_id))
        return RunHistory(
            record=record,
            elapsed_s=elapsed_s,
            committed=tuple(LedgerRange(*ends) for ends in _rows(conn, "committed", run_id)),
            rows={
                "ledgers": record.ledgers,
                "transactions": transactions,
                "operations": operations,
                "events": events,
            },
            object_bytes=object_bytes,
            plain_bytes=plain_bytes,
            row_bytes=row_bytes,
            more_attempts=more,
            lost_attempts=lost,
            lost_s=sums.get("lost_s", 0.0),
            stages_s=_stages(sums) | ({} if commit_s is None else {"commit": commit_s}),
            slowest=tuple(map(_chunk, _rows(conn, "slowest", run_id))),
            steps=tuple(books.steps(conn, run_id)),
        )


def _rows(conn: psycopg.Connection, query: str, run_id: int) -> list[TupleRow]:
    return conn.execute(_SQL[query], {"id": run_id, "limit": SLOWEST}).fetchall()


def _chunk(row: TupleRow) -> ChunkRecord:
    first, last, chunks, worker, attempts, lost, timings = row
    return ChunkRecord(
        ledgers=LedgerRange(first, last),
        chunks=chunks,
        worker=worker,
        attempts=attempts,
        lost_attempts=lost,
        lost_s=timings.get("lost_s", 0.0),
        stages_s=_stages(timings),
    )


def _stages(timings: Mapping[str, float]) -> dict[str, float]:
    """Return the stages in the order in which a chunk goes through them; `jsonb` keeps another."""
    return {name.removesuffix("_s"): timings[name] for name in _STAGES if name in timings}
