"""Sources of raw ledgers: a lake in an object store or folder, and a record-marked stream."""

from __future__ import annotations

from workers.failures import SourceError
from workers.messages import LakeSpec, WorkerConfig
from workers.sources.bucket import FetchLimits
from workers.sources.finding import FoundLake, LakeFlags, find_lake
from workers.sources.lake import Lake
from workers.sources.layout import FIRST_CLOSED, Layout
from workers.sources.reading import Object, Reading, Source, Unopened
from workers.sources.stream import PreparedStream, Stream, prepare_stream

__all__ = [
    "FIRST_CLOSED",
    "FetchLimits",
    "FoundLake",
    "Lake",
    "LakeFlags",
    "Layout",
    "Object",
    "PreparedStream",
    "Reading",
    "Source",
    "Stream",
    "find_lake",
    "open_source",
    "prepare_stream",
]


def open_source(config: WorkerConfig) -> Source:
    """Open a worker's source. One that cannot be used answers every reading with the reason."""
    limits = FetchLimits(
        concurrency=config.fetch_concurrency,
        timeout_s=config.fetch_timeout_s,
        attempts=config.fetch_attempts,
        max_object_bytes=config.max_object_bytes,
    )
    try:
        return Lake(config.source, limits) if isinstance(config.source, LakeSpec) else Stream(config.source)
    except SourceError as error:
        return Unopened(error.failure)
