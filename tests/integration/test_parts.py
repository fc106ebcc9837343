"""Parts below histories against a real PostgreSQL: begun, joined and left in one piece with their rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import handmade
import psycopg
import pytest
from cursoring import changed, run_of
from cutting_proxy import CuttingProxy
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pipeline.errors import FallenOut, PartGone
from pipeline.store import below, cursors, state_changes
from pipeline.store.books import Run
from pipeline.store.commit import Committer
from pipeline.store.legs import LegSwap, next_leg
from workers.messages import LedgerRange
from workers.protocols import Protocol
from workers.protocols.sep41 import PROTOCOL as SEP41
from workers.protocols.sep50 import PROTOCOL as SEP50

STRETCH = """
    INSERT INTO ledgerfill.ledger_stretches
        (first, last, previous_hash, first_hash, last_hash, job, run_id, epoch, commit_id)
    VALUES (%s, 129, %s, %s, %s, 'backfill', 1, 1, gen_random_uuid())
"""
ROW = """
    INSERT INTO ledgerfill.state_changes
        (protocol_id, operation_id, change_index, contract_id, account, category, reason)
    VALUES (%s, %s::int8 << 32, 0, '', '', 1, 1)
"""
BOTH = ("SEP41", "SEP50")
KEY = cursors.key("SEP41", "history_below")


@pytest.fixture
def run(conn: psycopg.Connection) -> Run:
    """Return a migration of histories that begin with ledger 100, in a store that begins with ledger 90."""
    run = run_of(conn, "migrate history")
    conn.execute("INSERT INTO ledgerfill.protocols (id, claims_assets) VALUES ('SEP41', true), ('SEP50', false)")
    for each in BOTH:
        cursors.begin(conn, each, "history", 100, None, run)
    conn.execute("UPDATE ledgerfill.ingest_store SET value = 129")
    hold_from(conn, 90)
    return run


@pytest.fixture
def committer(store: str, conn: psycopg.Connection, run: Run) -> Iterator[Committer]:
    """Return the committer of the part of SEP41, which is begun."""
    below.begin(conn, ["SEP41"], run)
    committer = Committer(partial(psycopg.connect, store, autocommit=True), run, swap=swap_of(conn))
    yield committer
    committer.close()


def hold_from(conn: psycopg.Connection, first: int) -> None:
    conn.execute("DELETE FROM ledgerfill.ledger_stretches")
    conn.execute(STRETCH, (first, *map(handmade.hash_of, (first - 1, first, 129))))


def swap_of(conn: psycopg.Connection) -> partial[LegSwap]:
    return partial(LegSwap, leg=next_leg(conn, "history", [], 0, filled=[SEP41]))


def standing(conn: psycopg.Connection, protocol: str = "SEP41") -> tuple[int, int | None, int | None]:
    """Return where a history begins, where its part does, and how far that is."""
    names = ("from", "cursor")
    found = cursors.read(conn, keys := [f"protocol_{protocol}_history_below_{each}" for each in names])
    [(begins,)] = conn.execute("SELECT history_from FROM ledgerfill.protocols WHERE id = %s", [protocol])
    return (begins, *(found[each].value if each in found else None for each in keys))


def written(conn: psycopg.Connection) -> list[int]:
    query = "SELECT (operation_id >> 32)::int4 FROM ledgerfill.state_changes ORDER BY 1"
    return [ledger for (ledger,) in conn.execute(query)]


def test_a_part_is_begun_once_and_with_nothing_in_it(conn: psycopg.Connection, run: Run):
    """What an earlier history has left of its ledgers goes, that of other protocols and ledgers stays."""
    state_changes.ensure(conn, LedgerRange(1, 129))
    for each in (("SEP41", 89), ("SEP41", 90), ("SEP41", 99), ("SEP41", 100), ("SEP50", 95)):
        conn.execute(ROW, each)
    below.begin(conn, ["SEP41"], run)
    assert written(conn) == [89, 95, 100]
    assert standing(conn) == (100, 90, 89)
    assert cursors.read(conn, [KEY])[KEY].hash == handmade.hash_of(89)
    conn.execute(ROW, ("SEP41", 91))
    hold_from(conn, 85)
    below.begin(conn, ["SEP41"], run)
    assert standing(conn) == (100, 90, 89)
    assert written(conn) == [89, 91, 95, 100]
    assert below.found(conn, BOTH)["SEP41"].lacks == (LedgerRange(85, 99),)
    assert standing(conn, "SEP50") == (100, None, None)


@pytest.mark.parametrize("fate", ["lose", "swallow", "abandon"])
@pytest.mark.parametrize("number", [1, 2])
def test_cut_commits_join_a_part_once(store: str, conn, run: Run, tmp_path: Path, fate: str, number: int):
    """Whichever COMMIT is cut, the history begins with the part when its last chunk is in, and not before."""
    below.begin(conn, ["SEP41"], run)
    names = conninfo_to_dict(store)
    proxy = CuttingProxy((names["host"], int(names["port"])), lambda commit: fate if commit == number else "pass")
    url = make_conninfo(store, port=proxy.port)
    committer = Committer(lambda: psycopg.connect(url, autocommit=True), run, swap=swap_of(conn))
    assert committer.commit(changed(tmp_path, 90, 94)).rows["state_changes"] == 5
    assert standing(conn) == (100, 90, 94)
    assert below.found(conn, BOTH)["SEP41"].done == LedgerRange(90, 94)
    assert committer.commit(changed(tmp_path, 95, 99)).rows["state_changes"] == 5
    assert standing(conn) == (90, None, None)
    assert "SEP41" not in below.found(conn, BOTH)
    assert written(conn) == list(range(90, 100))
    committer.close()
    proxy.close()


def test_what_falls_out_moves_a_part_up(committer: Committer, conn: psycopg.Connection, run: Run, tmp_path: Path):
    """Its beginning moves at once, its cursor when the migration looks; whatever is filled in below is lacking anew."""
    committer.commit(changed(tmp_path, 90, 92))
    hold_from(conn, 95)
    below.keep(conn, 95)
    assert standing(conn) == (100, 95, 92)
    assert below.found(conn, BOTH)["SEP41"].done is None
    with pytest.raises(FallenOut):
        committer.commit(changed(tmp_path, 93, 94))
    below.catch_up(conn, "SEP41", run)
    assert standing(conn) == (100, 95, 94)
    assert cursors.read(conn, [KEY])[KEY].hash == handmade.hash_of(94)
    hold_from(conn, 90)
    assert below.found(conn, BOTH)["SEP41"].lacks == (LedgerRange(90, 99),)
    committer.commit(changed(tmp_path, 95, 99))
    assert standing(conn) == (95, None, None)


def test_a_chunk_that_falls_out_in_part_begins_the_part(committer: Committer, conn: psycopg.Connection, tmp_path: Path):
    """What is kept of it is written, and the part begins there, though its beginning was made too late to be moved."""
    hold_from(conn, 93)
    committer.commit(changed(tmp_path, 90, 94))
    assert standing(conn) == (100, 93, 94)
    assert written(conn) == [93, 94]


@pytest.mark.parametrize("oldest", [100, 110])
def test_a_part_of_which_nothing_is_kept_is_over(committer: Committer, conn, run: Run, tmp_path: Path, oldest: int):
    """The history begins with what is kept, and nothing of the part is left."""
    committer.commit(changed(tmp_path, 90, 92))
    hold_from(conn, oldest)
    below.catch_up(conn, "SEP41", run)
    assert standing(conn) == (oldest, None, None)


def test_one_who_comes_after_the_end_of_a_part_is_told(store: str, conn, committer: Committer, tmp_path: Path):
    """Where the lock was lost, and another run has joined the part: nothing is written twice, and nobody alarmed."""
    other = run_of(conn, "migrate history")
    late = Committer(partial(psycopg.connect, store, autocommit=True), other, swap=swap_of(conn))
    committer.commit(changed(tmp_path, 90, 99))
    with closing(late), pytest.raises(PartGone, match=r"ledgers 90-94: another run has come .* of SEP41: ") as gone:
        late.commit(changed(tmp_path, 90, 94))
    assert gone.value.exit_code == 3
    assert written(conn) == list(range(90, 100))


def test_parts_that_stand_at_one_ledger_go_together(conn: psycopg.Connection, run: Run):
    """A leg goes up to the first history, or to where another part stands; histories that stand there go with it."""

    def leg() -> tuple[list[str], str] | None:
        found = next_leg(conn, "history", histories, 129, filled=[SEP41, SEP50])
        return found.gap and ([each.id for each in found.protocols], str(found.gap.ledgers))

    histories = list[Protocol]()

    assert leg() is None
    below.begin(conn, BOTH, run)
    assert leg() == (["SEP41", "SEP50"], "90-99")
    conn.execute("UPDATE ledgerfill.protocols SET history_from = 110 WHERE id = 'SEP50'")
    assert leg() == (["SEP41", "SEP50"], "90-99")
    conn.execute("UPDATE ledgerfill.ingest_store SET value = 95 WHERE key = %s", [KEY])
    assert leg() == (["SEP50"], "90-95")
    conn.execute("DELETE FROM ledgerfill.ingest_store WHERE key = %s", [KEY])
    assert leg() == (["SEP50"], "90-109")
    histories += [SEP41, SEP50]
    conn.execute("UPDATE ledgerfill.ingest_store SET value = 89 WHERE key = 'protocol_SEP41_history_cursor'")
    assert leg() == (["SEP41", "SEP50"], "90-109")
    conn.execute("UPDATE ledgerfill.ingest_store SET value = 99 WHERE key = 'protocol_SEP41_history_cursor'")
    assert leg() == (["SEP50"], "90-99")


def test_a_run_may_come_to_ledgers_again_for_another_protocol(
    committer: Committer, conn, store: str, run: Run, tmp_path: Path
):
    """A part that begins lower after another has passed: the row of that chunk has the sums of both."""
    committer.commit(changed(tmp_path, 90, 94))
    below.begin(conn, ["SEP50"], run)
    again = partial(LegSwap, leg=next_leg(conn, "history", [], 0, filled=[SEP50]))
    with closing(Committer(partial(psycopg.connect, store, autocommit=True), run, swap=again)) as other:
        chunk = changed(tmp_path, 90, 92)
        other.commit(replace(chunk, done=replace(chunk.done, sections=())))
    found = conn.execute(
        "SELECT first, last, attempts, timings ->> 'chunks' FROM ledgerfill.backfill_chunks"
    ).fetchall()
    assert found == [(90, 94, 2, "2")]
    assert (standing(conn), standing(conn, "SEP50")) == ((100, 90, 94), (100, 90, 92))
