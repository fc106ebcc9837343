"""Each canary takes one safeguard of the coordinator away: the simulation has to notice, or it proves nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from answers import ANSWERS
from handover import Handover
from scenario import scenario
from sessions import Session
from world import World

from pipeline import commit_queue, coordinator, live, migrate
from pipeline.actions import CompleteSegment
from pipeline.chunk import Attempt, Chunk
from pipeline.events import Grown
from pipeline.reorder import ReorderBuffer
from pipeline.segments import SEGMENT_LEDGERS, SegmentQueue
from pipeline.stall import GiveUp, Late, Patience, Split, TryAgain, after_failure
from pipeline.store import below, cursors, retention, state_changes
from pipeline.store.cursors import CursorSwap, Kind, read
from pipeline.store.gates import LiveSwap
from pipeline.store.legs import Leg, LegSwap, next_leg
from pipeline.store.swap import StretchSwap, Swap
from pipeline.supply import Supply
from pipeline.window import Window
from workers.messages import TABLES, LedgerRange
from workers.protocols import Protocol

SEEDS = 600
HANDOVERS = 120

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


def lock_out_rows_that_come(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(coordinator, "CompleteSegment", lambda segment, **_: CompleteSegment(segment))


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
        (lock_out_rows_that_come, "go into a complete segment"),
        (wait_at_the_tip_without_indexes, "it waits without indexes"),
        (complete_at_every_tip, "is completed at every tip"),
        (leave_growth_out, "it waits for more with"),
        (forget_that_it_ends, "it waits where nothing more comes"),
        (skip_what_fails, "ledgers were committed|bytes are held|chunks are open|unexpected end|waits for ever|no end"),
    ],
)
def test_the_simulation_notices(canary: Patch, cry: str, monkeypatch: pytest.MonkeyPatch):
    """Without its safeguard the run breaks a promise in one of the first seeds, and the promise is named."""
    canary(monkeypatch)
    with pytest.raises((AssertionError, ValueError), match=cry):
        simulate(SEEDS)


def hand_off_without_evidence(patch: pytest.MonkeyPatch) -> None:
    def at_the_tip(conn: Any, ids: Collection[str], kind: Kind, last: int) -> list[str]:
        return [each for each in ids if next(iter(read(conn, [cursors.key(each, kind)]).values())).value >= last]

    patch.setattr(cursors, "taken_over", at_the_tip)


def swap_wherever_a_cursor_stands(patch: pytest.MonkeyPatch) -> None:
    def swap(session: Session, names: dict[str, Any]) -> list[tuple]:
        session.put("cursors", names["key"], (names["last"], names["last_hash"], names["job"], names["run_id"]))
        return [()]

    patch.setitem(ANSWERS, cursors._SQL["swap"], swap)


def forget_what_has_landed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Swap, "landed", lambda *_: False)


def go_past_live_ingestion(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(migrate, "tip", lambda session: session.store.last + 1)


def serve_no_gate(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(live, "served", lambda *_: ())


def write_where_the_cursor_is_another_s(patch: pytest.MonkeyPatch) -> None:
    def carry_out(swap: LiveSwap, conn: Any, epoch: int) -> None:
        StretchSwap.carry_out(swap, conn, epoch)
        swap._open = [*swap._gates]

    patch.setattr(LiveSwap, "carry_out", carry_out)


def go_on_with_all_protocols(patch: pytest.MonkeyPatch) -> None:
    def together(conn: Any, kind: Kind, protocols: Collection[Protocol], last: int, **filled: Any) -> Leg:
        return replace(next_leg(conn, kind, protocols, last, **filled), protocols=tuple(protocols))

    patch.setattr(migrate, "next_leg", together)


def leave_parts_apart(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(below, "join", lambda *_: None)


def join_parts_on_their_way(patch: pytest.MonkeyPatch) -> None:
    def carry_out(swap: LegSwap, conn: Any, epoch: int) -> None:
        CursorSwap.carry_out(swap, conn, epoch)
        for each in swap._leg.below:
            for end in ("cursor", "from"):
                conn.put("cursors", f"protocol_{each}_history_below_{end}", None)
            conn.put("histories", each, swap.chunk.gap.ledgers.first)

    patch.setattr(LegSwap, "carry_out", carry_out)


def see_no_handoff(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(cursors, "taken_over", lambda *_: [])


@pytest.mark.parametrize(
    ("canary", "cry"),
    [
        (hand_off_without_evidence, "is handed off, and migrate"),
        (swap_wherever_a_cursor_stands, "is next"),
        (forget_what_has_landed, "ends by CursorElsewhere|ends by CursorMoved"),
        (go_past_live_ingestion, "are past ledger"),
        (serve_no_gate, "no end after"),
        (write_where_the_cursor_is_another_s, "is next"),
        (go_on_with_all_protocols, "ends by Cursor"),
        (see_no_handoff, "no end after"),
        (leave_parts_apart, "no end after"),
        (join_parts_on_their_way, "is said to have ledgers"),
    ],
)
def test_the_simulation_of_a_handover_notices(canary: Patch, cry: str, monkeypatch: pytest.MonkeyPatch):
    """Without a rule of the handoff two write one ledger, nobody does, or nobody ends, and that is named."""
    canary(monkeypatch)
    with pytest.raises(AssertionError, match=cry):
        hand_over(HANDOVERS)


def let_history_come_beside(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(ANSWERS, retention._SQL["history_cursors"], lambda *_: [])


def take_cursors_before_the_stretch(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(ANSWERS, retention._SQL["cut"], lambda *_: [])


def forget_by_itself(patch: pytest.MonkeyPatch) -> None:
    trim = retention.trim

    def in_pieces(conn: Session, first: int) -> None:
        trim(SimpleNamespace(execute=conn.execute, transaction=nullcontext), first)  # type: ignore[arg-type]

    patch.setattr(retention, "trim", in_pieces)


def leave_history_behind(patch: pytest.MonkeyPatch) -> None:
    clear = retention._clear
    patch.setattr(retention, "_clear", lambda conn, cut, tables: tables == TABLES and clear(conn, cut, tables))


def never_jump(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(below, "catch_up", lambda *_: None)


def claim_what_has_fallen_out(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(below, "keep", lambda *_: None)


def write_what_has_fallen_out(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LegSwap, "carry_out", CursorSwap.carry_out)


def write_whole_chunks(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(state_changes, "clear", lambda *_: 0)


def want_what_has_fallen_out(patch: pytest.MonkeyPatch) -> None:
    trim = live._Live._trim

    def forgetful(job: live._Live, conn: Any, *, step: int) -> None:
        wanted = job._source.wanted
        trim(job, conn, step=step)
        job._source = replace(job._source, wanted=LedgerRange(wanted.first, job._source.wanted.last))

    patch.setattr(live._Live, "_trim", forgetful)


@pytest.mark.parametrize(
    ("canary", "cry"),
    [
        (let_history_come_beside, "below the oldest"),
        (take_cursors_before_the_stretch, "wait for each other"),
        (forget_by_itself, "the books have"),
        (leave_history_behind, "history is left below the oldest"),
        (never_jump, "out of place|no end after"),
        (claim_what_has_fallen_out, "is said to have ledgers|no end after"),
        (write_what_has_fallen_out, "below the oldest"),
        (write_whole_chunks, "below the oldest"),
        (want_what_has_fallen_out, "come back"),
    ],
)
def test_the_simulation_of_retention_notices(canary: Patch, cry: str, monkeypatch: pytest.MonkeyPatch):
    """Without a rule of retention history is left or comes back below the oldest ledger, or a cursor stands still."""
    canary(monkeypatch)
    with pytest.raises((AssertionError, ValueError), match=cry):
        hand_over(HANDOVERS, keeps=(15,))


def hand_over(seeds: int, **given: tuple[int, ...]) -> None:
    for seed in range(seeds):
        Handover(seed, **given).run()


def simulate(seeds: int) -> None:
    for seed in range(seeds):
        World(scenario(seed)).run()
