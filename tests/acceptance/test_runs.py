"""Whole runs as people start and repeat them: what is done, what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest
from lakes import CORE, CORE_PASSPHRASE, FIRST, LAST, OTHER_CHAIN, PUBNET, core_ledgers, key, ledger_hash, write_lake
from program import Program, job
from stores import check, digests, execute, held


def test_same_command_again_has_nothing_to_do(filled: Program, core_lake: Path, shared: Path) -> None:
    """A range that is there already is said to be, with exit code 0, and stays as it is."""
    before = digests(filled.database)
    ended, report = filled.report("backfill", *job(core_lake, FIRST, LAST))
    assert ended.returncode == 0
    assert f"nothing to do: ledgers {FIRST}-{LAST} are" in ended.stdout
    assert (report["outcome"], report["committed"], report["missing"]) == ("success", [], [])
    assert report["held_before"] == [[FIRST, LAST]]
    assert digests(filled.database) == before
    check(shared, filled.database, FIRST, LAST, "--file", CORE)


def test_without_an_end_the_newest_ledger_is_the_end(ledgerfill: Program, core_lake: Path, shared: Path) -> None:
    """The end is looked up, and where the lake has grown meanwhile the same command fills the rest."""
    late = [core_lake / path for path in core_lake.glob("*/*--4[0-5].xdr.zst")]
    for path in late:
        path.rename(core_lake / path.name)
    ended = ledgerfill.backfill(core_lake, FIRST)
    assert ended.returncode == 0, ended.stderr
    assert held(ledgerfill.database) == [(FIRST, 39)]
    for path in late:
        (core_lake / path.name).rename(path)
    ended = ledgerfill.backfill(core_lake, FIRST)
    assert ended.returncode == 0, ended.stderr
    assert held(ledgerfill.database) == [(FIRST, LAST)]
    check(shared, ledgerfill.database, FIRST, LAST, "--file", CORE)


def test_gaps_alone_are_filled(ledgerfill: Program, core_lake: Path, shared: Path) -> None:
    """A range that contains what is there already fills what is between, and all becomes one stretch."""
    for first, last in ((10, 12), (20, 20), (30, 34)):
        assert ledgerfill.backfill(core_lake, first, last).returncode == 0
    assert held(ledgerfill.database) == [(10, 12), (20, 20), (30, 34)]
    ended, report = ledgerfill.report("backfill", *job(core_lake, 5, 40))
    assert ended.returncode == 0, ended.stderr
    assert report["held_before"] == [[10, 12], [20, 20], [30, 34]]
    assert report["committed"] == [[5, 9], [13, 19], [21, 29], [35, 40]]
    assert held(ledgerfill.database) == [(5, 40)]
    check(shared, ledgerfill.database, 5, 40, "--file", CORE)


@pytest.mark.parametrize("form", ["{}/", "file://{}", "../lake"])
def test_folder_is_named_as_people_do(ledgerfill: Program, core_lake: Path, form: str) -> None:
    """A folder may end in a slash, be a URL, or be relative to where the command is."""
    (ledgerfill.home.parent / "elsewhere").mkdir()
    ledgerfill.folder = ledgerfill.home.parent / "elsewhere"
    ended = ledgerfill.backfill(form.format(core_lake), 10, 12)
    assert ended.returncode == 0, ended.stderr
    assert held(ledgerfill.database) == [(10, 12)]


def test_old_lake_is_read_by_its_flags(ledgerfill: Program, core_lake: Path, shared: Path) -> None:
    """A lake of before Galexie v23, with the longer suffix and no manifest, is read when flags say how it is cut."""
    (core_lake / ".config.json").unlink()
    for path in core_lake.glob("*/*.zst"):
        path.rename(path.with_suffix(".zstd"))
    cut = ["--ledgers-per-object", 1, "--objects-per-partition", 64000, "--network-passphrase", CORE_PASSPHRASE]
    ended = ledgerfill.backfill(core_lake, FIRST, None, *cut)
    assert ended.returncode == 0, ended.stderr
    check(shared, ledgerfill.database, FIRST, LAST, "--file", CORE)


def test_window_that_holds_next_to_nothing_still_moves(ledgerfill: Program, shared: Path) -> None:
    """The head always has a place: a window smaller than a few ledgers' rows only makes the run slower."""
    flags = ["--window-bytes", "1MiB", "--workers", 4, "--chunk-ledgers", 1]
    ended, report = ledgerfill.report("backfill", *job(shared / "ledgers" / "pubnet", *PUBNET), *flags)
    assert ended.returncode == 0, ended.stderr
    assert report["bytes"]["rows"] > 3 << 20
    check(shared, ledgerfill.database, *PUBNET)


def test_chunks_and_workers_change_nothing(ledgerfill: Program, core_lake: Path, new_database, drop_database) -> None:
    """Rows do not depend on how many workers made them, or in what pieces."""
    found = []
    for flags in ([], ["--chunk-ledgers", 1, "--workers", 4], ["--chunk-ledgers", 7, "--workers", 1, "--window", 2]):
        database = new_database("template0")
        ended = ledgerfill.backfill(core_lake, FIRST, LAST, *flags, env={"LEDGERFILL_DATABASE": database})
        assert ended.returncode == 0, ended.stderr
        found.append(digests(database))
        drop_database(database)
    assert found[0] == found[1] == found[2]
    assert all(count for count, _ in found[0].values())


@pytest.fixture
def other_lake(core_lake: Path, shared: Path) -> Path:
    """A lake of another history of the same network."""
    return write_lake(core_lake.with_name("other"), core_ledgers(shared, OTHER_CHAIN))


def test_ledgers_of_another_chain_below_are_not_joined(
    ledgerfill: Program, core_lake: Path, other_lake: Path, shared: Path
) -> None:
    """What is filled must link to what is there below it: its first chunk ends the run, and nothing is committed."""
    assert ledgerfill.backfill(other_lake, 3, 10).returncode == 0
    ended, report = ledgerfill.report("backfill", *job(core_lake, 11, 20))
    assert ended.returncode == 1
    assert report["error"]["ledger"] == 11
    assert "ledger 11" in ended.stderr
    assert held(ledgerfill.database) == [(3, 10)]
    check(shared, ledgerfill.database, 3, 10, "--file", f"streams/{OTHER_CHAIN}.xdr", "--others")


def test_ledgers_of_another_chain_above_are_refused(
    ledgerfill: Program, core_lake: Path, other_lake: Path, shared: Path
) -> None:
    """What is filled must link to what is there above it: a plan and a run are refused before anything is written."""
    assert ledgerfill.backfill(other_lake, 15, 20).returncode == 0
    for command in ("plan", "backfill"):
        ended = ledgerfill(command, *job(core_lake, 5, 30))
        assert ended.returncode == 2
        assert "broken hash chain: ledger 15 follows" in ended.stderr
        assert key(14) in ended.stderr
    assert held(ledgerfill.database) == [(15, 20)]
    assert ledgerfill.backfill(other_lake, 5, 14).returncode == 0
    check(shared, ledgerfill.database, 5, 20, "--file", f"streams/{OTHER_CHAIN}.xdr", "--others")


def test_seam_that_cannot_be_read_is_left_to_the_run(ledgerfill: Program, core_lake: Path, hole: int) -> None:
    """A missing or damaged object at the upper seam is no reason to refuse: the run says what is the matter with it."""
    assert ledgerfill.backfill(core_lake, hole + 1, LAST).returncode == 0
    ended = ledgerfill.backfill(core_lake, FIRST, LAST, "--hole-deadline", 0.1)
    assert ended.returncode == 1
    assert f"object {key(hole)} is missing" in ended.stderr
    (core_lake / key(hole)).write_bytes(b"damaged")
    ended = ledgerfill.backfill(core_lake, FIRST, LAST)
    assert ended.returncode == 1
    assert f"corrupt ledger {hole} in {key(hole)}" in ended.stderr
    assert held(ledgerfill.database) == [(FIRST, hole - 1), (hole + 1, LAST)]


def test_wrong_stretch_is_dropped_as_the_docs_say(
    ledgerfill: Program, core_lake: Path, other_lake: Path, shared: Path
) -> None:
    """The statements in docs/operating.md drop a stretch and leave the others; what is filled then is whole."""
    assert ledgerfill.backfill(core_lake, 2, 10).returncode == 0
    assert ledgerfill.backfill(other_lake, 15, 20).returncode == 0
    docs = (Path(__file__).parents[2] / "docs" / "operating.md").read_text()
    statements = docs.split("<<'SQL'\n")[1].split("SQL\n")[0]
    with pytest.raises(psycopg.errors.DivisionByZero):
        execute(ledgerfill.database, statements.replace(":first", "16").replace(":last", "20"))
    assert held(ledgerfill.database) == [(2, 10), (15, 20)]
    execute(ledgerfill.database, statements.replace(":first", "15").replace(":last", "20"))
    assert held(ledgerfill.database) == [(2, 10)]
    assert ledgerfill.backfill(core_lake, FIRST, LAST).returncode == 0
    check(shared, ledgerfill.database, FIRST, LAST, "--file", CORE)


def test_trusted_hash_anchors_the_chain(ledgerfill: Program, core_lake: Path, shared: Path) -> None:
    """The right hash lets a run pass, of a ledger inside as of the one before the first."""
    right = [f"{ledger}:{ledger_hash(shared, ledger)}" for ledger in (9, 15)]
    ended = ledgerfill.backfill(core_lake, 10, 20, "--trusted-hash", right[0], "--trusted-hash", right[1])
    assert ended.returncode == 0, ended.stderr
    check(shared, ledgerfill.database, 10, 20, "--file", CORE)


@pytest.mark.parametrize(("trusted", "broken"), [(9, 10), (10, 10), (15, 15), (20, 20)])
def test_wrong_trusted_hash_stops_the_run(ledgerfill: Program, core_lake: Path, trusted: int, broken: int) -> None:
    """A ledger with another hash than the trusted one is not committed, nor anything after it."""
    ended, report = ledgerfill.report(
        "backfill", *job(core_lake, 10, 20), "--chunk-ledgers", 3, "--trusted-hash", f"{trusted}:{'ab' * 32}"
    )
    assert ended.returncode == 1
    assert report["error"]["ledger"] == broken
    assert "ab" * 32 in ended.stderr
    assert held(ledgerfill.database) == ([(10, broken - 1)] if broken > 10 else [])


@pytest.mark.parametrize("trusted", ["8:" + "ab" * 32, "21:" + "ab" * 32, "10:abcd", "ten:" + "ab" * 32])
def test_trusted_hash_of_no_use_is_refused(ledgerfill: Program, core_lake: Path, trusted: str) -> None:
    """A trusted hash that cannot be checked in this range is refused before the start."""
    ended = ledgerfill.backfill(core_lake, 10, 20, "--trusted-hash", trusted)
    assert ended.returncode == 2
    assert trusted.split(":")[0] in ended.stderr
    assert held(ledgerfill.database) == []


def test_end_beyond_the_tip_is_refused(ledgerfill: Program, core_lake: Path) -> None:
    """A range that ends beyond the newest ledger is refused with that ledger's number, and nothing is begun."""
    ended = ledgerfill.backfill(core_lake, FIRST, LAST + 1)
    assert ended.returncode == 2
    assert str(LAST + 1) in ended.stderr
    assert re.search(rf"newest\D*{LAST}\b", ended.stderr), ended.stderr
    assert held(ledgerfill.database) == []


def test_stream_that_ends_earlier_is_refused(ledgerfill: Program, shared: Path) -> None:
    """The same with a stream."""
    source = f"stream:{shared / 'ledgers' / CORE}"
    ended = ledgerfill.backfill(source, FIRST, LAST + 1, "--network-passphrase", CORE_PASSPHRASE)
    assert ended.returncode == 2
    assert f"newest is ledger {LAST}" in ended.stderr
    assert held(ledgerfill.database) == []


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (["--worker", "2"], "--worker"),
        (["--workers", "0"], "--workers"),
        (["--workers", "two"], "--workers"),
        (["--chunk-ledgers", "-1"], "--chunk-ledgers"),
        (["--window", "1", "--workers", "4"], "--window"),
        (["--stall-floor", "30", "--stall-ceiling", "20"], "--stall-floor"),
        (["--fetch-timeout", "30", "--stall-ceiling", "25"], "--fetch-timeout"),
        (["--end-ledger", "1"], "--end-ledger"),
        (["--start-ledger", "99"], "99"),
        (["--config", "nowhere.toml"], "nowhere.toml"),
        (["--report", "/nowhere/report.json"], "/nowhere/report.json"),
        (["--database", "postgresql://nobody@127.0.0.1:1/none"], "127.0.0.1:1"),
        (["--database", "no url at all"], "database"),
        (["--source", "/nowhere/at/all"], "/nowhere/at/all"),
        (["--source", "ftp://host/lake"], "ftp"),
        (["--source", "stream:/nowhere", "--network-passphrase", "x"], "/nowhere"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_refused(ledgerfill: Program, core_lake: Path, flags: list[str], word: str) -> None:
    """What cannot be meant is refused with 2 and one line that names it, before anything is done."""
    named = dict(zip(flags[::2], flags[1::2], strict=True))
    kept = [x for f, v in (("--source", str(core_lake)), ("--start-ledger", "2")) if f not in named for x in (f, v)]
    ended = ledgerfill("backfill", *kept, *flags)
    assert ended.returncode == 2, ended.stdout
    assert word in ended.stderr
    assert held(ledgerfill.database) == []


def test_another_network_is_refused(filled: Program, shared: Path) -> None:
    """A store holds one network: the ledgers of another are refused, and both are named."""
    ended = filled.backfill(shared / "ledgers" / "testnet", 997, 998)
    assert ended.returncode == 2
    assert CORE_PASSPHRASE in ended.stderr
    assert "Test SDF Network ; September 2015" in ended.stderr
    assert held(filled.database) == [(FIRST, LAST)]


def test_settings_come_from_flags_environment_and_file(ledgerfill: Program, core_lake: Path) -> None:
    """A flag stands before the environment, and that before the file."""
    file = ledgerfill.home.parent / "settings.toml"
    file.write_text(f'source = "{core_lake}"\nstart-ledger = 4\nend_ledger = 12\nworkers = 1\nchunk-ledgers = 2\n')
    ended, report = ledgerfill.report(
        "backfill",
        "--config",
        file,
        "--end-ledger",
        8,
        env={"LEDGERFILL_START_LEDGER": "6", "LEDGERFILL_END_LEDGER": "9"},
    )
    assert ended.returncode == 0, ended.stderr
    assert report["range"] == [6, 8]
    assert (report["workers"], report["chunks"]) == (1, 2)


LOSE = """
CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN DELETE FROM ledgerfill.ledgers WHERE sequence = NEW.sequence AND sequence IN (20, 21, 30); RETURN NULL; END';
CREATE TRIGGER lose AFTER INSERT ON ledgerfill.ledgers FOR EACH ROW EXECUTE FUNCTION lose()"""
LOSE_BOOKS = f"""
CREATE FUNCTION lose_books() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN DELETE FROM ledgerfill.ledger_stretches WHERE last = {LAST}; RETURN NULL; END';
CREATE TRIGGER lose_books AFTER UPDATE ON ledgerfill.ledger_stretches FOR EACH ROW EXECUTE FUNCTION lose_books()"""


@pytest.mark.parametrize(
    ("lost", "lacks"),
    [(LOSE, "20-21, 30"), (f"{LOSE};{LOSE_BOOKS}", f"{FIRST}-{LAST}")],
    ids=["rows", "rows and books"],
)
def test_success_is_not_said_over_rows_that_are_not_there(
    ledgerfill: Program, core_lake: Path, lost: str, lacks: str
) -> None:
    """What COPY has counted and something else has deleted since is found before the word success is used, and once."""
    assert ledgerfill.backfill(core_lake, FIRST, 5).returncode == 0
    with psycopg.connect(ledgerfill.database) as conn:
        conn.execute(lost)
    ended = ledgerfill.backfill(core_lake, FIRST, LAST)
    assert ended.returncode == 1
    assert f"the run ended well, but the store lacks ledgers {lacks}\n" in ended.stderr


def test_database_url_is_the_last_to_be_asked(ledgerfill: Program, core_lake: Path) -> None:
    """`DATABASE_URL` serves where neither flag nor `LEDGERFILL_DATABASE` names a database."""
    database, ledgerfill.database = ledgerfill.database, None
    ended = ledgerfill.backfill(core_lake, FIRST, 5, env={"DATABASE_URL": database})
    assert ended.returncode == 0, ended.stderr
    assert held(database) == [(FIRST, 5)]


def test_without_a_database_the_program_brings_its_own(
    ledgerfill: Program, core_lake: Path, reachable: Path, shared: Path
) -> None:
    """With no database named, an embedded one is made, filled and found again; `store stop` ends it."""
    ledgerfill.database, ledgerfill.home = None, reachable / "home"
    try:
        ended = ledgerfill.backfill(core_lake, FIRST, LAST)
        assert ended.returncode == 0, ended.stderr
        assert "nothing to do" in ledgerfill.backfill(core_lake, FIRST, LAST).stdout
        assert f"{FIRST}-{LAST}" in ledgerfill("status").stdout
        url = ledgerfill("store", "url").stdout.strip()
        check(shared, url, FIRST, LAST, "--file", CORE)
    finally:
        assert ledgerfill("store", "stop").returncode == 0
    assert ledgerfill("store", "stop").returncode == 0
