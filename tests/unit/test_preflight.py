"""tools/preflight.sh: its first line says what is missing to build; with all there it is silent."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "tools" / "preflight.sh"
NEWEST = "cargo 1.88.0 (873a06493 2025-05-10)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A folder that is all of PATH, with everything that is needed to build, or what stands for it."""
    for tool in ("sed", "head"):
        (tmp_path / tool).symlink_to(shutil.which(tool) or "")
    fake(tmp_path / "python3", "exit 0")
    fake(tmp_path / "cc", "exit 0")
    fake(tmp_path / "cargo", f"echo '{NEWEST}'")
    return tmp_path


def fake(path: Path, script: str) -> None:
    path.unlink(missing_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def said(path: Path, **more: str) -> str:
    """Return what it prints; it ends with 1 where that is anything."""
    ended = subprocess.run(
        ["/bin/sh", SCRIPT], env={"PATH": str(path)} | more, capture_output=True, text=True, check=False, timeout=20
    )
    assert (ended.returncode, ended.stderr) == (1 if ended.stdout else 0, "")
    assert ended.stdout.count("\n") <= 1
    return ended.stdout


def test_nothing_is_said_where_all_is_there(path: Path) -> None:
    """The oldest cargo that will do is enough, and any newer one."""
    assert said(path) == ""
    for version in ("1.100.1", "2.0.0-nightly"):
        fake(path / "cargo", f"echo 'cargo {version}'")
        assert said(path) == ""


def test_empty_path_lacks_python_first(tmp_path: Path) -> None:
    """The very first thing to install is named, with how; no tool that the script itself would need is missed."""
    assert said(tmp_path).startswith("missing: Python 3.11 or newer ('python3' is not there); on Debian: apt-get")
    assert "'python3.12' is not there" in said(tmp_path, PYTHON="python3.12")


def test_old_python_is_named_with_its_version(path: Path) -> None:
    """And how to name another one."""
    fake(path / "python3", '[ "$1" = --version ] && echo Python 3.9.2; exit 1')
    assert said(path).startswith(
        "too old: Python 3.9.2, ledgerfill needs Python 3.11 or newer; name another with: make"
    )


def test_python_without_venv_is_named(path: Path) -> None:
    """Debian packs it apart."""
    fake(path / "python3", 'case "$2" in *venv*) exit 1;; esac')
    assert said(path).startswith("missing: Python's venv module; on Debian: apt-get install python3-venv")


@pytest.mark.parametrize(("tool", "words"), [("cc", "missing: a C compiler (cc)"), ("cargo", "missing: cargo 1.88")])
def test_missing_compiler_is_named(path: Path, tool: str, words: str) -> None:
    """Each with the package that brings it."""
    (path / tool).unlink()
    assert said(path).startswith(words)
    assert "apt-get install" in said(path)


@pytest.mark.parametrize("version", ["cargo 1.87.0 (99624be96 2025-05-06)", "cargo 1.9.0", "cargo 0.26.0", ""])
def test_old_cargo_is_named_with_its_version(path: Path, version: str) -> None:
    """One minor version too old is too old, and so is one that does not say."""
    fake(path / "cargo", f"echo '{version}'")
    assert said(path).startswith(f"too old: {version}, ledgerfill needs cargo 1.88 or newer")
