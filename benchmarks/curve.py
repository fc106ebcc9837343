"""The curve of growth as a picture: two panels of SVG, time and memory over ledgers, for light and dark. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT, TOP, BOTTOM, LEFT = 360.0, 300.0, 60.0, 50.0, 64.0  # of one panel; margins are inside of it
GAP, RIGHT = 40.0, 30.0
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .title { font-weight: 600; font-size: 14px } .quiet { fill: #57606a }
  .grid { stroke: #d0d7de } .even { stroke: #57606a; stroke-dasharray: 5 5; fill: none }
  .line { stroke: #0969da; stroke-width: 2.5; fill: none } .point { fill: #0969da }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .quiet { fill: #9198a1 }
    .grid { stroke: #3d444d } .even { stroke: #9198a1 }
    .line { stroke: #58a6ff } .point { fill: #58a6ff }
  }
"""
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Curve:
    """Ledgers, seconds and MiB of each run, ascending."""

    runs: Sequence[tuple[int, float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Panel:
    title: str
    even: str  # what the dashed line says
    left: float  # in the picture
    right_end: float  # of the ledgers
    top_end: float  # of what is shown over them
    unit: str

    def at(self, point: Point) -> Point:
        """Return where a point lies in the picture."""
        across = WIDTH - LEFT - RIGHT
        up = HEIGHT - TOP - BOTTOM
        x = self.left + LEFT + point[0] / self.right_end * across
        return x, HEIGHT - BOTTOM - point[1] / self.top_end * up


def drawing(curve: Curve) -> str:
    """Return the picture as text."""
    ledgers, seconds, mib = zip(*curve.runs, strict=True)
    most = max(ledgers)
    time = _Panel(
        title="Time",
        even=f"dashed: as much a ledger as the run of {ledgers[0]:,}",
        left=0,
        right_end=most,
        top_end=_round(max(seconds)),
        unit="s",
    )
    memory = _Panel(
        title="Peak memory, without the server's",
        even=f"dashed: as much as the run of {ledgers[0]:,}",
        left=WIDTH + GAP,
        right_end=most,
        top_end=_round(max(mib) * 1.2),
        unit="MiB",
    )
    width = 2 * WIDTH + GAP
    parts = [
        *_panel(time, list(zip(ledgers, seconds, strict=True)), [(0, 0), (most, seconds[0] / ledgers[0] * most)]),
        *_panel(memory, list(zip(ledgers, mib, strict=True)), [(0, mib[0]), (most, mib[0])]),
    ]
    body = "\n".join(f"  {part}" for part in parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {HEIGHT:g}" role="img">\n'
        f"  <title>Time and peak memory of a backfill, over its ledgers</title>\n  <style>{STYLE}  </style>\n"
        f"{body}\n</svg>\n"
    )


def _panel(panel: _Panel, points: Sequence[Point], even: Sequence[Point]) -> Iterator[str]:
    yield _text((panel.left + LEFT, 20), panel.title, "title", "start")
    yield _text((panel.left + LEFT, 40), panel.even, "quiet", "start")
    for quarter in range(5):
        value = panel.top_end * quarter / 4
        (x1, y), (x2, _) = panel.at((0, value)), panel.at((panel.right_end, value))
        yield f'<line class="grid" x1="{x1:.1f}" y1="{y:.1f}" x2="{x2:.1f}" y2="{y:.1f}"/>'
        yield _text((x1 - 8, y + 4), f"{value:g}{f' {panel.unit}' if quarter == 4 else ''}", "quiet", "end")
    for ledgers, _ in points:
        yield _text((panel.at((ledgers, 0))[0], HEIGHT - BOTTOM + 20), f"{ledgers:,}", "quiet", "middle")
    yield _text((panel.left + (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8), "ledgers", "quiet", "middle")
    yield f'<polyline class="even" points="{_path(panel, even)}"/>'
    yield f'<polyline class="line" points="{_path(panel, points)}"/>'
    for point in points:
        x, y = panel.at(point)
        yield f'<circle class="point" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
        yield _text((x - 6, y - 8), f"{point[1]:.3g}", "value", "end")


def _path(panel: _Panel, points: Sequence[Point]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in map(panel.at, points))


def _text(at: Point, words: str, kind: str, anchor: str) -> str:
    return f'<text class="{kind}" x="{at[0]:.1f}" y="{at[1]:.1f}" text-anchor="{anchor}">{words}</text>'


def _round(most: float) -> float:
    """Return the least round number, four times a handy one, that is not below."""
    step = next(
        digit * 10**power for power in range(-1, 7) for digit in (1, 2, 2.5, 5) if digit * 10**power * 4 >= most
    )
    return step * 4
