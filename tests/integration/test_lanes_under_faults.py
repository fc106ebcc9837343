"""Several connections that copy ahead, and a fault on each: nothing is lost, nothing twice, and the run goes on."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import handmade
import psycopg
import pytest
from lanes_stage import COUNT, FIRST, IN_ORDER, House, Losing, Scene, Stage, play

from pipeline.lanes import Lanes
from pipeline.store import books, queries, swap, version
from pipeline.store.commit import Committer
from pipeline.store.connection import Limits
from pipeline.store.embedded import EmbeddedServer
from pipeline.store.swap import StretchSwap
from workers.messages import LedgerRange

HEAD, NEXT, AFTER = 3, 4, 5  # numbers of chunks: what is struck is in the midst of the run
FAULTS = {  # where it strikes, and what it is
    "acknowledgement lost": ("commit", "swallow"),
    "COMMIT lost": ("commit", "lose"),
    "cut off at COMMIT": ("commit", "abandon"),
    "reset in COPY": ("copy", "reset"),
    "reset in swap": ("swap", "reset"),
    "answer to swap lost": ("swap", "swallow"),
    "black hole in COPY": ("copy", "hole"),
    "black hole in swap": ("swap", "hole"),
    "black hole at COMMIT": ("commit", "hole"),
    "black hole behind COMMIT": ("commit", "mute"),
    "session ended in COPY": ("copy", "terminate"),
    "session ended in swap": ("swap", "terminate"),
    "session ended at COMMIT": ("commit", "terminate"),
    "crash in COPY": ("copy", "crash"),
    "crash at COMMIT": ("commit", "crash"),
}
LANDED = ("swallow", "mute")  # fates of a COMMIT that is carried out: only that it was must be found out
Place = Callable[[str, str], list[Scene]]


def at_the_head(at: str, fate: str) -> list[Scene]:
    """The one whose turn it is, while the next has copied and waits for its own."""
    return [{HEAD: (at, fate), NEXT: ("turn", "pass")}]


def behind(at: str, fate: str) -> list[Scene]:
    """One that copies, or has copied and swaps later, while that before it has swapped and not committed."""
    if at == "copy":
        return [{HEAD: ("commit", "pass"), NEXT: (at, fate)}]
    return [{HEAD: ("commit", "pass"), NEXT: ("turn", "pass")}, {NEXT: (at, fate)}]


def between(at: str, fate: str) -> list[Scene]:
    """Both at once, when one has swapped and the next has not committed, either side of the COMMIT between them."""
    other = "reset" if fate in ("swallow", "lose", "abandon") else "pass" if fate == "crash" else fate
    other = "hole" if other == "mute" else other
    if at == "commit":
        return [{HEAD: (at, fate), NEXT: ("turn", other)}]
    if at == "swap":
        return [{NEXT: (at, fate), AFTER: ("turn", other)}]
    return [{HEAD: ("record", other), NEXT: (at, fate)}]


@pytest.fixture(scope="module")
def server(reachable: Path) -> EmbeddedServer:
    """A server of this file's own, for it crashes; who cleans up the folder ends it."""
    server = EmbeddedServer(reachable / "crashing", durable=False, overrides={"shared_buffers": "64MB"})
    url = server.ensure_running()
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("CREATE DATABASE template TEMPLATE template0")
    with psycopg.connect(f"{url.rpartition('/')[0]}/template", autocommit=True) as conn:
        version.bring_up_to_date(conn)
        conn.execute(IN_ORDER)
    return server


@pytest.fixture
def house(server: EmbeddedServer, tmp_path: Path) -> Iterator[House]:
    house = House(server, tmp_path)
    yield house
    house.close()


@pytest.mark.parametrize(
    ("fault", "place", "lanes"),
    [
        (fault, place, lanes)
        for fault in FAULTS
        for place in (at_the_head, behind, between)
        for lanes in (2, 3)
        # With three there is one more that waits; to notice a black hole takes its time.
        if ((lanes == 2 or place is between) and ("hole" not in fault or (lanes == 2 and place is not between)))
        or (fault, place, lanes) == ("black hole at COMMIT", between, 2)
    ],
)
def test_a_fault_anywhere_costs_nothing(
    house: House, caplog: pytest.LogCaptureFixture, fault: str, place: Place, lanes: int
) -> None:
    """Whatever befalls which connection, each chunk is answered in turn, and the store is as if nothing had been."""
    at, fate = FAULTS[fault]
    caplog.set_level(logging.INFO, "pipeline.store")
    limits = Limits(statement_s=0.5, unacknowledged_s=1.0) if "hole" in fault else Limits(statement_s=10.0)
    house.ends_well(place(at, fate), lanes, limits)
    if fate not in ("abandon", "crash"):  # there the server decides
        assert found_landed(caplog) == (at == "commit" and fate in LANDED)


@pytest.mark.parametrize("lanes", [2, 3])
def test_waiting_for_long_costs_nothing(house: House, lanes: int) -> None:
    """A session that PostgreSQL ends because its turn takes too long to come is a broken connection as any other."""
    limits = Limits(statement_s=10.0, idle_in_transaction_s=0.3)
    house.ends_well([{HEAD: ("copy", "tarry"), NEXT: ("turn", "pass")}], lanes, limits)


@pytest.mark.parametrize(("share", "count"), [(0.05, 200), (1.0, 40)])
def test_lost_acknowledgements(house: House, caplog: pytest.LogCaptureFixture, share: float, count: int) -> None:
    """Of the commits of a run 5 % lose their acknowledgement, or every one: each is found to have landed."""
    seed = int(os.environ.get("LEDGERFILL_TEST_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"LEDGERFILL_TEST_SEED={seed}")
    lost = random.Random(seed).sample(range(count), round(share * count))
    caplog.set_level(logging.INFO, "pipeline.store")
    house.check(Losing(house.server, house.new_store(), lost), 2, count)
    assert found_landed(caplog) == len(lost)


def found_landed(caplog: pytest.LogCaptureFixture) -> int:
    """Return how many commits were recognised as the run's own after their acknowledgement was lost."""
    return sum("the acknowledgement was lost" in message for message in caplog.messages)


def commit_without_looking(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(StretchSwap, "explain", lambda *_: False)


def give_turns_early(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Lanes, "_wait_for", lambda *_: None)


@pytest.mark.parametrize(("canary", "fate"), [(commit_without_looking, "swallow"), (give_turns_early, "pass")])
def test_it_is_noticed_when_a_safeguard_is_gone(
    house: House, monkeypatch: pytest.MonkeyPatch, canary: Callable[[pytest.MonkeyPatch], None], fate: str
) -> None:
    """Without its safeguard the run does not end well, and the very check of the other tests says so."""
    canary(monkeypatch)
    with pytest.raises(AssertionError):
        house.ends_well(at_the_head("commit", fate), 2)


def test_a_swap_that_is_a_plain_update_is_noticed(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its condition the swap drags another run's stretch over ledgers that nobody has written."""
    plain = swap._SQL["extend"].rpartition(b"WHERE")[0]
    monkeypatch.setattr(swap, "_SQL", queries.load("commit") | {"extend": plain})
    url = house.new_store()
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("DROP TRIGGER in_order ON ledgerfill.backfill_chunks")
        other = books.new_run(conn)
        books.start_run(conn, other, LedgerRange(10, 11), source="handmade", workers=1)
        with closing(Committer(lambda: psycopg.connect(url, autocommit=True), other)) as committer:
            committer.commit(handmade.chunk(tmp_path, 10, 11))
        play(Stage(house.server, url, []), tmp_path, 2, COUNT)
        claimed = conn.execute("SELECT sum(last - first + 1) FROM ledgerfill.ledger_stretches").fetchone()
        held = conn.execute("SELECT count(*) FROM ledgerfill.ledgers").fetchone()
    assert (claimed, held) == ((FIRST + 2 * COUNT - 10,), (2 + 2 * COUNT,))
