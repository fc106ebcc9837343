"""Sources of raw ledgers: a lake in an object store or folder, and a record-marked stream."""

from __future__ import annotations

from workers.messages import LakeSpec, WorkerConfig
from workers.sources.bucket import FetchLimits
from workers.sources.finding import FoundLake, LakeFlags, find_lake
from workers.sources.lake import Lake
from workers.sources.layout import Layout
from workers.sources.reading import Object, Reading, Source
from workers.sources.stream import PreparedStream, Stream, prepare_stream

__all__ = [
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
    """Open a worker's source. `SourceError` when it cannot be used at all."""
    if isinstance(config.source, LakeSpec):
        limits = FetchLimits(
            concurrency=config.fetch_concurrency,
            timeout_s=config.fetch_timeout_s,
            attempts=config.fetch_attempts,
            max_object_bytes=config.max_object_bytes,
        )
        return Lake(config.source, limits)
    return Stream(config.source)
