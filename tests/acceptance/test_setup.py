"""Protocols set up for real: from ledgers as they come, from ledgers that came before, and from an archive."""

from __future__ import annotations

import hashlib
import json
import re
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import documented
import psycopg
import pytest
from lakes import FIRST, LAST, key, mend, write_lake
from lakes import core_ledgers as ledgers_of
from made_ledgers import PASSPHRASE, Made, code, instance
from made_ledgers import ledgers as ledgers_with
from program import Program, ended_well, job, wait_for, wait_for_none
from stellar_sdk import xdr

NETWORK = "Test SDF Future Network ; October 2022"
BOTH = ("--protocol-id", "SEP41", "--protocol-id", "SEP50")
SOROBAN = "core-03df1dc73d71eb00"  # eviction of code and instance, then both are restored
FORGET = """
    TRUNCATE ledgerfill.contract_instances;
    DELETE FROM ledgerfill.protocol_wasms;
    INSERT INTO ledgerfill.contracts_unread SELECT first, last FROM ledgerfill.ledger_stretches;
"""


def rows(database: str | None, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(database or "") as conn:
        return conn.execute(query).fetchall()  # type: ignore[call-overload]


def statuses(database: str | None) -> list[tuple[Any, ...]]:
    return rows(database, "SELECT DISTINCT classification_status FROM ledgerfill.protocols")


def contracts(database: str | None) -> list[tuple[Any, ...]]:
    return rows(
        database, "SELECT contract_id, from_ledger, wasm_hash, name FROM ledgerfill.contract_instances ORDER BY 1, 2"
    )


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


@pytest.fixture
def answers(shared: Path) -> dict[str, Any]:
    return json.loads((shared / "archive" / "answers.json").read_text())


def test_an_archive_shows_exactly_what_is_live(ledgerfill: Program, shared: Path, answers: dict[str, Any]):
    """An empty store learns every live contract and code, finds the one token of each kind, and refuses near misses."""
    archive = ("--archive", shared / "archive" / "futurenet")
    refused = ledgerfill("setup", *BOTH, *archive)
    assert refused.returncode == 2
    assert refused.stderr.endswith("ledgerfill: the store is of no network yet: give --network-passphrase\n")
    ended = ledgerfill("setup", *BOTH, *archive, "--network-passphrase", NETWORK)
    assert ended.returncode == 0, ended.stderr
    assert "SEP41: 1 code, 45 contracts" in ended.stdout
    assert "SEP50: 1 code, 4 contracts" in ended.stdout
    found = {contract.hex(): wasm.hex() if wasm else None for contract, _, wasm, _ in contracts(ledgerfill.database)}
    live = {contract: wasm if len(wasm or "") == 64 else None for contract, wasm in answers["contracts"].items()}
    assert found == live
    codes = rows(ledgerfill.database, "SELECT encode(wasm_hash, 'hex'), protocol_id FROM ledgerfill.protocol_wasms")
    assert {code for code, _ in codes} == set(answers["wasms"])
    assert {code[:8]: protocol for code, protocol in codes if protocol} == {"2f43d576": "SEP41", "52c650a3": "SEP50"}
    of = {"2f43d576": "SEP41", "52c650a3": "SEP50", "SAC": "SEP41"}
    tokens = {contract: of[wasm[:8]] for contract, wasm in answers["contracts"].items() if wasm[:8] in of}
    assert list(Counter(tokens.values()).items()) == [("SEP41", 45), ("SEP50", 4)]
    query = "SELECT encode(contract_id, 'hex'), protocol_id FROM ledgerfill.protocol_contracts"
    assert sorted(rows(ledgerfill.database, query)) == sorted(tokens.items())
    other = ledgerfill("setup", *archive, "--network-passphrase", "Another")
    assert other.returncode == 2
    assert f"the store holds ledgers of the network '{NETWORK}', the source is of 'Another'" in other.stderr
    again = ledgerfill("setup", *archive)
    assert (again.returncode, again.stdout) == (0, ended.stdout)


def test_what_an_archive_does_not_have_is_not_asked_of_it_again(ledgerfill: Program, shared: Path):
    """Code that no ledger has shown may be in an archive; that it is not in this one is said once it was read."""
    archive = ("--archive", shared / "archive" / "futurenet", "--network-passphrase", NETWORK)
    ended_well(ledgerfill, "setup", *BOTH)
    with psycopg.connect(ledgerfill.database or "") as conn:
        conn.execute("INSERT INTO ledgerfill.contract_instances VALUES (%s, 7, %s)", [sha256(b"one"), sha256(b"code")])
    unseen = r"contracts? run code that was never seen \(\d codes?\): "
    assert re.search(
        unseen + r"an archive may have it, of a checkpoint where it is live \(--archive, ",
        ended_well(ledgerfill, "setup"),
    )
    told = ended_well(ledgerfill, "setup", *archive)
    assert re.search(unseen + r"it is not live at checkpoint \d+ of the archive; at another it may be\n", told)


def test_contracts_that_an_archive_shows_too_late_are_told(
    ledgerfill: Program, shared: Path, answers: dict[str, Any], tmp_path: Path
):
    """Where a migration has passed what they did it is said, once; assets prove themselves, and are not late."""
    made = {ledger: raw for _, ledger, _, raw in ledgers_with(FIRST, [[], [], []])}
    lake, last = write_lake(tmp_path / "made", made, NETWORK), FIRST + 2
    ended_well(ledgerfill, "setup", *BOTH)
    assert ledgerfill.backfill(lake, FIRST, last).returncode == 0
    ended_well(ledgerfill, "migrate", "history", "--source", lake, "--protocol-id", "SEP41", "--until-tip")
    start = ("--start-ledger", FIRST, "--until-tip")
    ended_well(ledgerfill, "migrate", "current-state", "--source", lake, *BOTH, *start)
    archive = ("--archive", shared / "archive" / "futurenet")
    told = ended_well(ledgerfill, "setup", *archive)
    fungible, collectible = (
        sum(wasm.startswith(code) for wasm in answers["contracts"].values()) for code in ("2f43d576", "52c650a3")
    )
    late = "  {} contracts of {} came to be known only now: its {} has nothing of what they did up to ledger {}"
    assert [line for line in told.splitlines() if "known only now" in line] == [
        late.format(fungible, "SEP41", "history", last),
        late.format(fungible, "SEP41", "current state", last),
        late.format(collectible, "SEP50", "current state", last),
    ]
    assert "only now" not in ended_well(ledgerfill, "setup", *archive)


def test_an_archive_is_not_late_for_a_migration_that_has_passed_nothing(
    ledgerfill: Program, shared: Path, tmp_path: Path
):
    """A migration that began and failed at its first ledger has missed nothing yet."""
    made = {ledger: raw for _, ledger, _, raw in ledgers_with(FIRST, [[], [], []])}
    lake = write_lake(tmp_path / "made", made, NETWORK)
    ended_well(ledgerfill, "setup", *BOTH)
    assert ledgerfill.backfill(lake, FIRST, FIRST + 2).returncode == 0
    (lake / key(FIRST)).write_bytes(b"damaged")
    start = ("--start-ledger", FIRST, "--until-tip")
    assert ledgerfill("migrate", "current-state", "--source", lake, *BOTH, *start).returncode == 1
    assert "only now" not in ended_well(ledgerfill, "setup", "--archive", shared / "archive" / "futurenet")


def test_near_misses_that_ledgers_bring_are_refused(ledgerfill: Program, shared: Path, tmp_path: Path):
    """Of all real codes, uploaded and deployed in one ledger, the token of each kind alone is of its protocol."""
    codes = {path.name: path.read_bytes() for path in sorted((shared / "wasm").glob("*.wasm"))}
    created, contract = xdr.LedgerEntryChangeType.LEDGER_ENTRY_CREATED, {name: sha256(name.encode()) for name in codes}
    hashes = {name: sha256(wasm) for name, wasm in codes.items()}
    brought = [code(wasm) for wasm in codes.values()]
    brought += [instance(created, contract[name], hashes[name]) for name in codes]
    made = {ledger: raw for _, ledger, _, raw in ledgers_with(FIRST, [[Made(changes=brought)]])}
    assert ledgerfill("setup", *BOTH).returncode == 0
    ended = ledgerfill.backfill(write_lake(tmp_path / "made", made, PASSPHRASE), FIRST, FIRST)
    assert ended.returncode == 0, ended.stderr
    tokens = {"sep41-token.wasm": "SEP41", "sep50-nft-position-manager.wasm": "SEP50"}
    held = rows(ledgerfill.database, "SELECT wasm_hash, protocol_id FROM ledgerfill.protocol_wasms")
    assert dict(held) == {hashes[name]: tokens.get(name) for name in codes}
    found = rows(ledgerfill.database, "SELECT contract_id, protocol_id, wasm_hash FROM ledgerfill.protocol_contracts")
    assert sorted(found) == sorted((contract[name], protocol, hashes[name]) for name, protocol in tokens.items())
    assert {row[2] for row in contracts(ledgerfill.database)} == {*hashes.values()}


def test_an_archive_of_another_network_is_refused(filled: Program, shared: Path):
    """Nothing is set up, and what was classified before stays so: a slip of the hand stops no migration."""
    archive = ("--archive", shared / "archive" / "futurenet")
    assert filled("setup", *BOTH, *archive).returncode == 2
    assert statuses(filled.database) == []
    assert filled("setup", *BOTH).returncode == 0
    before = contracts(filled.database)
    ended = filled("setup", *BOTH, *archive)
    assert ended.returncode == 2
    assert f"is of the network '{NETWORK}', not '(V) (;,,;) (V)'" in ended.stderr
    assert contracts(filled.database) == before
    assert statuses(filled.database) == [("success",)]


def test_what_ledgers_bring_is_classified_as_it_comes(ledgerfill: Program, core_lake: Path):
    """A backfill keeps contracts: an asset's is of SEP-41 without code, and strangers are of no protocol."""
    assert ledgerfill("setup", *BOTH).returncode == 0
    assert ledgerfill.backfill(core_lake, FIRST, LAST).returncode == 0
    found = rows(ledgerfill.database, "SELECT protocol_id, wasm_hash, name FROM ledgerfill.protocol_contracts")
    asset = "IDR:GCGE27HU2VYQANKL2VZWLCAOJYMEFST5DXPBWQ7BRRPOHUPK626DNG4Q"
    assert found == [("SEP41", None, asset)]
    assert len(contracts(ledgerfill.database)) == 3
    assert rows(ledgerfill.database, "SELECT count(*), count(protocol_id) FROM ledgerfill.protocol_wasms") == [(2, 0)]


@pytest.mark.parametrize("chunk_ledgers", [1, 3, 100])
def test_contracts_do_not_depend_on_how_ledgers_are_cut(
    ledgerfill: Program, shared: Path, tmp_path: Path, chunk_ledgers: int
):
    """Evicted and restored, a contract runs the code that it ran: whatever the chunks and the runs."""
    ledgers = ledgers_of(shared, SOROBAN)
    lake = write_lake(tmp_path / "soroban", ledgers)
    middle = (min(ledgers) + max(ledgers)) // 2
    for first, last in ((middle, max(ledgers)), (min(ledgers), middle - 1)):
        flags = ("--chunk-ledgers", chunk_ledgers)
        ended = ledgerfill("backfill", *job(lake, first, last), *flags)
        assert ended.returncode == 0, ended.stderr
    found = contracts(ledgerfill.database)
    seen: dict[bytes, list[bytes | None]] = {}
    for contract, _, wasm, _ in found:
        seen.setdefault(contract, []).append(wasm)
    assert seen
    assert all(len(set(codes)) == 1 for codes in seen.values())


def test_ledgers_that_came_before_are_read_again(filled: Program, core_lake: Path):
    """A store of an older program has no contracts: setup says so, and a source puts it right."""
    wanted = contracts(filled.database)
    with psycopg.connect(filled.database or "") as conn:
        conn.execute(FORGET)
    ended = filled("setup", *BOTH)
    assert ended.returncode == 1
    told = filled("status").stdout
    assert "SEP41  classification in progress, history not started, current state not started" in told
    assert f"contracts of ledgers {FIRST}-{LAST} were never read: setup --source reads them" in told
    assert json.loads(filled("status", "--json").stdout)["contracts_unread"] == [[FIRST, LAST]]
    assert f"ledgers {FIRST}-{LAST} came before the database kept contracts" in ended.stdout
    assert statuses(filled.database) == [("in_progress",)]
    ended = filled("setup", "--source", core_lake)
    assert ended.returncode == 0, ended.stderr
    assert contracts(filled.database) == wanted
    assert statuses(filled.database) == [("success",)]
    last = rows(filled.database, "SELECT job, outcome, first, last FROM ledgerfill.backfill_runs ORDER BY id DESC")[0]
    assert last == ("setup", "success", FIRST, LAST)


def test_reading_again_goes_on_where_it_was_killed(filled: Program, core_lake: Path, shared: Path):
    """What was read stays read, another one at the same time is told who is at it, nothing is missing."""
    wanted = contracts(filled.database)
    with psycopg.connect(filled.database or "") as conn:
        conn.execute(FORGET)
    (core_lake / key(30)).unlink()  # it stands there until the hole's deadline
    running = filled.start("setup", *BOTH, "--source", core_lake, "--chunk-ledgers", 4)
    unread = "SELECT first, last FROM ledgerfill.contracts_unread"
    wait_for(lambda: rows(filled.database, unread) == [(30, LAST)])
    held = filled("setup", *BOTH, "--source", core_lake)
    assert held.returncode == 3
    assert f"contracts is held by process {running.pid} on " in held.stderr
    running.send(signal.SIGKILL)
    running.process.communicate()
    wait_for_none(filled.processes)
    mend(core_lake, shared, 30)
    ended = filled("setup", *BOTH, "--source", core_lake)
    assert ended.returncode == 0, ended.stderr
    filled.assert_nothing_left(running.pid)  # its files, which the next start clears
    assert rows(filled.database, unread) == []
    assert {row[:3] for row in contracts(filled.database)} >= {row[:3] for row in wanted}
    outcomes = rows(filled.database, "SELECT outcome FROM ledgerfill.backfill_runs WHERE job = 'setup' ORDER BY id")
    assert outcomes == [("died",), ("success",)]


def test_a_source_of_another_history_is_refused(filled: Program, core_lake: Path, shared: Path):
    """Contracts are read only from ledgers that lead to those that the store holds."""
    with psycopg.connect(filled.database or "") as conn:
        conn.execute(FORGET)
    other = write_lake(core_lake.parent / "other", ledgers_of(shared, "core-d1522d4667822bc2"))
    ended = filled("setup", *BOTH, "--source", other)
    assert ended.returncode in (1, 2)
    assert contracts(filled.database) == []
    assert rows(filled.database, "SELECT first, last FROM ledgerfill.contracts_unread") == [(FIRST, LAST)]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ((), "no protocol is set up in"),
        (("--protocol-id", "SEP42"), "no plug-in for protocol SEP42 is installed: there are SEP41, SEP50"),
        (("--protocol-id", "../x"), "--protocol-id"),
        (("--checkpoint", 63, *BOTH), "--checkpoint 63 is of no --archive"),
        ((*BOTH, "--archive", "/nowhere", "--network-passphrase", "x"), "/nowhere"),
    ],
)
def test_mistakes_are_refused_in_one_line(ledgerfill: Program, flags: tuple[object, ...], words: str):
    """Each names what is wrong, and ends with 2."""
    ended = ledgerfill("setup", *flags)
    assert ended.returncode == 2
    assert words in ended.stderr
    assert len([line for line in ended.stderr.splitlines() if "INFO bringing the store" not in line]) == 1


def test_assets_are_of_one_protocol(ledgerfill: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Who claims Stellar Asset Contracts beside another one is refused with both names, be it at once or later."""
    text = documented.example().replace("claims=claims,", "claims=claims,\n    claims_assets=True,")
    monkeypatch.setenv("PYTHONPATH", str(documented.install(tmp_path / "site", text)))
    points, why = ("--protocol-id", "POINTS"), "both claim Stellar Asset Contracts: only one of them can"
    at_once = ledgerfill("setup", *points, *BOTH)
    assert (at_once.returncode, f"protocols POINTS and SEP41 {why}" in at_once.stderr) == (2, True), at_once.stderr
    assert ledgerfill("setup", *BOTH).returncode == 0
    later = ledgerfill("setup", *points)
    assert (later.returncode, f"protocols SEP41 and POINTS {why}" in later.stderr) == (2, True), later.stderr
    assert rows(ledgerfill.database, "SELECT id FROM ledgerfill.protocols ORDER BY 1") == [("SEP41",), ("SEP50",)]
