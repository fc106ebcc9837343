"""Whatever a lake can hold that is not sound: named, never passed, and everything before it is there."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from damage import DAMAGES, PLACES, STRANGE, of_another_chain, patched, put, replaced_topic, word
from lakes import CORE, CORE_PASSPHRASE, batch, compressed, core_ledgers, key, write_lake, write_manifest
from program import Program, job, wait_for
from stores import check, digests, held

FIRST, LAST = 19, 28  # every one with events; five chunks of two
CHUNKS = ["--chunk-ledgers", "2", "--workers", "2"]
IN_CHUNKS = (20, 24, 28)  # in the first chunk of a run; then, for one that begins there, in a middle one; in the last
Digests = dict[str, tuple[int, str]]
Error = dict[str, Any]


@dataclass(frozen=True)
class Walk:
    """A lake that is damaged at one place after another, and what its ledgers should give."""

    ledgerfill: Program
    lake: Path
    ledgers: dict[int, bytes]
    undisturbed: Digests
    per_object: int = 1

    def __call__(self, damage: Callable[[int], object], *flags: str, ledgers: Sequence[int] = IN_CHUNKS) -> list[Error]:
        """Damage each of the ledgers in turn and run: the same command stops there, and goes on when it is mended.

        Returns the errors that the runs have reported.
        """
        errors = []
        for ledger in ledgers:
            damage(ledger)
            errors.append(self.stops_at(ledger, *flags))
            self.mend(ledger)
        ended = self.ledgerfill.backfill(self.lake, FIRST, LAST, *CHUNKS, *flags)
        assert ended.returncode == 0, ended.stderr
        assert held(self.ledgerfill.database) == [(FIRST, LAST)]
        assert digests(self.ledgerfill.database) == self.undisturbed
        return errors

    def stops_at(self, ledger: int, *flags: str) -> Error:
        """Run over the damaged lake: object and ledger are named, all before is there and nothing else."""
        ended, report = self.ledgerfill.report("backfill", *job(self.lake, FIRST, LAST), *CHUNKS, *flags)
        error: Error = report["error"]
        assert ended.returncode == report["exit_code"] == 1, ended.stdout
        assert error["ledger"] == ledger, error
        assert error["object"] == key(ledger, self.per_object), error
        assert error["object"] in error["message"]
        assert f"ledger {ledger}" in error["message"]
        assert error["message"] in ended.stderr
        assert held(self.ledgerfill.database) == ([(FIRST, ledger - 1)] if ledger > FIRST else [])
        return error

    def mend(self, ledger: int) -> None:
        """Make the objects of this ledger and of all behind it what they were."""
        for first in range(ledger - ledger % self.per_object, LAST + 1, self.per_object):
            self.write(first, [self.ledgers[first + n] for n in range(self.per_object)])

    def write(self, first: int, ledgers: list[bytes]) -> None:
        """Write an object of ledgers in ascending order."""
        path = self.lake / key(first, self.per_object)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(compressed(batch(first, first + self.per_object - 1, ledgers)))


@pytest.fixture
def walk(ledgerfill: Program, shared: Path, core_lake: Path, undisturbed_core: Callable[[int, int], Digests]) -> Walk:
    """A whole lake of one ledger an object."""
    return Walk(ledgerfill, core_lake, core_ledgers(shared), undisturbed_core(FIRST, LAST))


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_object_stops_the_run_there(walk: Walk, damage: str) -> None:
    """What no ledger may look like is refused at once, with object, ledger and place."""
    errors = walk(lambda ledger: put(walk.lake, walk.ledgers, ledger, DAMAGES[damage]))
    for error in errors:
        assert error["attempts"] == 1, "what is damaged stays damaged: it is not tried again"
        assert error["offset"] is not None
        assert f"at byte {error['offset']}" in error["message"]
        if damage in PLACES:
            assert error["offset"] == PLACES[damage](walk.ledgers[error["ledger"]])


def test_ledger_of_another_chain_stops_the_run_there(walk: Walk, shared: Path) -> None:
    """A ledger that proves itself, but not that it follows the one before it, is refused."""
    errors = walk(lambda ledger: put(walk.lake, walk.ledgers, ledger, of_another_chain(shared)), ledgers=(20, 24, 27))
    assert [error["attempts"] for error in errors] == [1, 1, 1]


def test_hole_stops_the_run_there(walk: Walk) -> None:
    """An object that is missing in the midst of a lake is asked for until the deadline, then named."""
    errors = walk(lambda ledger: (walk.lake / key(ledger)).unlink(), "--hole-deadline", "1")
    for error in errors:
        assert "missing" in error["message"]


def test_hole_that_is_filled_in_time_is_none(ledgerfill: Program, shared: Path, core_lake: Path) -> None:
    """An object that turns up within the deadline is taken as if it had always been there."""
    there, away = core_lake / key(21), core_lake / "away"
    there.rename(away)
    running = ledgerfill.start("backfill", *job(core_lake, FIRST, LAST), *CHUNKS)
    wait_for(lambda: held(ledgerfill.database) == [(FIRST, 20)])
    time.sleep(0.5)  # it asks again meanwhile
    assert not running.ended()
    away.rename(there)
    ended = running.result()
    assert ended.returncode == 0, ended.stderr
    check(shared, ledgerfill.database, FIRST, LAST, "--file", CORE)


def test_first_ledger_of_all_may_be_the_damaged_one(walk: Walk) -> None:
    """Damage before everything commits nothing at all."""
    walk(lambda ledger: put(walk.lake, walk.ledgers, ledger, DAMAGES["a damaged header hash"]), ledgers=[FIRST])


def test_lowest_damage_decides(walk: Walk) -> None:
    """Of several damaged objects the lowest is named, whatever came first."""

    def damage(ledger: int) -> None:
        for damaged in range(ledger, LAST + 1):
            put(walk.lake, walk.ledgers, damaged, DAMAGES["a flipped bit"])

    walk(damage)


def test_mended_lake_goes_on_where_it_stopped(walk: Walk) -> None:
    """What the runs before it have committed is not done again."""
    put(walk.lake, walk.ledgers, 21, DAMAGES["a flipped bit"])
    walk.stops_at(21)
    walk.mend(21)
    ended, report = walk.ledgerfill.report("backfill", *job(walk.lake, FIRST, LAST), *CHUNKS)
    assert ended.returncode == 0, ended.stderr
    assert report["held_before"] == [[FIRST, 20]]
    assert report["committed"] == [[21, LAST]]


def test_damage_inside_an_object_of_several_ledgers(walk: Walk, tmp_path: Path) -> None:
    """In an object of several ledgers the damaged one is named, and the sound ones before it are there."""
    walk = replace(walk, lake=tmp_path / "threes", per_object=3)
    write_manifest(walk.lake, per_object=3)
    walk.mend(FIRST)

    def damage(ledger: int) -> None:
        first = ledger - ledger % 3
        assert ledger > first, "offsets count from the start of the damaged ledger, not of its object"
        inside = {first + n: walk.ledgers[first + n] for n in range(3)}
        inside[ledger] = patched(inside[ledger], 4, word(7))
        walk.write(first, list(inside.values()))

    errors = walk(damage, ledgers=(20, 25, 28))
    assert [error["offset"] for error in errors] == [4, 4, 4]


@pytest.mark.parametrize("value", STRANGE.values(), ids=STRANGE)
def test_strange_but_sound_value_stops_nothing(walk: Walk, value: bytes) -> None:
    """What PostgreSQL or a decoder might choke on is stored as it is, byte for byte, in whichever chunk."""
    for ledger in IN_CHUNKS:
        put(walk.lake, walk.ledgers, ledger, replaced_topic(value))
    ended = walk.ledgerfill.backfill(walk.lake, FIRST, LAST, *CHUNKS)
    assert ended.returncode == 0, ended.stderr
    with psycopg.connect(walk.ledgerfill.database) as conn:
        like = conn.execute(
            "SELECT operation_id >> 32 FROM ledgerfill.events WHERE position(%s IN topics) = 5 ORDER BY 1", [value]
        ).fetchall()
    assert {ledger for (ledger,) in like} == {*IN_CHUNKS}
    found = digests(walk.ledgerfill.database)
    assert {**found, "events": walk.undisturbed["events"]} == walk.undisturbed
    assert found["events"][0] == walk.undisturbed["events"][0]


@pytest.mark.parametrize(
    ("first", "last", "chunk"),
    [(10, 15, 2), (9, 14, 2), (9, 12, 1), (9, 10, 1)],
    ids=["first ledger", "first chunk", "middle chunk", "last chunk"],
)
def test_wrong_passphrase_is_refused_at_its_first_transaction(
    ledgerfill: Program, shared: Path, core_lake: Path, first: int, last: int, chunk: int
) -> None:
    """Under another network's passphrase no transaction is what it says; ledger 9, which has none, cannot tell."""
    write_manifest(core_lake, "Public Global Stellar Network ; September 2015")
    flags = ("--chunk-ledgers", chunk, "--workers", 2)
    ended, report = ledgerfill.report("backfill", *job(core_lake, first, last), *flags)
    error = report["error"]
    assert ended.returncode == report["exit_code"] == 1, ended.stdout
    assert (error["ledger"], error["object"], error["attempts"]) == (10, key(10), 1)
    assert "the passphrase of another network?" in error["message"]
    assert held(ledgerfill.database) == ([(9, 9)] if first == 9 else [])
    write_manifest(core_lake)
    ended = ledgerfill.backfill(core_lake, first, last, *flags)
    assert ended.returncode == 0, ended.stderr
    check(shared, ledgerfill.database, first, last, "--file", CORE)


def test_passphrase_against_the_manifest_is_refused(ledgerfill: Program, core_lake: Path) -> None:
    """Flag and manifest must not contradict each other."""
    ended = ledgerfill.backfill(core_lake, FIRST, LAST, "--network-passphrase", "another network")
    assert ended.returncode == 2
    assert "another network" in ended.stderr
    assert CORE_PASSPHRASE in ended.stderr
    assert held(ledgerfill.database) == []


def test_manifest_that_is_missing_is_asked_for(ledgerfill: Program, shared: Path, core_lake: Path) -> None:
    """Without a manifest nothing is guessed: the flags are named that say it, and with them the lake is filled."""
    (core_lake / ".config.json").unlink()
    ended = ledgerfill.backfill(core_lake, FIRST, LAST)
    assert ended.returncode == 2
    assert ".config.json" in ended.stderr
    assert "--ledgers-per-object" in ended.stderr
    cut = ["--ledgers-per-object", 1, "--objects-per-partition", 64000]
    ended = ledgerfill.backfill(core_lake, FIRST, LAST, *cut)
    assert ended.returncode == 2
    assert "--network-passphrase" in ended.stderr
    ended = ledgerfill.backfill(core_lake, FIRST, LAST, *cut, "--network-passphrase", CORE_PASSPHRASE)
    assert ended.returncode == 0, ended.stderr
    check(shared, ledgerfill.database, FIRST, LAST, "--file", CORE)


@pytest.mark.parametrize(
    ("manifest", "word"),
    [
        (b"", "JSON"),
        (b"\xff\xfe", "JSON"),
        (b"[]", "JSON object"),
        (b"{}", "lacks"),
        (json.dumps({"networkPassphrase": 7}).encode(), ".config.json"),
        (b"[" * 100_000, ".config.json"),
        (b" " * (1 << 20), ".config.json"),
    ],
    ids=["empty", "no text", "a list", "without fields", "a number for a text", "nested", "huge"],
)
def test_manifest_of_another_shape_is_refused(ledgerfill: Program, core_lake: Path, manifest: bytes, word: str) -> None:
    """A manifest that is none is named before anything is done."""
    (core_lake / ".config.json").write_bytes(manifest)
    ended = ledgerfill.backfill(core_lake, FIRST, LAST)
    assert ended.returncode == 2
    assert word in ended.stderr
    assert held(ledgerfill.database) == []


@pytest.mark.parametrize(
    "field", [{"ledgersPerBatch": 0}, {"batchesPerPartition": "many"}, {"compression": "gzip"}, {"version": "2.0"}]
)
def test_manifest_field_that_no_lake_has_is_refused(
    ledgerfill: Program, core_lake: Path, field: dict[str, object]
) -> None:
    """A field of a manifest that this program cannot serve is named with its value."""
    write_manifest(core_lake, **field)
    ended = ledgerfill.backfill(core_lake, FIRST, LAST)
    assert ended.returncode == 2
    ((name, value),) = field.items()
    assert name in ended.stderr
    assert repr(value) in ended.stderr
    assert held(ledgerfill.database) == []


def test_manifest_with_other_numbers_finds_no_ledger(ledgerfill: Program, shared: Path, tmp_path: Path) -> None:
    """A lake cut otherwise than its manifest says has no object under the computed key: nothing is committed."""
    lake = write_lake(tmp_path / "lake", core_ledgers(shared))
    write_manifest(lake, per_object=8)
    ended = ledgerfill.backfill(lake, FIRST, LAST)
    assert ended.returncode == 2
    assert key(LAST, 8) in ended.stderr
    assert held(ledgerfill.database) == []
