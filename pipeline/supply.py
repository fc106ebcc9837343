"""The supply: opens chunk after chunk of the plan, as far as the window lets it, and learns what they cost."""

from __future__ import annotations

from pipeline.chunk import Chunk
from pipeline.plan import TARGET_BYTES, Plan
from pipeline.window import Window
from workers.messages import LedgerRange

ROW_BYTES_A_STORED_BYTE = 3.0  # assumed until the first result is there
# A chunk is made smaller than planned where one of this many stored bytes would exceed either.
MOST_ROW_BYTES = 96 << 20  # of one commit
MOST_S = 8.0  # of one attempt
_FADES = 7 / 8  # how much of what was learned before counts beside the next result


class Supply:
    """What of a plan was not handed out yet."""

    def __init__(self, plan: Plan, most_row_bytes: int = MOST_ROW_BYTES) -> None:
        """Begin at the plan's first chunk."""
        self._plan, self._most_row_bytes = plan, most_row_bytes
        self._next = plan.first
        # Of the last results, fading: bytes by the plan's estimate, bytes of their rows, and how long they took.
        self._stored = self._rows = self._elapsed_s = 0.0

    @property
    def exhausted(self) -> bool:
        """Whether everything was handed out, or nothing more shall be."""
        return self._next is None

    def grow(self, plan: Plan) -> None:
        """Go on with a plan that has more at its end, where all before it was handed out."""
        if self._next is None:
            self._next = plan.after(self._plan.wanted.last)
        self._plan = plan

    def stop(self) -> None:
        """Hand out nothing more."""
        self._next = None

    def learn(self, chunk: Chunk, row_bytes: int, elapsed_s: float) -> None:
        """Note how large the rows of a whole chunk are, and how long they took."""
        self._stored = self._stored * _FADES + chunk.stored
        self._rows = self._rows * _FADES + row_bytes
        self._elapsed_s = self._elapsed_s * _FADES + elapsed_s

    def halve(self, chunk: Chunk) -> tuple[Chunk, Chunk]:
        """Return two parts of a chunk, each to be worked on by itself; what it has cost so far is the lower one's."""
        lower, upper = (self._part(chunk, ledgers) for ledgers in self._plan.halves(chunk.ledgers))
        lower.lost, lower.lost_s = chunk.lost, chunk.lost_s
        return lower, upper

    def open_next(self, window: Window) -> Chunk | None:
        """Open the next chunk, or return None: there is none, or the window is full."""
        if self._next is None:
            return None
        ledgers = self._plan.chunk_at(self._next, self._budget())
        stored = self._plan.cost.bytes_of(ledgers)
        size = round(stored * (self._rows / self._stored if self._stored else ROW_BYTES_A_STORED_BYTE))
        if not window.admits(size):
            return None
        tip = self._plan.wanted.last if self._plan.grows else None
        chunk = Chunk(ledgers=ledgers, gap=self._plan.gap_of(ledgers.first), stored=stored, size=size, tip=tip)
        window.open(chunk)
        self._next = self._plan.after(ledgers.last)
        return chunk

    def _budget(self) -> int:
        """Return how many stored bytes a chunk may have, by what the last ones have cost."""
        if not self._stored:
            return TARGET_BYTES
        rows, elapsed_s = max(1.0, self._rows), max(0.001, self._elapsed_s)
        return round(self._stored * min(self._most_row_bytes / rows, MOST_S / elapsed_s))

    def _part(self, chunk: Chunk, ledgers: LedgerRange) -> Chunk:
        stored = self._plan.cost.bytes_of(ledgers)
        size = round(chunk.size * stored / max(1, chunk.stored))
        return Chunk(ledgers=ledgers, gap=chunk.gap, stored=stored, size=size, tip=chunk.tip, part_of=chunk.planned)
