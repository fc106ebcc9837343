"""How a figure is taken and shown: medians of turns, and one line against its target."""

from __future__ import annotations

import os
from collections.abc import Iterable
from statistics import median

__all__ = ["median", "share", "show", "title"]


def title(question: str, lake: str, detail: str) -> None:
    """Say what is measured, on which lake, and how busy the machine was before."""
    print(f"\n{question}\n  {lake}: {detail}; load {os.getloadavg()[0]:.1f} on {len(os.sched_getaffinity(0))} cores")


def show(what: str, figure: str) -> None:
    """Print one figure."""
    print(f"  {what:<58}{figure:>20}", flush=True)


def share(what: str, ratios: Iterable[float], target: float, *, at_least: bool = False) -> None:
    """Print the median of a ratio taken in every turn, where it lies, and whether it meets its target."""
    taken = sorted(ratios)
    middle = median(taken)
    met = middle >= target if at_least else middle <= target
    verdict = f"{'at least' if at_least else 'at most'} {target:g}: {'met' if met else 'MISSED'}"
    spread = f" ({taken[0]:.3f} to {taken[-1]:.3f})" if len(taken) > 1 else ""
    print(f"= {what:<58}{middle:>20.3f}{spread}   {verdict}", flush=True)
