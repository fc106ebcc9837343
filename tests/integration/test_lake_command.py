"""`lake make` and `lake info`, through real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(sys.executable).with_name("ledgerfill")


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if "LEDGERFILL" not in name}
    return subprocess.run([PROGRAM, "lake", *arguments], env=kept, capture_output=True, text=True, timeout=120)


def info(*arguments: str | Path) -> dict[str, object]:
    ended = run("info", *arguments, "--json")
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)  # type: ignore[no-any-return]  # a test's own document


@pytest.mark.parametrize(("per_object", "first", "seen"), [(1, 2, [2, 21]), (8, 24, [24, 47])])
def test_made_lake_is_what_was_asked_for(tmp_path: Path, per_object: int, first: int, seen: list[int]) -> None:
    """First ledger and ledgers an object are those of the flags; the counts lie beside the lake."""
    count = seen[1] - seen[0] + 1
    flags = ["--ledgers", str(count), "--start-ledger", str(first), "--ledgers-per-object", str(per_object)]
    assert run("make", tmp_path / "lake", *flags, "--shape", "sparse").returncode == 0
    found = info(tmp_path / "lake")
    assert (found["ledgers"], found["ledgers_per_object"]) == (seen, per_object)
    expected = json.loads((tmp_path / "lake" / "expected.json").read_text())
    assert (expected["first"], expected["ledgers"]) == (first, count)
    assert expected["network_passphrase"] == found["network_passphrase"]


def test_real_ledgers_are_repeated_to_any_length(tmp_path: Path, shared: Path) -> None:
    """A lake of samples with holes between them is repeated from its first object to its last, and over again."""
    assert run("make", tmp_path / "lake", "--ledgers", "30", "--from", shared / "ledgers" / "pubnet").returncode == 0
    assert info("--source", tmp_path / "lake")["ledgers"] == [2, 31]


@pytest.mark.parametrize(("lake", "ledgers"), [("pubnet", [7320888, 63092995]), ("testnet", [997, 998])])
def test_real_lakes_are_described(shared: Path, lake: str, ledgers: list[int]) -> None:
    """The first and last ledger of lakes as Galexie writes them, flat ones too, and their network."""
    found = info(shared / "ledgers" / lake)
    assert found["ledgers"] == ledgers
    assert "Network ; September 2015" in str(found["network_passphrase"])
    assert str(ledgers[0]) in run("info", shared / "ledgers" / lake).stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["info", "nowhere"], ["nowhere"]),
        (["info", "stream:file"], ["stream"]),
        (["make", "there", "--ledgers", "3", "--from", "nowhere"], ["nowhere"]),
        (["make", "there", "--ledgers", "3", "--start-ledger", "2147483646"], ["2147483647"]),
        (["make", "/proc/nothing/lake", "--ledgers", "3"], ["/proc/nothing"]),
    ],
    ids=" ".join,
)
def test_lake_that_cannot_be_is_one_line(arguments: list[str], words: list[str]) -> None:
    """What is not there, is no lake or cannot be made ends in one line that names it."""
    ended = run(*arguments)
    assert ended.returncode in (1, 2)
    assert (ended.stdout, ended.stderr.count("\n")) == ("", 1)
    for word in words:
        assert word in ended.stderr
