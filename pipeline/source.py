"""The source of a job, opened from its settings: which network, which ledgers, and what workers are given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import JobSettings, SourceSettings
from pipeline.errors import Refused
from workers.failures import SourceError
from workers.messages import LakeSpec, LedgerRange, StreamSpec, WorkerConfig
from workers.results import ResultFolder
from workers.sources import FIRST_CLOSED, FetchLimits, FoundLake, Lake, LakeFlags, Stream, find_lake, prepare_stream

STREAM = "stream:"
_ON_DISK = 1 << 62  # bytes: more than shared memory has, so that a spooled stream goes to the disk


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSource:
    """A source that answers; `wanted` is the range of the job, its end looked up where the user gave none."""

    worker_config: WorkerConfig
    wanted: LedgerRange
    ledgers_per_object: int
    reader: Lake | Stream
    tip: int | None = None  # the newest ledger, where the job had to ask for it or a stream's index knows it

    @property
    def network_passphrase(self) -> str:
        """The network whose ledgers these are."""
        return self.worker_config.network_passphrase

    def object_of(self, ledger: int) -> str | None:
        """Return the key of the object that should hold `ledger`; None: a stream has no objects."""
        return self.reader.layout.key(ledger) if isinstance(self.reader, Lake) else None

    def require(self, ledger: int) -> None:
        """Raise `Refused` when `ledger` lies beyond the newest one of the source; what is missing below is a hole."""
        with refusing():
            if isinstance(self.reader, Lake) and self.reader.exists(ledger):
                return
        absent = f"the source has no ledger {ledger}, the end of the range"
        try:
            newest = self.reader.newest() if isinstance(self.reader, Lake) else self.tip
        except SourceError as error:  # reading is allowed and listing is not
            raise Refused(f"{absent}, and does not say which is its newest: {error}") from error
        if newest is None:
            key = self.reader.layout.key(ledger) if isinstance(self.reader, Lake) else ""
            raise Refused(f"{absent}, nor any other in the place where it should be, {key}")
        if newest < ledger:
            raise Refused(f"{absent}: its newest is ledger {newest}")


@contextmanager
def refusing() -> Iterator[None]:
    """Turn what a source cannot do into `Refused`."""
    try:
        yield
    except SourceError as error:
        raise Refused(str(error)) from error


@contextmanager
def opened(settings: JobSettings, folder: Path) -> Iterator[OpenSource]:
    """Open the source that `settings` name; what a stream needs on disk goes to `folder`, and away at the end.

    Raises `Refused` when it cannot be used, names another network than the settings, or is empty.
    """
    with ExitStack() as stack, refusing():
        if settings.source.startswith(STREAM):
            spool = stack.enter_context(ResultFolder(_ON_DISK, folder))
            yield _stream(settings, Path(settings.source.removeprefix(STREAM)), spool.path)
        else:
            yield _lake(settings)


def find(settings: SourceSettings, *, ledger: int | None = None) -> FoundLake:
    """Open the lake that the settings name, which should hold `ledger`. Raises `Refused` where it cannot be used."""
    flags = LakeFlags(
        ledgers_per_object=settings.ledgers_per_object,
        objects_per_partition=settings.objects_per_partition,
        suffix=settings.suffix,
    )
    limits = FetchLimits(
        concurrency=settings.fetch_concurrency,
        timeout_s=settings.fetch_timeout_s,
        attempts=settings.fetch_attempts,
        max_object_bytes=settings.max_object_bytes,
    )
    with refusing():
        return find_lake(settings.source, ledger=ledger, flags=flags, limits=limits)


def _lake(settings: JobSettings) -> OpenSource:
    if settings.start_ledger < FIRST_CLOSED:
        raise Refused(f"a lake begins with ledger {FIRST_CLOSED}: the one before it, the genesis, was never closed")
    found = find(settings, ledger=settings.end_ledger)
    lake, newest = found.lake, found.newest
    if settings.end_ledger is None and newest is None:
        raise Refused(f"there are no ledgers in {settings.source_shown}")
    return OpenSource(
        worker_config=_worker_config(
            settings, lake.spec, _passphrase(settings, found.manifest.network_passphrase if found.manifest else None)
        ),
        wanted=_wanted(settings, newest),
        ledgers_per_object=lake.spec.ledgers_per_object,
        reader=lake,
        tip=newest,
    )


def _stream(settings: JobSettings, path: Path, folder: Path) -> OpenSource:
    stream = prepare_stream(path, folder)
    if settings.start_ledger < stream.first:
        raise Refused(f"stream {path} begins with ledger {stream.first}, not {settings.start_ledger}")
    # A damaged end is a ledger that cannot be read: without it in the range, the run would end well over missing data.
    tip = stream.last + (stream.damage is not None)
    return OpenSource(
        worker_config=_worker_config(settings, stream.spec, _passphrase(settings, None)),
        wanted=_wanted(settings, tip),
        ledgers_per_object=1,
        reader=Stream(stream.spec),
        tip=tip,
    )


def _passphrase(settings: JobSettings, named: str | None) -> str:
    given = settings.network_passphrase
    if given and named and given != named:
        raise Refused(f"the lake's manifest names the network {named!r}, --network-passphrase says {given!r}")
    if not (given or named):
        raise Refused(f"nothing says which network {settings.source_shown} is of: give --network-passphrase")
    return given or named or ""


def _wanted(settings: JobSettings, newest: int | None) -> LedgerRange:
    last = settings.end_ledger or newest or 0
    if last < settings.start_ledger:
        raise Refused(f"--start-ledger {settings.start_ledger} is beyond the newest ledger of the source, {last}")
    return LedgerRange(settings.start_ledger, last)


def _worker_config(settings: JobSettings, spec: LakeSpec | StreamSpec, passphrase: str) -> WorkerConfig:
    return WorkerConfig(
        source=spec,
        network_passphrase=passphrase,
        trusted=settings.trusted,
        max_object_bytes=int(settings.max_object_bytes),  # no `ByteSize`: each worker would import pydantic for it
        fetch_concurrency=settings.fetch_concurrency,
        fetch_timeout_s=settings.fetch_timeout_s,
        fetch_attempts=settings.fetch_attempts,
    )
