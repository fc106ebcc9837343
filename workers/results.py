"""Where workers leave rows for the coordinator: a folder of the run's own in shared memory, else on disk.

It is locked while its run lives; what dead runs left is cleared by the next start.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import tenacity

from workers.failures import SourceError

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  # its folder for this user is checked before use


class ResultFolder:
    """A private, empty, locked folder with room for `bytes_needed`; `SourceError` when it cannot be made."""

    def __init__(self, bytes_needed: int, fallback: Path, *, shared_memory: Path = SHARED_MEMORY) -> None:
        """Make it in shared memory where that has the room, else in the folder `fallback`; clear what was left."""
        memory, disk = shared_memory / f"ledgerfill-{os.getuid()}", fallback / "results"
        for root in (memory, disk):
            with contextlib.suppress(OSError), _locked(root):
                _clear(root)
        self.in_memory = False
        if _free_memory(shared_memory) >= bytes_needed and _usable(memory):
            with contextlib.suppress(OSError):  # mounted read-only, say: the disk is asked next
                self.path, self._lock = _make(memory)
                self.in_memory = True
        if not self.in_memory:
            self.path, self._lock = _make_on_disk(disk)

    def __enter__(self) -> ResultFolder:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Remove the folder with all that is in it. Twice is once."""
        if self._lock >= 0:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._lock)
            self._lock = -1
            # Another run's folder is beside it, or another run has removed the root.
            with contextlib.suppress(OSError), _locked(self.path.parent):
                self.path.parent.rmdir()


def _make_on_disk(root: Path) -> tuple[Path, int]:
    """Make it there, or name the folder that cannot hold it."""
    try:
        return _make(root)
    except OSError as error:
        raise SourceError(
            f"cannot make a folder for a run's files in {root}: {error.strerror}: name another with LEDGERFILL_HOME"
        ) from error


def _usable(root: Path) -> bool:
    """Make this user's folder, and tell whether it is really ours: shared memory is open to everybody."""
    with contextlib.suppress(OSError):
        root.mkdir(mode=0o700, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):  # another run has just removed it: `_make` makes it again
        found = root.lstat()
        return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    return root.parent.is_dir()


def _free_memory(folder: Path) -> int:
    """Return the bytes that files there may still take: its own limit, and what memory is left to the machine."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return -1
    free = found.f_bavail * found.f_frsize
    with contextlib.suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                free = min(free, int(line.split()[1]) * 1024)
    return free


@tenacity.retry(
    # The last of the other runs has just removed the root; `mkdir` may then say that it exists and is no folder.
    retry=tenacity.retry_if_exception_type((FileNotFoundError, FileExistsError)),
    stop=tenacity.stop_after_attempt(100),
    reraise=True,
)
def _make(root: Path) -> tuple[Path, int]:
    """Return a new locked folder and the descriptor that holds its lock."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(root):
        path = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=root))
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(lock, fcntl.LOCK_EX)
    return path, lock


@contextlib.contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Hold the root: nobody removes it, or clears a folder between its making and its locking."""
    lock = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.samestat(os.fstat(lock), root.lstat()):
            raise FileNotFoundError(errno.ENOENT, "removed and made again by other runs", str(root))
        yield
    finally:
        os.close(lock)


def _clear(root: Path) -> None:
    """Remove the folders that no living run has locked."""
    for left in root.iterdir():
        with contextlib.suppress(OSError):
            lock = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left)
            finally:
                os.close(lock)
