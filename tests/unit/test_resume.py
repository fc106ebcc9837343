"""The command that resumes a run."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from pipeline.config import BackfillSettings
from pipeline.config_sources import load
from pipeline.resume import resume_command


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["bin/ledgerfill"])
    monkeypatch.delenv("DATABASE_URL", raising=False)
    for name in ("LEDGERFILL_DATABASE", "LEDGERFILL_HOME"):
        monkeypatch.delenv(name, raising=False)


def resume(**flags: object) -> str:
    return resume_command(load(BackfillSettings, {"source": "lake", "start_ledger": 2, **flags}))


def test_command_says_everything_that_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flags, environment and file end up as flags: the command needs neither of the others again."""
    Path("ledgerfill.toml").write_text("stall_floor = 2.5")
    monkeypatch.setenv("LEDGERFILL_WORKERS", "3")
    words = shlex.split(
        resume(trusted_hash=["7:" + "AB" * 32, "9:" + "cd" * 32], window_bytes="1MiB", insecure_tls=True, display=False)
    )
    assert words[:2] == ["bin/ledgerfill", "backfill"]
    for flag, value in {"--source": "lake", "--start-ledger": "2", "--workers": "3", "--stall-floor": "2.5"}.items():
        assert words[words.index(flag) + 1] == value
    assert words[words.index("--window-bytes") + 1] == str(1 << 20)
    assert [words[at + 1] for at, word in enumerate(words) if word == "--trusted-hash"] == [
        "7:" + "ab" * 32,
        "9:" + "cd" * 32,
    ]
    assert "--insecure-tls" in words
    assert not {"--end-ledger", "--database", "--display", "--no-display"} & set(words)


def test_command_is_quoted_for_a_shell() -> None:
    """Blanks and quotes in names come through a shell unharmed."""
    source = "it's a $lake; rm -rf"
    assert shlex.split(resume(source=source))[3] == source


def test_embedded_store_is_named_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """A home of one's own goes before the command, as a shell takes it; a server that was named needs none."""
    monkeypatch.setenv("LEDGERFILL_HOME", "/data/it's mine")
    words = shlex.split(resume())
    assert words[:3] == ["LEDGERFILL_HOME=/data/it's mine", "bin/ledgerfill", "backfill"]
    assert "LEDGERFILL_HOME" not in resume(database="postgresql://host/name")


def test_password_is_never_in_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """The database is named wherever it came from, so that no other shell fills another one; its password is not."""
    url = "postgresql://me:marker-resume@host/db"
    assert "--database postgresql://me@host/db" in resume(database=url)
    for name in ("DATABASE_URL", "LEDGERFILL_DATABASE"):
        monkeypatch.setenv(name, url)
        assert "--database postgresql://me@host/db" in resume()
        assert "marker" not in resume()
        monkeypatch.delenv(name)


@pytest.mark.parametrize("name", ["DATABASE_URL", "LEDGERFILL_DATABASE"])
def test_pasted_command_finds_the_password_where_it_was(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """In the same shell the command needs nothing else; another one asks the same server, with no password."""
    url = "postgresql://me:marker-resume@host/db?connect_timeout=3"
    monkeypatch.setenv(name, url)
    words = shlex.split(resume())
    pasted = {"source": "lake", "start_ledger": 2, "database": words[words.index("--database") + 1]}
    assert load(BackfillSettings, pasted).database_url == url
    monkeypatch.delenv(name)
    assert load(BackfillSettings, pasted).database_url == "postgresql://me@host/db?connect_timeout=3"


def test_password_of_another_database_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A password goes to the server, user and database that it was given for, and to no other."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:marker-resume@host/db")
    for url in ("postgresql://me@other/db", "postgresql://you@host/db", "postgresql://me:mine@host/db"):
        flags = {"source": "lake", "start_ledger": 2, "database": url}
        assert load(BackfillSettings, flags).database_url == url


def test_program_started_as_a_module_is_resumed_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m pipeline` resumes with the same interpreter."""
    monkeypatch.setattr(sys, "argv", ["/somewhere/pipeline/__main__.py"])
    assert shlex.split(resume())[:4] == [sys.executable, "-m", "pipeline", "backfill"]
