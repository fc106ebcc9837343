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
    """A password stays in the environment that gave it; from a flag it has to come from elsewhere."""
    url = "postgresql://me:marker-resume@host/db"
    assert "--database postgresql://me@host/db" in resume(database=url)
    monkeypatch.setenv("LEDGERFILL_DATABASE", url)
    assert "--database" not in resume()
    assert "marker" not in resume()


def test_program_started_as_a_module_is_resumed_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m pipeline` resumes with the same interpreter."""
    monkeypatch.setattr(sys, "argv", ["/somewhere/pipeline/__main__.py"])
    assert shlex.split(resume())[:4] == [sys.executable, "-m", "pipeline", "backfill"]
