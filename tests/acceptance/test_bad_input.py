"""Whatever a lake can hold that is not sound: named, never passed, and everything before it is there."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from damage import DAMAGES, PLACES, of_another_chain, put
from lakes import CORE, CORE_PASSPHRASE, batch, compressed, core_ledgers, key, write_lake, write_manifest
from program import Program, job, wait_for
from stores import check, held

FIRST, LAST = 19, 24  # every one with events; three chunks of two
CHUNKS = ["--chunk-ledgers", "2", "--workers", "2"]
chunks = pytest.mark.parametrize("ledger", [20, 21, 24], ids=["first chunk", "middle chunk", "last chunk"])


def assert_stopped_at(ledgerfill: Program, shared: Path, lake: Path, ledger: int, *flags: str) -> dict[str, object]:
    """Run over the damaged lake: all before `ledger` is there and right, nothing else; return the report's error."""
    ended, report = ledgerfill.report("backfill", *job(lake, FIRST, LAST), *CHUNKS, *flags)
    error = report["error"]
    assert ended.returncode == report["exit_code"] == 1, ended.stdout
    assert error["ledger"] == ledger, error
    assert error["object"] == key(ledger), error
    assert key(ledger) in error["message"]
    assert f"ledger {ledger}" in error["message"]
    assert error["message"] in ended.stderr
    assert held(ledgerfill.database) == ([(FIRST, ledger - 1)] if ledger > FIRST else [])
    if ledger > FIRST:
        check(shared, ledgerfill.database, FIRST, ledger - 1, "--file", CORE)
    return error


@chunks
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_object_stops_the_run_there(
    ledgerfill: Program, shared: Path, core_lake: Path, damage: str, ledger: int
) -> None:
    """What no ledger may look like is refused at once, with object, ledger and place."""
    ledgers = core_ledgers(shared)
    put(core_lake, ledgers, ledger, DAMAGES[damage])
    error = assert_stopped_at(ledgerfill, shared, core_lake, ledger)
    assert error["attempts"] == 1, "what is damaged stays damaged: it is not tried again"
    assert error["offset"] is not None
    assert f"at byte {error['offset']}" in str(error["message"])
    if damage in PLACES:
        assert error["offset"] == PLACES[damage](ledgers[ledger])


@chunks
def test_ledger_of_another_chain_stops_the_run_there(
    ledgerfill: Program, shared: Path, core_lake: Path, ledger: int
) -> None:
    """A ledger that proves itself, but not that it follows the one before it, is refused."""
    put(core_lake, core_ledgers(shared), ledger, of_another_chain(shared))
    error = assert_stopped_at(ledgerfill, shared, core_lake, ledger)
    assert error["attempts"] == 1


@chunks
def test_hole_stops_the_run_there(ledgerfill: Program, shared: Path, core_lake: Path, ledger: int) -> None:
    """An object that is missing in the midst of a lake is asked for until the deadline, then named."""
    (core_lake / key(ledger)).unlink()
    error = assert_stopped_at(ledgerfill, shared, core_lake, ledger, "--hole-deadline", "1")
    assert "missing" in str(error["message"])


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


def test_first_ledger_of_all_may_be_the_damaged_one(ledgerfill: Program, shared: Path, core_lake: Path) -> None:
    """Damage before everything commits nothing at all."""
    put(core_lake, core_ledgers(shared), FIRST, DAMAGES["a damaged header hash"])
    assert_stopped_at(ledgerfill, shared, core_lake, FIRST)


@chunks
def test_lowest_damage_decides(ledgerfill: Program, shared: Path, core_lake: Path, ledger: int) -> None:
    """Of several damaged objects the lowest is named, whatever came first."""
    for damaged in range(ledger, LAST + 1):
        put(core_lake, core_ledgers(shared), damaged, DAMAGES["a flipped bit"])
    assert_stopped_at(ledgerfill, shared, core_lake, ledger)


def test_mended_lake_goes_on_where_it_stopped(ledgerfill: Program, shared: Path, core_lake: Path) -> None:
    """The same command over the mended object fills the rest."""
    whole = (core_lake / key(21)).read_bytes()
    put(core_lake, core_ledgers(shared), 21, DAMAGES["a flipped bit"])
    assert_stopped_at(ledgerfill, shared, core_lake, 21)
    (core_lake / key(21)).write_bytes(whole)
    ended, report = ledgerfill.report("backfill", *job(core_lake, FIRST, LAST), *CHUNKS)
    assert ended.returncode == 0, ended.stderr
    assert report["held_before"] == [[FIRST, 20]]
    assert report["committed"] == [[21, LAST]]
    check(shared, ledgerfill.database, FIRST, LAST, "--file", CORE)


def test_damage_inside_an_object_of_several_ledgers(ledgerfill: Program, shared: Path, tmp_path: Path) -> None:
    """In an object of several ledgers the damaged one is named, and the sound ones before it are there."""
    ledgers, per_object = core_ledgers(shared), 4
    write_manifest(tmp_path / "lake", per_object=per_object)
    for start in (16, 20, 24):
        inside = [ledgers[ledger] for ledger in range(start, start + per_object)]
        if start == 20:
            inside[2] = inside[2][:4] + b"\0\0\0\7" + inside[2][8:]
        path = tmp_path / "lake" / key(start, per_object)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(compressed(batch(start, start + per_object - 1, inside)))
    ended, report = ledgerfill.report("backfill", *job(tmp_path / "lake", 17, 27), *CHUNKS)
    assert ended.returncode == 1
    assert report["error"]["ledger"] == 22
    assert report["error"]["object"] == key(22, per_object)
    assert report["error"]["offset"] == 4, "offsets count from the start of the damaged ledger"
    check(shared, ledgerfill.database, 17, 21, "--file", CORE)
    assert held(ledgerfill.database) == [(17, 21)]


def test_wrong_passphrase_is_refused_at_its_first_transaction(
    ledgerfill: Program, shared: Path, core_lake: Path
) -> None:
    """Under another network's passphrase no transaction is what it says: nothing is committed."""
    write_manifest(core_lake, "Public Global Stellar Network ; September 2015")
    assert_stopped_at(ledgerfill, shared, core_lake, FIRST)


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
