"""The ledgers that are measured with: those of a lake, repeated where they are too few, or synthetic ones."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.bench.scratch import Scratch
from pipeline.config import LakeSettings
from pipeline.errors import BackfillError, Refused
from pipeline.plan import CostModel, Gap, Plan
from pipeline.source import STREAM, find, refusing
from workers.messages import LedgerRange
from workers.sources import FIRST_CLOSED, FoundLake, Object, Reading
from workers.sources.bucket import Bucket, FetchLimits
from workers.sources.manifest import KEY

SYNTHETIC = "synthetic, in the shape of pubnet"
_SAMPLE_OBJECTS, _SAMPLE_BYTES = 512, 512 << 20  # of a lake that is repeated: the newest
_MANIFEST_BYTES = 1 << 20
_LISTING_S = 30.0  # within which a folder says which of its newest ledgers it has
_SAMPLES = 64  # ledgers whose size is asked for, to cut chunks as a run does


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledgers:
    """A range of a lake on this machine."""

    path: Path
    ledgers: LedgerRange
    found: FoundLake

    @property
    def passphrase(self) -> str:
        """The network that their hashes are of."""
        assert self.found.manifest is not None  # noqa: S101 - `Supply` takes no lake without one
        return self.found.manifest.network_passphrase

    def first(self, count: int) -> Ledgers:
        """Return only as many of the first, or all where there are no more."""
        first = self.ledgers.first
        return replace(self, ledgers=LedgerRange(first, min(self.ledgers.last, first + count - 1)))

    def chunks(self) -> list[LedgerRange]:
        """Cut them as a backfill does."""
        wanted = self.ledgers
        step = max(1, len(wanted) // _SAMPLES)
        sizes = self.found.lake.sizes(range(wanted.first, wanted.last + 1, step))
        cost = CostModel(sizes.items(), ledgers_per_object=self.found.lake.spec.ledgers_per_object)
        return list(Plan(wanted=wanted, gaps=(Gap(ledgers=wanted),), cost=cost).chunks())

    def read(self, chunk: LedgerRange) -> Reading:
        """Read the objects of a chunk into memory."""
        reading = self.found.lake.read(chunk)
        if reading.failure:
            raise BackfillError(reading.failure.reason)
        objects: list[Object] = [(name, first, last, bytes(body)) for name, first, last, body in reading.objects]
        return Reading(objects, reading.stored_bytes)


class Supply:
    """Where ledgers come from, as many as are asked for."""

    def __init__(self, source: str | None) -> None:
        """Open the lake at `source`, or none for synthetic ledgers; `Refused` where it cannot be used."""
        self.name = SYNTHETIC if source is None else source
        self._found: FoundLake | None = None
        if source is None:
            return
        if not source or source.startswith(STREAM):
            raise Refused(f"--source is {source!r}: a bench takes a lake, a folder or an object store")
        self._found = find(LakeSettings(source=source))
        if self._found.manifest is None:
            raise Refused(f"lake {source} has no manifest, which names its network")
        if self._found.newest is None:
            raise Refused(f"there are no ledgers in {source}")

    def make(self, scratch: Scratch, name: str, count: int) -> Ledgers:
        """Return `count` ledgers: where they lie when a folder has them in a row, else made in the scratch folder."""
        if there := self._in_place(count):
            return there
        source: list[str | Path] = (
            [] if self._found is None else ["--from", self._sample(self._found, scratch.folder / "sample")]
        )
        folder = scratch.folder / name
        with scratch.child("lake", "make", folder, "--ledgers", str(count), *source) as process:
            process.wait()
        scratch.require_success(process, f"making a lake of {count} ledgers")
        return Ledgers(
            path=folder,
            ledgers=LedgerRange(FIRST_CLOSED, FIRST_CLOSED + count - 1),
            found=find(LakeSettings(source=str(folder)), ledger=FIRST_CLOSED),
        )

    def _in_place(self, count: int) -> Ledgers | None:
        """Return the newest ledgers of a folder, if it has so many without a hole."""
        found = self._found
        if found is None or found.newest is None or "://" in self.name:
            return None
        first = found.newest - count + 1
        if first < FIRST_CLOSED or len(found.lake.sizes(range(first, found.newest + 1), limit_s=_LISTING_S)) < count:
            return None
        return Ledgers(path=Path(self.name).absolute(), ledgers=LedgerRange(first, found.newest), found=found)

    def _sample(self, found: FoundLake, folder: Path) -> Path:
        """Copy the newest objects into a small lake, once, and return it."""
        bucket = Bucket(found.lake.spec.url, FetchLimits())
        if folder.exists():
            return folder
        folder.mkdir()
        with refusing():
            (folder / KEY).write_bytes(bytes(bucket.get(KEY, _MANIFEST_BYTES)))
            stored = 0
            for ledgers in reversed(_newest(bucket, found)):
                reading = found.lake.read(ledgers)
                if reading.failure:
                    raise BackfillError(reading.failure.reason)
                for key, _, _, body in reading.objects:
                    (folder / key).parent.mkdir(parents=True, exist_ok=True)
                    (folder / key).write_bytes(bytes(body))
                stored += reading.stored_bytes
                if stored > _SAMPLE_BYTES:
                    break
        return folder


def _newest(bucket: Bucket, found: FoundLake) -> list[LedgerRange]:
    """Return the ledgers of the newest objects, ascending; a lake of real samples has holes, so the keys are listed."""
    held = set[LedgerRange]()
    for page in bucket.pages():
        for key in page:
            with suppress(ValueError):  # other files may lie beside the objects
                held.add(found.lake.layout.parse(key))
        if bucket.sorted and len(held) >= _SAMPLE_OBJECTS:  # the newest key sorts first
            break
    return sorted(held)[-_SAMPLE_OBJECTS:]
