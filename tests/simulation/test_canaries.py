"""Each canary takes one safeguard of the coordinator away: the simulation has to notice, or it proves nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from scenario import scenario
from world import World

from pipeline import commit_queue, coordinator
from pipeline.chunk import Attempt, Chunk
from pipeline.events import Grown
from pipeline.reorder import ReorderBuffer
from pipeline.segments import SEGMENT_LEDGERS, SegmentQueue
from pipeline.stall import GiveUp, Late, Patience, Split, TryAgain, after_failure
from pipeline.supply import Supply
from pipeline.window import Window

SEEDS = 600

Patch = Callable[[pytest.MonkeyPatch], None]


def take_late_results(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Attempt, "superseded", property(lambda _: False))


def hold_without_bound(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Window, "has_room", lambda *_: True)


def open_without_bound(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Window, "admits", lambda *_: True)


def release_out_of_order(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ReorderBuffer, "add", lambda _self, _ledgers, item: [item])


def link_to_anything(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(commit_queue, "broken_link", lambda *_: None)


def wait_for_ever(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Patience, "lateness", lambda *_: Late.NO)


def hedge_for_ever(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Chunk, "hedged", property(lambda _: False, lambda *_: None))


def try_for_ever(patch: pytest.MonkeyPatch) -> None:
    def again(*given: object) -> TryAgain | Split | GiveUp:
        verdict = after_failure(*given)  # type: ignore[arg-type]
        return TryAgain(0.0) if isinstance(verdict, GiveUp) else verdict

    patch.setattr(coordinator, "after_failure", again)


def skip_what_fails(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(coordinator.Coordinator, "_give_up", lambda *_: None)


def commit_into_what_is_being_completed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SegmentQueue, "busy", False)


def wait_at_the_tip_without_indexes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SegmentQueue, "reached", lambda *_: [])


def complete_at_every_tip(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SegmentQueue, "reached", lambda queue, at: queue.passed(at + SEGMENT_LEDGERS))


def leave_growth_out(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Supply, "grow", lambda *_: None)


def forget_that_it_ends(patch: pytest.MonkeyPatch) -> None:
    follow = coordinator.Coordinator._follow
    patch.setattr(coordinator.Coordinator, "_follow", lambda run, it: isinstance(it, Grown) and follow(run, it))


@pytest.mark.parametrize(
    ("canary", "cry"),
    [
        (take_late_results, "discarded twice|x not in list|overlap|come too late"),
        (hold_without_bound, "bytes are held behind the head"),
        (open_without_bound, "chunks are open"),
        (release_out_of_order, "nothing is left to do|commit of .* when .* is next"),
        (link_to_anything, "do not link|are to follow another ledger"),
        (wait_for_ever, "waits for ever|no end"),
        (hedge_for_ever, "three times at once|no end"),
        (try_for_ever, "no end"),
        (commit_into_what_is_being_completed, "go where indexes are being built"),
        (wait_at_the_tip_without_indexes, "it waits without indexes"),
        (complete_at_every_tip, "go into a complete segment|go where indexes are being built"),
        (leave_growth_out, "it waits for more with"),
        (forget_that_it_ends, "it waits where nothing more comes"),
        (skip_what_fails, "only .* of .* ledgers were committed|bytes are held|unexpected end|waits for ever|no end"),
    ],
)
def test_the_simulation_notices(canary: Patch, cry: str, monkeypatch: pytest.MonkeyPatch):
    """Without its safeguard the run breaks a promise in one of the first seeds, and the promise is named."""
    canary(monkeypatch)
    with pytest.raises((AssertionError, ValueError), match=cry):
        simulate(SEEDS)


def simulate(seeds: int) -> None:
    for seed in range(seeds):
        World(scenario(seed)).run()
