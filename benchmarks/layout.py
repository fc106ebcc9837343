"""What each column, each index and the freezing of the product's tables costs PostgreSQL: CPU in µs a ledger.

A column: COPY of its table with and without it, in turns. The rest: a store filled by COPY over one connection, and
completed with the product's own statements, one at a time. What is shown is the least of all turns, for what disturbs
one only adds to it. Nothing is held against a target: docs/store.md has the figures. Real ledgers that are repeated
repeat their hashes, so `transactions (hash)` is to be read off the synthetic ones.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import figures
import inputs
import psycopg
from psycopg import sql

from pipeline import usage
from pipeline.bench import decoding, layout
from pipeline.bench.decoding import Rows
from pipeline.bench.ledgers import Ledgers
from pipeline.bench.scratch import Scratch, scratch
from pipeline.segments import Segment
from pipeline.store import queries, segments
from pipeline.store.columns import COLUMNS
from workers.messages import TABLES

LEDGERS = Segment(0)  # where both lakes lie


@dataclass(frozen=True, slots=True)
class Costs:
    """CPU of the server by what it did, in µs a ledger of each turn."""

    ground: Scratch
    ledgers: int
    taken: defaultdict[str, list[float]] = field(default_factory=partial(defaultdict, list))

    @contextmanager
    def of(self, what: str) -> Iterator[None]:
        """Take what is spent meanwhile."""
        before = _spent_ns(self.ground)
        yield
        after = _spent_ns(self.ground)
        # One that has ended or begun meanwhile had nothing to do with it.
        spent = sum(now - before[process] for process, now in after.items() if process in before)
        self.taken[what].append(spent / 1e3 / self.ledgers)

    def show(self, what: str) -> None:
        """Print the least, and the median."""
        taken = self.taken[what]
        figures.show(what, f"{min(taken):.1f} ({figures.median(taken):.1f})")


def main() -> None:
    """Measure both lakes."""
    given = inputs.arguments(__doc__, ledgers=1000, rounds=10)
    with inputs.lakes(given.ledgers, given.lakes) as lakes:
        for lake in lakes:
            with scratch(inputs.SCRATCH) as ground, tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
                _measure(ground, lake, given.rounds, Path(folder))


def _measure(ground: Scratch, lake: inputs.Input, rounds: int, folder: Path) -> None:
    ledgers = Ledgers(path=lake.path, ledgers=lake.ledgers, found=lake.found)
    ready = list(decoding.rows(ledgers, len(lake.ledgers), folder))
    figures.title("layout: CPU of the server, µs a ledger", lake.name, f"{len(lake.ledgers)} ledgers")
    costs = Costs(ground, len(lake.ledgers))
    for _ in range(rounds):
        _fill_and_complete(costs, lake, ready)
    for what in costs.taken:
        costs.show(what)
    for table in TABLES:
        _measure_columns(costs, table, rounds)


def _fill_and_complete(costs: Costs, lake: inputs.Input, ready: Sequence[Rows]) -> None:
    """Copy the rows table by table, then freeze, analyse and build one after another."""
    conn = costs.ground.conn
    costs.ground.renew()
    layout.PRODUCT.lay(conn, lake.ledgers)
    conn.execute(queries.load("segments")["settings"])
    for table in TABLES:
        copied = list(_sections(ready, table))
        with costs.of(f"COPY {table}"):
            for data in copied:
                _copy(conn, sql.Identifier("ledgerfill", segments.part(table, LEDGERS)), [data])
    for what in ("VACUUM (FREEZE)", "ANALYZE"):
        for table in TABLES:
            part = sql.Identifier("ledgerfill", segments.part(table, LEDGERS))
            with costs.of(f"{what} {table}"):
                conn.execute(sql.SQL(what + " {}").format(part))
    for index in segments.BASE.indexes:
        with costs.of(f"index {index.table} ({', '.join(index.columns)})"):
            index.build(conn, LEDGERS)


def _measure_columns(costs: Costs, table: str, rounds: int) -> None:
    """Copy all columns of a table, and all but one, in turns."""
    names = [column.name for column in COLUMNS[table]]
    choices = {table: names} | {f"{table} but {name}": [other for other in names if other != name] for name in names}
    produced = {what: _produced(costs.ground.conn, table, chosen) for what, chosen in choices.items()}
    for _ in range(rounds):
        for what, chosen in choices.items():
            _copy_anew(costs, table, chosen, produced[what], what)
    least = {what: min(costs.taken[what]) for what in choices}
    for name in names:
        figures.show(f"column {table}.{name}", f"{least[table] - least[f'{table} but {name}']:.1f}")


def _copy_anew(costs: Costs, table: str, names: Sequence[str], data: Sequence[bytes], what: str) -> None:
    """Copy into a table that was made in a transaction of its own: one made in the same would need no WAL."""
    conn = costs.ground.conn
    conn.execute("DROP TABLE IF EXISTS ledgerfill.trial")
    conn.execute(sql.SQL("CREATE TABLE ledgerfill.trial AS {} WITH NO DATA").format(_select(table, names)))
    conn.execute("ALTER TABLE ledgerfill.trial SET (autovacuum_enabled = off)")
    conn.execute("CHECKPOINT")
    with costs.of(what):
        _copy(conn, sql.Identifier("ledgerfill", "trial"), data)


def _produced(conn: psycopg.Connection, table: str, names: Sequence[str]) -> list[bytes]:
    """Return the rows as PostgreSQL writes them with these columns."""
    with conn.cursor().copy(sql.SQL("COPY ({}) TO STDOUT (FORMAT BINARY)").format(_select(table, names))) as copy:
        return [b"".join(map(bytes, copy))]


def _select(table: str, names: Sequence[str]) -> sql.Composed:
    columns = sql.SQL(", ").join(map(sql.Identifier, names))
    return sql.SQL("SELECT {} FROM {}").format(columns, sql.Identifier("ledgerfill", table))


def _copy(conn: psycopg.Connection, into: sql.Identifier, data: Sequence[bytes]) -> None:
    with conn.cursor().copy(sql.SQL("COPY {} FROM STDIN (FORMAT BINARY)").format(into)) as copy:
        for each in data:
            copy.write(each)


def _sections(ready: Sequence[Rows], table: str) -> Iterator[bytes]:
    for each in ready:
        with each.path.open("rb") as file:
            for name, _, offset, length in each.sections:
                if name == table:
                    file.seek(offset)
                    yield file.read(length)


def _spent_ns(ground: Scratch) -> dict[int, int]:
    """Return what the server's living processes have had of the cores: to the nanosecond, unlike what ticks say."""
    pids = [ground.postmaster, *usage.below(ground.postmaster)]
    return {pid: int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in pids}


if __name__ == "__main__":
    main()
