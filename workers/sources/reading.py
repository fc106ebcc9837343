"""What a source gives a worker: the objects of a chunk, up to the first one that failed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, TypeAlias

from workers.messages import Failure, LedgerRange

if TYPE_CHECKING:
    from typing_extensions import Buffer

Object: TypeAlias = "tuple[str, int, int, Buffer]"  # name, first ledger, last ledger, bytes as stored


@dataclass(frozen=True, slots=True)
class Reading:
    """Objects in ascending order without a hole; with a `failure`, those before the one that failed."""

    objects: list[Object]
    stored_bytes: int
    failure: Failure | None = None


class Source(Protocol):
    """Where raw ledgers come from, as a worker sees it."""

    framed: bool  # one plain ledger an object, instead of a zstd batch

    def read(self, ledgers: LedgerRange) -> Reading:
        """Fetch what covers `ledgers`. Never raises for what the source holds or does."""


class Unopened:
    """Stands for a source that could not be opened: it answers with the reason."""

    framed = False

    def __init__(self, failure: Failure) -> None:
        """Keep the reason."""
        self._failure = failure

    def read(self, ledgers: LedgerRange) -> Reading:
        """Return nothing but the failure."""
        return Reading([], 0, replace(self._failure, ledger=ledgers.first))
