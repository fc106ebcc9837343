"""A plug-in in Python alone, made by following the page on protocols: what it gives is what a fold by hand gives."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path
from typing import Any

import documented
import psycopg
import pytest
import zstandard
from growing import GrowingLake
from lakes import core_ledgers
from migrated import cursor, fold
from points_fold import REASONS, Points
from program import Program, ended_well, wait_for
from stellar_sdk import xdr
from stores import held
from test_token_lakes import truth as lines

LEDGERS, FIRST = 60, 2
POINTS = ("--protocol-id", "POINTS")
STATE, HISTORY = ("migrate", "current-state"), ("migrate", "history")
Rows = list[tuple[Any, ...]]
MADE = {
    "state_changes": """
        SELECT operation_id, change_index, contract_id, account, category, reason, amount FROM ledgerfill.state_changes
        WHERE protocol_id = 'POINTS' AND num_nulls(token_id, counterparty, muxed_id, live_until_ledger) = 4
        ORDER BY 1, 2""",
    "points_held": "SELECT contract_id, account, points, last_ledger FROM ledgerfill.points_held ORDER BY 1, 2",
    "points_admins": "SELECT contract_id, admin, last_ledger FROM ledgerfill.points_admins ORDER BY 1",
}


ALONE = """
    UPDATE ledgerfill.protocol_wasms SET protocol_id = NULL;
    DELETE FROM ledgerfill.protocols
"""  # two protocols that claim one code cannot both be set up
OWNERSHIPS = """
    SELECT operation_id, change_index, contract_id, account, reason, amount, token_id FROM ledgerfill.state_changes
    WHERE protocol_id = %s AND category = 4 ORDER BY 1, 2
"""


def found(program: Program) -> dict[str, Rows]:
    with psycopg.connect(program.database or "") as conn:
        return {name: [tuple(row) for row in conn.execute(query)] for name, query in MADE.items()}  # type: ignore[call-overload]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokens")
    program = Program(folder / "home", None)
    ended_well(program, "lake", "make", folder / "lake", "--ledgers", LEDGERS, "--shape", "tokens")
    return folder / "lake"


@pytest.fixture(scope="module")
def truth(lake: Path) -> dict[str, Rows]:
    points = Points()
    for path in sorted(lake.rglob("*.zst"), reverse=True):  # names count down
        raw = zstandard.ZstdDecompressor().stream_reader(path.read_bytes()).read()
        points.add(xdr.LedgerCloseMeta.from_xdr_bytes(raw[12:]))  # behind the batch's head
    return points.rows()


@pytest.fixture
def plugged(ledgerfill: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """The program with the plug-in of the page beside it."""
    monkeypatch.setenv("PYTHONPATH", str(documented.install(tmp_path / "site")))
    return ledgerfill


@pytest.fixture
def filled(plugged: Program, lake: Path) -> Program:
    """A store with the ledgers of the lake, and the protocol set up."""
    ended_well(plugged, "backfill", "--source", lake, "--start-ledger", FIRST)
    ended_well(plugged, "setup", *POINTS)
    return plugged


@pytest.mark.parametrize("chunk_ledgers", [1, 7, 100])
def test_history_and_state_are_those_of_a_plain_fold(
    filled: Program, lake: Path, truth: dict[str, Rows], chunk_ledgers: int
) -> None:
    """Every change, sum and last value is what reading the ledgers one by one gives, however they are cut."""
    flags = ("--source", lake, *POINTS, "--until-tip", "--workers", 2, "--chunk-ledgers", chunk_ledgers)
    told = ended_well(filled, *STATE, *flags, "--start-ledger", FIRST)
    assert re.search(r"rows       [\d,]+: [\d,]+ points_held, [\d,]+ points_admins$", told, re.MULTILINE)
    ended_well(filled, *HISTORY, *flags)
    assert min(len(rows) for rows in truth.values()) > 1
    assert found(filled) == truth


@pytest.mark.parametrize("kind", ["history", "current_state"])
def test_kills_change_no_row(filled: Program, lake: Path, truth: dict[str, Rows], kind: str) -> None:
    """Killed again and again, and gone on with: every row is there once, as of an undisturbed fold."""
    command = [*(STATE if kind == "current_state" else HISTORY), "--source", lake, *POINTS, "--until-tip"]
    command += ["--start-ledger", FIRST] if kind == "current_state" else []
    for reached in (1, 15, 30, 45):
        running = filled.start(*command, "--chunk-ledgers", 1, "--workers", 2, "--connections", 2)
        wait_for(
            lambda reached=reached, running=running: cursor(filled, kind, "POINTS") >= reached or running.ended(),
            every_s=0,
        )
        running.send(signal.SIGKILL)
        running.process.communicate()
    assert cursor(filled, kind, "POINTS") < FIRST + LEDGERS - 1
    ended_well(filled, *command)
    names = ("state_changes",) if kind == "history" else ("points_held", "points_admins")
    assert {name: found(filled)[name] for name in names} == {name: truth[name] for name in names}


BAD = 33
SPOILED = {
    "raises": (
        "def rows(events: Events) -> Rows:\n",
        f"    if {BAD} in events.ledger.to_pylist():\n        raise ValueError('no such\\nprogramme')\n",
        "ValueError: no such programme",
    ),
    "gives what is no address": (
        '    admins = _of(found, b"set_admin", ["admin"], topics=2)\n',
        f"    wrong = pc.if_else(pc.equal(events.ledger.take(held['event']), {BAD}), b'me', held['account'])\n"
        "    held = held.set_column(2, 'account', wrong)\n",
        "points_held: account: no address: 6d65",
    ),
}


@pytest.mark.parametrize("how", SPOILED)
def test_a_plug_in_at_fault_is_named_and_nothing_of_its_chunk_is_kept(
    filled: Program, lake: Path, truth: dict[str, Rows], tmp_path: Path, how: str
) -> None:
    """The error names plug-in, ledger and event, without a traceback; mended, the same command goes on to the end."""
    after, wrong, why = SPOILED[how]
    module = tmp_path / "site/my_package/points.py"
    assert after in documented.example()
    module.write_text(documented.example().replace(after, after + wrong))
    command = (*STATE, "--source", lake, *POINTS, "--until-tip", "--start-ledger", FIRST, "--chunk-ledgers", 10)
    ended, report = filled.report(*command, "--workers", 2)
    assert ended.returncode == 1
    where = rf"gave up on ledgers 32-41 at attempt 1 on worker \d: plug-in POINTS failed at ledger {BAD}, event \d+ of "
    assert re.search(rf"{where}operation \d+: {re.escape(why)}$", ended.stderr, re.MULTILINE), ended.stderr
    assert why in report["error"]["message"]
    assert cursor(filled, "current_state", "POINTS") == 31
    kept = found(filled)
    assert max(row[-1] for row in kept["points_held"]) <= 31
    module.write_text(documented.example())
    ended_well(filled, *command)
    assert found(filled) == truth | {"state_changes": []}


def test_two_that_claim_one_code_end_what_brings_it(
    plugged: Program, lake: Path, truth: dict[str, Rows], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger, both protocols and the code are named, nothing of the chunk is kept; without one of them it goes on.

    So it is where the plug-in of a protocol that is set up is gone. The page on operating says how to take one out.
    """
    text = documented.example().replace("POINTS", "GREEDY").replace("points_", "greedy_")
    entry = "ledgerfill.protocols\ngreedy = greedy.greedy:PROTOCOL"
    other = documented.make(tmp_path / "other", entry, "greedy", "greedy", text)
    backfill = ("backfill", "--source", lake, "--start-ledger", FIRST, "--chunk-ledgers", 10)
    site = str(tmp_path / "site")
    monkeypatch.setenv("PYTHONPATH", f"{site}:{other}")
    ended_well(plugged, "setup", *POINTS, "--protocol-id", "GREEDY")
    faults = ("protocols GREEDY and POINTS both claim the contract code", "no plug-in for protocol GREEDY is installed")
    for path, why in zip((f"{site}:{other}", site), faults, strict=True):
        monkeypatch.setenv("PYTHONPATH", path)
        ended = plugged(*backfill)
        assert ended.returncode == 1
        assert f"ledgerfill: cannot commit ledgers 2-11: {why}" in ended.stderr
        where = re.search(r"; contract C[A-Z2-7]{55} runs it from ledger \d+ on\n", ended.stderr)
        assert ("claim" in why) == (where is not None)
        with psycopg.connect(plugged.database or "", autocommit=True) as conn:
            assert conn.execute("SELECT count(*) FROM ledgerfill.ledgers").fetchone() == (0,)
    with psycopg.connect(plugged.database or "") as conn:
        conn.execute(documented.taking_out("GREEDY"))
    ended_well(plugged, *backfill)
    ended_well(plugged, *HISTORY, "--source", lake, *POINTS, "--until-tip")
    assert found(plugged)["state_changes"] == truth["state_changes"]
    with psycopg.connect(plugged.database or "") as conn:
        conn.execute(documented.taking_out("POINTS"))
    assert found(plugged)["state_changes"] == []
    ended_well(plugged, "setup", *POINTS)
    ended_well(plugged, *HISTORY, "--source", lake, *POINTS, "--until-tip")
    assert found(plugged)["state_changes"] == truth["state_changes"]


def test_live_ingestion_goes_on_from_migrations(plugged: Program, lake: Path, truth: dict[str, Rows]) -> None:
    """What live ingestion writes of a plug-in behind its migrations is what these would have written."""
    ended_well(plugged, "backfill", "--source", lake, "--start-ledger", FIRST, "--end-ledger", 30)
    ended_well(plugged, "setup", *POINTS)
    ended_well(plugged, *HISTORY, "--source", lake, *POINTS, "--until-tip")
    ended_well(plugged, *STATE, "--source", lake, *POINTS, "--until-tip", "--start-ledger", FIRST)
    assert cursor(plugged, "history", "POINTS") == 30
    ended_well(plugged, "live", "--source", lake, "--until-tip")
    assert cursor(plugged, "history", "POINTS") == cursor(plugged, "current_state", "POINTS") == FIRST + LEDGERS - 1
    assert found(plugged) == truth


def test_a_plug_in_that_is_installed_meanwhile_is_taken_over(
    ledgerfill: Program, lake: Path, truth: dict[str, Rows], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Live ingestion finds the plug-in of a protocol that was set up meanwhile, and says so until it is there."""
    site, here = tmp_path / "site", tmp_path / "here"
    here.mkdir()
    growing = GrowingLake(lake, tmp_path / "growing", FIRST)
    growing.reach(30)
    monkeypatch.setenv("PYTHONPATH", str(here))
    running = ledgerfill.start("live", "--source", growing, "--start-ledger", FIRST, "--workers", 1)
    wait_for(lambda: held(ledgerfill.database) == [(FIRST, 30)])
    monkeypatch.setenv("PYTHONPATH", str(documented.install(site)))
    ended_well(ledgerfill, "setup", *POINTS)
    ended_well(ledgerfill, *HISTORY, "--source", growing, *POINTS, "--until-tip")
    time.sleep(2)  # in which it looks
    for part in site.iterdir():
        part.rename(here / part.name)
    migration = ledgerfill.start(
        *STATE, "--source", growing, *POINTS, "--start-ledger", FIRST, env={"PYTHONPATH": here}
    )
    for ledger in (31, 32, 33, 34, FIRST + LEDGERS - 1):
        growing.reach(ledger)
        wait_for(lambda ledger=ledger: held(ledgerfill.database) == [(FIRST, ledger)])
    assert (ended := migration.result()).returncode == 0, ended.stderr
    wait_for(lambda: cursor(ledgerfill, "history", "POINTS") == FIRST + LEDGERS - 1)
    running.send(signal.SIGTERM)
    lacks = "what protocols make of ledgers is not complete: no plug-in for protocol POINTS is installed"
    assert running.result().stderr.count(lacks) == 1
    assert found(ledgerfill) == truth


def test_a_plug_in_that_cannot_be_loaded_by_workers_is_named(filled: Program, lake: Path, tmp_path: Path) -> None:
    """One that the coordinator has loaded and a worker cannot ends the run with its own words, and no traceback."""
    late = "import multiprocessing\nif multiprocessing.parent_process():\n    raise RuntimeError('no such model')\n"
    (tmp_path / "site/my_package/points.py").write_text(documented.example() + late)
    ended = filled(*HISTORY, "--source", lake, *POINTS, "--until-tip")
    assert ended.returncode == 1
    why = r"cannot load plug-in points \(my_package.points:PROTOCOL\): RuntimeError: no such model$"
    assert re.search(rf"gave up on ledgers \d+-\d+ at attempt 1 on worker \d: {why}", ended.stderr, re.MULTILINE)


def test_a_process_that_a_plug_in_leaves_behind_does_not_hold_up_the_end(
    filled: Program, lake: Path, truth: dict[str, Rows], tmp_path: Path
) -> None:
    """It has whatever the worker had open: the run ends all the same, does not wait for it, and it ends, too."""
    left = tmp_path / "left"
    left.mkdir()
    forks = (
        "    import os, time\n    if os.fork() == 0:\n        os.closerange(0, 3)\n"
        f"        open({str(left)!r} + '/' + str(os.getpid()), 'w').close()\n"
        "        time.sleep(60)\n        os._exit(0)\n"
    )
    head = "def rows(events: Events) -> Rows:\n"
    (tmp_path / "site/my_package/points.py").write_text(documented.example().replace(head, head + forks))
    ended_well(filled, *HISTORY, "--source", lake, *POINTS, "--until-tip", "--workers", 1)
    assert list(left.iterdir())
    wait_for(lambda: not any(Path(f"/proc/{each.name}").exists() for each in left.iterdir()))
    assert found(filled)["state_changes"] == truth["state_changes"]


@pytest.mark.parametrize(
    ("does", "why"),
    [
        ("os._exit(7)", "poison, 3 workers died of it, the last: worker died: exited with code 7"),
        ("time.sleep(1000)", "no result after 1 s"),
    ],
)
def test_a_plug_in_that_ends_its_worker_is_named(
    filled: Program, lake: Path, tmp_path: Path, does: str, why: str
) -> None:
    """Whatever ends a worker within a plug-in, or keeps it there, the ledger is found and the plug-in named."""
    head = "def rows(events: Events) -> Rows:\n"
    stops = f"    import os, time\n    if 30 in events.ledger.to_pylist():\n        {does}\n"
    (tmp_path / "site/my_package/points.py").write_text(documented.example().replace(head, head + stops))
    quick = ("--stall-floor", "1", "--stall-ceiling", "1", "--fetch-timeout", "1", "--chunk-ledgers", 4)
    ended = filled(*HISTORY, "--source", lake, *POINTS, "--until-tip", *quick)
    assert ended.returncode == 1
    assert re.search(rf"gave up on ledger 30 at .*: {why}.* while plug-in POINTS was at work", ended.stderr)


def test_what_a_plug_in_prints_is_not_the_command_s_own(
    plugged: Program, lake: Path, tmp_path: Path, truth: dict[str, Rows]
) -> None:
    """Printed as it is loaded, asked for its claims or makes rows: stdout is as ever, and a worker's is in the log."""
    text = documented.example() + "\nprint('LOADED')\n"
    asked, makes = "def claims(functions: Functions) -> bool:\n", "def rows(events: Events) -> Rows:\n"
    text = text.replace(asked, f"{asked}    print('ASKED')\n")
    text = text.replace(makes, f"{makes}    import os\n    print('CALLED')\n    os.write(1, b'RAW')\n")
    (tmp_path / "site/my_package/points.py").write_text(text)
    ended_well(plugged, "setup", *POINTS)
    told = ended_well(plugged, "backfill", "--source", lake, "--start-ledger", FIRST)
    ended = plugged(*HISTORY, "--source", lake, *POINTS, "--until-tip")
    assert not re.search("LOADED|ASKED|CALLED|RAW", told + ended.stdout)
    assert re.search(r" INFO printed in a worker: CALLED$", ended.stderr, re.MULTILINE)
    assert "RAW" in ended.stderr
    assert found(plugged)["state_changes"] == truth["state_changes"]


def test_a_protocol_that_has_no_rows_is_refused(filled: Program, lake: Path, tmp_path: Path) -> None:
    """A declaration alone can be set up, and not migrated, nor what it does not declare: it is said what is missing."""
    module = tmp_path / "site/my_package/points.py"
    module.write_text(documented.example().replace("    rows=rows,\n", ""))
    ended = filled(*HISTORY, "--source", lake, *POINTS, "--until-tip")
    assert ended.returncode == 2
    assert "the plug-in of protocol POINTS has no `rows`: nothing makes its history" in ended.stderr
    module.write_text(re.sub(r"    state=\(.*\n    \),\n", "", documented.example(), flags=re.DOTALL))
    ended = filled(*STATE, "--source", lake, *POINTS, "--until-tip", "--start-ledger", FIRST)
    assert ended.returncode == 2
    assert "POINTS has no state tables: there is no current state to migrate" in ended.stderr


def test_a_table_that_is_gone_is_not_made_anew_behind_its_cursor(
    filled: Program, lake: Path, truth: dict[str, Rows]
) -> None:
    """An empty one would be said to hold what was before: it is refused until the state begins anew, by the page."""
    begin = (*STATE, "--source", lake, *POINTS, "--until-tip", "--start-ledger", FIRST)
    ended_well(filled, *begin)
    with psycopg.connect(filled.database or "", autocommit=True) as conn:
        conn.execute("DROP TABLE ledgerfill.points_admins CASCADE")
        for command in (("setup",), begin):
            refused = filled(*command)
            assert refused.returncode == 2
            assert "table ledgerfill.points_admins is not there, and the current state of POINTS" in refused.stderr
        conn.execute(documented.beginning_anew("POINTS"))  # type: ignore[call-overload]
        refused = filled("setup")
        assert refused.returncode == 2
        assert "table ledgerfill.points_held has rows, and the current state of POINTS has not begun" in refused.stderr
        conn.execute("DROP TABLE ledgerfill.points_held CASCADE")
    ended_well(filled, "setup")
    ended_well(filled, *begin)
    assert found(filled) == truth | {"state_changes": []}


def test_collectibles_in_python_are_those_in_rust(
    ledgerfill: Program, lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page's second plug-in, SEP-50 in Python, has the owners of the lake's books and the same rows."""
    monkeypatch.setenv("PYTHONPATH", str(documented.install(tmp_path / "site", documented.example(1))))
    ended_well(ledgerfill, "backfill", "--source", lake, "--start-ledger", FIRST)
    made = {}
    for protocol, table in (("ART", "art_tokens"), ("SEP50", "sep50_tokens")):
        with psycopg.connect(ledgerfill.database or "", autocommit=True) as conn:
            conn.execute(ALONE)
        flags = ("--source", lake, "--protocol-id", protocol, "--until-tip", "--chunk-ledgers", 9)
        ended_well(ledgerfill, "setup", "--protocol-id", protocol)
        ended_well(ledgerfill, *STATE, *flags, "--start-ledger", FIRST)
        ended_well(ledgerfill, *HISTORY, *flags)
        with psycopg.connect(ledgerfill.database or "") as conn:
            query = f"SELECT contract_id, token_id, owner, last_ledger FROM ledgerfill.{table}"
            owners = conn.execute(query).fetchall()  # type: ignore[call-overload]
            made[protocol] = conn.execute(OWNERSHIPS, [protocol]).fetchall()
        assert set(owners) == lines(lake, "owner")
    assert len(made["ART"]) > 50
    assert made["ART"] == made["SEP50"]


def test_assets_count_for_the_plug_in_that_claims_them(
    ledgerfill: Program, core_lake: Path, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events that prove to be of a Stellar Asset Contract count in a store that has never seen the contract."""
    text = documented.example().replace("claims=claims,", "claims=claims,\n    claims_assets=True,")
    text = text.replace("topics=3", "topics=4").replace("topics=2", "topics=3")  # with the asset last
    monkeypatch.setenv("PYTHONPATH", str(documented.install(tmp_path / "site", text)))
    flags = ("--source", core_lake, *POINTS, "--until-tip", "--chunk-ledgers", 5)
    for command in (("backfill", "--source", core_lake, "--start-ledger", FIRST), ("setup", *POINTS)):
        ended_well(ledgerfill, *command)
    ended_well(ledgerfill, *HISTORY, *flags)
    ended_well(ledgerfill, *STATE, *flags, "--start-ledger", FIRST)
    every, *_ = fold(core_ledgers(shared))
    changes = [row[1:8] for row in every if row[6] in REASONS.values()]
    assert len(changes) > 10
    made = found(ledgerfill)
    assert made["state_changes"] == changes
    sums: dict[tuple[bytes, bytes], int] = {}
    for _, _, contract, account, _, _, amount in changes:
        sums[contract, account] = sums.get((contract, account), 0) + amount
    assert {row[:2]: row[2] for row in made["points_held"]} == {key: held for key, held in sums.items() if held}
