"""The C allocator of a worker: what one chunk frees is kept for the next.

By default it goes back to the kernel, object by object, and every page of the next one is made anew.
"""

from __future__ import annotations

import contextlib
import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # `mallopt(3)`
_LARGEST_KEPT = 32 << 20  # bytes; glibc takes no more, and larger ones are rare: whole lakes of large objects aside
_MOST_FREE = 256 << 20  # bytes


def keep_freed_memory() -> None:
    """Let this process keep what it frees, in one place for all of its threads; to be called before others start.

    Without glibc nothing changes.
    """
    with contextlib.suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT)
        mallopt(_TRIM_THRESHOLD, _MOST_FREE)
        mallopt(_ARENA_MAX, 1)  # else as many as threads that fetch, each with the memory of its largest moment
