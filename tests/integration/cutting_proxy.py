"""A TCP proxy in front of PostgreSQL that does to a connection what the test chooses, at the message it chooses."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator

_KINDS = {  # what a message is called, by a part of the SQL that it asks for
    "swap": b"UPDATE ledgerfill.ledger_stretches",
    "record": b"INSERT INTO ledgerfill.backfill_chunks",
    "commit": b"COMMIT",
    "build": b"INDEX IF NOT EXISTS",
}
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: a close sends RST


class Proxy:
    """Forwards everything to `target`; `fate(kind, link)` decides what becomes of each message of a kind.

    Kinds are `copy` for each part of rows, `swap` for the compare-and-swap, `record` for the chunk's own row, which
    follows the answer to its swap, `commit` for any COMMIT, and `build` for a costly index. Fates: `pass`: nothing;
    `lose`: it never arrives, and the connection ends; `reset`: the same by a RST; `swallow`: it arrives, is carried
    out, and the connection ends in place of the answer; `abandon`: it arrives, and the client is cut off at once while
    the server is still at it; `hole`: from this message on nothing arrives and nothing is answered, and the connection
    stays; `mute`: the same from right behind it, once it is carried out.
    """

    def __init__(self, target: tuple[str, int], fate: Callable[[str, Link], str]) -> None:
        """Listen on a free port of the loopback."""
        self._target, self._fate = target, fate
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.links: list[Link] = []
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End every connection."""
        # A shutdown wakes the thread that accepts; close alone does not.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for link in self.links:
            link.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(self._target)
                except OSError:  # it is not there just now
                    client.close()
                    continue
                self.links.append(Link(client, server, self._fate))


class CuttingProxy(Proxy):
    """A proxy whose `fate(number)` decides what becomes of each COMMIT, numbers from 1."""

    def __init__(self, target: tuple[str, int], fate: Callable[[int], str]) -> None:
        """Listen on a free port of the loopback."""
        self.commits = 0
        self._of_commit = fate
        super().__init__(target, self._counted)

    def _counted(self, kind: str, _: Link) -> str:
        if kind != "commit":
            return "pass"
        self.commits += 1
        return self._of_commit(self.commits)


class Link:
    """One connection through the proxy."""

    def __init__(self, client: socket.socket, server: socket.socket, fate: Callable[[str, Link], str]) -> None:
        """Forward from now on."""
        self._client, self._server, self._fate = client, server, fate
        self.server_sees = server.getsockname()[1]  # the client's port, by which the server knows its session
        self._deaf, self._hole, self._at_answer = threading.Event(), threading.Event(), ""
        self._messages = _Messages()
        for end in (client, server):  # messages are forwarded one by one: none shall wait for the one before
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for work in (self._up, self._down):
            threading.Thread(target=work, daemon=True).start()

    def close(self) -> None:
        """End it on both sides."""
        for end in (self._client, self._server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def strike(self, fate: str, message: bytes = b"") -> None:
        """Have something become of it, at a message or between two."""
        if fate == "pass":
            self._server.sendall(message)
        elif fate == "hole":
            self._hole.set()
        elif fate in ("lose", "reset"):
            self._deaf.set()
            self._end(reset=fate == "reset")
        elif fate == "abandon":
            self._deaf.set()
            self._server.sendall(message)
            self._client.shutdown(socket.SHUT_RDWR)  # the server's side stays open
        elif fate in ("swallow", "mute"):
            self._at_answer = "lose" if fate == "swallow" else "hole"
            self._server.sendall(message)
        else:
            raise ValueError(f"nothing is known to become of a connection by {fate}")

    def _end(self, *, reset: bool = False) -> None:
        for end in (self._client, self._server):
            with contextlib.suppress(OSError):
                if reset:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    end.shutdown(socket.SHUT_RD)  # says nothing, but wakes who reads, and would hold it open
                    end.close()
                else:
                    end.shutdown(socket.SHUT_RDWR)

    def _up(self) -> None:
        with contextlib.suppress(OSError):
            while not self._hole.is_set() and (data := self._client.recv(1 << 16)):
                for kind, message in self._messages.of(data):
                    if self._hole.is_set():
                        return
                    self.strike(self._fate(kind, self) if kind else "pass", message)
        if not self._hole.is_set() and not self._deaf.is_set():
            with contextlib.suppress(OSError):
                self._server.shutdown(socket.SHUT_RDWR)

    def _down(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._server.recv(1 << 16):
                if self._at_answer:
                    self.strike(self._at_answer)
                if not self._deaf.is_set() and not self._hole.is_set():
                    self._client.sendall(data)
        if not self._hole.is_set():
            with contextlib.suppress(OSError):
                self._client.shutdown(socket.SHUT_RDWR)


class _Messages:
    """What a client sends, taken apart into messages of PostgreSQL's protocol, version 3."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._started = False
        self._prepared: dict[bytes, bytes] = {}

    def of(self, data: bytes) -> Iterator[tuple[str, bytes]]:
        """Iterate over the whole messages that are there now, each with its kind; '' where it is of no kind."""
        self._rest += data
        while message := self._next():
            yield self._kind(message), message

    def _next(self) -> bytes:
        head = 1 if self._started else 0  # what comes before the session has no type
        if len(self._rest) < head + 4:
            return b""
        size = head + int.from_bytes(self._rest[head : head + 4])
        if len(self._rest) < size:
            return b""
        message = bytes(self._rest[:size])
        del self._rest[:size]
        self._started = self._started or message[4:6] == b"\0\3"  # not a request for TLS or GSS
        return message

    def _kind(self, message: bytes) -> str:
        asked = b""
        if message[:1] == b"d":
            return "copy"
        if message[:1] == b"Q":
            asked = message[5:-1]
        elif message[:1] == b"P":
            name, query, _ = message[5:].split(b"\0", 2)
            self._prepared[name] = query
        elif message[:1] == b"B":
            _, name, _ = message[5:].split(b"\0", 2)
            asked = self._prepared.get(name, b"")
        return next((kind for kind, part in _KINDS.items() if part in asked), "")
