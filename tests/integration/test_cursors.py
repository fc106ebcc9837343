"""Cursors of protocols against a real PostgreSQL: each chunk moves all of its own, and a lost swap is told apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import handmade
import psycopg
import pytest
from cursoring import KEYS, chunk, committed, committer, made, run_of, standing, take_over, wait_until_waiting
from cutting_proxy import CuttingProxy
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pipeline.errors import BrokenSeam, CursorElsewhere, CursorMissing, CursorTaken, HandedOff
from pipeline.store import cursors
from pipeline.store.commit import Committer

MIGRATION = "migrate current-state"
Connect = Callable[[], psycopg.Connection]


@pytest.fixture
def begun(connect: Connect, conn: psycopg.Connection) -> Committer:
    """Return the committer of a migration of two protocols, whose cursors stand at ledger 99."""
    run = run_of(conn)
    made(conn, 99, run)
    return committer(connect, run)


def test_chunks_in_order_move_every_cursor(begun: Committer, conn: psycopg.Connection, tmp_path: Path):
    """Each chunk leaves every cursor of its leg at its last ledger, with that one's hash."""
    for first, last in ((100, 104), (105, 105)):
        begun.commit(chunk(tmp_path, first, last))
        assert standing(conn) == [(last, MIGRATION)] * 2
        assert {each.hash for each in cursors.read(conn, KEYS).values()} == {handmade.hash_of(last)}
    assert committed(conn) == [(100, 104), (105, 105)]


def test_cursor_is_made_once(conn: psycopg.Connection):
    """A cursor that is there decides: it is never set back to a beginning."""
    first, second = run_of(conn), run_of(conn)
    made(conn, 99, first)
    made(conn, 10, second)
    assert [(each.value, each.run_id) for each in cursors.read(conn, KEYS).values()] == [(99, first.id)] * 2


def test_one_cursor_elsewhere_keeps_all(begun: Committer, conn: psycopg.Connection, tmp_path: Path):
    """Where one cursor of a leg does not stand right below the chunk, none is moved and nothing is written."""
    conn.execute("UPDATE ledgerfill.ingest_store SET value = 90 WHERE key = %s", [KEYS[1]])
    with pytest.raises(CursorElsewhere, match=f"ledgers 100-104: {KEYS[1]} stands at ledger 90"):
        begun.commit(chunk(tmp_path, 100, 104))
    assert [value for value, _ in standing(conn)] == [99, 90]
    assert committed(conn) == []


def test_missing_cursor_names_the_command(begun: Committer, conn: psycopg.Connection, tmp_path: Path):
    """A cursor that is gone is never made anew by a commit: the error says which command comes first."""
    conn.execute("DELETE FROM ledgerfill.ingest_store WHERE key = %s", [KEYS[0]])
    with pytest.raises(CursorMissing, match="ledgerfill setup --protocol-id SEP41"):
        begun.commit(chunk(tmp_path, 100, 104))
    assert committed(conn) == []


def test_chunk_of_another_history_is_refused(begun: Committer, conn: psycopg.Connection, tmp_path: Path):
    """A chunk that names another hash for the cursor's ledger than the cursor has is refused whole."""
    begun.commit(chunk(tmp_path, 100, 104))
    with pytest.raises(BrokenSeam, match="ledger 105 does not link to ledger 104") as caught:
        begun.commit(chunk(tmp_path, 105, 109, branch="fork"))
    assert caught.value.found == handmade.hash_of(104)
    assert [value for value, _ in standing(conn)] == [104, 104]


def test_hash_known_from_the_start_is_held_against_the_first_chunk(
    connect: Connect, conn: psycopg.Connection, tmp_path
):
    """A cursor that is made with the hash of its ledger refuses a first chunk that does not link to it."""
    run = run_of(conn)
    made(conn, 99, run, handmade.hash_of(99, "fork"))
    with pytest.raises(BrokenSeam, match="ledger 100 does not link to ledger 99"):
        committer(connect, run).commit(chunk(tmp_path, 100, 104))
    assert committed(conn) == []


def test_ledgers_of_another_run_are_left_alone(begun: Committer, connect: Connect, conn: psycopg.Connection, tmp_path):
    """A chunk that another run has written in part or whole is told apart, with its number and exit code 3."""
    other = run_of(conn)
    committer(connect, other).commit(chunk(tmp_path, 100, 101))
    with pytest.raises(CursorTaken, match=f"{MIGRATION} run {other.id} has written ledgers 100-101") as caught:
        begun.commit(chunk(tmp_path, 100, 104))
    assert caught.value.exit_code == 3
    assert committed(conn) == [(100, 101)]


@pytest.mark.parametrize("ledgers", [1, 2], ids=["the ledger it lost", "further"])
def test_live_ingestion_takes_over(begun: Committer, conn: psycopg.Connection, tmp_path: Path, ledgers: int):
    """Where live ingestion has written the ledger that a swap lost, and perhaps more, the migration is done."""
    begun.commit(chunk(tmp_path, 100, 104))
    live = run_of(conn, "live")
    for ledger in range(105, 105 + ledgers):
        assert take_over(conn, live, ledger) == KEYS
    with pytest.raises(
        HandedOff, match=f"over SEP41 and SEP50 at ledgers 105 and stands at ledger {104 + ledgers}"
    ) as caught:
        begun.commit(chunk(tmp_path, 105, 105))
    assert caught.value.exit_code == 0
    assert committed(conn) == [(100, 104)]


def test_one_protocol_is_handed_over_alone(begun: Committer, conn: psycopg.Connection, tmp_path: Path):
    """Live ingestion may reach one cursor a moment before the other: the error names it, and the other stays ours."""
    assert take_over(conn, run_of(conn, "live"), 100, KEYS[1:]) == KEYS[1:]
    with pytest.raises(HandedOff) as caught:
        begun.commit(chunk(tmp_path, 100, 100))
    assert caught.value.protocol_ids == ("SEP50",)
    assert standing(conn) == [(99, MIGRATION), (100, "live")]


def test_live_ingestion_short_of_the_chunk_is_no_handoff(begun: Committer, conn: psycopg.Connection, tmp_path: Path):
    """Without evidence that live ingestion wrote all that was lost, the migration does not end well."""
    live = run_of(conn, "live")
    assert take_over(conn, live, 100) == KEYS
    with pytest.raises(CursorTaken, match=f"live run {live.id} has written ledgers 100"):
        begun.commit(chunk(tmp_path, 100, 104))


@pytest.fixture
def through(store: str, conn: psycopg.Connection) -> Iterator[Callable[..., Committer]]:
    """Return a maker of committers that reach the store through a proxy with the given fate of each COMMIT."""
    names, opened = conninfo_to_dict(store), []

    def make(fate: Callable[[int], str]) -> Committer:
        proxy = CuttingProxy((str(names["host"]), int(str(names["port"]))), fate)
        url, run = make_conninfo(store, port=proxy.port), run_of(conn)
        made(conn, 99, run)
        opened.append((proxy, committer(lambda: psycopg.connect(url, autocommit=True), run)))
        return opened[-1][1]

    yield make
    for proxy, each in opened:
        each.close()
        proxy.close()


@pytest.mark.parametrize("fate", ["lose", "swallow", "abandon"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_cut_commit_is_in_once(through, conn: psycopg.Connection, tmp_path: Path, fate: str, number: int):
    """Whichever chunk's COMMIT is cut, before or after it arrives, each is in the books once and the next goes on."""
    cut = through(lambda commit: fate if commit == number else "pass")
    chunks = [(100, 104), (105, 109), (110, 110)]
    for first, last in chunks:
        cut.commit(chunk(tmp_path, first, last))
    assert committed(conn) == chunks
    assert standing(conn) == [(110, MIGRATION)] * 2


def test_own_commit_is_known_behind_live_ingestion(store: str, conn: psycopg.Connection, tmp_path: Path):
    """A commit that landed unheard counts as this run's, even when live ingestion has gone on from it meanwhile."""
    run, live, went_on = run_of(conn), run_of(conn, "live"), []
    made(conn, 99, run)

    def reconnect() -> psycopg.Connection:
        if committed(conn):
            went_on.extend(take_over(conn, live, 105))
        return psycopg.connect(url, autocommit=True)

    names, fates = conninfo_to_dict(store), {1: "swallow"}
    proxy = CuttingProxy((str(names["host"]), int(str(names["port"]))), lambda commit: fates.get(commit, "pass"))
    url = make_conninfo(store, port=proxy.port)
    ours = committer(reconnect, run)
    ours.commit(chunk(tmp_path, 100, 104))
    assert went_on == KEYS
    with pytest.raises(HandedOff):
        ours.commit(chunk(tmp_path, 105, 105))
    ours.close()
    proxy.close()
    assert committed(conn) == [(100, 104)]


def test_cursors_are_taken_in_the_order_of_their_keys(store: str, conn: psycopg.Connection, tmp_path: Path):
    """Also where that is not the order of the protocols: as live ingestion takes them, so that no two wait."""
    lower, upper = keys = [cursors.key(each, "current_state") for each in ("SEP41", "SEP4")]
    assert lower < upper
    run = run_of(conn)
    for each in keys:
        cursors.make(conn, each, 99, None, run)
    lock = "SELECT FROM ledgerfill.ingest_store WHERE key = %s FOR UPDATE"
    begun = committer(lambda: psycopg.connect(store, autocommit=True), run, ("SEP4", "SEP41"))
    with ThreadPoolExecutor(1) as beside, psycopg.connect(store, autocommit=True) as looks:
        with conn.transaction():
            conn.execute(lock, [lower])
            commit = beside.submit(begun.commit, chunk(tmp_path, 100, 104))
            wait_until_waiting(looks, 1)
            conn.execute(lock, [upper])
        commit.result(30)
    begun.close()
    assert [each.value for each in cursors.read(conn, keys).values()] == [104, 104]
