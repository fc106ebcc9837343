"""A TCP proxy in front of PostgreSQL that cuts the connection around a COMMIT, in a way that the test chooses."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable

COMMIT = b"Q\0\0\0\x0bCOMMIT\0"  # a simple query, as psycopg sends it


class CuttingProxy:
    """Forwards everything to `target`; of each COMMIT, `fate(number)` decides what becomes of it, numbers from 1.

    `pass`: nothing; `lose`: it never arrives; `swallow`: it arrives, its acknowledgement does not;
    `abandon`: it arrives, and the client is cut off at once while the server is still at it.
    """

    def __init__(self, target: tuple[str, int], fate: Callable[[int], str]) -> None:
        """Listen on a free port of the loopback."""
        self._target, self._fate = target, fate
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.port = self._listener.getsockname()[1]
        self.commits = 0
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End every connection."""
        # A shutdown wakes the thread that accepts; close alone does not.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for end in self._open:
            end.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                self._open += [client, server]
                deaf = threading.Event()
                for target, args in ((self._up, (client, server, deaf)), (self._down, (server, client, deaf))):
                    threading.Thread(target=target, args=args, daemon=True).start()

    def _up(self, client: socket.socket, server: socket.socket, deaf: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                if not data.endswith(COMMIT):
                    server.sendall(data)
                    continue
                self.commits += 1
                fate = self._fate(self.commits)
                if fate == "pass":
                    server.sendall(data)
                    continue
                deaf.set()
                if fate != "lose":
                    server.sendall(data)
                if fate == "swallow":
                    time.sleep(0.2)
                client.shutdown(socket.SHUT_RDWR)
                if fate == "abandon":
                    return  # the server's side stays open
                break
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)

    def _down(self, server: socket.socket, client: socket.socket, deaf: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(1 << 16):
                if not deaf.is_set():
                    client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)
