"""A lake that grows: objects of another one appear in it, at once and whole, as an upload ends, or piece by piece."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from lakes import key


class GrowingLake:
    """A lake whose newest ledger a test decides; `whole` has all that will ever be in it."""

    def __init__(self, whole: Path, folder: Path, first: int) -> None:
        """Begin without a ledger; the first to appear is `first`."""
        self.folder, self.newest = folder, first - 1
        self.whole = whole
        folder.mkdir(parents=True)
        shutil.copy(whole / ".config.json", folder)

    def __str__(self) -> str:
        """Write it as the program takes it."""
        return str(self.folder)

    def reach(self, last: int, *, but: int | None = None) -> None:
        """Let all ledgers up to `last` appear, in order, `but` one of them, which is a hole then."""
        while self.newest < last:
            self.newest += 1
            if self.newest != but:
                self.bring(self.newest)

    def bring(self, ledger: int) -> None:
        """Let one ledger appear: a second name of a file is there as suddenly as one that is moved there."""
        place = self.folder / key(ledger)
        place.parent.mkdir(exist_ok=True)
        os.link(self.whole / key(ledger), place)

    def write(self, ledger: int, *, share: float, padding: int = 0) -> None:
        """Write in place the first share of what a ledger's object has, as a writer does that moves nothing.

        `padding`: zeros behind it, where room was made for the rest.
        """
        content = (self.whole / key(ledger)).read_bytes()
        place = self.folder / key(ledger)
        place.parent.mkdir(exist_ok=True)
        with place.open("r+b" if place.exists() else "xb") as file:
            file.write(content[: int(len(content) * share)] + bytes(padding))
        self.newest = max(self.newest, ledger)
