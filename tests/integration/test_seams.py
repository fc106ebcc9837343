"""Upper seams of gaps, looked at in a real lake before a start."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from faulty_s3 import FaultyS3

from pipeline import source
from pipeline.config import BackfillSettings
from pipeline.errors import Refused
from pipeline.plan import Gap
from pipeline.seams import check_seams
from pipeline.source import OpenSource
from workers._decode import Decoder, make_lake
from workers.messages import LedgerRange

FIRST, LAST, PER_OBJECT = 64, 127, 8


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    folder = tmp_path / "lake"
    count = LAST - FIRST + 1
    make_lake(str(folder), ledgers=count, first=FIRST, shape="sparse", ledgers_per_object=PER_OBJECT)
    return folder


@pytest.fixture
def opened(lake: Path, tmp_path: Path) -> Iterator[OpenSource]:
    settings = BackfillSettings(source=str(lake), start_ledger=FIRST, end_ledger=LAST)
    with source.opened(settings, tmp_path) as found:
        yield found


def gap(first: int, last: int, above: bytes | None) -> Gap:
    return Gap(ledgers=LedgerRange(first, last), above=above)


def hash_of(opened: OpenSource, ledger: int) -> bytes:
    read = opened.reader.read(LedgerRange(ledger, ledger))
    return Decoder(opened.network_passphrase, tables=()).chunk(ledger, ledger, read.objects, -1).last_hash


def test_a_seam_that_links_is_no_matter(opened: OpenSource) -> None:
    """The store's ledger above a gap names the hash of the source's ledger below it, in the midst of an object too."""
    check_seams(opened, [gap(64, 70, hash_of(opened, 70)), gap(80, 87, hash_of(opened, 87)), gap(90, 100, None)])


def test_the_lowest_seam_that_does_not_link_is_named(opened: OpenSource) -> None:
    """With both ledgers and the object."""
    key = opened.reader.layout.key(70)
    with pytest.raises(Refused, match=rf"ledger 71 follows {'ab' * 32}, but ledger 70 is \w+ \(found in {key}\)"):
        check_seams(opened, [gap(72, 100, b"\xcd" * 32), gap(64, 70, b"\xab" * 32)])


def test_a_late_object_is_not_waited_for(lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that does not answer holds a start for as long as it may, and then is the run's matter."""
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_REGION", "us-east-2")
    settings = BackfillSettings(source="s3://lake", start_ledger=FIRST, end_ledger=LAST)
    with FaultyS3(lake).serving() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        with source.opened(settings, tmp_path) as opened:
            server.hang_s = 1.0
            server.faults[opened.reader.layout.key(70)] = ["hang"]
            began = time.monotonic()
            check_seams(opened, [gap(64, 70, b"\xab" * 32)], limit_s=0.3)
            assert 0.25 < time.monotonic() - began < 0.9
