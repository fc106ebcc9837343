"""`verify --no-database`: the proofs of a source alone, by the real command, with no database in reach."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from damage import DAMAGES, PLACES, of_another_chain, put
from lakes import FIRST, LAST, OTHER_CHAIN, batch, compressed, core_ledgers, key, ledger_hash, write_object
from program import Program, job

NOWHERE = "postgresql://nobody@127.0.0.1:1/none"  # where nobody listens
PROVE = ["verify", "--no-database"]


@pytest.fixture
def prover(tmp_path: Path) -> Iterator[Program]:
    """The command `ledgerfill`, its home not made, its database one that cannot be reached."""
    program = Program(tmp_path / "home", NOWHERE)
    yield program
    assert not program.home.exists(), "nothing is started or kept there"
    program.end()


def test_sound_range_is_said_to_be(prover: Program, core_lake: Path) -> None:
    """Every ledger counts as proved, with speed and CPU, and no database is asked, started or made."""
    ended, report = prover.report(*PROVE, *job(core_lake, FIRST, LAST), "--chunk-ledgers", 3, "--workers", 2)
    assert ended.returncode == report["exit_code"] == 0, ended.stderr
    assert ended.stderr == ""
    assert ended.stdout.startswith(f"sound: ledgers {FIRST}-{LAST} of {core_lake}\n")
    assert (report["proved"], report["ledgers"], report["chunks"]) == ([[FIRST, LAST]], LAST - FIRST + 1, 15)
    assert (report["outcome"], report["error"], report["database"]) == ("success", None, None)
    stored = sum(path.stat().st_size for path in core_lake.rglob("*.zst"))
    assert report["bytes"]["stored"] == stored < report["bytes"]["plain"]
    assert report["rates"]["ledgers_per_s"] > 0
    assert report["rates"]["plain_bytes_per_s"] > report["rates"]["stored_bytes_per_s"] > 0
    assert report["cpu_s"].keys() == {"decompress", "walk", "prove", "reading", "coordinator"}
    assert report["cpu_s"]["coordinator"] > 0


def test_home_without_a_store_stays_so(tmp_path: Path, core_lake: Path) -> None:
    """Where no database is named at all, the embedded one is not started."""
    program = Program(tmp_path / "home", None)
    program.home.mkdir()
    assert program(*PROVE, *job(core_lake, FIRST)).returncode == 0
    assert list(program.home.iterdir()) == []


@pytest.mark.parametrize("ledger", [20, 21, 24], ids=["first chunk", "middle chunk", "last chunk"])
@pytest.mark.parametrize("damage", [*PLACES, "a flipped bit", "another ledger in its place"])
def test_damage_is_named(prover: Program, shared: Path, core_lake: Path, damage: str, ledger: int) -> None:
    """The first ledger that is not sound ends the run, with chunk, ledger, object and offset; those before count."""
    ledgers = core_ledgers(shared)
    put(core_lake, ledgers, ledger, DAMAGES[damage])
    ended, report = prover.report(*PROVE, *job(core_lake, 19, 24), "--chunk-ledgers", 2, "--workers", 2)
    error = report["error"]
    assert ended.returncode == report["exit_code"] == 1
    assert (error["ledger"], error["object"], error["attempts"]) == (ledger, key(ledger), 1)
    assert error["chunk"] == [ledger - (ledger - 19) % 2, ledger - (ledger - 19) % 2 + 1]
    assert f"in {key(ledger)} at byte {error['offset']}" in error["message"]
    assert error["message"] in ended.stderr
    assert f"object {key(ledger)}, ledger {ledger}, byte {error['offset']}" in ended.stdout
    assert report["proved"] == [[19, ledger - 1]]
    if damage in PLACES:
        assert error["offset"] == PLACES[damage](ledgers[ledger])


def test_broken_chain_at_a_seam_of_chunks_is_found(prover: Program, shared: Path, core_lake: Path) -> None:
    """Chunks that are sound in themselves, and do not follow from one another, are no sound range."""
    others = core_ledgers(shared, OTHER_CHAIN)
    for ledger in range(10, 28):
        write_object(core_lake, ledger, compressed(batch(ledger, ledger, [others[ledger]])))
    ended, report = prover.report(*PROVE, *job(core_lake, 2, 27), "--chunk-ledgers", 4, "--workers", 2)
    assert ended.returncode == 1
    assert "broken hash chain: ledger 10 follows " in ended.stderr
    assert (report["error"]["ledger"], report["error"]["object"]) == (10, key(10))
    assert report["proved"] == [[2, 9]]


def test_one_strange_ledger_is_no_link(prover: Program, shared: Path, core_lake: Path) -> None:
    """A ledger of another chain in a chunk of its own breaks the seam before it."""
    put(core_lake, core_ledgers(shared), 20, of_another_chain(shared))
    ended, report = prover.report(*PROVE, *job(core_lake, 18, 22), "--chunk-ledgers", 1)
    assert ended.returncode == 1
    assert report["error"]["ledger"] == 20
    assert report["proved"] == [[18, 19]]


def test_trusted_hash_holds(prover: Program, shared: Path, core_lake: Path) -> None:
    """A hash known from elsewhere is met, also of the ledger before the range, or the run fails at it."""
    known = ledger_hash(shared, 9)
    wrong = known[::-1]
    for first, at in ((10, 10), (5, 9)):
        flags = [*PROVE, *job(core_lake, first, 12), "--chunk-ledgers", 2]
        assert prover(*flags, "--trusted-hash", f"9:{known}").returncode == 0
        ended, report = prover.report(*flags, "--trusted-hash", f"9:{wrong}")
        assert (ended.returncode, report["error"]["ledger"]) == (1, at), ended.stderr


def test_hole_is_no_sound_range(prover: Program, core_lake: Path, hole: int) -> None:
    """A ledger that is not there is named, and never passed."""
    ended, report = prover.report(*PROVE, *job(core_lake, FIRST, LAST), "--hole-deadline", 1, "--chunk-ledgers", 4)
    assert ended.returncode == 1
    assert (report["error"]["ledger"], report["error"]["object"]) == (hole, key(hole))
    assert "still missing" in ended.stderr
    assert report["proved"] == [[FIRST, hole - 1]]


def test_end_beyond_the_source_is_refused(prover: Program, core_lake: Path) -> None:
    """A range that the source does not have is refused at once, not waited for."""
    ended = prover(*PROVE, *job(core_lake, FIRST, LAST + 1))
    assert ended.returncode == 2
    assert f"the source has no ledger {LAST + 1}, the end of the range: its newest is ledger {LAST}" in ended.stderr


@pytest.mark.parametrize("flag", [["--database", NOWHERE], ["--insecure-tls"]], ids=lambda flag: flag[0])
def test_a_database_beside_none_is_refused(prover: Program, core_lake: Path, flag: list[str]) -> None:
    """Whoever names a database and none is told that the two contradict each other."""
    ended = prover(*PROVE, *job(core_lake, FIRST), *flag)
    assert ended.returncode == 2
    assert f"--no-database and {flag[0]} contradict each other: give one" in ended.stderr
    by_environment = prover("verify", *job(core_lake, FIRST), *flag, env={"LEDGERFILL_NO_DATABASE": "1"})
    assert (by_environment.returncode, by_environment.stderr) == (2, ended.stderr)


def test_small_window_of_bytes_holds_nothing_up(prover: Program, core_lake: Path) -> None:
    """Rows that never come need no room: the smallest window of bytes does for any range."""
    flags = ["--window-bytes", "1MiB", "--chunk-ledgers", 2, "--workers", 2]
    assert prover(*PROVE, *job(core_lake, FIRST, LAST), *flags).returncode == 0


def test_report_is_written_where_the_run_is_refused(prover: Program, tmp_path: Path) -> None:
    """The report says why nothing was proved."""
    file = tmp_path / "report.json"
    ended = prover(*PROVE, *job(tmp_path / "absent", FIRST), "--report", file)
    assert ended.returncode == 2
    assert json.loads(file.read_text())["error"]["message"] in ended.stderr
