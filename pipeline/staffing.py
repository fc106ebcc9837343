"""Staffing: how many workers and connections a run uses, corrected by what it has waited for. Pure, given `now`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.progress.snapshot import Waits

PERIOD_S = 5.0  # between two looks
_MOSTLY, _HARDLY = 0.5, 0.1
_GAIN = 1.03  # what one more has to bring to be kept

Kind = Literal["workers", "connections"]


@dataclass(slots=True)
class Post:
    """How many of a kind are wanted now, and how many more may be tried."""

    wanted: int
    more: int
    settled: bool = False  # one more was tried and brought nothing

    @property
    def open(self) -> bool:
        """Whether one more may be tried."""
        return not self.settled and self.more > 0


@dataclass(frozen=True, slots=True)
class _Look:
    now: float
    waits: Waits
    plain_bytes: int  # of committed ledgers: a run may make no rows


class Staffing:
    """One more of what the run waits for is tried at a time, and kept where it has made the run faster.

    More workers where these wait for the source: reading costs no CPU. More connections where the window is full and
    something is being committed all the time. Without any more to try nothing is corrected.
    """

    def __init__(self, workers: Post, connections: Post) -> None:
        """Begin with what is wanted of each."""
        self._posts: dict[Kind, Post] = {"workers": workers, "connections": connections}
        self._last: _Look | None = None
        self._trial: tuple[Kind, float] | None = None  # of what one more is tried, and the rate before

    @property
    def workers(self) -> int:
        """How many workers the run should have now."""
        return self._posts["workers"].wanted

    @property
    def connections(self) -> int:
        """How many connections should copy side by side now."""
        return self._posts["connections"].wanted

    def review(self, now: float, waits: Waits, plain_bytes: int) -> str | None:
        """Look at what was waited for since the last look, if it is time; return what was changed and why."""
        look, last = _Look(now, waits, plain_bytes), self._last
        if last is None:
            self._last = look
            return None
        if now - last.now < PERIOD_S or plain_bytes == last.plain_bytes:
            return None
        self._last = look
        rate = (plain_bytes - last.plain_bytes) / (now - last.now)
        return self._judge(rate) if self._trial else self._try(last, look, rate)

    def _judge(self, rate: float) -> str | None:
        """Keep what was tried if the run is faster for it, else take it back for good."""
        assert self._trial is not None  # noqa: S101  # the caller has looked
        (kind, before), self._trial = self._trial, None
        if rate >= before * _GAIN:
            return None
        post = self._posts[kind]
        post.wanted, post.settled = post.wanted - 1, True
        return f"{post.wanted} {kind} again: one more made the run no faster"

    def _try(self, last: _Look, look: _Look, rate: float) -> str | None:
        kind, why = self._lacking(last, look)
        if kind is None or not self._posts[kind].open:
            return None
        self._posts[kind].wanted += 1
        self._posts[kind].more -= 1
        self._trial = kind, rate
        return f"{self._posts[kind].wanted} {kind} now: {why}"

    def _lacking(self, last: _Look, look: _Look) -> tuple[Kind | None, str]:
        """Return of what one more would help, and why."""
        before, after, span_s = last.waits, look.waits, look.now - last.now
        worked_s = after.work_s - before.work_s
        reading = (after.read_s - before.read_s) / worked_s if worked_s else 0.0
        if reading > _MOSTLY:
            return "workers", f"they wait for the source {reading:.0%} of their time"
        full = (after.window_s - before.window_s) / span_s
        pausing = (after.commit_s - before.commit_s) / span_s
        if full > _MOSTLY and pausing < _HARDLY:
            return "connections", f"the window is full {full:.0%} of the time"
        return None, ""
