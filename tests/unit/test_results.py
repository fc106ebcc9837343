"""The folder for rows: in shared memory where it fits, private, locked while its run lives, cleared after it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from workers.failures import SourceError
from workers.results import ResultFolder


def test_rows_go_to_shared_memory_where_it_has_room(tmp_path: Path) -> None:
    """With room for the window, the folder lies in shared memory, and only its user may look into it."""
    memory = tmp_path / "shm"
    memory.mkdir()
    with ResultFolder(1, tmp_path / "disk", shared_memory=memory) as folder:
        assert folder.in_memory
        assert folder.path.parent == memory / f"ledgerfill-{os.getuid()}"
        assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
        assert stat.S_IMODE(folder.path.parent.stat().st_mode) == 0o700


def test_rows_go_to_disk_where_shared_memory_is_small(tmp_path: Path) -> None:
    """A window larger than what is free in shared memory goes to the run's own folder."""
    with ResultFolder(1 << 60, tmp_path / "disk") as folder:
        assert not folder.in_memory
        assert folder.path.parent == tmp_path / "disk" / "results"


def test_rows_go_to_disk_without_shared_memory(tmp_path: Path) -> None:
    """Where there is no shared memory, the run's own folder is used."""
    with ResultFolder(1, tmp_path / "disk", shared_memory=tmp_path / "absent") as folder:
        assert not folder.in_memory


def test_rows_go_to_disk_where_shared_memory_takes_no_folder(tmp_path: Path) -> None:
    """Shared memory that says it has room and lets nobody make a folder, as a read-only one does, is passed over."""
    with ResultFolder(0, tmp_path / "disk", shared_memory=Path("/sys")) as folder:
        assert not folder.in_memory
        assert folder.path.parent == tmp_path / "disk" / "results"


def test_a_link_laid_by_a_stranger_is_not_followed(tmp_path: Path) -> None:
    """Shared memory is open to everybody: a link in place of this user's folder is left alone."""
    memory, elsewhere = tmp_path / "shm", tmp_path / "elsewhere"
    memory.mkdir()
    (elsewhere / "precious").mkdir(parents=True)
    (memory / f"ledgerfill-{os.getuid()}").symlink_to(elsewhere)
    with ResultFolder(1, tmp_path / "disk", shared_memory=memory) as folder:
        assert not folder.in_memory
    assert (elsewhere / "precious").is_dir()


def test_close_leaves_nothing(tmp_path: Path) -> None:
    """A closed folder is gone with all that was in it, and so is its parent when no other run is there."""
    memory = tmp_path / "shm"
    memory.mkdir()
    folder = ResultFolder(1, tmp_path, shared_memory=memory)
    (folder.path / "1").write_bytes(b"rows")
    folder.close()
    folder.close()
    assert list(memory.iterdir()) == []


def test_start_clears_the_dead_and_spares_the_living(tmp_path: Path) -> None:
    """A start removes what a killed run left, and no folder of a run that is alive."""
    memory = tmp_path / "shm"
    memory.mkdir()
    code = (
        "import sys, os, signal; from pathlib import Path; from workers.results import ResultFolder\n"
        "folder = ResultFolder(1, Path(sys.argv[2]), shared_memory=Path(sys.argv[1]))\n"
        "(folder.path / '7').write_bytes(b'rows')\n"
        "print(folder.path, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code, str(memory), str(tmp_path)], stdout=subprocess.PIPE, text=True, check=False
    )
    left = Path(killed.stdout.strip())
    assert left.joinpath("7").exists()
    with (
        ResultFolder(1, tmp_path, shared_memory=memory) as living,
        ResultFolder(1, tmp_path, shared_memory=memory) as other,
    ):
        assert not left.exists()
        assert living.path.exists()
        assert other.path.exists()


def test_what_was_left_on_disk_is_cleared_by_a_run_in_memory(tmp_path: Path) -> None:
    """Leftovers go at the next start wherever they lie, also when that one puts its rows elsewhere."""
    left = tmp_path / "disk" / "results" / "1-dead"
    left.mkdir(parents=True)
    with ResultFolder(1, tmp_path / "disk") as folder:
        assert folder.in_memory
        assert not left.exists()


def test_runs_come_and_go_beside_each_other(tmp_path: Path) -> None:
    """However runs start and end at once, each gets its folder in memory, and the last one leaves nothing."""
    memory = tmp_path / "shm"
    memory.mkdir()
    code = (
        "import sys; from pathlib import Path; from workers.results import ResultFolder\n"
        "for number in range(300):\n"
        "    with ResultFolder(1, Path(sys.argv[2]), shared_memory=Path(sys.argv[1])) as folder:\n"
        "        assert folder.in_memory\n"
        "        (folder.path / 'rows').write_bytes(b'rows')\n"
        "        assert (folder.path / 'rows').exists()"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(memory), str(tmp_path)], stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert [(run.communicate()[1], run.returncode) for run in running] == [("", 0)] * 3
    assert list(memory.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """Where the disk's folder is none, the refusal names it and the way out."""
    (tmp_path / "file").touch()
    with pytest.raises(SourceError, match=r"cannot make .* in \S+/file/results: .*LEDGERFILL_HOME"):
        ResultFolder(1 << 60, tmp_path / "file")
