"""Log records from killed processes: none that was written is lost, none hangs the others."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from workers.logs import TEXT_LIMIT, LogRelay, PipeHandler

CHATTERBOX = """
import logging, sys, itertools
from multiprocessing.connection import Connection
from workers.logs import send_to
send_to(Connection(int(sys.argv[1])), logging.INFO)
print("ready", flush=True)
for number in itertools.count():
    logging.getLogger("chatter").info("record %s of %s %s", number, sys.argv[2], "x" * 3000)
"""


@pytest.fixture
def relay() -> Iterator[LogRelay]:
    made = LogRelay()
    yield made
    made.close()


class Kept(logging.Handler):
    """Keeps what it is handed."""

    def __init__(self) -> None:
        """Begin with nothing."""
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.records.append(record)


@pytest.fixture
def kept() -> Iterator[Kept]:
    handler, logger = Kept(), logging.getLogger("chatter")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    yield handler
    logger.removeHandler(handler)
    logger.propagate = True


def test_killed_chatterboxes_lose_nothing_and_hang_nobody(relay: LogRelay, kept: Kept) -> None:
    """Processes killed while they log deliver every record up to the kill, in order; the others go on."""
    for round_ in range(12):
        chatting = [_chatterbox(relay, f"{round_}/{one}") for one in range(2)]
        for process in chatting:
            assert process.stdout is not None
            process.stdout.readline()
        time.sleep(0.02)
        for process in chatting:
            process.kill()
            process.communicate()
    relay.close()
    for name in [f"{round_}/{one}" for round_ in range(12) for one in range(2)]:
        numbers = [int(text.split()[1]) for text in _texts(kept) if text.split()[3] == name]
        assert len(numbers) > 0
        assert numbers == list(range(len(numbers)))


def _chatterbox(relay: LogRelay, name: str) -> subprocess.Popen[str]:
    sender = relay.add()
    process = subprocess.Popen(
        [sys.executable, "-c", CHATTERBOX, str(sender.fileno()), name],
        pass_fds=[sender.fileno()],
        stdout=subprocess.PIPE,
        text=True,
    )
    sender.close()
    return process


def _texts(kept: Kept) -> list[str]:
    return [record.getMessage() for record in kept.records]


def test_record_keeps_what_it_says(relay: LogRelay, kept: Kept) -> None:
    """Text, level and traceback arrive; what cannot be pickled is made text first, what is endless is cut."""
    handler = PipeHandler(relay.add(), logging.INFO)
    logger = logging.Logger("chatter")  # noqa: LOG001  # a worker's of that name, in another process
    logger.addHandler(handler)
    logger.info("%s of %s", "one", lambda: None)
    logger.info({"not": "a text"})
    logger.warning("y" * 100_000)
    try:
        raise ValueError("broken")
    except ValueError:
        logger.exception("it broke")
    _until(lambda: len(kept.records) == 4)
    one, other, endless, broken = kept.records
    assert one.getMessage().startswith("one of <function")
    assert other.getMessage() == "{'not': 'a text'}"
    assert (endless.levelname, len(endless.getMessage())) == ("WARNING", TEXT_LIMIT)
    assert broken.exc_text is not None
    assert broken.exc_text.endswith("ValueError: broken")


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10.0
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)
