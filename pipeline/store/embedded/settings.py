"""The server's `postgresql.conf`: durable, on loopback alone, sized by this machine's memory and by what it is doing.

What is fixed at a start, or the same whatever the server does, is `common`; `LOADING` and `SERVING` are two values of
what a reload may change.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

_MIB = 1 << 20
_MEMORY_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
_HEADER = "# Written by ledgerfill; change a setting with ALTER SYSTEM, which goes before this file.\n"
_LINE = re.compile(r"^(\w+) = '(.*)'$", re.MULTILINE)

# While rows are loaded, by somebody who waits for them.
LOADING: Mapping[str, str] = MappingProxyType(
    {
        # Checkpoints that come late and last long: each page changed is written whole once a checkpoint.
        "max_wal_size": "4096MB",
        "min_wal_size": "512MB",
        "checkpoint_timeout": "15min",
        # WAL goes to disk while rows still come: at a chunk's COMMIT little is left to wait for.
        "wal_writer_delay": "10ms",
        "wal_writer_flush_after": "4MB",
        # The cores are busy with COPY and decoding; indexes that are built at once are built by several connections.
        "max_parallel_maintenance_workers": "0",
        # Rows are frozen soon after they come, before a checkpoint makes that dear: see `make` in sql/segments.sql.
        "autovacuum_naptime": "5s",
    }
)
# Otherwise, as PostgreSQL has them: a short recovery, little disk held by WAL, few wake-ups.
SERVING: Mapping[str, str] = MappingProxyType(
    {
        "max_wal_size": "1024MB",
        "min_wal_size": "80MB",
        "checkpoint_timeout": "5min",
        "wal_writer_delay": "200ms",
        "wal_writer_flush_after": "1MB",
        "max_parallel_maintenance_workers": "2",
        "autovacuum_naptime": "1min",
    }
)


def memory_bytes() -> int:
    """Return the memory that this process may use: the machine's, or its control group's limit."""
    sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in _MEMORY_LIMITS:
        try:
            sizes.append(int(path.read_text()))
        except (OSError, ValueError):  # no such group, or no limit in it
            continue
    return min(sizes)


def common(memory: int) -> dict[str, str]:
    """Return the settings for a machine with so many bytes of memory, whatever its server does."""
    shared = min(max(memory // 4, 128 * _MIB), 4096 * _MIB)
    return {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",  # a socket's path is limited to 107 bytes
        "max_connections": "60",
        # A query that names no ledgers locks every segment's table and indexes: 8,000 of them where three tables of the
        # whole history are joined, and several may ask at once. Room for 61,440 takes 32 MB, touched as it is used.
        "max_locks_per_transaction": "1024",
        "password_encryption": "scram-sha-256",
        "shared_buffers": _mib(shared),
        "effective_cache_size": _mib(memory // 2),
        "work_mem": _mib(min(max(memory // 512, 4 * _MIB), 64 * _MIB)),
        # A sort that stays in the processor's cache: an index of 20 million rows takes 25 s so, and 35 s with 1 GB.
        "maintenance_work_mem": _mib(64 * _MIB),
        "wal_buffers": _mib(min(64 * _MIB, shared // 8)),
        # Nobody replicates from it: a table that is filled where it was made then needs no WAL.
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "wal_compression": "off",  # the wheel has neither lz4 nor zstd; pglz costs more CPU than it saves
        "random_page_cost": "1.1",
        "jit": "off",  # the wheel has no LLVM
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_line_prefix": "%m [%p] ",
        "log_startup_progress_interval": "5s",
    }


def text(settings: Mapping[str, str]) -> str:
    """Write settings as `postgresql.conf` has them."""
    return _HEADER + "".join(f"{name} = '{value.replace(chr(39), chr(39) * 2)}'\n" for name, value in settings.items())


def parse(written: str) -> dict[str, str]:
    """Read back what `text` wrote."""
    return {name: value.replace("''", "'") for name, value in _LINE.findall(written)}


def _mib(size: int) -> str:
    return f"{size // _MIB}MB"
