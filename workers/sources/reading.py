"""What a source gives a worker: the objects of a chunk, up to the first one that failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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

    def sizes(self, ledgers: Sequence[int], *, limit_s: float = 2.0) -> dict[int, int]:
        """Return the stored bytes of the object that holds each ledger; late and missing ones are left out."""
