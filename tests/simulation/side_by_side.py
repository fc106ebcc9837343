"""Seeds on all cores: each runs alone, whichever process it is in."""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import cache

CHUNK = 5  # seeds that a process takes at once


def simulated(simulate: Callable[[int], Counter[str]], seeds: Iterable[int]) -> Counter[str]:
    """Return what all seeds have seen together; the first that fails raises."""
    return sum(_pool().map(simulate, seeds, chunksize=CHUNK), Counter[str]())


@cache
def _pool() -> ProcessPoolExecutor:
    # Spawned: other tests of this process have threads, which a fork would cut off.
    return ProcessPoolExecutor(os.cpu_count(), mp_context=multiprocessing.get_context("spawn"))
