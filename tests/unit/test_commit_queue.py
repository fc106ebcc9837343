"""From results in any order to commits in ledger order, linked by their hashes."""

from __future__ import annotations

import pytest

from pipeline.chunk import Attempt, Chunk, ChunkState, Result
from pipeline.commit_queue import CommitQueue
from pipeline.plan import Gap
from workers.messages import ChunkDone, LedgerRange

GAPS = (
    Gap(ledgers=LedgerRange(1, 20), below=b"\0" * 32),
    Gap(ledgers=LedgerRange(51, 60), below=(50).to_bytes(32, "big")),
)


def result(first: int, last: int, *, previous: int | None = None, attempts: int = 1, gap: Gap | None = None) -> Result:
    ledgers = LedgerRange(first, last)
    gap = gap or next(gap for gap in GAPS if first in gap.ledgers)
    chunk = Chunk(ledgers=ledgers, gap=gap, size=1, stored=1)
    attempt = Attempt(token=first, number=attempts, chunk=chunk, worker=7, path=f"/{first}", since=0.0)
    before = first - 1 if previous is None else previous
    done = ChunkDone(
        token=first, ledgers=ledgers, previous_hash=before.to_bytes(32, "big"), last_hash=last.to_bytes(32, "big")
    )
    made = Result(ledgers, done, attempt)
    chunk.attempts.append(attempt)
    chunk.take(made, 0.0)
    return made


def queue(ahead: int = 9) -> CommitQueue:
    return CommitQueue([gap.ledgers for gap in GAPS], ahead)


def test_a_ready_chunk_says_all_that_its_commit_needs():
    """It carries its gap, what to link to, who made it and at which attempt."""
    line = queue()
    for made in (result(51, 60), result(11, 20, attempts=3), result(1, 10)):
        assert line.hold(made) is None
    first, second, third = line.next_commit(), line.next_commit(), line.next_commit()
    assert first and second and third  # noqa: PT018  # one question: are all three there
    assert [str(ready.ledgers) for ready in (first, second, third)] == ["1-10", "11-20", "51-60"]
    assert [ready.previous for ready in (first, second, third)] == [n.to_bytes(32, "big") for n in (0, 10, 50)]
    assert (second.attempts, second.worker, second.gap) == (3, 7, GAPS[0])
    assert line.next_commit() is None
    assert line.next_ledger is None


def test_the_first_chunk_that_does_not_link_is_named():
    """What comes in order after a break is not lined up, what comes before it is."""
    line = queue()
    broken = result(11, 15, previous=99)
    for made in (broken, result(16, 20)):
        assert line.hold(made) is None
    found = line.hold(result(1, 10))
    assert found
    assert found[0] is broken
    assert found[1].ledger == 11
    ready = line.next_commit()
    assert ready
    assert ready.ledgers == LedgerRange(1, 10)
    assert line.next_commit() is None
    assert not broken.attempt.chunk.in_order


def test_what_goes_on_from_the_last_gap_links_to_it():
    """A queue whose end grows waits for more; the first that comes links to the last ledger before, or is named."""
    line = queue()
    for made in (result(1, 20), result(51, 60)):
        line.hold(made)
    assert line.next_ledger is None
    line.expect(LedgerRange(61, 70))
    assert line.next_ledger == 61
    grown = Gap(ledgers=LedgerRange(51, 70), below=GAPS[1].below)
    broken = line.hold(result(61, 65, previous=59, gap=grown))
    assert broken
    assert broken[1].ledger == 61


def test_commits_are_answered_in_their_order():
    """So many are outstanding as may be; only the lowest can be answered, and makes room for one more."""
    line = queue(ahead=1)
    for made in (result(1, 10), result(11, 20)):
        line.hold(made)
    assert line.next_commit()
    assert line.next_commit() is None
    with pytest.raises(ValueError, match="ledgers 11-20 were committed"):
        line.committed(LedgerRange(11, 20))
    _, chunk = line.committed(LedgerRange(1, 10))
    assert chunk.state is ChunkState.COMMITTING
    assert line.next_commit()
    with pytest.raises(ValueError, match="another chunk or none"):
        line.committed(LedgerRange(1, 10))
