"""What tests of worker processes share: the real lake's numbers, tasks, and patience."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from workers.messages import ChunkDone, LakeSpec, LedgerRange, Task, WorkerConfig, WorkerMessage
from workers.pool import Pool, WorkerGone

FIRST, LAST = 63092982, 63092995  # the contiguous ledgers of the real lake
PUBNET = "Public Global Stellar Network ; September 2015"
PATIENCE_S = 30.0
Heard = list[tuple[int, WorkerMessage | WorkerGone]]


def config(url: str, attempts: int = 4, timeout_s: float = 30.0) -> WorkerConfig:
    spec = LakeSpec(url=url, ledgers_per_object=1, objects_per_partition=64_000)
    return WorkerConfig(source=spec, network_passphrase=PUBNET, fetch_attempts=attempts, fetch_timeout_s=timeout_s)


def task(folder: Path, token: int, first: int = FIRST, last: int = LAST) -> Task:
    return Task(token=token, attempt=1, ledgers=LedgerRange(first, last), path=str(folder / str(token)))


def key_of(ledger: int) -> str:
    return f"FC3E15FF--63040000-63103999/{0xFFFFFFFF - ledger:08X}--{ledger}.xdr.zst"


def hear(pool: Pool, enough: Callable[[Heard], bool]) -> Heard:
    """Collect what workers say until it is enough."""
    heard: Heard = []
    deadline = time.monotonic() + PATIENCE_S
    while not enough(heard):
        assert time.monotonic() < deadline, f"heard only {heard}"
        heard += pool.wait(0.2)
    return heard


def until(kind: type[object], count: int = 1) -> Callable[[Heard], bool]:
    return lambda heard: sum(isinstance(message, kind) for _, message in heard) >= count


def done_in(heard: Heard) -> list[ChunkDone]:
    return [message for _, message in heard if isinstance(message, ChunkDone)]
