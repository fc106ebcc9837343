"""The Rust side of a benchmark: built by cargo, and driven so that Python and Rust take turns."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inputs import ROOT, Input

from workers.messages import LedgerRange

_ENV = os.environ | {"CARGO_TERM_COLOR": "never"}


def build(bench: str) -> Path:
    """Build one of the crate's benches with the release profile and return its program."""
    command = ["cargo", "bench", "--bench", bench, "--no-run", "--quiet", "--message-format=json"]
    command += ["--manifest-path", str(ROOT / "decode" / "Cargo.toml")]
    built = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=_ENV).stdout
    messages = [json.loads(line) for line in built.splitlines() if line.startswith("{")]
    programs = [Path(m["executable"]) for m in messages if m.get("executable") and m["target"]["name"] == bench]
    return programs[-1]


@dataclass(frozen=True, slots=True)
class Spent:
    """What one pass over all chunks took."""

    cpu_s: float
    elapsed_s: float


class Alone:
    """The Rust pass without Python: a process that holds the objects in memory and passes over them when told."""

    def __init__(self, lake: Input, chunks: Sequence[LedgerRange]) -> None:
        """Start it and hand it the objects of `chunks`."""
        self._process = subprocess.Popen(
            [build("alone"), lake.passphrase], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        layout = lake.found.lake.layout
        for chunk in chunks:
            self._say(f"chunk {chunk.first} {chunk.last}")
            for held in layout.objects(chunk):
                self._say(f"object {held.first} {held.last} {lake.path / layout.key(held.first)}")

    def one(self, chunk: int, rows: Path | None = None) -> Spent:
        """Pass over one chunk, by its number from 0; with `rows` the rows are written to that file."""
        return self._told(f"pass {chunk} {chunk} {rows or ''}")

    def all(self, rows: Path | None = None) -> Spent:
        """Pass over every chunk."""
        return self._told(f"all {rows or ''}")

    def prove(self) -> Spent:
        """Pass over every chunk without making rows."""
        return self._told("prove")

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def _told(self, line: str) -> Spent:
        self._say(line)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.flush()
        cpu, elapsed = self._process.stdout.readline().split()
        return Spent(int(cpu) / 1e9, int(elapsed) / 1e9)

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line.rstrip()}\n")
