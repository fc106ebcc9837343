"""Bare COPY of rows that are ready: what PostgreSQL takes for them, by one connection and by several."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from pipeline import usage
from pipeline.bench.decoding import Rows
from pipeline.bench.figures import Figure
from pipeline.bench.layout import Layout
from pipeline.bench.scratch import Scratch
from pipeline.errors import BackfillError
from pipeline.store import trial
from workers.messages import LedgerRange

_NO_ROWS = 21  # bytes of a binary COPY stream without a row: header and trailer


def measure(scratch: Scratch, layout: Layout, ready: Sequence[Rows], connections: int, name: str) -> Figure:
    """Copy the chunks into an empty store, each client every so-manieth, and finish the tables over as many."""
    ledgers = LedgerRange(ready[0].ledgers.first, ready[-1].ledgers.last)
    scratch.renew()
    layout.lay(scratch.conn, ledgers)
    with ExitStack() as stack:
        clients = [stack.enter_context(_client(scratch)) for _ in range(connections)]
        before, began = scratch.cpu_s(), time.monotonic()
        for number, client in enumerate(clients):
            _tell(client, layout, ready[number::connections])
        answers = [_answer(client) for client in clients]
        layout.finish(scratch.url, ledgers, connections)
        elapsed = time.monotonic() - began
    rows = sum(count for each in ready for _, count, _, _ in each.sections)
    if (found := trial.rows(scratch.conn, layout.schema)) != rows:
        raise BackfillError(f"{name}: {found} rows came where {rows} were copied")
    return Figure(
        name=name,
        ledgers=len(ledgers),
        elapsed_s=elapsed,
        rows=rows,
        plain_bytes=sum(each.plain_bytes for each in ready),
        cpu_s={
            "client": sum(each["copy_s"] for each in answers),
            "server": max(scratch.cpu_s() - before, usage.TICK_S),  # less than that is not seen
        },
        whole_client_s=sum(each["whole_s"] for each in answers),
    )


@contextmanager
def _client(scratch: Scratch) -> Iterator[subprocess.Popen[str]]:
    """Start a client and wait until it is connected; it is gone afterwards."""
    command = [sys.executable, "-m", "pipeline.bench.client"]
    client = subprocess.Popen(  # noqa: S603  # this package's own
        command, cwd=scratch.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with client:
        try:
            _say(client, scratch.url)  # not as an argument: others could see the password
            if client.stdout is None or client.stdout.readline() != "\n":
                raise _failed(client)
            yield client
        except BaseException:
            client.kill()
            raise


def _tell(client: subprocess.Popen[str], layout: Layout, ready: Sequence[Rows]) -> None:
    for each in ready:
        sections = [
            (layout.table(table, each.ledgers.first), offset, length)
            for table, _, offset, length in each.sections
            if length > _NO_ROWS
        ]
        _say(client, json.dumps([str(each.path), sections]))
    if client.stdin is not None:
        client.stdin.close()


def _say(client: subprocess.Popen[str], line: str) -> None:
    if client.stdin is not None:
        client.stdin.write(f"{line}\n")
        client.stdin.flush()


def _answer(client: subprocess.Popen[str]) -> dict[str, float]:
    line = client.stdout.readline() if client.stdout is not None else ""
    if not line:
        raise _failed(client)
    answer: dict[str, float] = json.loads(line)
    return answer


def _failed(client: subprocess.Popen[str]) -> BackfillError:
    said = client.stderr.read() if client.stderr is not None else ""
    return BackfillError(f"a bare COPY client failed: {next(reversed(said.splitlines()), 'it said nothing')}")
