"""What `plan` and `status` make of a store that is not of this program's version."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr

from pipeline import status, survey
from pipeline.cli import plan as plan_command
from pipeline.cli import status as status_command
from pipeline.config import BackfillSettings, StatusSettings
from pipeline.errors import Refused
from pipeline.store import version
from workers._decode import make_lake

FIRST, LAST = 2, 9


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "lake"
    make_lake(str(folder), ledgers=LAST - FIRST + 1, first=FIRST, shape="sparse")
    return folder


@pytest.fixture
def plan(lake: Path, database: str) -> Callable[[], list[str]]:
    settings = BackfillSettings(source=str(lake), database=SecretStr(database), start_ledger=FIRST, end_ledger=LAST)
    return lambda: list(plan_command.lines(survey.survey(settings)))


@pytest.fixture
def state(database: str) -> Callable[[], str]:
    settings = StatusSettings(database=SecretStr(database))
    return lambda: "\n".join(status_command.lines(status.gather(settings)))


@pytest.fixture
def conn(database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database, autocommit=True) as opened:
        yield opened


@pytest.mark.parametrize(
    ("number", "refusal", "standing"),
    [
        (99, "has version 99, this program knows up to", "version 99 (newer than this program"),
        (0, "has version 0, which no ledgerfill writes", "version 0 (unknown to this program)"),
        (-1, "has version -1, which no ledgerfill writes", "version -1 (unknown to this program)"),
    ],
)
def test_a_version_that_is_not_known_is_no_plan(
    conn: psycopg.Connection,
    plan: Callable[[], list[str]],
    state: Callable[[], str],
    number: int,
    refusal: str,
    standing: str,
):
    """What a backfill would refuse is refused by `plan` too, and `status` says how the store stands, and no more."""
    version.bring_up_to_date(conn)
    conn.execute("UPDATE ledgerfill.store_version SET version = %s", [number])
    with pytest.raises(Refused, match=refusal):
        plan()
    with pytest.raises(Refused, match=refusal):
        version.bring_up_to_date(conn)
    assert state().endswith(f"store    {standing}" + (": use a newer ledgerfill)" if number == 99 else ""))


def test_an_older_store_is_planned_for(
    conn: psycopg.Connection, plan: Callable[[], list[str]], state: Callable[[], str]
):
    """Both read a store of the version before, and say that a backfill brings it up to date; neither does."""
    version.bring_up_to_date(conn, version.STEPS[:-1])
    before = version.STEPS[-2].to
    lines = plan()
    assert f"  store      of version {before}: a backfill brings it up to date" in lines
    assert any(line.startswith("  missing    8 ledgers") for line in lines)
    assert f"version {before} (older than this program: a backfill brings it up to date)" in state()
    assert version.current(conn) == before
