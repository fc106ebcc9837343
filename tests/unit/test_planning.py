"""From settings, source and store to a plan: what is sampled, and whether it fits."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import SecretStr

from pipeline.config import StoreSettings
from pipeline.errors import Refused
from pipeline.plan import CostModel, Gap, Plan
from pipeline.planning import MOST_WAL_BYTES, SAMPLES, check_disk, disk_needed, sample
from pipeline.store.database import Database
from workers.messages import LedgerRange


def plan(last: int, stored_bytes: int) -> Plan:
    wanted = LedgerRange(2, last)
    return Plan(wanted=wanted, gaps=(Gap(ledgers=wanted),), cost=CostModel([(2, stored_bytes)]))


def test_samples_are_spread_over_what_is_missing() -> None:
    """Both ends are asked for, what is held never is, and a long range costs no more than a short one."""
    parts = [LedgerRange(10, 1009), LedgerRange(5_000_000, 60_000_000)]
    ledgers = sample(parts)
    assert len(ledgers) == SAMPLES
    assert (ledgers[0], ledgers[-1]) == (10, 60_000_000)
    assert all(any(ledger in part for part in parts) for ledger in ledgers)
    assert ledgers == sorted(set(ledgers))


@pytest.mark.parametrize(("first", "last"), [(7, 7), (7, 9), (2, SAMPLES + 1)])
def test_a_short_range_is_sampled_whole(first: int, last: int) -> None:
    """No ledger is asked for twice."""
    assert sample([LedgerRange(first, last)]) == list(range(first, last + 1))


def test_a_range_that_will_not_fit_is_refused_before_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is needed and what is free are both said; no server is started for it."""
    home = tmp_path / "not" / "there" / "yet"
    monkeypatch.setenv("LEDGERFILL_HOME", str(home))
    embedded = Database(StoreSettings())
    check_disk(embedded, plan(3, 1000))
    with pytest.raises(Refused, match=r"too little disk for ledgers 2-60000000: they take about .* TB, .*B are free"):
        check_disk(embedded, plan(60_000_000, 1 << 30))
    assert not home.exists()


def test_little_that_is_too_much_is_said_in_small_units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is needed and what is free never read the same where one is more than the other by a tenth."""
    monkeypatch.setenv("LEDGERFILL_HOME", str(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=100_000_000))
    with pytest.raises(Refused, match=r"they take about 128\.0 MB, 100\.0 MB are free under"):
        check_disk(Database(StoreSettings()), plan(17, 1_000_000))


def test_a_server_elsewhere_is_not_asked_for_its_disk() -> None:
    """It does not say how much it has."""
    check_disk(Database(StoreSettings(database=SecretStr("postgresql://host/name"))), plan(60_000_000, 1 << 30))


def test_the_write_ahead_log_counts_up_to_its_limit() -> None:
    """A small range needs as much again, a large one not more than the server keeps."""
    assert disk_needed(plan(3, 1000)) == 2 * 2 * 4 * 1000
    large = plan(60_000_000, 1 << 20)
    assert disk_needed(large) == large.stored_bytes * 4 + MOST_WAL_BYTES
