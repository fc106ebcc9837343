"""How `lake make` makes a lake: arguments checked, the Rust core called, the result told."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, TypeAlias

from pipeline.cli.job import print_lines
from pipeline.config import LakeSettings, cores
from pipeline.errors import BackfillError, Refused
from pipeline.progress import units
from pipeline.progress.printable import printable
from pipeline.source import find, refusing
from workers import _decode
from workers.messages import MAX_LEDGER, LedgerRange
from workers.sources import FetchLimits, Lake
from workers.sources.bucket import Bucket

if TYPE_CHECKING:
    from typing_extensions import Buffer

_MOST_SOURCE_BYTES = 1 << 30  # stored bytes of ledgers to repeat: they are held in memory
Objects: TypeAlias = "list[tuple[str, Buffer]]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What kind of lake; `source` is another lake, whose ledgers are repeated instead of made up."""

    ledgers: int
    first: int
    seed: int
    shape: str | None
    source: str | None
    ledgers_per_object: int
    objects_per_partition: int


def make_lake(directory: Path, recipe: Recipe) -> int:
    """Make a lake and say what was made; return the exit code. `Refused` for what cannot be made."""
    _check(directory, recipe)
    objects, passphrase = _source(recipe.source) if recipe.source else ([], "")
    began = monotonic()
    _interruptible(
        lambda: _decode.make_lake(
            str(directory),
            ledgers=recipe.ledgers,
            first=recipe.first,
            seed=recipe.seed,
            shape=recipe.shape or "pubnet",
            source=objects,
            source_passphrase=passphrase,
            ledgers_per_object=recipe.ledgers_per_object,
            objects_per_partition=recipe.objects_per_partition,
            threads=cores(),
        )
    )
    made = sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())
    took = units.duration(monotonic() - began)
    counted = json.loads((directory / "expected.json").read_bytes())  # the ends move out to the objects' borders
    ledgers = LedgerRange(counted["first"], counted["last"])
    print_lines(iter([printable(f"made ledgers {ledgers} in {directory}: {units.size(made)}, {took}")]))
    return 0


def _check(directory: Path, recipe: Recipe) -> None:
    if recipe.shape and recipe.source:
        raise Refused(f"--shape {recipe.shape} and --from {recipe.source} contradict each other: give one")
    for flag, number in (
        ("--ledgers", recipe.ledgers),
        ("--start-ledger", recipe.first),
        ("--ledgers-per-object", recipe.ledgers_per_object),
        ("--objects-per-partition", recipe.objects_per_partition),
    ):
        if number < 1:
            raise Refused(f"{flag} is {number}: at least 1")
    if recipe.first + recipe.ledgers - 1 > MAX_LEDGER:
        raise Refused(f"--start-ledger {recipe.first} and --ledgers {recipe.ledgers} go beyond ledger {MAX_LEDGER}")
    try:
        if any(directory.iterdir()):
            raise Refused(f"{directory} is not empty: a lake is made in a folder of its own")
    except FileNotFoundError:
        pass
    except NotADirectoryError as error:
        raise Refused(f"{directory} is no folder") from error


def _source(url: str) -> tuple[Objects, str]:
    """Return every object of a lake, and its passphrase."""
    found = find(LakeSettings(source=url))
    if found.manifest is None:
        raise Refused(f"lake {url} has no manifest, which names its network")
    objects: Objects = []
    stored = 0
    with refusing():
        for ledgers in _held(found.lake):
            read = found.lake.read(ledgers)
            if read.failure:
                raise BackfillError(read.failure.reason)
            objects += [(name, body) for name, _, _, body in read.objects]
            stored += read.stored_bytes
            if stored > _MOST_SOURCE_BYTES:
                raise Refused(f"lake {url} has more than {units.size(_MOST_SOURCE_BYTES)} to repeat")
    if not objects:
        raise Refused(f"there are no ledgers in {url}")
    return objects, found.manifest.network_passphrase


def _held(lake: Lake) -> list[LedgerRange]:
    """Return the ledgers of every object, in order; a lake of real samples has holes, so the keys are listed."""
    found = set()
    for key in (key for page in Bucket(lake.spec.url, FetchLimits()).pages() for key in page):
        with suppress(ValueError):  # other files may lie beside the objects
            found.add(lake.layout.parse(key))
    return sorted(found)


def _interruptible(work: Callable[[], None]) -> None:
    """Do `work` aside, so that Ctrl-C ends the program although Rust does not look for it; raises what it raised."""
    raised: list[Exception] = []

    def attempt() -> None:
        try:
            work()
        except (ValueError, OSError, _decode.CorruptLedger) as error:
            raised.append(error)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join()
    for error in raised:
        raise (Refused if isinstance(error, ValueError) else BackfillError)(str(error)) from error
