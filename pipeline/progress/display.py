"""The live display on a terminal: how far, how fast, where every chunk of the window stands, and what holds it up."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pipeline.chunk import ChunkState
from pipeline.progress import log, units
from pipeline.progress.journal import Journal
from pipeline.progress.pace import Pace, head, rows
from pipeline.progress.printable import printable
from pipeline.progress.report import RunInfo, RunReport

if TYPE_CHECKING:
    from pipeline.actions import Note
    from pipeline.progress.snapshot import Snapshot

MOST_CELLS = 240  # chunks drawn; those behind are counted
# A letter and a colour each, so that the map reads without colours and in any alphabet.
CELLS = {
    ChunkState.COMMITTED: ("#", "green"),
    ChunkState.COMMITTING: ("+", "bright_green"),
    ChunkState.HELD: ("=", "yellow"),
    ChunkState.WORK: ("o", "cyan"),
    ChunkState.WAITING: (".", "bright_black"),
}


class Display:
    """An `Observer` that draws; log records appear above it through `handler`."""

    def __init__(self, console: Console, level: str = "warning") -> None:
        """Draw on `console` from `started` on, and log from `level` on while it draws: it shows the rest."""
        # Redrawn by `progress` alone: no thread of its own in a process that starts others.
        self._live = Live(console=console, auto_refresh=False)
        self._pace = Pace()
        self._notes = Journal()
        self._title, self._level = "", level
        self.handler = ScreenHandler(console)

    def started(self, run: RunInfo) -> None:
        """Begin to draw."""
        self._title = f"run {run.run_id}: ledgers {run.wanted} from {run.source} into {run.database}"
        self._live.update(Text(printable(self._title)))
        self._live.start(refresh=True)
        log.set_level(self._level)

    def progress(self, snapshot: Snapshot) -> None:
        """Draw anew."""
        self._pace.add(snapshot)
        self._live.update(view(self._title, snapshot, self._pace), refresh=True)

    def note(self, note: Note) -> None:
        """Log it, above."""
        self._notes.note(note)

    def finished(self, report: RunReport) -> None:  # noqa: ARG002  # an observer's signature; the report is printed
        """Leave the last picture where it is."""
        self.close()

    def close(self) -> None:
        """Give the terminal back."""
        self._live.stop()


class ScreenHandler(logging.Handler):
    """Writes log records above whatever is drawn."""

    def __init__(self, console: Console) -> None:
        """Write to `console`."""
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        self._console.print(Text(self.format(record)), soft_wrap=True)


def view(title: str, snapshot: Snapshot, pace: Pace) -> RenderableType:
    """Return the picture of a run; `pace` knows its last seconds."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column()
    facts.add_row("done", Text(_done(snapshot, pace)))
    facts.add_row("rate", Text(_rates(pace)))
    facts.add_row("window", _window(snapshot))
    facts.add_row("head", Text(head(snapshot)))
    facts.add_row("limit", Text(pace.sentence()))
    bar = Table.grid(expand=True)  # a bar alone does not end its line
    bar.add_row(ProgressBar(total=max(1, snapshot.ledgers_wanted), completed=snapshot.ledgers_done))
    return Group(Text(printable(title), overflow="ellipsis", no_wrap=True), bar, facts)


def _done(snapshot: Snapshot, pace: Pace) -> str:
    left = pace.seconds_left()
    share = snapshot.ledgers_done / max(1, snapshot.ledgers_wanted)
    return (
        f"{units.count(snapshot.ledgers_done)} of {units.plural(snapshot.ledgers_wanted, 'ledger')} ({share:.1%}) "
        f"in {units.duration(snapshot.elapsed_s)}, {'?' if left is None else units.duration(left)} left"
    )


def _rates(pace: Pace) -> str:
    return (
        f"{units.count(pace.rate(lambda each: each.ledgers_done))} ledgers/s, "
        f"{units.count(pace.rate(lambda each: each.events))} events/s, "
        f"{units.count(pace.rate(rows))} rows/s, "
        f"{units.size(pace.rate(lambda each: each.plain_bytes))}/s"
    )


def _window(snapshot: Snapshot) -> Text:
    drawn = Text()
    for _, state in snapshot.window[:MOST_CELLS]:
        letter, style = CELLS[state]
        drawn.append(letter, style)
    if len(snapshot.window) > MOST_CELLS:
        drawn.append(f" and {len(snapshot.window) - MOST_CELLS} more")
    counts = Counter(state for _, state in snapshot.window)
    drawn.append("\n")
    for state, (letter, style) in CELLS.items():
        drawn.append(letter, style)
        drawn.append(f" {counts[state]} {'in work' if state is ChunkState.WORK else state}  ")
    return drawn
