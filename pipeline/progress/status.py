"""What `status` says of a store: `Status`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from workers.messages import LedgerRange

if TYPE_CHECKING:
    from pipeline.store.below import Below
    from pipeline.store.books import Said, StepRecord
    from pipeline.store.contracts import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class StretchHeld:
    """Ledgers that the store holds without a gap."""

    ledgers: LedgerRange
    last_hash: bytes
    run_id: int | None = None  # that wrote its end


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSeen:
    """A run by the store's books."""

    run_id: int
    job: str  # `backfill`
    outcome: str  # `running`, `success`, `failed`, `interrupted`, or `died` when its process is gone
    wanted: LedgerRange
    started_at: datetime
    ended_at: datetime | None = None
    cursor: int | None = None  # the last ledger it committed
    chunks: int = 0
    ledgers: int = 0  # that it committed
    host: str = ""
    pid: int | None = None
    error: str | None = None
    said: Said | None = None  # what it waits for; None: nothing yet, or it does not run
    steps: tuple[StepRecord, ...] = ()  # the newest against stalls, in order; none where it does not run


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A store as it stands, also while a run is in progress."""

    database: str  # no password
    server_version: str | None = None  # None: the embedded server does not run
    store_version: int | None = None  # None: there is no store in this database yet
    store_standing: Literal["equal", "older", "newer", "unknown"] = "equal"  # to this program's
    network_passphrase: str | None = None  # None: nothing was filled yet
    size_bytes: int | None = None
    stretches: tuple[StretchHeld, ...] = ()
    protocols: tuple[Protocol, ...] = ()  # that were set up
    migrated: Mapping[tuple[str, str], LedgerRange] = field(default_factory=dict)  # of each, by protocol and kind
    below: Mapping[str, Below] = field(default_factory=dict)  # what lies below histories, by protocol
    filling: frozenset[str] = frozenset()  # protocols whose history is being migrated
    unread: tuple[LedgerRange, ...] = ()  # ledgers whose contracts were never read
    unindexed: tuple[LedgerRange, ...] = ()  # of segments that lack indexes
    history_unindexed: tuple[LedgerRange, ...] = ()  # of segments whose history lacks indexes
    blocked_by: tuple[str, ...] = ()  # who holds locks that a run, or another command, waits for
    runs: tuple[RunSeen, ...] = ()  # newest first
