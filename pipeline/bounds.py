"""Bounds of a run: how much may be under way at once, and how long it may take."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipeline.stall import StallConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordinatorConfig:
    """Bounds of a run; `ValueError` where two of them contradict."""

    workers: int  # to begin with, and
    more_workers: int = 0  # that may be tried where the run waits for its source
    connections: int = 2  # likewise: commits asked for and not yet answered
    more_connections: int = 0
    window_chunks: int | None = None  # None: 4 a worker
    window_bytes: int = 1 << 30  # of rows, the head's not counted
    stall: StallConfig = field(default_factory=StallConfig)

    def __post_init__(self) -> None:
        """Refuse what cannot hold together, with both numbers."""
        for name in ("workers", "window_bytes", "connections"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: at least 1")
        if self.most_chunks(self.workers) < self.workers + 1:
            raise ValueError(
                f"a window of {self.window_chunks} chunks is too small for {self.workers} workers: "
                f"at least {self.workers + 1}"
            )

    def most_chunks(self, workers: int) -> int:
        """Return how many chunks the window may hold with so many workers."""
        return 4 * workers if self.window_chunks is None else self.window_chunks
