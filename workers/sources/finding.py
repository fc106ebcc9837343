"""Opens a lake of which only the URL is known: numbers from its manifest or from flags, then the keys it really has."""

from __future__ import annotations

from dataclasses import dataclass

from workers.failures import SourceError
from workers.messages import LakeSpec
from workers.sources.bucket import Bucket, FetchLimits
from workers.sources.lake import Lake
from workers.sources.layout import SUFFIXES
from workers.sources.manifest import KEY, Manifest, read_manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class LakeFlags:
    """What a user says of a lake that does not say it itself."""

    ledgers_per_object: int | None = None
    objects_per_partition: int | None = None
    suffix: str | None = None


@dataclass(frozen=True, slots=True)
class FoundLake:
    """A lake, open, with its manifest where it has one; `newest` where a listing was what found it."""

    lake: Lake
    manifest: Manifest | None
    newest: int | None = None


def find_lake(
    url: str, *, ledger: int | None = None, flags: LakeFlags | None = None, limits: FetchLimits | None = None
) -> FoundLake:
    """Open the lake at `url`. `SourceError` where it cannot be used, or its numbers are nowhere to be had.

    `ledger` is one that should be there: the suffix, and whether there are partition folders (a lake may have none
    against its own manifest), are those of the first key that exists. Without one, the one listing decides that is
    needed for the newest ledger.
    """
    bucket = Bucket(url, limits or FetchLimits())
    manifest = read_manifest(bucket)
    specs = _candidates(url, manifest, flags or LakeFlags())
    lakes = [Lake(spec, bucket=bucket) for spec in specs]
    if ledger is None:
        lake, newest = _listed(bucket, lakes)
        return FoundLake(lake, manifest, newest)
    return FoundLake(next((lake for lake in lakes if lake.exists(ledger)), lakes[0]), manifest)


def _listed(bucket: Bucket, lakes: list[Lake]) -> tuple[Lake, int | None]:
    """Return the first that has any of the keys listed, and its newest ledger; one listing serves them all."""
    if not bucket.sorted:
        return next(((lake, newest) for lake in lakes if (newest := lake.newest()) is not None), (lakes[0], None))
    for page in bucket.pages():
        for lake in lakes:
            if (newest := lake.newest_of(page)) is not None:
                return lake, newest
    return lakes[0], None


def _candidates(url: str, manifest: Manifest | None, flags: LakeFlags) -> list[LakeSpec]:
    if manifest is not None:
        _agree("ledgers-per-object", manifest.ledgers_per_object, flags.ledgers_per_object)
        if flags.objects_per_partition != 1:  # a lake may have no folders against its own manifest
            _agree("objects-per-partition", manifest.objects_per_partition, flags.objects_per_partition)
    ledgers = flags.ledgers_per_object or (manifest and manifest.ledgers_per_object)
    partition = flags.objects_per_partition or (manifest and manifest.objects_per_partition)
    if not ledgers or not partition:
        raise SourceError(
            f"lake {url} has no manifest {KEY}: say how it is cut with --ledgers-per-object and --objects-per-partition"
        )
    partitions = [partition] if flags.objects_per_partition or partition == 1 else [partition, 1]
    suffixes = [flags.suffix] if flags.suffix else list(SUFFIXES)
    return [
        LakeSpec(url=url, ledgers_per_object=ledgers, objects_per_partition=folders, suffix=suffix)
        for folders in partitions
        for suffix in suffixes
    ]


def _agree(flag: str, named: int, given: int | None) -> None:
    if given not in (None, named):
        raise SourceError(f"the lake's manifest says {named} {flag.replace('-', ' ')}, --{flag} says {given}")
