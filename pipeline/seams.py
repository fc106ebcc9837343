"""Whether the source leads up to what the store holds above a gap, asked before hours of work are put into the gap.

Where the store ends below a gap, the run's first chunk tells; where it goes on above one, only its last would.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence

from pipeline.chain import broken
from pipeline.errors import Refused
from pipeline.plan import Gap
from pipeline.source import OpenSource
from workers.messages import LedgerRange

_AT_ONCE = 8
_NO_FILE = -1  # to a decoder that makes no rows


def check_seams(source: OpenSource, gaps: Sequence[Gap], *, limit_s: float = 2.0) -> None:
    """Raise `Refused` where the last ledger of a gap has another hash than the store's ledger above it names.

    What is missing, damaged or late by `limit_s` seconds is left to the run, which checks every link.
    """
    left = deque(gap for gap in gaps if gap.above is not None)
    if not left:
        return
    wrong: dict[int, str] = {}
    deadline = time.monotonic() + limit_s
    threads = [
        threading.Thread(target=_look, args=(source, left, wrong, deadline), name="seam", daemon=True)
        for _ in range(min(len(left), _AT_ONCE))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:  # one that hangs is left behind
        thread.join(max(0.0, deadline - time.monotonic()))
    if wrong:
        raise Refused(wrong[min(wrong)])


def _look(source: OpenSource, left: deque[Gap], wrong: dict[int, str], deadline: float) -> None:
    """Look at one seam after another, until none is left or the time is over."""
    from workers._decode import Decoder  # only here: most starts have no such seam

    config = source.worker_config
    decoder = Decoder(config.network_passphrase, max_object_bytes=config.max_object_bytes, tables=())
    while time.monotonic() < deadline:
        try:
            gap = left.popleft()
        except IndexError:
            return
        ledger = gap.ledgers.last
        read = source.reader.read(LedgerRange(ledger, ledger))
        if read.failure or gap.above is None:
            continue
        found = decoder.chunk(ledger, ledger, read.objects, _NO_FILE, framed=source.reader.framed)
        if found.ledgers and found.last_hash != gap.above:
            wrong[ledger] = broken(ledger + 1, gap.above, ledger, found.last_hash, read.objects[-1][0])
