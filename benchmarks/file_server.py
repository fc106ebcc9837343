"""A file server for benchmarks: GET and HEAD of a folder's files over HTTP/1.1, each answered after a delay.

One process, one thread and `sendfile`, since it shares the cores with what is measured.
It prints its port, and ends when its standard input does.
"""

from __future__ import annotations

import argparse
import os
import selectors
import socket
import stat
import sys
import time
from collections import deque
from email.utils import formatdate
from pathlib import Path

_END = b"\r\n\r\n"
_MOST_HEAD = 1 << 16  # bytes; a request that has more is none


class Client:
    """One connection: a request is read, waits, is answered; then comes the next."""

    def __init__(self, server: Server, connection: socket.socket) -> None:
        """Wait for the first request."""
        self._server, self._socket = server, connection
        self._request = b""
        self._file, self._offset, self._end = -1, 0, 0  # what is being sent
        server.selector.register(connection, selectors.EVENT_READ, self)

    def ready(self) -> None:
        """Go on: there is something to read, or room for more of the answer."""
        try:
            if self._file >= 0:
                self._send()
            else:
                self._receive()
        except ConnectionError:
            self._close()

    def answer(self) -> None:
        """Begin the answer, whose time has come."""
        try:
            self._answer()
        except ConnectionError:
            self._close()

    def _receive(self) -> None:
        self._request += (part := self._socket.recv(_MOST_HEAD))
        if not part or len(self._request) > _MOST_HEAD:
            self._close()
        elif self._request.endswith(_END):  # neither method has a body, and nobody sends ahead
            self._server.postpone(self)

    def _answer(self) -> None:
        method, target, _ = self._request.split(b" ", 2)
        self._request = b""
        opened = self._server.open(target.partition(b"?")[0].decode())
        if opened is None:
            self._socket.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0" + _END)
            return
        self._file, found = opened
        self._offset, self._end = 0, found.st_size if method == b"GET" else 0
        modified = formatdate(found.st_mtime, usegmt=True)
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {found.st_size}\r\nLast-Modified: {modified}".encode()
        self._socket.send(head + _END, socket.MSG_MORE if self._end else 0)
        self._send()

    def _send(self) -> None:
        while self._offset < self._end:
            try:
                sent = os.sendfile(self._socket.fileno(), self._file, self._offset, self._end - self._offset)
            except BlockingIOError:
                self._server.selector.modify(self._socket, selectors.EVENT_WRITE, self)
                return
            if sent == 0:  # the file was cut while it was sent: the promised length cannot be kept
                raise ConnectionError
            self._offset += sent
        os.close(self._file)
        self._file = -1
        self._server.selector.modify(self._socket, selectors.EVENT_READ, self)

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._server.selector.unregister(self._socket)
        self._socket.close()


class Server:
    """Serves a folder on loopback; no request waits for another."""

    def __init__(self, folder: Path, delay_s: float) -> None:
        """Listen on a port that the kernel picks."""
        self.selector = selectors.DefaultSelector()
        self._folder, self._delay_s = folder, delay_s
        self._waiting: deque[tuple[float, Client]] = deque()  # all wait equally long, so the first came first
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port: int = self._listener.getsockname()[1]

    def serve(self) -> None:
        """Answer until standard input ends."""
        self.selector.register(self._listener, selectors.EVENT_READ)
        self.selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
        while True:
            timeout = max(0.0, self._waiting[0][0] - time.monotonic()) if self._waiting else None
            for key, _ in self.selector.select(timeout):
                if isinstance(key.data, Client):
                    key.data.ready()
                elif key.fileobj is self._listener:
                    self._accept()
                else:
                    return
            while self._waiting and self._waiting[0][0] <= time.monotonic():
                self._waiting.popleft()[1].answer()

    def postpone(self, client: Client) -> None:
        """Have a client answered when its request is old enough."""
        self._waiting.append((time.monotonic() + self._delay_s, client))

    def open(self, target: str) -> tuple[int, os.stat_result] | None:
        """Open the file that a request names, or return None where there is none."""
        path = os.path.normpath(f"/{target}")  # nothing above the folder is named by it
        try:
            file = os.open(f"{self._folder}{path}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        found = os.fstat(file)
        if stat.S_ISREG(found.st_mode):
            return file, found
        os.close(file)
        return None

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        Client(self, connection)


def main() -> None:
    """Serve the folder that is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--delay-ms", type=float, default=0.0, help="before each answer")
    given = parser.parse_args()
    server = Server(given.folder.resolve(), given.delay_ms / 1e3)
    print(server.port, flush=True)
    server.serve()


if __name__ == "__main__":
    main()
