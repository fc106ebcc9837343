"""Whole runs of the real coordinator on a clock that jumps, with every fault that a seed draws."""

from __future__ import annotations

import os
from collections import Counter
from functools import cache

import pytest
from scenario import scenario
from side_by_side import simulated
from world import World

SEEDS = int(os.environ.get("LEDGERFILL_TEST_SEEDS", "4000"))
SEEDS_A_TEST = 1000
PROBES = {
    "success",
    "failed",
    "interrupted",
    "suspect",
    "hedge",
    "hedge went on alone",
    "second result of a hedge",
    "re-dispatch",
    "split",
    "isolated a ledger",
    "abort",
    "kill",
    "poison",
    "hole",
    "broken chain",
    "sound part",
    "set back",
    "commit ahead",
    "commit failed",
    "segment failed",
    "completed beside the load",
    "one more tried",
    "one more taken back",
    "workers lost",
    "worker died",
    "queued",
    "late answer",
    "duplicate answer",
    "superseded answer",
    "interrupted twice",
    "window full of chunks",
    "held behind the head",
    "grown at the tip",
    "grown before the tip",
    "grown after an error",
    "grown while indexes are built",
    "completed at the tip",
    "completed when it is passed",
    "interrupted at the tip",
    "ended at the tip",
    "ended before its tip",
    "lost at the tip",
    "lost",
}


def simulate(seed: int) -> Counter[str]:
    """Run one seed, and return what it has seen."""
    world = World(scenario(seed))
    world.run()
    return world.checks.probes


@cache
def seen(first: int) -> Counter[str]:
    """Run the seeds of one test, and return what they have seen together."""
    return simulated(simulate, range(first, first + SEEDS_A_TEST), "world.py")


@pytest.mark.parametrize("first", range(0, SEEDS, SEEDS_A_TEST))
def test_every_promise_holds_in_every_run(first: int):
    """Whatever goes wrong, commits are in order, bounds hold, nothing is left behind and the end is the truth."""
    assert seen(first)["success"]


def test_a_seed_replays_exactly():
    """The same seed gives the same run, event by event."""
    traces: list[list[str]] = [[], []]
    for trace in traces:
        World(scenario(3), trace.append).run()
    assert traces[0] == traces[1]
    assert len(traces[0]) > 10


def test_every_probe_is_hit():
    """The seeds reach every step and fault that the rules are about."""
    assert seen(0).keys() >= PROBES, f"never seen: {PROBES - seen(0).keys()}"
