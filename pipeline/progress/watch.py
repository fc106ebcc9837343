"""Who watches a run: the live display on a terminal, log lines elsewhere; and the report, kept for the end."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pipeline.config import Settings
from pipeline.progress import log
from pipeline.progress.journal import Journal
from pipeline.progress.report import RunInfo, RunReport

if TYPE_CHECKING:
    from pipeline.actions import Note
    from pipeline.progress.display import Display
    from pipeline.progress.snapshot import Snapshot


class Watch:
    """An `Observer` that passes everything on to the one that people look at."""

    def __init__(self, inner: Display | Journal) -> None:
        """Pass on to `inner`."""
        self._inner = inner
        self.began = False
        self.report: RunReport | None = None  # what `finished` was told

    @classmethod
    def make(cls, settings: Settings) -> Watch:
        """Choose by the terminal, and send log records the same way."""
        display = _display(settings) if settings.display and sys.stderr.isatty() else None
        log.configure(settings.log_level, display.handler if display else None)
        return cls(display or Journal())

    def started(self, run: RunInfo) -> None:
        """Keep that it began, and pass it on."""
        self.began = True
        self._inner.started(run)

    def progress(self, snapshot: Snapshot) -> None:
        """Pass it on."""
        self._inner.progress(snapshot)

    def note(self, note: Note) -> None:
        """Pass it on."""
        self._inner.note(note)

    def finished(self, report: RunReport) -> None:
        """Keep the report, and pass it on."""
        self.report = report
        self._inner.finished(report)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if not isinstance(self._inner, Journal):
            self._inner.close()


def _display(settings: Settings) -> Display | None:
    """Return the display where the terminal can draw one; it alone needs rich, which takes a while to import."""
    from rich.console import Console

    from pipeline.progress.display import Display

    console = Console(stderr=True)
    if console.is_dumb_terminal:
        return None
    return Display(console, settings.log_level) if "log_level" in settings.model_fields_set else Display(console)
