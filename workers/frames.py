"""Reads whole messages off a pipe without ever waiting for the rest of one: its writer may be killed halfway.

`Connection.recv` would wait there for good, as long as anyone holds the other end.
"""

from __future__ import annotations

import os
import struct
from multiprocessing.connection import Connection, wait

_LENGTH = struct.Struct("!i")  # what `Connection.send_bytes` puts before each message below 2 GiB
_READ_BYTES = 1 << 16


class FrameReader:
    """Between calls it holds at most one message that is not complete."""

    def __init__(self, connection: Connection) -> None:
        """Read what the other end of `connection` sends; nothing else may read here."""
        self.connection = connection
        self.ended = False
        self._bytes = bytearray()

    def read(self) -> list[bytes]:
        """Return the messages that one read completes. Call it when the connection is ready; else it waits."""
        try:
            part = os.read(self.connection.fileno(), _READ_BYTES)
        except ConnectionError:
            part = b""
        self.ended = not part
        self._bytes += part
        return self._whole()

    def drain(self) -> list[bytes]:
        """Return all that is there by now; does not wait."""
        messages: list[bytes] = []
        while not self.ended and wait([self.connection], 0):
            messages += self.read()
        return messages

    def _whole(self) -> list[bytes]:
        messages = []
        start = 0
        while len(self._bytes) - start >= _LENGTH.size:
            begin = start + _LENGTH.size
            end = begin + _LENGTH.unpack_from(self._bytes, start)[0]
            if end > len(self._bytes):
                break
            messages.append(bytes(self._bytes[begin:end]))
            start = end
        del self._bytes[:start]
        return messages
