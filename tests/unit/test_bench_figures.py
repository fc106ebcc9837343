"""What follows from what a bench measured: roofline, shares, targets."""

from __future__ import annotations

import json

import pytest
from benched import bench, measures

from pipeline.bench.document import HEADLINES, document
from pipeline.bench.figures import Measured, Target


def test_roofline_is_cores_over_cpu_a_ledger() -> None:
    """Two cores and 4 ms a ledger that nothing can do without are 500 ledgers a second."""
    measured = Measured(cores=2, rounds=[measures()])
    assert measured.roofline_ms == {"rust": 1.0, "client": 0.25, "server": 2.75}
    assert measured.roofline == pytest.approx(500)
    assert measured.share("backfill") == pytest.approx(0.8)


def test_targets_are_ratios_of_what_was_measured() -> None:
    """Each target has the ratio that it is about, and says whether it is met."""
    ratios = {target.key: target.ratio for target in Measured(cores=2, rounds=[measures()]).targets()}
    # A bare client of 10,000 ledgers: 0.25 s of start and 2.5 s of copying; the coordinator had 3.5 s of 15.5.
    assert ratios == pytest.approx(
        {
            "run_over_roofline": 0.8,
            "run_over_before": 32 / 25,
            "connections": 1.5,
            "server_over_plain": 2.75 / 1.5,
            "coordinator": (3.5 - 2.75) / 15.5,
        }
    )


@pytest.mark.parametrize(
    ("ratio", "at_least", "met"),
    [(0.8, True, True), (0.79, True, False), (0.8, False, True), (0.81, False, False)],
)
def test_target_is_met_at_its_bound(ratio: float, at_least: bool, met: bool) -> None:
    """A ratio at the bound meets it, one beyond it does not."""
    assert Target(key="a", name="a", ratio=ratio, bound=0.8, at_least=at_least).met is met


def test_ratios_are_taken_in_each_round() -> None:
    """Of three rounds the median counts, of ratios too: a round that was disturbed changes nothing."""
    rounds = [measures(run_s=run_s) for run_s in (25.0, 100.0, 24.0)]
    assert Measured(cores=2, rounds=rounds).share("backfill") == pytest.approx(0.8)
    assert document(bench(*rounds))["ledgers_per_s"] == 400


def test_document_has_its_numbers_at_the_top() -> None:
    """The JSON begins with the numbers of the whole run, each a number and never a text."""
    read = json.loads(json.dumps(document(bench())))
    assert {name: read[name] for name in HEADLINES} == {
        "ledgers_per_s": 400,
        "rows_per_s": 600_000,
        "mb_per_s": 400,
        "roofline_ledgers_per_s": 500,
        "share_of_roofline": 0.8,
        "cpu_ms_per_ledger": 4.3,
        "peak_memory_mib": 200,
    }
    assert read["cpu_ms_per_ledger_by_process"] == {"workers": 1.2, "coordinator": 0.35, "server": 2.75}
    assert [measure["key"] for measure in read["measures"]] == list(measures())
    assert read["measures"][0]["cpu_ms_per_ledger"]["decompress"] == 0.6
