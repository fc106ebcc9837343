"""The supply: opens chunk after chunk of the plan, as far as the window lets it, and learns what their rows take."""

from __future__ import annotations

from pipeline.chunk import Chunk
from pipeline.plan import Plan
from pipeline.window import Window
from workers.messages import LedgerRange

ROW_BYTES_A_STORED_BYTE = 3.0  # assumed until the first result is there


class Supply:
    """What of a plan was not handed out yet."""

    def __init__(self, plan: Plan) -> None:
        """Begin at the plan's first chunk."""
        self._plan = plan
        self._next = plan.first
        self._stored = self._rows = 0  # bytes of the results so far: by the plan's estimate, and of their rows

    @property
    def exhausted(self) -> bool:
        """Whether everything was handed out, or nothing more shall be."""
        return self._next is None

    def stop(self) -> None:
        """Hand out nothing more."""
        self._next = None

    def learn(self, chunk: Chunk, row_bytes: int) -> None:
        """Note how large the rows of a whole chunk are."""
        self._stored += chunk.stored
        self._rows += row_bytes

    def halve(self, chunk: Chunk) -> tuple[Chunk, Chunk]:
        """Return two parts of a chunk, each to be worked on by itself."""
        lower, upper = self._plan.halves(chunk.ledgers)
        return self._part(chunk, lower), self._part(chunk, upper)

    def open_next(self, window: Window) -> Chunk | None:
        """Open the next chunk, or return None: there is none, or the window is full."""
        if self._next is None:
            return None
        ledgers = self._plan.chunk_at(self._next)
        stored = self._plan.cost.bytes_of(ledgers)
        size = round(stored * (self._rows / self._stored if self._stored else ROW_BYTES_A_STORED_BYTE))
        if not window.admits(size):
            return None
        chunk = Chunk(ledgers=ledgers, gap=self._plan.gap_of(ledgers.first), stored=stored, size=size)
        window.open(chunk)
        self._next = self._plan.after(ledgers.last)
        return chunk

    def _part(self, chunk: Chunk, ledgers: LedgerRange) -> Chunk:
        stored = self._plan.cost.bytes_of(ledgers)
        size = round(chunk.size * stored / max(1, chunk.stored))
        return Chunk(ledgers=ledgers, gap=chunk.gap, stored=stored, size=size, part_of=chunk.planned)
