"""The history of a run: rows of its steps and its last word, whatever becomes of the database meanwhile."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import psycopg
import pytest
from cutting_proxy import CuttingProxy
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pipeline import history
from pipeline.actions import Note
from pipeline.chunk import ChunkState
from pipeline.history import History, Scribe
from pipeline.progress.snapshot import Snapshot, Waits
from pipeline.store import books
from pipeline.store.books import Run, Word
from workers.messages import LedgerRange

HEAD = LedgerRange(100, 109)
WORD = Word(ledgers_done=1, ledgers_wanted=9, head="ledgers 100-109", waits_for="the source is the limit")
STEPS = (
    Note(step="suspect", chunk=HEAD, worker=3, attempt=1, elapsed_s=10.5, why="half of its deadline is over"),
    Note(step="hedge", chunk=HEAD, worker=4, attempt=2, elapsed_s=15.0, why="a second worker tries"),
    Note(step="re-dispatch", chunk=HEAD, worker=3, attempt=1, elapsed_s=20.0, why="no result after 20 s"),
    Note(step="split", chunk=HEAD, worker=None, attempt=3, elapsed_s=60.0, why="to find the ledger"),
    Note(step="abort", chunk=LedgerRange(105, 105), worker=5, attempt=3, elapsed_s=61.0, why="gave up"),
)


class Silent:
    """A watcher that says nothing."""

    def progress(self, snapshot: Snapshot) -> None:
        """The run goes on."""

    def note(self, note: Note) -> None:
        """It takes a step."""


@pytest.fixture
def run(conn: psycopg.Connection) -> Run:
    run = books.new_run(conn)
    books.start_run(conn, run, LedgerRange(100, 199), source="/lake", workers=2)
    return run


@pytest.fixture
def scribe(store: str, run: Run) -> Iterator[Scribe]:
    made = Scribe(lambda _: psycopg.connect(store, autocommit=True), run)
    yield made
    made.close()


def snapshot(elapsed_s: float, done: int = 10) -> Snapshot:
    """Return a run whose head is late, with a chunk held behind it."""
    return Snapshot(
        elapsed_s=elapsed_s,
        ledgers_wanted=100,
        ledgers_done=done,
        transactions=0,
        operations=0,
        events=0,
        object_bytes=0,
        plain_bytes=0,
        row_bytes=0,
        window=((HEAD, ChunkState.WORK), (LedgerRange(110, 119), ChunkState.HELD)),
        head=HEAD,
        head_age_s=7.0,  # a clock that stands still: its words are the same
        head_worker=3,
        head_attempt=2,
        workers_busy=1,
        workers_idle=1,
        workers_starting=0,
        held_bytes=1000,
        waits=Waits(head_s=elapsed_s, commit_s=elapsed_s),
    )


def eventually(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not what():
        assert time.monotonic() < deadline, "no answer in 10 s"
        time.sleep(0.01)


def notes(conn: psycopg.Connection, run: Run) -> list[Note]:
    return [step.note for step in books.steps(conn, run.id)]


def test_each_step_has_a_row_in_order(conn: psycopg.Connection, run: Run, scribe: Scribe):
    """Every kind of step is written with chunk, worker, attempt, elapsed and why; the newest are found alone."""
    for note in STEPS:
        scribe.add(note)
    scribe.close()
    assert notes(conn, run) == list(STEPS)
    assert [step.note for step in books.steps(conn, run.id, newest=2)] == list(STEPS[-2:])
    (now,) = conn.execute("SELECT now()").fetchone()
    assert all(timedelta(0) <= now - step.at < timedelta(seconds=10) for step in books.steps(conn, run.id))


def test_a_run_in_which_nothing_is_late_writes_nothing(conn: psycopg.Connection, run: Run):
    """A short run opens no connection for its history, and starts no thread."""
    scribe, before = Scribe(lambda _: pytest.fail("connected"), run), threading.active_count()
    watcher = History(Silent(), scribe)
    for tenths in range(20):
        watcher.progress(snapshot(tenths / 10))
    assert threading.active_count() == before
    scribe.close()
    assert (notes(conn, run), books.said(conn, run.id)) == ([], None)


def test_what_strangers_wrote_is_escaped(conn: psycopg.Connection, run: Run, scribe: Scribe):
    """PostgreSQL takes neither a NUL nor half a surrogate pair, and a terminal shall not take an escape."""
    scribe.add(Note(step="abort", chunk=HEAD, worker=1, attempt=1, elapsed_s=1.0, why="a\0b\udc80c\x1b[2J"))
    scribe.close()
    assert [note.why for note in notes(conn, run)] == [r"a\x00b\udc80c\x1b[2J"]


class Heard(Scribe):
    """A scribe that remembers which words it was given at which second of the run."""

    words: list[tuple[float, Word]]
    now: float

    def say(self, word: Word) -> None:
        """Write it all the same."""
        self.words.append((self.now, word))
        super().say(word)


def test_a_run_says_what_it_waits_for(conn: psycopg.Connection, store: str, run: Run):
    """In the words of the log: every two seconds where they are new, every ten where they are the same."""
    scribe = Heard(lambda _: psycopg.connect(store, autocommit=True), run)
    scribe.words, watcher = [], History(Silent(), scribe)
    for quarter in range(4 * 33):
        scribe.now = quarter / 4
        watcher.progress(snapshot(scribe.now, done=max(10, int(scribe.now) - 15)))
    assert [when for when, _ in scribe.words] == [2, 12, 22, 26, 28, 30, 32]
    eventually(lambda: (said := books.said(conn, run.id)) and said.word == scribe.words[-1][1])
    found = books.said(conn, run.id)
    assert found is not None
    assert found.word == Word(
        ledgers_done=17,
        ledgers_wanted=100,
        head="ledgers 100-109 on worker 3, attempt 2, for 7.0 s",
        waits_for="waiting for ledgers 100-109 on worker 3, attempt 2, for 7.0 s: 1 chunk (1.0 kB) held behind it",
    )
    assert 0 <= found.age_s < 10
    scribe.close()


def test_words_do_not_pile_up(conn: psycopg.Connection, run: Run):
    """Hours of words leave one row in a few pages, and an index that never grows."""
    for count in range(2_000):
        books.say(conn, run, Word(ledgers_done=count, ledgers_wanted=9, head="h" * 100, waits_for="w" * 150), 0.0)
    size, index = conn.execute(
        "SELECT pg_relation_size('ledgerfill.backfill_now'), pg_relation_size('ledgerfill.backfill_now_pkey')"
    ).fetchone()
    assert (size, index) == (8192, 16384)
    assert conn.execute("SELECT count(*) FROM ledgerfill.backfill_now").fetchone() == (1,)


@pytest.mark.parametrize("fate", ["lose", "swallow"])
def test_a_connection_cut_during_a_step_costs_nothing(conn: psycopg.Connection, store: str, run: Run, fate: str):
    """Whether its COMMIT had arrived or not, the step is there exactly once, and so is the next one."""
    names = conninfo_to_dict(store)
    proxy = CuttingProxy((str(names["host"]), int(str(names["port"]))), lambda number: fate if number == 1 else "pass")
    url = make_conninfo(store, port=proxy.port)
    scribe = Scribe(lambda _: psycopg.connect(url, autocommit=True), run)
    try:
        for note in STEPS[:2]:
            scribe.add(note)
            eventually(lambda count=proxy.commits: proxy.commits > count)
        scribe.close(5.0)
    finally:
        proxy.close()
    assert proxy.commits > 1
    assert notes(conn, run) == list(STEPS[:2])


def test_steps_wait_while_the_database_is_away(conn: psycopg.Connection, store: str, run: Run):
    """Whoever takes a step never waits; when the database is back each is written, dated when it was taken."""
    back = threading.Event()

    def connect(_: object) -> psycopg.Connection:
        if not back.is_set():
            raise psycopg.OperationalError("the server is starting up")
        return psycopg.connect(store, autocommit=True)

    scribe = Scribe(connect, run)
    start = time.monotonic()
    for note in STEPS:
        scribe.add(note)
    scribe.say(WORD)
    assert time.monotonic() - start < 0.1
    time.sleep(0.5)
    (began,) = conn.execute("SELECT clock_timestamp()").fetchone()
    back.set()
    eventually(lambda: books.said(conn, run.id))
    assert notes(conn, run) == list(STEPS)
    assert all(step.at < began for step in books.steps(conn, run.id))
    scribe.close()


def test_a_database_that_never_answers_is_left_at_the_end(run: Run, caplog: pytest.LogCaptureFixture):
    """At the end a run waits a moment for its history, not for ever, and one line says what is missing in it."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"postgresql://127.0.0.1:{deaf.getsockname()[1]}/x?connect_timeout=30"
        scribe = Scribe(lambda _: psycopg.connect(url), run)
        for _ in range(history.MOST_WAITING + 100):
            scribe.add(STEPS[0])
        start = time.monotonic()
        scribe.close(0.3)
        assert 0.2 < time.monotonic() - start < 2
    (record,) = caplog.records
    assert record.getMessage().startswith("600 steps could not be written to the run's history: ")


def test_a_store_that_refuses_the_history_does_no_harm(
    conn: psycopg.Connection, store: str, run: Run, caplog: pytest.LogCaptureFixture
):
    """Any error of the database is one line at the end, with PostgreSQL's words."""
    conn.execute("DROP TABLE ledgerfill.backfill_steps")
    scribe = Scribe(lambda _: psycopg.connect(store, autocommit=True), run)
    for note in STEPS:
        scribe.add(note)
    scribe.close(1.0)
    (record,) = caplog.records
    assert record.getMessage() == (
        '5 steps could not be written to the run\'s history: relation "ledgerfill.backfill_steps" does not exist'
    )


def test_what_a_run_said_ends_with_it(conn: psycopg.Connection, run: Run):
    """A run that has ended waits for nothing any more; its steps stay."""
    books.add_steps(conn, run, [books.NewStep(1, 0.0, STEPS[0])])
    books.say(conn, run, WORD, 0.0)
    books.end_run(conn, run, "failed")
    assert (books.said(conn, run.id), notes(conn, run)) == (None, [STEPS[0]])


def test_what_a_run_that_died_said_ends_with_the_next(conn: psycopg.Connection, run: Run):
    """The next run knows that it is gone, and forgets its word, not its steps."""
    books.add_steps(conn, run, [books.NewStep(1, 0.0, STEPS[0])])
    books.say(conn, run, WORD, 0.0)
    books.start_run(conn, books.new_run(conn), LedgerRange(100, 199), source="/lake", workers=2)
    assert (books.said(conn, run.id), notes(conn, run)) == (None, [STEPS[0]])
