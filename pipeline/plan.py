"""What to do, in which pieces: gaps of a range become chunks of about equal cost.

Chunks are computed when they are asked for, never stored: a plan over 64 million ledgers costs what one chunk costs.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from pipeline.segments import SEGMENT_LEDGERS
from workers.messages import LedgerRange

OBJECT_BYTES = 128 << 10  # of a pubnet ledger as stored; assumed where nothing was sampled
TARGET_BYTES = 16 << 20  # of a chunk as stored, where the range is long
FOLDED_BYTES = 64 << 20  # likewise, where its rows are folded: the more ledgers it has, the fewer rows come of each
CHUNKS_A_WORKER = 4  # at least, where the range has that many objects
SHARES_OF_REST = 16  # of what is left up to an end that moves, a chunk takes one: so the last are of one ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A part of the range that the store lacks, and the hashes that stand at its two seams, where they are known."""

    ledgers: LedgerRange
    below: bytes | None = None  # hash of ledger first - 1
    above: bytes | None = None  # the previous hash that ledger last + 1 names


class CostModel:
    """Stored bytes a ledger by position: each sample speaks for the ledgers that are nearest to it."""

    def __init__(self, samples: Iterable[tuple[int, int]] = (), *, ledgers_per_object: int = 1) -> None:
        """Take samples of (a ledger, bytes of its object)."""
        known = sorted(dict(samples).items())
        ledgers = [ledger for ledger, _ in known]
        middles = [(below + above) // 2 + 1 for below, above in pairwise(ledgers)]
        # Rounded up to whole bytes: integers keep every sum exact, and no ledger is free of cost.
        self._bytes = [max(1, -(-size // ledgers_per_object)) for _, size in known] or [OBJECT_BYTES]
        self._starts = [0, *middles]  # where each piece begins

    def bytes_at(self, ledger: int) -> int:
        """Return the stored bytes of one ledger."""
        return self._bytes[bisect_right(self._starts, ledger) - 1]

    def end_of_piece(self, ledger: int) -> int | None:
        """Return the last ledger that costs the same as `ledger` by the same sample; None: all that follow do."""
        piece = bisect_right(self._starts, ledger)
        return self._starts[piece] - 1 if piece < len(self._starts) else None

    def pieces(self, ledgers: LedgerRange) -> Iterator[tuple[LedgerRange, int]]:
        """Iterate over the parts of equal cost, each with the bytes of one ledger."""
        first = ledgers.first
        while first <= ledgers.last:
            last = min(self.end_of_piece(first) or ledgers.last, ledgers.last)
            yield LedgerRange(first, last), self.bytes_at(first)
            first = last + 1

    def bytes_of(self, ledgers: LedgerRange) -> int:
        """Return the stored bytes of a range."""
        return sum(len(piece) * size for piece, size in self.pieces(ledgers))

    def ledgers_for(self, budget: int, ledgers: LedgerRange) -> int:
        """Return how many of the first of `ledgers` cost at most `budget` bytes together."""
        count = 0
        for piece, size in self.pieces(ledgers):
            fit = min(len(piece), budget // size)
            count += fit
            budget -= fit * size
            if fit < len(piece):
                break
        return count


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkSize:
    """Where a chunk may end; `ValueError` for a size that is none."""

    target_bytes: int = TARGET_BYTES  # stored bytes
    share_bytes: int | None = None  # likewise, where a range is short
    most_ledgers: int = 2000
    exact_ledgers: int | None = None  # `--chunk-ledgers`: instead of a cost
    ledgers_per_object: int = 1
    border: int | None = SEGMENT_LEDGERS  # a chunk never crosses a multiple of this

    def __post_init__(self) -> None:
        """Refuse sizes below one."""
        for name in ("target_bytes", "share_bytes", "most_ledgers", "exact_ledgers", "ledgers_per_object", "border"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}: at least 1")

    def for_workers(self, workers: int, stored_bytes: int) -> ChunkSize:
        """Return this with chunks so small that each worker gets several of a short range."""
        return replace(self, share_bytes=max(1, stored_bytes // (CHUNKS_A_WORKER * workers)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The gaps of a range, and the chunks they fall into; `ValueError` unless the gaps ascend inside the range."""

    wanted: LedgerRange
    gaps: tuple[Gap, ...]
    cost: CostModel = field(default_factory=CostModel)
    size: ChunkSize = field(default_factory=ChunkSize)
    grows: bool = False  # more ledgers come at its end: near it chunks shrink to one ledger, and it is waited for more

    def __post_init__(self) -> None:
        """Refuse gaps that overlap, touch, descend or leave the range."""
        edge = self.wanted.first - 2
        for gap in self.gaps:
            if not edge + 1 < gap.ledgers.first <= gap.ledgers.last <= self.wanted.last:
                raise ValueError(f"gap {gap.ledgers} is out of place in a plan of ledgers {self.wanted}")
            edge = gap.ledgers.last

    @property
    def ledgers(self) -> int:
        """How many ledgers are missing."""
        return sum(len(gap.ledgers) for gap in self.gaps)

    @property
    def stored_bytes(self) -> int:
        """What the missing ledgers are estimated to take in the source."""
        return sum(self.cost.bytes_of(gap.ledgers) for gap in self.gaps)

    @property
    def first(self) -> int | None:
        """The first missing ledger; None when the range is done already."""
        return self.gaps[0].ledgers.first if self.gaps else None

    def growing(self) -> Plan:
        """Return this with an end that moves: how large its chunks are does not follow from what it has now."""
        return replace(self, grows=True, size=replace(self.size, share_bytes=None))

    def grown(self, gap: Gap) -> Plan:
        """Return this with one more gap at its end, or with a longer last one where `gap` goes on from that."""
        before = self.gaps
        if before and before[-1].ledgers.last + 1 == gap.ledgers.first:
            joined = LedgerRange(before[-1].ledgers.first, gap.ledgers.last)
            before, gap = before[:-1], replace(gap, ledgers=joined, below=before[-1].below)
        wanted = LedgerRange(self.wanted.first, max(self.wanted.last, gap.ledgers.last))
        return replace(self, wanted=wanted, gaps=(*before, gap))

    def gap_of(self, ledger: int) -> Gap:
        """Return the gap that holds `ledger`; `ValueError` where there is none."""
        place = bisect_right(self.gaps, ledger, key=lambda gap: gap.ledgers.first) - 1
        if place < 0 or ledger not in self.gaps[place].ledgers:
            raise ValueError(f"ledger {ledger} is not missing")
        return self.gaps[place]

    def after(self, ledger: int) -> int | None:
        """Return the first missing ledger above `ledger`, or None."""
        place = bisect_left(self.gaps, ledger + 1, key=lambda gap: gap.ledgers.last)
        return max(ledger + 1, self.gaps[place].ledgers.first) if place < len(self.gaps) else None

    def chunk_at(self, first: int, most_bytes: int | None = None) -> LedgerRange:
        """Return the chunk that begins at ledger `first`; of fewer than `most_bytes`, where the size follows the cost.

        It ends where the cost is reached, but on an object's last ledger, and at the latest where its gap or the
        store's segment ends. It holds at least what its first object has of the gap.
        """
        room = self._room(first)
        count = self.size.exact_ledgers or self._affordable(room, most_bytes)
        if self.grows:
            count = min(count, max(1, (self.gaps[-1].ledgers.last - first) // SHARES_OF_REST))
        if count >= len(room):
            return room
        per_object = self.size.ledgers_per_object
        objects = max((first + count) // per_object, first // per_object + 1)
        return LedgerRange(first, min(objects * per_object - 1, room.last))

    def halves(self, ledgers: LedgerRange) -> tuple[LedgerRange, LedgerRange]:
        """Return two parts of several ledgers, between two objects where there are several."""
        per_object = self.size.ledgers_per_object
        middle = (ledgers.first + ledgers.last + 1) // 2
        border = middle // per_object * per_object
        upper = border if border > ledgers.first else middle
        return LedgerRange(ledgers.first, upper - 1), LedgerRange(upper, ledgers.last)

    def chunks(self) -> Iterator[LedgerRange]:
        """Iterate over all chunks, in order."""
        first = self.first
        while first is not None:
            chunk = self.chunk_at(first)
            yield chunk
            first = self.after(chunk.last)

    def chunk_count(self) -> int:
        """Return how many chunks there are; equal ones in a row are counted at once."""
        count, first = 0, self.first
        while first is not None:
            chunk = self.chunk_at(first)
            same = self._room(first).last
            same = min(same, self.cost.end_of_piece(first) or same)
            # From an object's border on, chunks repeat while the cost a ledger does; the last object before a change
            # of cost is left out, since a chunk that could almost have it may have some of the next.
            even = first % self.size.ledgers_per_object == 0 and not self.grows
            repeats = max(1, (same + 1 - self.size.ledgers_per_object - first) // len(chunk)) if even else 1
            count += repeats
            first = self.after(first + repeats * len(chunk) - 1)
        return count

    def _room(self, first: int) -> LedgerRange:
        """Return the ledgers from `first` to the next line that no chunk crosses."""
        last = self.gap_of(first).ledgers.last
        if self.size.border is not None:
            last = min(last, (first // self.size.border + 1) * self.size.border - 1)
        return LedgerRange(first, last)

    def _affordable(self, room: LedgerRange, most_bytes: int | None) -> int:
        most = LedgerRange(room.first, min(room.last, room.first + self.size.most_ledgers - 1))
        bounds = (self.size.target_bytes, self.size.share_bytes, most_bytes)
        return self.cost.ledgers_for(min(bound for bound in bounds if bound is not None), most)


def missing(wanted: LedgerRange, held: Sequence[LedgerRange]) -> tuple[LedgerRange, ...]:
    """Return what `wanted` lacks, ascending; `held` may overlap, leave the range and come in any order."""
    found: list[LedgerRange] = []
    first = wanted.first
    for stretch in sorted(held):
        if stretch.first > wanted.last:
            break
        if stretch.first > first:
            found.append(LedgerRange(first, stretch.first - 1))
        first = max(first, stretch.last + 1)
    if first <= wanted.last:
        found.append(LedgerRange(first, wanted.last))
    return tuple(found)
