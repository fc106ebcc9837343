"""A history archive behind a web server that fails as it is told to, from the standard library alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

FUTURENET = "Test SDF Future Network ; October 2022"
NEWEST = 247487  # its newest checkpoint
STATE = "history/00/03/c6/history-0003c6bf.json"


class ArchiveServer:
    """Serves a folder, with or without ranges; what stands in `faults` for a part of a path is answered first.

    A fault is `503`, `hang` (silence until the server ends) or the bytes after which an answer breaks off.
    """

    def __init__(self, folder: Path, *, ranges: bool) -> None:
        """Take the archive's folder."""
        self.folder, self.ranges = folder, ranges
        self.faults: dict[str, list[str | int]] = {}
        self.asked: Counter[str] = Counter()
        self.from_middle = 0  # answers that began behind the first byte
        self.url = ""
        self.ended = Event()

    @contextmanager
    def serving(self) -> Iterator[ArchiveServer]:
        """Serve meanwhile."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_port}/archive"
        yield self
        self.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()

    def fault(self, path: str) -> str | int | None:
        """Take the next fault of a path."""
        name = next((name for name, left in self.faults.items() if name in path and left), None)
        return None if name is None else self.faults[name].pop(0)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                key = self.path.removeprefix("/archive/")
                site.asked[key] += 1
                fault, file = site.fault(key), site.folder / key
                if fault == "hang":
                    site.ended.wait()
                elif fault == "503" or not file.is_file():
                    self.send_error(503 if fault else 404)
                else:
                    self._answer(file.read_bytes(), fault)

            def _answer(self, data: bytes, fault: str | int | None) -> None:
                asked = self.headers["Range"]
                begin = int(asked.removeprefix("bytes=").split("-")[0]) if asked and site.ranges else 0
                site.from_middle += begin > 0
                self.send_response(206 if begin else 200)
                if begin:
                    self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
                self.send_header("Content-Length", str(len(data) - begin))
                self.end_headers()
                self.wfile.write(data[begin:] if fault is None else data[begin : begin + int(fault)])
                self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        return Handler
