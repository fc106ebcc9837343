"""What `plan` says before anything is written: `Survey`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workers.messages import LedgerRange

if TYPE_CHECKING:
    from pipeline.store.advice import Advice


def _none() -> Iterator[LedgerRange]:
    return iter(())


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """A range, what the store has of it, and what filling the rest will take."""

    source: str
    database: str  # no password; what there is instead where the embedded server does not exist yet
    network_passphrase: str
    wanted: LedgerRange
    store_outdated: int | None = None  # the store's version, where it is older than this program's
    held: tuple[LedgerRange, ...] = ()
    gaps: tuple[LedgerRange, ...] = ()
    chunk_count: int = 0
    chunks: Callable[[], Iterator[LedgerRange]] = _none  # computed anew at each call
    workers: int = 0
    window_chunks: int = 0
    object_bytes: int = 0  # to read from the source, by sampling
    sampled_objects: int = 0
    disk_needed_bytes: int = 0
    disk_free_bytes: int | None = None  # None: a server elsewhere does not say
    memory_bytes: int = 0  # of coordinator, window and workers together, at most
    memory_free_bytes: int | None = None
    advice: tuple[Advice, ...] | None = None  # on the server's settings; None: the embedded server needs none

    @property
    def too_little_disk(self) -> bool:
        """Whether the rows will not fit."""
        return self.disk_free_bytes is not None and self.disk_needed_bytes > self.disk_free_bytes
