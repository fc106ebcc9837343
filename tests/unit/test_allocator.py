"""Memory that a worker frees, and takes again."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PAGES_AFTER_WARMING = """
import os, resource, sys
from workers import allocator

if sys.argv[1] == "kept":
    allocator.keep_freed_memory()
zero = os.open("/dev/zero", os.O_RDONLY)
for turn in range(20):
    if turn == 10:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    objects = [os.read(zero, 1 << 20) for _ in range(8)]
    del objects
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_memory_of_one_chunk_serves_the_next() -> None:
    """Objects as large as those before them take no new pages; without the allocator's settings all are new."""

    def pages(how: str) -> int:
        command = [sys.executable, "-c", PAGES_AFTER_WARMING, how]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    assert pages("kept") < 100
    assert pages("default") > 10_000
