"""The live display, drawn to a text of fixed width."""

from __future__ import annotations

import io
import logging

from rich.console import Console
from snapshots import snapshot

from pipeline.chunk import ChunkState
from pipeline.progress.display import MOST_CELLS, Display, view
from pipeline.progress.pace import Pace
from pipeline.progress.report import RunInfo, RunReport
from workers.messages import LedgerRange

RUN = RunInfo(run_id=7, source="./lake", database="embedded", wanted=LedgerRange(2, 1001))


def drawn(width: int = 100, **other: object) -> str:
    pace = Pace()
    pace.add(snapshot(0, 0))
    pace.add(snapshot(10, 400, **other))
    stream = io.StringIO()
    Console(file=stream, width=width).print(view("run 7: \x1b[2Jlake", snapshot(10, 400, **other), pace))
    return stream.getvalue()


def test_picture_has_every_figure() -> None:
    """Ledgers, events, rows and MB a second, the time left, the window, the head and its age, and the limit."""
    picture = drawn()
    for figure in (
        "400 of 1,000 ledgers (40.0%) in 10.0 s, 15.0 s left",
        "40 ledgers/s, 160 events/s, 400 rows/s, 40.0 MB/s",
        "o==.",
        "# 0 committed  + 0 committing  = 2 held  o 1 in work  . 1 waiting",
        "ledgers 100-109 on worker 3, attempt 2, for 12.5 s",
        "the workers are the limit",
    ):
        assert figure in picture


def test_picture_escapes_what_strangers_wrote() -> None:
    """A source's name cannot clear the screen."""
    assert "\x1b" not in drawn()
    assert r"\x1b[2Jlake" in drawn()


def test_wide_window_and_narrow_terminal_stay_readable() -> None:
    """Chunks beyond the map are counted, and no line is wider than the terminal."""
    window = tuple((LedgerRange(number, number), ChunkState.WAITING) for number in range(1, MOST_CELLS + 11))
    picture = drawn(width=60, window=window)
    assert "and 10 more" in " ".join(picture.split())
    assert all(len(line) <= 60 for line in picture.splitlines())


def test_display_draws_on_a_terminal_and_leaves_it_whole() -> None:
    """Started, told, finished: the last picture stays, the cursor is shown again, log lines come above it."""
    stream = io.StringIO()
    display = Display(Console(file=stream, width=100, force_terminal=True))
    display.started(RUN)
    display.progress(snapshot(1, 40))
    record = logging.makeLogRecord({"msg": "a log line [bold]", "levelname": "WARNING"})
    display.handler.handle(record)
    display.finished(RunReport(outcome="success"))
    display.close()
    text = stream.getvalue()
    assert "run 7: ledgers 2-1001 from ./lake into embedded" in text
    assert "a log line [bold]" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
