"""Settings: who wins, what is refused and in which words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.config import BackfillSettings, LakeSettings, StatusSettings
from pipeline.config_sources import known_names, load
from pipeline.errors import Refused

NEEDED = {"source": "lake", "start_ledger": 2}
HASH = "ab" * 32


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    for name in [*known_names(), "config"]:
        monkeypatch.delenv(f"LEDGERFILL_{name.upper()}", raising=False)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    return


def refusal(**flags: object) -> str:
    with pytest.raises(Refused) as refused:
        load(BackfillSettings, NEEDED | flags)
    return str(refused.value)


def test_flag_environment_and_file_win_in_this_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flag stands before the environment, and that before the file."""
    Path("ledgerfill.toml").write_text("workers = 5\nmax_attempts = 5\nstall-floor = 5")
    monkeypatch.setenv("LEDGERFILL_WORKERS", "6")
    monkeypatch.setenv("LEDGERFILL_MAX_ATTEMPTS", "6")
    settings = load(BackfillSettings, {**NEEDED, "workers": 7})
    assert (settings.workers, settings.max_attempts, settings.stall_floor_s) == (7, 6, 5.0)


@pytest.mark.parametrize(
    ("flags", "environment"), [({"config": "other.toml"}, {}), ({}, {"LEDGERFILL_CONFIG": "other.toml"})]
)
def test_named_file_replaces_the_default_one(
    monkeypatch: pytest.MonkeyPatch, flags: dict[str, str], environment: dict[str, str]
) -> None:
    """A file that is named is read instead of the one in the working folder."""
    Path("ledgerfill.toml").write_text("workers = 5")
    Path("other.toml").write_text("workers = 9")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert load(BackfillSettings, NEEDED | flags).workers == 9


def test_database_is_looked_for_in_the_promised_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """--database, LEDGERFILL_DATABASE, DATABASE_URL, the file, else the embedded server."""
    assert load(StatusSettings, {}).database_url is None
    Path("ledgerfill.toml").write_text('database = "postgresql://file/x"')
    assert load(StatusSettings, {}).database_url == "postgresql://file/x"
    monkeypatch.setenv("DATABASE_URL", "postgresql://general/x")
    assert load(StatusSettings, {}).database_url == "postgresql://general/x"
    monkeypatch.setenv("LEDGERFILL_DATABASE", "postgresql://ours/x")
    assert load(StatusSettings, {}).database_url == "postgresql://ours/x"
    assert load(StatusSettings, {"database": "postgresql://flag/x"}).database_url == "postgresql://flag/x"


def test_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exported but empty variable changes nothing."""
    monkeypatch.setenv("LEDGERFILL_DATABASE", "")
    monkeypatch.setenv("LEDGERFILL_MAX_ATTEMPTS", "")
    settings = load(BackfillSettings, NEEDED)
    assert (settings.database, settings.max_attempts) == (None, 3)


def test_what_was_not_said_follows_from_the_workers() -> None:
    """The window is 4 chunks and 256 MiB a worker, unless something else was said."""
    settings = load(BackfillSettings, {**NEEDED, "workers": 3})
    assert (settings.window_chunks, settings.window_bytes) == (12, 3 * 256 << 20)
    settings = load(BackfillSettings, {**NEEDED, "workers": 3, "window": 5, "window_bytes": "64MiB"})
    assert (settings.window_chunks, settings.window_bytes) == (5, 64 << 20)


@pytest.mark.parametrize("name", ["workers", "start_ledger", "stall_floor", "window_bytes", "connections", "window"])
def test_a_truth_is_no_number(name: str) -> None:
    """What a file says with `true` is not taken for 1."""
    Path("ledgerfill.toml").write_text(f"{name} = true")
    with pytest.raises(Refused, match=f"{name} in ledgerfill.toml is True: expected a number"):
        load(BackfillSettings, {"source": "lake"} if name == "start_ledger" else NEEDED)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"end_ledger": 1}, ["--end-ledger 1", "--start-ledger 2"]),
        ({"workers": 8, "window": 8}, ["--window of 8", "--workers 8", "at least 9"]),
        ({"stall_floor": 30.0, "stall_ceiling": 20.0}, ["--stall-floor of 30 s", "--stall-ceiling of 20 s"]),
        ({"stall_floor": 5.0, "stall_ceiling": 10.0}, ["--fetch-timeout of 15 s", "--stall-ceiling of 10 s"]),
        ({"window": 0}, ["--window is 0"]),
        ({"workers": 0}, ["--workers is 0"]),
        ({"start_ledger": 2**31}, ["--start-ledger is 2147483648", "2147483647"]),
        ({"hole_deadline": float("nan")}, ["--hole-deadline is nan", "finite"]),
        ({"window_bytes": "12 parsecs"}, ["--window-bytes is '12 parsecs'"]),
        ({"suffix": ".zip"}, ["--suffix is '.zip'", ".xdr.zstd"]),
        ({"trusted_hash": ["7:abcd"]}, ["--trusted-hash", "64 hex digits", "7:abcd"]),
        ({"trusted_hash": [f"7:{HASH}", f"7:{'cd' * 32}"]}, ["two hashes for ledger 7"]),
        ({"source": "stream:x"}, ["--network-passphrase"]),
        ({"source": "stream:", "network_passphrase": "Test"}, ["--source is 'stream:': expected stream:FILE"]),
        ({"network_passphrase": ""}, ["--network-passphrase is ''", "at least 1 character"]),
        ({"config": "nowhere.toml"}, ["nowhere.toml", "No such file"]),
    ],
)
def test_contradictions_are_refused_in_their_own_words(flags: dict[str, object], words: list[str]) -> None:
    """What cannot hold together is refused before the start, and the message has every number of it."""
    message = refusal(**flags)
    for word in words:
        assert word in message
    assert Refused.exit_code == 2


def test_refusal_names_where_the_value_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad value in the environment or in the file is called by its name there."""
    monkeypatch.setenv("LEDGERFILL_WORKERS", "many")
    assert refusal().startswith("LEDGERFILL_WORKERS is 'many'")
    monkeypatch.delenv("LEDGERFILL_WORKERS")
    Path("ledgerfill.toml").write_text('workers = "many"')
    assert refusal().startswith("workers in ledgerfill.toml is 'many'")


def test_unknown_name_in_the_file_is_refused() -> None:
    """A misspelt setting is not silently without effect."""
    Path("ledgerfill.toml").write_text("wrokers = 3")
    assert refusal() == "unknown setting wrokers in ledgerfill.toml: did you mean workers?"


def test_file_that_is_no_toml_is_refused() -> None:
    """A damaged file ends in one line that names it."""
    Path("ledgerfill.toml").write_text("workers 3")
    assert "ledgerfill.toml" in refusal()


def test_missing_setting_names_every_way_to_give_it() -> None:
    """Without a source, the flag, the variable and the file's key are named."""
    with pytest.raises(Refused, match=r"--source is missing \(or LEDGERFILL_SOURCE, or source in ledgerfill.toml\)"):
        load(BackfillSettings, {"start_ledger": 2})


def test_one_file_serves_every_command() -> None:
    """A setting that another command has is no error."""
    Path("ledgerfill.toml").write_text('source = "lake"\nstart_ledger = 4\nruns = 3')
    assert load(LakeSettings, {}).source == "lake"
    assert load(StatusSettings, {}).runs == 3


def test_trusted_hashes_read_alike_from_flag_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeated flags and a list with commas mean the same."""
    texts = [f"7:{HASH}", f"9:{HASH.upper()}"]
    by_flag = load(BackfillSettings, {**NEEDED, "trusted_hash": texts})
    monkeypatch.setenv("LEDGERFILL_TRUSTED_HASH", ", ".join(texts))
    assert load(BackfillSettings, NEEDED).trusted == by_flag.trusted == ((7, b"\xab" * 32), (9, b"\xab" * 32))


def test_password_is_in_no_text_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither what settings look like, nor what is shown of them, nor an error about them holds the password."""
    monkeypatch.setenv("LEDGERFILL_DATABASE", "postgresql://me:marker-password@host/db")
    settings = load(BackfillSettings, NEEDED)
    assert "marker-password" not in repr(settings) + str(settings) + settings.database_shown + refusal(window=0)
    assert settings.database_shown == "postgresql://me:***@host/db"
    assert settings.database_url == "postgresql://me:marker-password@host/db"
