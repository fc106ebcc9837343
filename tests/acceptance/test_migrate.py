"""Migrations for real: state and history are those of books kept by hand, however they are cut, killed and resumed."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from lakes import FIRST, LAST, OTHER_CHAIN, core_ledgers, key, mend, write_lake
from migrated import BOTH, CHANGES, HISTORY, STATE, cursor, fold, rows, state, statuses
from program import Program, ended_well, wait_for
from psycopg.conninfo import conninfo_to_dict

INDEXED = """
    SELECT (SELECT count(*) FROM pg_index WHERE indrelid = 'ledgerfill.state_changes_0'::regclass), indexed
    FROM ledgerfill.history_segments
"""
UNINDEX = """
    DROP INDEX ledgerfill.state_changes_0_pkey, ledgerfill.state_changes_0_account_operation_id_idx;
    UPDATE ledgerfill.history_segments SET indexed = false;
"""


@pytest.fixture
def classified(filled: Program) -> Program:
    """A store that holds the core lake, with both protocols set up."""
    ended_well(filled, "setup", *BOTH)
    return filled


@pytest.fixture
def flags(core_lake: Path) -> Sequence[object]:
    return ("--source", core_lake, *BOTH, "--until-tip", "--workers", 2)


@pytest.fixture
def begin() -> Sequence[object]:
    return ("--start-ledger", FIRST)


@pytest.mark.parametrize(("workers", "chunk"), [(1, 1), (2, 3), (3, 7)])
def test_cuts_and_kills_change_no_row(classified: Program, core_lake: Path, shared: Path, workers: int, chunk: int):
    """A coordinator killed in the midst, and the same command again: the same rows as of the serial fold."""
    sizes = ("--source", core_lake, *BOTH, "--until-tip", "--workers", workers, "--chunk-ledgers", chunk)
    (core_lake / key(30)).unlink()
    for command, kind in (((*STATE, "--start-ledger", FIRST), "current_state"), (HISTORY, "history")):
        running = classified.start(*command, *sizes)
        wait_for(lambda kind=kind: cursor(classified, kind) > 30 - 2 * chunk)
        running.send(signal.SIGKILL)
        running.process.communicate()
        assert statuses(classified, kind) == ["in_progress"] * 2
    mend(core_lake, shared, 30)
    for command in ((*STATE, "--start-ledger", FIRST), HISTORY):
        _, report = classified.report(*command, *sizes)
        assert (report["outcome"], report["missing"]) == ("success", [])
        assert report["held_before"][0][0] == FIRST
        assert "nothing to do" in ended_well(classified, *command, *sizes)
    changes, *made = fold(core_ledgers(shared))
    assert rows(classified, CHANGES) == changes
    assert list(state(classified)) == made
    assert statuses(classified) == statuses(classified, "history") == ["success", "success"]


@pytest.mark.parametrize("kind", ["current_state", "history"])
def test_kills_at_any_moment_change_no_row(classified: Program, flags, shared: Path, kind: str):
    """Killed again and again on its way, wherever that meets it, and gone on with: the same rows, each chunk once."""
    command = (*STATE, "--start-ledger", FIRST) if kind == "current_state" else HISTORY
    for reached in (1, 8, 14, 23, 31, 40):
        running = classified.start(*command, *flags, "--chunk-ledgers", 1, "--connections", 2)
        wait_for(
            lambda reached=reached, running=running: cursor(classified, kind) >= reached or running.ended(), every_s=0
        )
        running.send(signal.SIGKILL)
        running.process.communicate()
    ended_well(classified, *command, *flags)
    changes, *made = fold(core_ledgers(shared))
    if kind == "history":
        assert rows(classified, CHANGES) == changes
    else:
        assert list(state(classified)) == made
    query = "SELECT c.first, c.last FROM ledgerfill.backfill_chunks c JOIN ledgerfill.backfill_runs r ON r.id = run_id"
    chunks = rows(classified, f"{query} WHERE job ~ 'migrate' ORDER BY 1")
    assert [ledger for first, last in chunks for ledger in range(first, last + 1)] == list(range(FIRST, LAST + 1))


def test_protocols_behind_catch_up_in_legs(ledgerfill: Program, core_lake: Path, shared: Path):
    """A protocol that comes later goes alone up to where the other stands, and from there they go together."""
    source, one = ("--source", core_lake), ("--protocol-id", "SEP50")
    ended_well(ledgerfill, "backfill", *source, "--start-ledger", FIRST, "--end-ledger", 20)
    ended_well(ledgerfill, "setup", *BOTH)
    ended_well(ledgerfill, *STATE, *source, *one, "--start-ledger", FIRST, "--until-tip")
    ended_well(ledgerfill, "backfill", *source, "--start-ledger", FIRST)
    _, report = ledgerfill.report(*STATE, *source, *BOTH, "--start-ledger", FIRST, "--until-tip", "--chunk-ledgers", 50)
    assert report["outcome"] == "success"
    chunks = rows(ledgerfill, f"SELECT first, last FROM ledgerfill.backfill_chunks WHERE run_id = {report['run_id']}")
    assert sorted(chunks) == [(FIRST, 20), (21, LAST)]
    assert list(state(ledgerfill)) == list(fold(core_ledgers(shared))[1:])


def test_the_history_is_indexed_at_its_end(ledgerfill: Program, core_lake: Path, shared: Path):
    """A leg that ends within a segment leaves its indexes to the next; what a killed run has left is built, too."""

    def indexed() -> tuple[int, bool]:
        [(indexes, known)] = rows(ledgerfill, INDEXED)
        return indexes, known

    source, sizes = ("--source", core_lake), ("--until-tip", "--chunk-ledgers", 4)
    ended_well(ledgerfill, "backfill", *source, "--start-ledger", FIRST, "--end-ledger", 20)
    ended_well(ledgerfill, "setup", *BOTH)
    ended_well(ledgerfill, *HISTORY, *source, "--protocol-id", "SEP50", *sizes)
    assert indexed() == (2, True)
    with psycopg.connect(ledgerfill.database or "", autocommit=True) as conn:
        conn.execute(UNINDEX)
    ended_well(ledgerfill, "backfill", *source, "--start-ledger", FIRST)
    (core_lake / key(30)).unlink()
    running = ledgerfill.start(*HISTORY, *source, *BOTH, *sizes)
    wait_for(lambda: cursor(ledgerfill, "history") > 24)
    assert indexed() == (0, False)
    running.send(signal.SIGKILL)
    running.process.communicate()
    mend(core_lake, shared, 30)
    ended_well(ledgerfill, *HISTORY, *source, *BOTH, *sizes)
    assert indexed() == (2, True)
    with psycopg.connect(ledgerfill.database or "", autocommit=True) as conn:
        conn.execute(UNINDEX)
    due = "indexes of the history are due for ledgers 1-65535: the next migrate history builds them"
    assert due in ledgerfill("status").stdout
    ended_well(ledgerfill, *HISTORY, *source, *BOTH, *sizes)
    assert indexed() == (2, True)
    assert "indexes of the history" not in ledgerfill("status").stdout


def test_sums_begin_at_the_start_ledger(classified: Program, flags, shared: Path):
    """What came before the first ledger is not in the balances, which may be negative then; it is kept from then on."""
    ended_well(classified, *STATE, *flags, "--start-ledger", 20)
    later = {ledger: raw for ledger, raw in core_ledgers(shared).items() if ledger >= 20}
    assert list(state(classified)) == list(fold(later)[1:])
    assert "nothing to do" in ended_well(classified, *STATE, *flags)
    other = classified(*STATE, *flags, "--start-ledger", 19)
    assert other.returncode == 2
    assert "began with ledger 20, and --start-ledger is 19" in other.stderr


def test_what_is_not_ready_is_refused_with_its_command(ledgerfill: Program, core_lake: Path, flags, begin):
    """Without ledgers, protocol, classification or first ledger nothing is begun: what comes first is said.

    It is a command for the same database and source, though both were flags.
    """
    password = conninfo_to_dict(ledgerfill.database or "").get("password", "")
    flagged, where = replace(ledgerfill, database=None), ("--database", ledgerfill.database)

    def refusal(*arguments: object) -> str:
        ended = flagged(*STATE, *flags, *where, *arguments)
        assert (ended.returncode, ended.stdout) == (2, "")
        return ended.stderr

    def first_comes(*arguments: object) -> str:
        before = (said := refusal(*arguments)).split("; first comes: ")[1]
        assert (ended := flagged.shell(f"env PGPASSWORD={password} {before}")).returncode == 0, ended.stderr
        return said

    assert f"ledgerfill backfill --start-ledger {FIRST} --database " in (said := refusal(*begin))
    assert f"--source {core_lake}\n" in said
    ended_well(flagged, "backfill", "--source", core_lake, "--start-ledger", FIRST, "--end-ledger", 20, *where)
    assert "protocol SEP41 is not set up" in first_comes(*begin)
    assert "--start-ledger is missing" in refusal()
    assert "--start-ledger 21 is beyond the tip, ledger 20" in first_comes("--start-ledger", 21)
    assert "--start-ledger 22 is beyond the tip, ledger 21" in refusal("--start-ledger", 22)
    with psycopg.connect(ledgerfill.database or "", autocommit=True) as conn:
        conn.execute("UPDATE ledgerfill.protocols SET classification_status = 'failed'")
    assert "not classified for SEP41 (status failed)" in first_comes(*begin)
    assert "no plug-in for protocol VOTES is installed" in refusal(*begin, "--protocol-id", "VOTES")
    assert statuses(ledgerfill) == ["not_started"] * 2
    assert rows(ledgerfill, "SELECT count(*) FROM ledgerfill.ingest_store") == [(0,)]


@pytest.mark.parametrize("kind", ["current_state", "history"])
def test_a_cursor_beyond_the_store_is_refused(classified: Program, flags, begin, kind: str):
    """Where the newest ledgers were taken out, what was made of them is not: nothing may say that all is well."""
    command = (*STATE, *flags, *begin) if kind == "current_state" else (*HISTORY, *flags)
    ended_well(classified, *command)
    with psycopg.connect(classified.database or "", autocommit=True) as conn:
        conn.execute("UPDATE ledgerfill.ledger_stretches SET last = last - 9")
    ended = classified(*command)
    assert ended.returncode == 2
    assert f"stands at ledger {LAST}, beyond the tip, ledger {LAST - 9} of " in ended.stderr


def test_another_history_is_refused(classified: Program, shared: Path, tmp_path: Path, flags, begin):
    """A source whose ledgers are not those of the store makes no state."""
    other = write_lake(tmp_path / "other", {**core_ledgers(shared), **core_ledgers(shared, OTHER_CHAIN)})
    ended = classified(*STATE, "--source", other, *flags[2:], *begin)
    assert ended.returncode in (1, 2)
    assert "follows" in ended.stderr
    assert cursor(classified) < 28


def test_a_second_run_is_held_off(classified: Program, core_lake: Path, shared: Path, flags, begin):
    """One run a job and protocol: the holder is named, exit code 3; the history of the same protocol may go on."""
    (core_lake / key(30)).unlink()
    running = classified.start(*STATE, *flags, *begin)
    wait_for(lambda: cursor(classified) > 0)
    second = classified(*STATE, "--source", core_lake, "--protocol-id", "SEP50", "--until-tip", *begin)
    assert second.returncode == 3
    assert f"the current state of SEP50 is held by process {running.pid} on" in second.stderr
    history = classified.start(*HISTORY, *flags)
    wait_for(lambda: cursor(classified, "history") > 0)
    mend(core_lake, shared, 30)
    for each in (running, history):
        ended = each.result()
        assert ended.returncode == 0, ended.stderr


def test_an_interrupted_migration_says_how_to_resume(classified: Program, core_lake: Path, shared: Path, flags, begin):
    """SIGTERM ends it with 143, in progress; the command that it prints goes on to the end."""
    (core_lake / key(30)).unlink()
    running = classified.start(*STATE, *flags, *begin)
    wait_for(lambda: cursor(classified) > 0)
    running.send(signal.SIGTERM)
    ended = running.result()
    assert ended.returncode == 143
    assert statuses(classified) == ["in_progress"] * 2
    mend(core_lake, shared, 30)
    resume = ended.stdout.split("resume     the same command goes on from there:\n", 1)[1].splitlines()[0]
    assert "migrate current-state" in resume
    again = classified.shell(resume.strip())
    assert again.returncode == 0, again.stderr
    assert list(state(classified)) == list(fold(core_ledgers(shared))[1:])


def test_a_failed_migration_is_said_to_have_failed(classified: Program, core_lake: Path, shared: Path, flags, begin):
    """A ledger that never turns up ends it with 1, everything before it kept; the same command goes on from there."""
    (core_lake / key(30)).unlink()
    ended = classified(*STATE, *flags, *begin, "--hole-deadline", 1)
    assert ended.returncode == 1
    assert cursor(classified) == 29
    assert statuses(classified) == ["failed"] * 2
    mend(core_lake, shared, 30)
    ended_well(classified, *STATE, *flags, *begin)
    assert list(state(classified)) == list(fold(core_ledgers(shared))[1:])
    assert statuses(classified) == ["success"] * 2


TAKE_OVER = """
    UPDATE ledgerfill.ledger_stretches SET last = 46, job = 'live';
    UPDATE ledgerfill.ingest_store SET value = 46, job = 'live', commit_id = gen_random_uuid()
    WHERE value = 45 AND key ~ '_current_state_'
"""


def test_a_link_that_breaks_at_the_very_end_leaves_no_status_behind(classified: Program, flags, begin):
    """Exit code 0 and "in progress" would contradict each other for ever: no run is there to put it right."""
    with psycopg.connect(classified.database or "", autocommit=True) as conn:
        conn.execute("""
            CREATE SEQUENCE public.tries;
            CREATE FUNCTION public.cut() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                PERFORM pg_terminate_backend(pg_backend_pid()) WHERE nextval('public.tries') <= 2;
                RETURN NEW;
            END $$;
            CREATE TRIGGER cut BEFORE UPDATE ON ledgerfill.protocols FOR EACH ROW
                WHEN (NEW.current_state_migration_status = 'success') EXECUTE FUNCTION public.cut();
        """)
    ended = classified(*STATE, *flags, *begin)
    assert ended.returncode == 0, ended.stderr
    assert "connecting again to write down how far the protocols are" in ended.stderr
    assert statuses(classified) == ["success", "success"]


def test_it_ends_when_live_ingestion_has_taken_over(classified: Program, core_lake: Path, begin):
    """Without --until-tip it waits at the tip until live ingestion has written the next ledger of every protocol."""
    path = classified.home.parent / "report.json"
    running = classified.start(*STATE, "--source", core_lake, *BOTH, *begin, "--report", path)
    wait_for(lambda: cursor(classified) == cursor(classified, protocol="SEP50") == LAST)
    time.sleep(2)  # in which it looks, and says that it waits
    assert not running.ended()
    with psycopg.connect(classified.database or "") as conn:
        conn.execute(TAKE_OVER)
    ended = running.result()
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count(f"at ledger {LAST}, the newest of the store: waiting for live ingestion") == 1
    assert '"outcome": "handed_off"' in path.read_text()
    assert "live ingestion has taken over the current state of SEP41 and SEP50" in ended.stdout
    assert statuses(classified) == ["success"] * 2


def test_one_protocol_goes_on_when_the_other_is_handed_over(
    ledgerfill: Program, core_lake: Path, shared: Path, begin: Sequence[object]
):
    """A swap that is lost to live ingestion for one protocol leaves the ledger to be written for the other."""

    def by_live(stretch: int, protocol: str, value: int) -> str:
        return f"""
            UPDATE ledgerfill.ledger_stretches SET last = {stretch}, job = 'live';
            UPDATE ledgerfill.ingest_store SET value = {value}, job = 'live', commit_id = gen_random_uuid()
            WHERE key = 'protocol_{protocol}_current_state_cursor' AND value = {value} - 1
        """

    ended_well(ledgerfill, "backfill", "--source", core_lake, "--start-ledger", FIRST, "--end-ledger", 40)
    ended_well(ledgerfill, "setup", *BOTH)
    (core_lake / key(41)).unlink()
    running = ledgerfill.start(*STATE, "--source", core_lake, *BOTH, *begin)
    wait_for(lambda: cursor(ledgerfill) == 40)
    with psycopg.connect(ledgerfill.database or "", autocommit=True) as conn:
        conn.execute("UPDATE ledgerfill.ledger_stretches SET last = 41, job = 'live'")
        wait_for(running.workers)
        conn.execute(by_live(41, "SEP50", 41))
        mend(core_lake, shared, 41)
        wait_for(lambda: cursor(ledgerfill) == 41)
        conn.execute(by_live(42, "SEP41", 42))
    ended = running.result()
    assert ended.returncode == 0, ended.stderr
    found = rows(ledgerfill, "SELECT value, job FROM ledgerfill.ingest_store ORDER BY key")
    assert found == [(42, "live"), (41, "live")]
    some = {ledger: raw for ledger, raw in core_ledgers(shared).items() if ledger <= 41}
    assert list(state(ledgerfill)) == list(fold(some)[1:])
