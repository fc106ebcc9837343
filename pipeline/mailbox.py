"""A mailbox: how other threads tell the loop of a run what has happened, and wake it."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator

from pipeline.events import Event


class Mailbox:
    """Events in the order in which they were put; `readable` has a byte for each, and so ends a wait."""

    def __init__(self) -> None:
        """Begin empty."""
        self._events: deque[Event] = deque()
        self.readable, self._wake = os.pipe()

    def put(self, event: Event) -> None:
        """Put an event in, on any thread."""
        self._events.append(event)
        os.write(self._wake, b"\0")

    def taken(self) -> Iterator[Event]:
        """Iterate over what was put in since the last call."""
        while self._events:
            os.read(self.readable, 1)
            yield self._events.popleft()

    def close(self) -> None:
        """Close the pipe; nobody puts anything in any more."""
        os.close(self.readable)
        os.close(self._wake)
