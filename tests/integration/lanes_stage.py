"""A stage for several connections that copy ahead: where they stand is chosen, and what befalls each there."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import ClassVar

import handmade
import psycopg
from cutting_proxy import Link, Proxy
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pipeline.actions import ReadyChunk
from pipeline.events import CommitFailed, Committed, Event
from pipeline.lanes import Lanes, Turn
from pipeline.plan import Gap
from pipeline.store import books
from pipeline.store.commit import Committer
from pipeline.store.connection import Limits, open_store
from pipeline.store.embedded import EmbeddedServer
from workers.messages import LedgerRange

FIRST = 100  # of chunks of two ledgers each
COUNT = 9  # of chunks, where nothing else is said
PATIENCE_S = 10.0
LIMITS = Limits(statement_s=10.0)
# Whoever writes a chunk's record sees each chunk before it committed, and none behind it: the promise of order.
IN_ORDER = """
    CREATE FUNCTION public.in_order() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF (SELECT count(*) <> 1 + (NEW.first - 100) / 2 OR max(last) > NEW.last FROM ledgerfill.backfill_chunks)
        THEN RAISE 'ledgers % are out of order', NEW.first; END IF;
        RETURN NULL; END $$;
    CREATE TRIGGER in_order AFTER INSERT ON ledgerfill.backfill_chunks FOR EACH ROW EXECUTE FUNCTION public.in_order();
"""
KEYS = {"ledgers": "sequence", "transactions": "id", "operations": "id", "events": "operation_id, event_index"}
# What these leave out is another one in each run: its number, its commits' ids, its times and its connections.
BOOKS = {
    "ledger_stretches": "first, last, previous_hash, first_hash, last_hash, job",
    "backfill_chunks": "first, last, first_hash, last_hash, worker, attempts, transactions, operations, events",
}
Scene = Mapping[int, tuple[str, str]]
"""Where each of these chunks stands when all do, and what becomes of its connection then."""


def chunks(count: int) -> list[LedgerRange]:
    return [LedgerRange(first, first + 1) for first in range(FIRST, FIRST + 2 * count, 2)]


class Cast:
    """A lane with its connection through a proxy of its own, and the chunk that it has in hand."""

    def __init__(self, stage: Stage, run: books.Run, limits: Limits) -> None:
        """Connect."""
        self._stage, self._chunk, self._recorded = stage, 0, False
        names = conninfo_to_dict(stage.url)
        self.proxy = Proxy((str(names["host"]), int(str(names["port"]))), self._message)
        url = make_conninfo(stage.url, port=self.proxy.port)
        self.committer = Committer(lambda: open_store(url, limits=limits), run)

    def commit(self, chunk: ReadyChunk, turn: Turn) -> Committed:
        """Carry out one job of the lanes; what is held at its turn is held here."""
        self._chunk, self._recorded = (chunk.ledgers.first - FIRST) // 2, False

        def shown() -> None:
            self._become(self._stage.stands(self._chunk, "turn"))
            turn()

        return self.committer.commit(chunk, shown)

    def close(self) -> None:
        """End both."""
        self.committer.close()
        self.proxy.close()

    def _message(self, kind: str, _: Link) -> str:
        self._recorded = self._recorded or kind == "record"
        if kind == "commit" and not self._recorded:  # of something that is made on the way
            return "pass"
        fate = self._stage.stands(self._chunk, kind)
        if fate not in ("terminate", "crash", "tarry"):
            return fate
        self._become(fate)
        return "pass"

    def _become(self, fate: str) -> None:
        if fate == "terminate":
            self._stage.terminate(self.proxy.links[-1].server_sees)
        elif fate == "crash":
            self._stage.crash()
        elif fate == "tarry":
            time.sleep(1.0)
        else:
            self.proxy.links[-1].strike(fate)


class Stage:
    """A store, and scenes that are played once each: who stands at its mark waits until all do."""

    def __init__(self, server: EmbeddedServer, url: str, scenes: Sequence[Scene]) -> None:
        """Scenes are played in their order."""
        self._server, self.url, self._scenes = server, url, list(scenes)
        self._marks = threading.Condition()
        self._standing: set[int] = set()
        self._recovery: threading.Thread | None = None

    def stands(self, chunk: int, where: str) -> str:
        """Return what becomes of a connection here, when all stand at their marks; nothing where it has none."""
        with self._marks:
            scene = self._scenes[0] if self._scenes else {}
            mark, fate = scene.get(chunk, ("", ""))
            if where != mark or chunk in self._standing:
                return "pass"
            self._standing.add(chunk)
            if len(self._standing) == len(scene):
                self._scenes.pop(0)
                self._standing = set()
                self._marks.notify_all()
            elif not self._marks.wait_for(lambda: scene not in self._scenes, PATIENCE_S):
                return "pass"
        return fate

    def close(self) -> None:
        """Fail unless every scene was played."""
        if self._recovery:
            self._recovery.join()
        assert not self._scenes, f"it never came to {self._scenes}: only {self._standing} stood there"

    def terminate(self, port: int) -> None:
        """End the session behind a connection."""
        with psycopg.connect(self._server.ensure_running()) as conn:  # not to the store: that may be dropped first
            ended = conn.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE client_port = %s", [port]
            ).fetchall()
        assert ended == [(True,)]

    def crash(self) -> None:
        """Stop the server at once as `pg_ctl -m immediate` does; it recovers while the run wants to go on."""
        pid = self._server.pid()
        assert pid is not None
        os.kill(pid, signal.SIGQUIT)
        while self._server.pid() is not None:
            time.sleep(0.01)
        self._recovery = threading.Thread(target=self._server.ensure_running)
        self._recovery.start()


class Losing(Stage):
    """A store that loses the first acknowledgement of each of these chunks."""

    def __init__(self, server: EmbeddedServer, url: str, lost: Sequence[int]) -> None:
        """Nothing else befalls anybody."""
        super().__init__(server, url, [])
        self._lost = set(lost)

    def stands(self, chunk: int, where: str) -> str:
        """Swallow it once."""
        if where != "commit" or chunk not in self._lost:
            return "pass"
        self._lost.remove(chunk)
        return "swallow"


def play(stage: Stage, folder: Path, lanes: int, count: int, limits: Limits = LIMITS) -> list[Event]:
    """Commit `count` chunks over so many connections and return the answers, in their order."""
    with ExitStack() as stack:
        gap = Gap(ledgers=LedgerRange(FIRST, FIRST + 2 * count - 1))
        conn = stack.enter_context(closing(psycopg.connect(stage.url, autocommit=True)))
        run = books.new_run(conn)
        books.start_run(conn, run, gap.ledgers, source="handmade", workers=1)
        stack.enter_context(closing(stage))
        cast = [stack.enter_context(closing(Cast(stage, run, limits))) for _ in range(lanes)]
        given = Lanes([one.commit for one in cast], CommitFailed, lambda: [one.committer.cancel() for one in cast])
        answers: list[Event] = []
        try:
            for ledgers in chunks(count):
                given.submit(handmade.chunk(folder, ledgers.first, ledgers.last, gap=gap))
            while len(answers) < count and not any(isinstance(answer, CommitFailed) for answer in answers):
                assert select.select([given.readable], [], [], 2 * PATIENCE_S)[0], f"it hangs behind {answers}"
                answers += given.answers()
        finally:
            given.close(at_once=len(answers) < count)
        return answers


def contents(url: str) -> dict[str, tuple[int, str]]:
    """Return count and digest of every table, the books too."""
    with psycopg.connect(url) as conn:
        found = {}
        for table, key in KEYS.items():
            query = f"SELECT count(*), md5(string_agg(t::text, '' ORDER BY {key})) FROM ledgerfill.{table} t"
            found[table] = conn.execute(query).fetchone()
        for table, columns in BOOKS.items():
            query = f"SELECT count(*), md5(string_agg(ROW({columns})::text, '' ORDER BY first)) FROM ledgerfill.{table}"
            found[table] = conn.execute(query).fetchone()
        return found


class House:
    """Stores on one server for one test, each with the promise of order, and what an undisturbed run leaves there."""

    _known: ClassVar[dict[int, dict[str, tuple[int, str]]]] = {}  # by the number of chunks; the same in every test

    def __init__(self, server: EmbeddedServer, folder: Path) -> None:
        """The server has a database `template`; chunks are written into `folder`."""
        self.server, self._folder, self._made = server, folder, 0
        self._url = server.ensure_running().rpartition("/")[0]

    def new_store(self) -> str:
        """Return the URL of an empty store."""
        self._execute(f"CREATE DATABASE stage_{self._made} TEMPLATE template")
        self._made += 1
        return f"{self._url}/stage_{self._made - 1}"

    def ends_well(self, scenes: Sequence[Scene], lanes: int, limits: Limits = LIMITS) -> None:
        """Fail unless a run goes through these scenes, and ends as one that nobody disturbs."""
        self.check(Stage(self.server, self.new_store(), scenes), lanes, COUNT, limits)

    def check(self, stage: Stage, lanes: int, count: int, limits: Limits = LIMITS) -> None:
        """Fail unless all is committed in order, and store and books are as an undisturbed run leaves them."""
        answers = play(stage, self._folder, lanes, count, limits)
        assert [answer.ledgers for answer in answers if isinstance(answer, Committed)] == chunks(count), answers
        assert contents(stage.url) == self._undisturbed(count)

    def _undisturbed(self, count: int) -> dict[str, tuple[int, str]]:
        if count not in self._known:
            stage = Stage(self.server, self.new_store(), [])
            play(stage, self._folder, 1, count)
            self._known[count] = contents(stage.url)
        return self._known[count]

    def close(self) -> None:
        """Drop them."""
        for number in range(self._made):
            self._execute(f"DROP DATABASE stage_{number} WITH (FORCE)")

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self.server.ensure_running(), autocommit=True) as conn:
            conn.execute(statement)
