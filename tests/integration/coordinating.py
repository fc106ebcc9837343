"""A small coordinator for tests to kill: two workers, brought to where `BUSY` says, then nothing more."""

from __future__ import annotations

import os
import signal
import time

from workers.messages import ChunkStarted, LakeSpec, LedgerRange, Ready, Task, WorkerConfig
from workers.pool import Pool

FIRST, LAST = 63092982, 63092995


def main() -> None:
    """Say `busy` when the workers are."""
    signal.signal(signal.SIGINT, lambda *_: None)
    busy, folder = os.environ["BUSY"], os.environ["FOLDER"]
    spec = LakeSpec(url="s3://lake", ledgers_per_object=1, objects_per_partition=64_000)
    pool = Pool(WorkerConfig(source=spec, network_passphrase="Public Global Stellar Network ; September 2015"))
    for worker in range(2):
        pool.start(worker)
    ready = 0
    while ready < 2:
        ready += sum(isinstance(message, Ready) for _, message in pool.wait(1.0))
    if busy in ("fetching", "decoding"):
        for token in range(1 if busy == "fetching" else 2000):
            for worker in range(2):
                path = f"{folder}/{worker}"
                pool.send(worker, Task(token=token, attempt=1, ledgers=LedgerRange(FIRST, LAST), path=path))
        while not any(isinstance(message, ChunkStarted) for _, message in pool.wait(1.0)):
            pass
    if busy == "stopped":
        for pid in pool.pids().values():
            os.kill(pid, signal.SIGSTOP)
    print("busy", flush=True)
    time.sleep(60)


if __name__ == "__main__":
    main()
