"""The command without its locks: the compare-and-swap alone keeps apart who runs at the same time."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.__main__ import main
from pipeline.store import locks


@contextmanager
def hold(*_: object, **__: object) -> Iterator[None]:
    """Hold nothing, and refuse nobody."""
    yield


def others(*_: object) -> bool:
    """Say that others may be writing: they cannot be told by their locks."""
    return True


if __name__ == "__main__":
    locks.hold, locks.others = hold, others
    sys.exit(main())
