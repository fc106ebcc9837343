"""A small S3 server on loopback that serves a folder, fails as it is told to, and remembers what it was asked."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

PAGE = 1000  # keys a listing request, as S3 has it
BUCKET = "lake"


class FaultyS3(ThreadingHTTPServer):
    """Serves `folder` as bucket `lake`; what stands in `faults[key]` is answered first, one a request.

    A fault is a status to answer, `hang` (seconds of silence), `cut` (half the body, then the end) or `drop`.
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        """Listen on a free port."""
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.faults: dict[str, list[int | str]] = defaultdict(list)
        self.requests: list[tuple[str, str]] = []  # method, key; `?list` for a listing
        self.signed: list[bool] = []  # of each request
        self.hang_s = 3.0
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """The endpoint."""
        return f"http://127.0.0.1:{self.server_port}"

    @contextmanager
    def serving(self) -> Iterator[FaultyS3]:
        """Serve meanwhile."""
        thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield self
        finally:
            self.shutdown()
            thread.join()
            self.server_close()

    def asked(self, method: str, key: str, *, signed: bool) -> int | str | None:
        """Remember a request; return the fault that is its answer, if any."""
        with self._lock:
            self.requests.append((method, key))
            self.signed.append(signed)
            return self.faults[key].pop(0) if self.faults[key] else None

    def listing(self, query: dict[str, list[str]]) -> bytes:
        """Answer one page of ListObjectsV2, in the order of keys."""
        files = (path for path in self.folder.rglob("*") if path.is_file())
        keys = sorted(str(path.relative_to(self.folder)) for path in files)
        after = query.get("continuation-token", [""])[0]
        keys = [key for key in keys if key > after and key.startswith(query.get("prefix", [""])[0])]
        page, more = keys[:PAGE], len(keys) > PAGE
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>1</Size><ETag>x</ETag>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for key in page
        )
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        return (
            f"<ListBucketResult><Name>{BUCKET}</Name><IsTruncated>{str(more).lower()}</IsTruncated>"
            f"<KeyCount>{len(page)}</KeyCount>{token}{contents}</ListBucketResult>"
        ).encode()


class Handler(BaseHTTPRequestHandler):
    """Answers one connection's requests."""

    protocol_version = "HTTP/1.1"
    server: FaultyS3

    def do_GET(self) -> None:
        """Answer with the fault that was asked for, a listing or an object."""
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        key = "?list" if "list-type" in query else unquote(parts.path).removeprefix(f"/{BUCKET}/")
        fault = self.server.asked(self.command, key, signed="Authorization" in self.headers)
        if fault == "hang":
            time.sleep(self.server.hang_s)
        file = self.server.folder / key
        if fault == "drop":
            self.close_connection = True
        elif isinstance(fault, int):
            self._send(fault, b"<Error><Code>Told</Code></Error>")
        elif key == "?list":
            self._send(200, self.server.listing(query))
        elif file.is_file():
            self._send(200, file.read_bytes(), cut=fault == "cut")
        else:
            self._send(404, b"<Error><Code>NoSuchKey</Code></Error>")

    def do_HEAD(self) -> None:
        """Answer without a body."""
        self.do_GET()

    def _send(self, status: int, body: bytes, *, cut: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.send_header("ETag", '"x"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = self.close_connection or cut

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class names it so
        """Say nothing on the test's output."""
