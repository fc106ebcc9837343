"""Log records of workers reach the coordinator's handlers: multiprocessing-logging's handler over one pipe a worker.

Its shared queue would hang the other workers when one is killed while it writes a record.
"""

from __future__ import annotations

import io
import logging
import os
import pickle
import sys
import threading
from multiprocessing.connection import Connection, Pipe, wait

from multiprocessing_logging import MultiProcessingHandler

from workers.frames import FrameReader

TEXT_LIMIT = 8000  # characters of a record's text
logger = logging.getLogger(__name__)


class PipeHandler(MultiProcessingHandler):  # type: ignore[misc]  # its package ships no types
    """A worker's end: records go out over its own pipe, whole, under the lock that every handler has."""

    def __init__(self, connection: Connection, level: int) -> None:
        """Send records from `level` on; there is no queue and no thread on this side."""
        logging.Handler.__init__(self, level)
        self.sub_handler = logging.NullHandler()  # what formats an exception's traceback
        self._connection = connection

    def _send(self, record: logging.LogRecord) -> None:
        record.msg = str(record.msg)[:TEXT_LIMIT]
        record.exc_text = record.exc_text and record.exc_text[-TEXT_LIMIT:]
        try:
            self._connection.send_bytes(pickle.dumps(record))
        except OSError:
            return  # the coordinator is gone, and this process about to be

    def close(self) -> None:
        """Close as any handler does: the base class would wait for its thread."""
        logging.Handler.close(self)


def send_to(connection: Connection, level: int) -> None:
    """Make `connection` the one way that this process's log records go."""
    root = logging.getLogger()
    root.handlers[:] = [PipeHandler(connection, level)]
    root.setLevel(level)
    logging.captureWarnings(capture=True)


class Printed(io.TextIOBase):
    """Makes each line that is printed a record: in a worker that is a plug-in's, for nothing else prints there."""

    def __init__(self) -> None:
        """Begin with an empty line."""
        self._line = ""

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, text: str) -> int:
        """Keep what is no whole line yet, as long as a record may be."""
        *lines, self._line = (self._line + text).split("\n")
        if len(self._line) > TEXT_LIMIT:
            lines, self._line = [*lines, self._line], ""
        for line in filter(None, map(str.rstrip, lines)):
            logger.info("printed in a worker: %s", line)
        return len(text)


def print_to_log() -> None:
    """Make what this process prints log records; what passes Python by goes to stderr: stdout is the command's own."""
    os.dup2(2, 1)
    sys.stdout = sys.stderr = Printed()


class LogRelay:
    """The coordinator's end: a thread that hands the records of all workers to the loggers they are named for."""

    def __init__(self) -> None:
        """Start the thread."""
        self._readers: dict[Connection, FrameReader] = {}
        self._lock = threading.Lock()
        self._closing = False
        self._wake_receiver, self._wake_sender = os.pipe()
        self._thread = threading.Thread(target=self._run, name="log-relay", daemon=True)
        self._thread.start()

    def add(self) -> Connection:
        """Return the sending end of a new pipe: the caller hands it to one worker and closes it here."""
        receiver, sender = Pipe(duplex=False)
        with self._lock:
            self._readers[receiver] = FrameReader(receiver)
        self._wake()
        return sender

    def close(self) -> None:
        """Hand over what dead workers left in their pipes, and end the thread; to be called after they are dead."""
        if self._closing:
            return
        self._closing = True
        self._wake()
        self._thread.join()
        os.close(self._wake_receiver)
        os.close(self._wake_sender)

    def _wake(self) -> None:
        os.write(self._wake_sender, b"\0")

    def _run(self) -> None:
        while not self._closing:
            with self._lock:
                watched: list[Connection | int] = [self._wake_receiver, *self._readers]
            for ready in wait(watched):
                if isinstance(ready, Connection):
                    self._relay(self._readers[ready].read())
                    self._forget_if_ended(ready)
                else:
                    os.read(self._wake_receiver, 1024)
        for connection in list(self._readers):
            self._relay(self._readers[connection].drain())
            connection.close()

    def _forget_if_ended(self, connection: Connection) -> None:
        if self._readers[connection].ended:
            with self._lock:
                del self._readers[connection]
            connection.close()

    def _relay(self, frames: list[bytes]) -> None:
        for frame in frames:
            record = pickle.loads(frame)  # noqa: S301  # from a process of our own
            target = logging.getLogger(record.name)
            if target.isEnabledFor(record.levelno):
                target.handle(record)
