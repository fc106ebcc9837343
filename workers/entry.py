"""The life of a worker: takes tasks, reads ahead, decodes and proves, leaves rows in a file and says what became of it.

Nothing is raised across the process border: whatever goes wrong becomes a `Failure`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from workers import allocator, lifeline, logs
from workers._decode import SECTIONS, Chunk, Decoder
from workers.failures import classify, message, short, unwritable
from workers.messages import (
    ChunkDone,
    ChunkStarted,
    Failure,
    LedgerRange,
    PlugInCalled,
    Ready,
    Section,
    Task,
    Timings,
    WorkerConfig,
    WorkerMessage,
)
from workers.protocols import ProtocolError
from workers.sources import Reading, Source, open_source
from workers.sources.reading import Unopened

if TYPE_CHECKING:  # it brings pyarrow
    from workers.protocols.plug_in import PlugIn

logger = logging.getLogger(__name__)
_NO_FILE = -1  # to a decoder that makes no rows
Sections = Sequence[tuple[str, int, int, int]]  # as in `Chunk`


def main(config: WorkerConfig, tasks: Connection, records: Connection, level: int) -> None:
    """Run a worker until its coordinator closes `tasks` or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the coordinator decides what an interrupt means
    allocator.keep_freed_memory()
    lifeline.die_with_parent()
    lifeline.watch_coordinator()
    logs.send_to(records, level)
    logs.print_to_log()
    try:
        source, plug_ins = _opened(config)
        decoder = Decoder(
            config.network_passphrase,
            trusted=dict(config.trusted),
            max_object_bytes=config.max_object_bytes,
            tables=[table for table in config.tables if table in SECTIONS],
            wanted=[plug_in.wanted for plug_in in plug_ins],
        )
        Worker(source, decoder, tasks.send, plug_ins).run(tasks)
    except ConnectionError:
        os._exit(0)  # nobody is left to answer
    except BaseException as error:  # the process's outermost door: no traceback for anybody's terminal
        logger.exception("worker cannot go on: %s", message(error))
        os._exit(1)


class Worker:
    """Works on one task at a time, while the objects of those behind it are already being fetched."""

    def __init__(
        self,
        source: Source,
        decoder: Decoder,
        say: Callable[[WorkerMessage], None],
        plug_ins: Sequence[PlugIn] = (),
    ) -> None:
        """Take what this worker reads and decodes with, and how it speaks to the coordinator.

        `plug_ins`: those that the decoder picks events for, in its order.
        """
        self._source, self._decoder, self._say, self._plug_ins = source, decoder, say, plug_ins
        self._ahead = ThreadPoolExecutor(2, thread_name_prefix="read-ahead")
        self._waiting: queue.SimpleQueue[tuple[Task, Future[Reading]]] = queue.SimpleQueue()

    def run(self, tasks: Connection) -> None:
        """Answer tasks in the order in which they come; the process ends with the connection."""
        threading.Thread(target=self._receive, args=(tasks,), name="tasks", daemon=True).start()
        self._say(Ready(pid=os.getpid()))
        while True:
            self._answer(*self._waiting.get())

    def _answer(self, task: Task, reading: Future[Reading]) -> None:
        """Work on a task; on return nothing holds the bytes of its objects any more."""
        self._say(ChunkStarted(token=task.token))
        self._say(self.work(task, reading))

    def _receive(self, tasks: Connection) -> None:
        """Begin to read for each task as it comes, in the midst of whatever the worker is at."""
        while True:
            try:
                task = tasks.recv()
            except (EOFError, OSError):
                os._exit(0)  # a decode in progress has nobody left to answer
            self._waiting.put((task, self._ahead.submit(self._source.read, task.ledgers)))

    def work(self, task: Task, reading: Future[Reading]) -> ChunkDone:
        """Carry out one attempt. Never raises: this is the worker's outermost door."""
        clock = Clock()
        try:
            read = reading.result()
            clock.wait_s = clock.elapsed_s()
            done, sections = self._decode(task, read)
        except OSError as error:  # the file for the rows: a source answers with a failure
            return _fruitless(task, clock, unwritable(error, task.path))
        except BaseException as error:  # a Rust panic is no `Exception`, and none may cross the border
            logger.debug("attempt %s at ledgers %s broke", task.attempt, task.ledgers, exc_info=True)
            return _fruitless(task, clock, classify(error, ledger=task.ledgers.first))
        failure = classify(done.error) if done is not None and done.error is not None else read.failure
        if done is None or done.ledgers == 0:
            return _fruitless(task, clock, failure, read.stored_bytes)
        if done.ledgers == len(task.ledgers):
            failure = None  # what is wrong behind the chunk, in the same object, is said by whoever wants those ledgers
        return _fruitful(task, clock, failure, read, done, sections)

    def _decode(self, task: Task, read: Reading) -> tuple[Chunk | None, Sections]:
        """Decode the sound first part of what was read and write its sections; None where there is nothing."""
        if not read.objects or (read.failure and read.failure.transient and not read.failure.missing):
            return None, ()
        last = min(task.ledgers.last, read.objects[-1][2])
        has_rows = self._decoder.tables or self._plug_ins
        with _rows_file(task.path) if has_rows else contextlib.nullcontext(_NO_FILE) as fd:
            done = self._decoder.chunk(task.ledgers.first, last, read.objects, fd, framed=self._source.framed)
            return done, [*done.sections, *self._write(task, done, fd)]

    def _write(self, task: Task, done: Chunk, fd: int) -> Iterator[tuple[str, int, int, int]]:
        """Write the sections that plug-ins make behind those of the decoder."""
        for plug_in, calls in zip(self._plug_ins, done.events, strict=True):
            self._say(PlugInCalled(token=task.token, plug_in=plug_in.id))
            began = time.monotonic_ns()
            made = plug_in.sections(calls)
            done.nanoseconds["encode"] += time.monotonic_ns() - began
            for section, rows, stream in made:
                offset = os.lseek(fd, 0, os.SEEK_CUR)
                _write_all(fd, stream)
                yield section, rows, offset, len(stream)


def _opened(config: WorkerConfig) -> tuple[Source, Sequence[PlugIn]]:
    """Return the source and the plug-ins; where a plug-in cannot be loaded, that is the answer to every task."""
    try:
        return open_source(config), _plug_ins(config.tables)
    except ProtocolError as error:  # the coordinator could: it was changed meanwhile, or fails in a worker alone
        return Unopened(Failure(reason=short(str(error)), transient=False)), ()


def _plug_ins(tables: Sequence[str]) -> Sequence[PlugIn]:
    """Return the plug-ins that make what the decoder does not; pyarrow comes with them alone."""
    others = [table for table in tables if table not in SECTIONS]
    if not others:
        return ()
    from workers.protocols.plug_in import plug_ins

    return plug_ins(others)


def _write_all(fd: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(fd, left) :]


@contextlib.contextmanager
def _rows_file(path: str) -> Iterator[int]:
    """Open the file for a chunk's rows, which may hold those of an older one, and cut it to what was written."""
    fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        yield fd
        os.ftruncate(fd, os.lseek(fd, 0, os.SEEK_CUR))
    finally:
        os.close(fd)


def _fruitless(task: Task, clock: Clock, failure: Failure | None, stored_bytes: int = 0) -> ChunkDone:
    """Say that not one ledger came of an attempt; its file is removed, since its room may be what is short."""
    with contextlib.suppress(OSError):
        Path(task.path).unlink()
    return ChunkDone(
        token=task.token,
        ledgers=None,
        failure=failure,
        object_bytes=stored_bytes,
        peak_rss=_peak_rss(),
        timings=clock.timings({}),
    )


def _fruitful(
    task: Task, clock: Clock, failure: Failure | None, read: Reading, done: Chunk, sections: Sections
) -> ChunkDone:
    ledgers = LedgerRange(task.ledgers.first, task.ledgers.first + done.ledgers - 1)
    return ChunkDone(
        token=task.token,
        ledgers=ledgers,
        failure=failure,
        path=task.path,
        sections=tuple(Section(table=t, rows=r, offset=o, length=n) for t, r, o, n in sections),
        previous_hash=done.previous_hash,
        first_hash=done.first_hash,
        last_hash=done.last_hash,
        first_object=_holder(read, ledgers.first),
        last_object=_holder(read, ledgers.last),
        object_bytes=read.stored_bytes,
        plain_bytes=done.plain_bytes,
        event_hash_mismatches=done.event_hash_mismatches,
        left_alone={protocol: count for protocol, count in done.left_alone.items() if count},
        peak_rss=_peak_rss(),
        timings=clock.timings(done.nanoseconds),
    )


def _holder(read: Reading, ledger: int) -> str:
    """Return the name of the object that holds a ledger which was decoded."""
    return next(name for name, first, last, _ in read.objects if first <= ledger <= last)


def _peak_rss() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Clock:
    """Takes the time of one attempt, in wall-clock and in CPU seconds of this process."""

    def __init__(self) -> None:
        """Begin now."""
        self._wall_s, self._cpu_s = time.monotonic(), time.process_time()
        self.wait_s = 0.0  # until the bytes were there

    def elapsed_s(self) -> float:
        """Return the seconds since."""
        return time.monotonic() - self._wall_s

    def timings(self, nanoseconds: Mapping[str, int]) -> Timings:
        """Return where the time went; `nanoseconds` are the decoder's own, by stage."""
        spent = {stage: count / 1e9 for stage, count in nanoseconds.items()}
        return Timings(
            wait_s=self.wait_s,
            decompress_s=spent.get("decompress", 0.0),
            walk_s=spent.get("walk", 0.0),
            prove_s=spent.get("prove", 0.0),
            encode_s=spent.get("encode", 0.0),
            write_s=spent.get("write", 0.0),
            elapsed_s=self.elapsed_s(),
            cpu_s=time.process_time() - self._cpu_s,
        )
