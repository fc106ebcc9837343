"""Seeds on all cores: each runs alone, whichever process it is in."""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial

CHUNK = 5  # seeds that a process takes at once


def simulated(simulate: Callable[[int], Counter[str]], seeds: Iterable[int], script: str) -> Counter[str]:
    """Return what all seeds have seen together; the first that fails raises and says how to see it again."""
    return sum(_pool().map(partial(_told, simulate, script), seeds, chunksize=CHUNK), Counter[str]())


def _told(simulate: Callable[[int], Counter[str]], script: str, seed: int) -> Counter[str]:
    try:
        return simulate(seed)
    except Exception as error:
        raise AssertionError(f"seed {seed}: {error!r}; see python tests/simulation/{script} {seed}") from error


@cache
def _pool() -> ProcessPoolExecutor:
    # Spawned: other tests of this process have threads, which a fork would cut off.
    return ProcessPoolExecutor(os.cpu_count(), mp_context=multiprocessing.get_context("spawn"))
