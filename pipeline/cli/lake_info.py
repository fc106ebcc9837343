"""What `lake info` finds out about a lake, and how it says it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.config import LakeSettings
from pipeline.errors import Refused
from pipeline.progress import units
from pipeline.progress.printable import printable
from pipeline.source import find, refusing
from workers.messages import LakeSpec, LedgerRange


@dataclass(frozen=True, slots=True, kw_only=True)
class LakeInfo:
    """A lake as it stands; `ledgers` is None where it is empty, the passphrase where it has no manifest."""

    url: str
    spec: LakeSpec
    network_passphrase: str | None
    ledgers: LedgerRange | None


def look(settings: LakeSettings) -> LakeInfo:
    """Look at a lake: its manifest, and one listing for each end. `Refused` where it does not answer."""
    if settings.source.startswith("stream:"):
        raise Refused(f"{settings.source_shown} is a stream, not a lake")
    found = find(settings)
    with refusing():
        oldest, newest = found.lake.oldest(), found.lake.newest()
    return LakeInfo(
        url=settings.source_shown,
        spec=found.lake.spec,
        network_passphrase=found.manifest.network_passphrase if found.manifest else None,
        ledgers=LedgerRange(oldest, newest) if oldest and newest else None,
    )


def lines(found: LakeInfo) -> Iterator[str]:
    """Iterate over what people are told, safe to print."""
    yield from map(printable, _lines(found))


def _lines(found: LakeInfo) -> Iterator[str]:
    spec = found.spec
    yield f"lake {found.url}"
    yield f"  network    {found.network_passphrase or 'no manifest names it'}"
    yield f"  ledgers    {'none' if found.ledgers is None else f'{found.ledgers.first} to {found.ledgers.last}'}"
    cut = f"{units.plural(spec.ledgers_per_object, 'ledger')} an object"
    yield f"  layout     {cut}, {units.plural(spec.objects_per_partition, 'object')} a partition, {spec.suffix}"


def document(found: LakeInfo) -> str:
    """Return it as JSON; `ledgers` is `[first, last]`, null in an empty lake."""
    fields = {
        "source": found.url,
        "network_passphrase": found.network_passphrase,
        "ledgers": [found.ledgers.first, found.ledgers.last] if found.ledgers else None,
        "ledgers_per_object": found.spec.ledgers_per_object,
        "objects_per_partition": found.spec.objects_per_partition,
        "suffix": found.spec.suffix,
    }
    return json.dumps(fields, indent=2)
