"""Ledgers whose contracts were never read: they came before the store kept any, and are read again."""

from __future__ import annotations

import psycopg

from pipeline.errors import CursorMoved
from pipeline.plan import Gap
from pipeline.store import queries, stretches
from pipeline.store.swap import Swap, SwapLost
from workers.messages import LedgerRange

_SQL = queries.load("unread")


def ranges(conn: psycopg.Connection) -> list[LedgerRange]:
    """Return these ledgers, ascending."""
    return [LedgerRange(first, last) for first, last in conn.execute(_SQL["all"])]


def gaps(conn: psycopg.Connection) -> tuple[Gap, ...]:
    """Return these ledgers, each range with the hashes that the store has at its ends: a source has to lead from one to
    the other.
    """
    unread = ranges(conn)
    held = stretches.hashes(conn, [ledger for part in unread for ledger in (part.first - 1, part.last)])
    return tuple(Gap(ledgers=part, below=held.get(part.first - 1), above=held.get(part.last)) for part in unread)


class UnreadSwap(Swap):
    """What is left unread of a range shrinks by a chunk, from below."""

    def carry_out(self, conn: psycopg.Connection, epoch: int) -> None:  # noqa: ARG002 - its row says not who
        """Shrink it; `SwapLost` where no range begins with the chunk."""
        shrunk = conn.execute(_SQL["shrink"], self.names).rowcount
        if not shrunk and not conn.execute(_SQL["end"], self.names).rowcount:
            raise SwapLost

    def explain(self, conn: psycopg.Connection) -> bool:
        """Return True where this very commit had landed; else others have read these ledgers: `CursorMoved`."""
        if self.landed(conn):
            return True
        raise CursorMoved(self.chunk.ledgers, [part for part in ranges(conn) if part.overlap(self.chunk.ledgers)])

    def since(self, conn: psycopg.Connection) -> int:  # noqa: ARG002 - the chunk knows
        """Return where this run began to read: what lies below was read by others, if at all."""
        return self.chunk.gap.ledgers.first
