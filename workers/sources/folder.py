"""The objects of a lake in a folder, by plain reads: they take a sixth of what the client of an object store does."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from workers.failures import SourceError
from workers.messages import Failure


def read_object(folder: Path, key: str, most_bytes: int) -> bytes:
    """Return a whole file. `OSError`; `SourceError` where it is missing or has more than `most_bytes`."""
    try:
        file = os.open(f"{folder}/{key}", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise _missing(key) from error
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            raise _missing(key)
        if found.st_size > most_bytes:
            raise SourceError(f"object {key} has {found.st_size} bytes, more than the {most_bytes} allowed")
        return _read(file, found.st_size)
    finally:
        os.close(file)


def object_bytes(folder: Path, key: str) -> int:
    """Return the size of a file in bytes. `OSError`."""
    return os.stat(f"{folder}/{key}").st_size  # noqa: PTH116  # a `Path` for each takes longer than the answer


def _read(file: int, length: int) -> bytes:
    """Read `length` bytes, which the kernel may give in parts, or what is left of a file that is cut meanwhile."""
    data = os.read(file, length)
    while len(data) < length and (more := os.read(file, length - len(data))):
        data += more
    return data


def _missing(key: str) -> SourceError:
    return SourceError(Failure(reason=f"object {key} is missing", transient=True, missing=True, object=key))
