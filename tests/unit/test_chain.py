"""Where chunks meet each other and the store, their hashes must."""

from __future__ import annotations

import pytest

from pipeline.chain import broken_link, misfit
from pipeline.plan import Gap
from workers.messages import ChunkDone, Failure, LedgerRange

GAP = Gap(ledgers=LedgerRange(100, 199), below=b"\x99" * 32, above=b"\x22" * 32)
FAILURE = Failure(reason="corrupt ledger 150", transient=False)


def done(first: int, last: int, *, previous: bytes = b"\x99" * 32, last_hash: bytes = b"\x11" * 32) -> ChunkDone:
    return ChunkDone(token=1, ledgers=LedgerRange(first, last), previous_hash=previous, last_hash=last_hash)


@pytest.mark.parametrize("known", [b"\x99" * 32, None])
def test_a_chunk_that_links_below_passes(known: bytes | None):
    """The previous hash is that of the ledger before, or nobody knows that one."""
    assert broken_link(GAP, LedgerRange(100, 149), done(100, 149), known) is None


def test_a_break_below_names_the_first_ledger():
    """A chunk that follows another ledger than the one before it is refused for good."""
    failure = broken_link(GAP, LedgerRange(150, 160), done(150, 160), b"\x55" * 32)
    assert failure
    assert (failure.ledger, failure.transient) == (150, False)
    assert failure.reason == (f"broken hash chain: ledger 150 follows {'99' * 32}, but ledger 149 is {'55' * 32}")


def test_a_break_above_names_the_ledger_behind_the_gap():
    """The last chunk of a gap must end in the ledger that the store's next one follows."""
    failure = broken_link(GAP, LedgerRange(150, 199), done(150, 199), b"\x99" * 32)
    assert failure
    assert (failure.ledger, failure.transient) == (200, False)
    assert failure.reason == (f"broken hash chain: ledger 200 follows {'22' * 32}, but ledger 199 is {'11' * 32}")


def test_only_the_end_of_a_gap_is_held_against_what_is_above():
    """A chunk in the middle, or a gap with nothing above it, has no seam there."""
    assert broken_link(GAP, LedgerRange(150, 198), done(150, 198), b"\x99" * 32) is None
    assert broken_link(Gap(ledgers=GAP.ledgers), LedgerRange(150, 199), done(150, 199), b"\x99" * 32) is None
    sound = done(150, 199, last_hash=b"\x22" * 32)
    assert broken_link(GAP, LedgerRange(150, 199), sound, b"\x99" * 32) is None


@pytest.mark.parametrize(
    ("got", "failure", "fits"),
    [
        ((100, 199), None, True),
        ((100, 149), FAILURE, True),
        (None, FAILURE, True),
        ((100, 149), None, False),
        (None, None, False),
        ((100, 199), FAILURE, False),
        ((101, 199), FAILURE, False),
        ((101, 199), None, False),
        ((100, 200), None, False),
        ((100, 200), FAILURE, False),
    ],
)
def test_an_answer_fits_its_chunk(got: tuple[int, int] | None, failure: Failure | None, fits: bool):
    """An answer is the whole chunk, or a failure and the sound ledgers before it; anything else is a failed attempt."""
    answer = ChunkDone(token=1, ledgers=LedgerRange(*got) if got else None, failure=failure)
    wrong = misfit(LedgerRange(100, 199), answer)
    assert (wrong is None) is fits
    assert wrong is None or wrong.transient
