"""What a bench measures with, and what it refuses before."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.bench.measuring import check_disk, crews, enough
from pipeline.errors import Refused


@pytest.mark.parametrize(
    ("cores", "tried"),
    [
        (1, [(1, 1)]),
        (2, [(1, 1), (2, 2), (2, 1)]),
        (6, [(1, 1), (2, 2), (4, 4), (6, 6), (6, 1), (6, 2), (6, 4)]),
        (32, [(1, 1), (2, 2), (4, 4), (8, 8), (32, 1), (32, 2), (32, 4), (32, 8)]),
    ],
)
def test_crews_double_up_to_the_cores(cores: int, tried: list[tuple[int, int]]) -> None:
    """Workers and connections grow together, and every count of connections is tried with all workers, each once."""
    assert crews(cores) == tried


def test_run_lasts_twenty_seconds_even_where_no_core_ever_idles() -> None:
    """At 4 ms of workers and server a ledger, 2 cores are done with 10,000 ledgers in 20 s; there are a few more."""
    count = enough({"workers": 1.0, "server": 3.0, "coordinator": 50.0}, 2)
    assert 10_000 <= count <= 12_000


def test_too_little_disk_is_refused_with_both_sizes(tmp_path: Path) -> None:
    """A bench that would fill the disk is refused before anything is made, and the message says how to go on."""
    check_disk(tmp_path, 1000)
    with pytest.raises(Refused, match=r"takes about [\d,.]+ TB, .* are free under .*--folder.*--ledgers"):
        check_disk(tmp_path, 1 << 50)


def test_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A folder that does not exist is named."""
    with pytest.raises(Refused, match=r"cannot use .*nowhere: No such file"):
        check_disk(tmp_path / "nowhere", 1000)
