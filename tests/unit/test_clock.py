"""The clock of a run goes with the machine's, but for the time in which the run was stopped."""

from __future__ import annotations

import logging

import pytest

from pipeline.clock import STOPPED_S, RunClock


def test_a_stop_takes_no_time(caplog: pytest.LogCaptureFixture) -> None:
    """Time goes on from look to look; a pause that is longer than any wait is left out for good, and said once."""
    times = iter([100.0, 101.0, 101.0 + STOPPED_S, 1000.0, 1000.5])
    clock = RunClock(lambda: next(times))
    with caplog.at_level(logging.WARNING):
        assert [clock() for _ in range(4)] == [101.0, 106.0, 106.0, 106.5]
    assert [record.getMessage() for record in caplog.records] == [
        "the run stood still for 894.0 s: deadlines are put off as long"
    ]
