"""Where a ledger lies in a lake (SEP-54): keys from numbers, numbers from keys. Pure; nothing is ever read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from workers.messages import MAX_LEDGER, LakeSpec, LedgerRange

SUFFIXES = (".xdr.zst", ".xdr.zstd")  # the second one in lakes written before Galexie v23
FIRST_CLOSED = 2  # ledger 1 is the genesis: it was never closed and has no meta
_TOP = 0xFFFFFFFF
_NAME = re.compile(r"(?:[0-9A-F]{8}--\d{1,10}-\d{1,10}/)?[0-9A-F]{8}--(\d{1,10})(?:-\d{1,10})?\.xdr\.zstd?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a lake's objects are cut and named. `ValueError` for numbers that no lake can have."""

    ledgers_per_object: int
    objects_per_partition: int
    suffix: str = SUFFIXES[0]

    def __post_init__(self) -> None:
        """Refuse what makes no keys."""
        if self.ledgers_per_object < 1 or self.objects_per_partition < 1 or self.partition_ledgers > MAX_LEDGER + 1:
            raise ValueError(
                f"no lake layout: {self.ledgers_per_object} ledgers an object, "
                f"{self.objects_per_partition} objects a partition (both from 1, together at most {MAX_LEDGER + 1})"
            )
        if self.suffix not in SUFFIXES:
            raise ValueError(f"no lake suffix: {self.suffix} (it is one of {' '.join(SUFFIXES)})")

    @classmethod
    def of(cls, spec: LakeSpec) -> Layout:
        """Return the layout that a worker's lake has."""
        return cls(
            ledgers_per_object=spec.ledgers_per_object,
            objects_per_partition=spec.objects_per_partition,
            suffix=spec.suffix,
        )

    @property
    def partition_ledgers(self) -> int:
        """Ledgers in one partition folder."""
        return self.ledgers_per_object * self.objects_per_partition

    def key(self, ledger: int) -> str:
        """Return the key of the object that holds `ledger`."""
        start = ledger - ledger % self.ledgers_per_object
        end = "" if self.ledgers_per_object == 1 else f"-{start + self.ledgers_per_object - 1}"
        return f"{self.partition(ledger)}{_TOP - start:08X}--{start}{end}{self.suffix}"

    def partition(self, ledger: int) -> str:
        """Return the folder of the partition that holds `ledger`, with its slash; empty in a flat lake."""
        if self.objects_per_partition == 1:
            return ""
        start = ledger - ledger % self.partition_ledgers
        return f"{_TOP - start:08X}--{start}-{start + self.partition_ledgers - 1}/"

    def object_at(self, ledger: int) -> LedgerRange:
        """Return the ledgers of the object that holds `ledger`; one from 0 on begins with the first closed one."""
        start = ledger - ledger % self.ledgers_per_object
        end = min(start + self.ledgers_per_object - 1, MAX_LEDGER)
        return LedgerRange(max(start, min(FIRST_CLOSED, end)), end)

    def objects(self, ledgers: LedgerRange) -> Iterator[LedgerRange]:
        """Return the objects that cover `ledgers`, in ascending order; the outer ones may reach beyond it."""
        first = ledgers.first - ledgers.first % self.ledgers_per_object
        for start in range(first, ledgers.last + 1, self.ledgers_per_object):
            yield self.object_at(start)

    def parse(self, key: str) -> LedgerRange:
        """Return the ledgers of the object with this key. `ValueError` unless it is exactly a key of this layout."""
        match = _NAME.fullmatch(key)
        ledger = int(match[1]) if match else 0
        if not (match and 0 <= ledger <= MAX_LEDGER and key == self.key(ledger)):
            raise ValueError(f"no key of this lake: {key!r}")
        return self.object_at(ledger)

    def parse_partition(self, folder: str) -> int:
        """Return the first ledger of the partition with this folder name (no slash). `ValueError` for others."""
        start = re.fullmatch(r"[0-9A-F]{8}--(\d{1,10})-\d{1,10}", folder)
        if not (start and int(start[1]) <= MAX_LEDGER and f"{folder}/" == self.partition(int(start[1]))):
            raise ValueError(f"no partition of this lake: {folder!r}")
        return int(start[1])
