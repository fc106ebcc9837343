"""Live ingestion and migrations that start anywhere: one writer a ledger, and everything ends in the hands of live.

Some keep only the newest ledgers: what falls out is gone for good, and stops nobody.
"""

from __future__ import annotations

import os
from collections import Counter
from functools import cache

import pytest
from handover import Handover
from side_by_side import simulated

SEEDS = int(os.environ.get("LEDGERFILL_TEST_SEEDS", "6000")) // 30
SEEDS_A_TEST = 25
PROBES = {
    "FallenOut",
    "HandedOff",
    "CursorTaken",
    "handed off",
    "refused by a lock",
    "killed",
    "killed while it commits",
    "killed while it trims",
    "landed before",
    "trimmed",
    "landed behind its process",
    "lost behind its process",
    "landed while somebody looks",
    "backfill moves the frontier",
    "ledgers come below",
    "joined below",
    "ended at the tip",
    "grown at the tip",
    "interrupted at the tip",
    "completed at the tip",
}


def simulate(seed: int) -> Counter[str]:
    """Run one seed, and return what it has seen."""
    handover = Handover(seed)
    handover.run()
    return handover.probes


@cache
def seen(first: int) -> Counter[str]:
    """Run the seeds of one test, and return what they have seen together."""
    return simulated(simulate, range(first, first + SEEDS_A_TEST), "handover.py")


@pytest.mark.parametrize("first", range(0, SEEDS, SEEDS_A_TEST))
def test_one_writer_a_ledger(first: int):
    """Whoever starts when, is killed or hears no answer: each ledger is written once, and live takes over."""
    assert seen(first)["handed off"]


def test_a_handover_replays_exactly():
    """The same seed gives the same runs of every job, event by event."""
    traces: list[list[str]] = [[], []]
    for trace in traces:
        Handover(5, trace.append).run()
    assert traces[0] == traces[1]
    assert len(traces[0]) > 100


def test_every_way_to_hand_over_is_seen():
    """The seeds reach what the rules of the handoff are about."""
    hit = {probe for first in range(0, 4 * SEEDS_A_TEST, SEEDS_A_TEST) for probe in seen(first)}
    assert hit >= PROBES, f"never seen: {PROBES - hit}"
