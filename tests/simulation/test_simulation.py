"""Whole runs of the real coordinator on a clock that jumps, with every fault that a seed draws."""

from __future__ import annotations

from collections import Counter

import pytest
from scenario import scenario
from world import World

SEEDS_A_TEST = 100


def simulate(seed: int) -> Counter[str]:
    """Run one seed, and say how to see it again when it fails."""
    world = World(scenario(seed))
    try:
        world.run()
    except Exception as error:
        raise AssertionError(f"seed {seed}: {error!r}; see python tests/simulation/world.py {seed}") from error
    return world.checks.probes


@pytest.mark.parametrize("block", range(10))
def test_every_promise_holds_in_every_run(block: int):
    """Whatever goes wrong, a run commits in order, stays in its bounds, leaves nothing behind, and ends with the truth."""
    for seed in range(block * SEEDS_A_TEST, (block + 1) * SEEDS_A_TEST):
        simulate(seed)
