"""A disk that fills up: a clear end, everything committed stays, and the same command goes on once there is room."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from lakes import FIRST
from program import Program, job, make_lake, wait_for
from stores import digests, held

LAST = 4001
FLAGS = ("--chunk-ledgers", 4, "--workers", 2)
MIB = 1 << 20
SmallDisk = Callable[[Path, int], AbstractContextManager[Path]]


@contextlib.contextmanager
def _mounted(folder: Path, size: int) -> Iterator[Path]:
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small disk needs the right to mount one")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
        folder.rmdir()


@pytest.fixture
def small_disk() -> SmallDisk:
    """Make a disk of so many bytes in a folder."""
    return _mounted


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake that takes some seconds to fill."""
    return make_lake(tmp_path_factory.mktemp("long") / "lake", LAST - FIRST + 1, "--shape", "sparse")


def fill_up(folder: Path, *, but: int = 0) -> Path:
    """Take all the room that is left, or all but some of it."""
    ballast = folder / f"ballast-{but}"
    with ballast.open("wb") as file, contextlib.suppress(OSError):
        while shutil.disk_usage(folder).free > but:
            file.write(bytes(MIB))
            file.flush()
    return ballast


def test_no_room_for_the_rows_of_a_chunk(
    ledgerfill: Program, core_lake: Path, tmp_path: Path, small_disk: SmallDisk
) -> None:
    """Rows go to the run's folder where shared memory is too small; when that is full the run ends, and says so."""
    with small_disk(tmp_path / "small", 2 * MIB) as home:
        cramped = Program(home, ledgerfill.database)
        assert cramped.backfill(core_lake, FIRST, 5).returncode == 0
        ballast = fill_up(home)
        flags = ("--window-bytes", "1000GB", "--chunk-ledgers", 20)  # more than any shared memory has
        ended = cramped.backfill(core_lake, FIRST, 45, *flags)
        assert ended.returncode == 1
        assert "no space left for the rows at " in ended.stderr
        assert "--end-ledger 45" in ended.stdout + ended.stderr
        assert held(ledgerfill.database) == [(FIRST, 5)]
        ballast.unlink()
        assert cramped.backfill(core_lake, FIRST, 45, *flags).returncode == 0
        assert held(ledgerfill.database) == [(FIRST, 45)]


def test_no_room_for_the_database(ledgerfill: Program, lake: Path, reachable: Path, small_disk: SmallDisk) -> None:
    """PostgreSQL runs out of room, or even ends for want of it: nothing of what was committed is lost."""
    assert ledgerfill.backfill(lake, FIRST, LAST).returncode == 0
    undisturbed = digests(ledgerfill.database)
    with small_disk(reachable / "small", 1200 * MIB) as home:
        cramped = Program(home / "home", None)
        try:
            assert cramped.backfill(lake, FIRST, FIRST + 3).returncode == 0
            url = cramped("store", "url").stdout.strip()
            fill_up(home, but=150 * MIB)
            running = cramped.start("backfill", *job(lake, FIRST, LAST), *FLAGS)
            wait_for(lambda: running.ended() or held(url)[0][1] > FIRST + 100)
            fill_up(home)
            ended = running.result()
            assert ended.returncode == 1, ended.stderr
            assert "no space left on device" in ended.stderr.lower(), ended.stderr
            assert f"--end-ledger {LAST}" in ended.stdout + ended.stderr
            for ballast in home.glob("ballast-*"):
                ballast.unlink()
            resumed = cramped.backfill(lake, FIRST, LAST, *FLAGS)
            assert resumed.returncode == 0, resumed.stderr
            assert digests(url) == undisturbed
        finally:
            cramped("store", "stop")
