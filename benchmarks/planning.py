"""How three queries grow with the number of segments: planning, execution, and locks against what the server has.

Segments are made and indexed as the product does, without a row: what is shown is the cost of their number alone.
`first` is the first query of a session, which has to learn of every table. Shown is the least of all sessions, and of
all queries after the first: what disturbs one only adds to it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from contextlib import closing

import figures
import inputs
import psycopg

from pipeline.bench.scratch import Scratch, scratch
from pipeline.segments import SEGMENT_LEDGERS, Segment
from pipeline.store import segments
from pipeline.store.connection import connect
from workers.messages import LedgerRange

COUNTS = (1, 10, 100, 977, 1954, 3907)  # 977: 64 million ledgers
SESSIONS, AGAIN = 3, 7
QUERIES = {
    "events of a ledger": "SELECT * FROM ledgerfill.events WHERE operation_id BETWEEN 85899345920 AND 90194313215",
    "a transaction by its hash": "SELECT * FROM ledgerfill.transactions WHERE hash = sha256('nobody has it')",
    "100 events of a contract, in order": "SELECT * FROM ledgerfill.events WHERE contract_id = sha256('nobody has it')"
    " ORDER BY operation_id LIMIT 100",
    "a transaction by its hash, with its operations and their events": "SELECT * FROM ledgerfill.transactions t "
    "JOIN ledgerfill.operations o ON o.id BETWEEN t.id AND t.id + 4095 "
    "LEFT JOIN ledgerfill.events e ON e.operation_id = o.id WHERE t.hash = sha256('nobody has it')",
}
LOCKS = "SELECT count(*), count(*) FILTER (WHERE NOT fastpath) FROM pg_locks WHERE pid = pg_backend_pid()"
ROOM = "SELECT current_setting('max_locks_per_transaction')::int8 * current_setting('max_connections')::int8"


def main() -> None:
    """Make more and more segments, and ask each time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--segments", type=int, nargs="+", default=COUNTS, help="how many, ascending")
    counts: list[int] = parser.parse_args().segments
    with scratch(inputs.SCRATCH) as ground:
        ground.renew()
        (room,) = ground.conn.execute(ROOM).fetchone() or (0,)
        print(f"PostgreSQL {ground.server_version}, room for {room} locks")
        made = 0
        for count in counts:
            made_ms, built_ms = _make(ground, made, count)
            print(f"\n{count} segments; of those added, each took {made_ms:.0f} ms to make, {built_ms:.0f} ms to index")
            made = count
            for name, query in QUERIES.items():
                figures.show(name, "")
                for what, figure in _ask(ground, query):
                    figures.show(f"  {what}", figure)


def _make(ground: Scratch, first: int, count: int) -> tuple[float, float]:
    """Make the segments from number `first` to `count`; return milliseconds of each."""
    began = time.monotonic()
    made = segments.ensure(ground.conn, LedgerRange(first * SEGMENT_LEDGERS + 1, count * SEGMENT_LEDGERS - 1))
    between = time.monotonic()
    for segment in made:
        _complete(ground.conn, segment)
    return (between - began) * 1e3 / len(made), (time.monotonic() - between) * 1e3 / len(made)


def _complete(conn: psycopg.Connection, segment: Segment) -> None:
    for index in segments.BASE.indexes:
        index.build(conn, segment)
    segments.complete(conn, segment, full=True)


def _ask(ground: Scratch, query: str) -> Iterator[tuple[str, str]]:
    """Ask in sessions of their own, and count the locks that it takes."""
    try:
        sessions = [_session(ground, query) for _ in range(SESSIONS)]
        with closing(connect(ground.url)) as conn, conn.transaction():
            conn.execute(query).fetchall()
            locks, shared = conn.execute(LOCKS).fetchone() or (0, 0)
    except psycopg.errors.OutOfMemory:
        yield "fails", "out of locks"
        return
    yield "first in a session: planning, execution", _least([first for first, *_ in sessions])
    yield "then", _least([each for _, *others in sessions for each in others])
    yield "locks, of them in the table that all share", f"{locks}, {shared}"


def _session(ground: Scratch, query: str) -> list[tuple[float, float]]:
    """Return planning and execution in milliseconds, of the first query and of those after it."""
    with closing(connect(ground.url)) as conn:
        return [_explain(conn, query) for _ in range(1 + AGAIN)]


def _least(taken: Sequence[tuple[float, float]]) -> str:
    planning, execution = map(min, zip(*taken, strict=True))
    return f"{planning:.2f}, {execution:.2f} ms"


def _explain(conn: psycopg.Connection, query: str) -> tuple[float, float]:
    answer = conn.execute("EXPLAIN (ANALYZE, TIMING OFF, BUFFERS OFF, FORMAT JSON) " + query).fetchone()
    assert answer is not None
    ((plan,),) = answer
    return plan["Planning Time"], plan["Execution Time"]


if __name__ == "__main__":
    main()
