"""A bench as people read it: one table, the ratios to be reached, and what changed since an older one. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.bench.document import HEADLINES, Document
from pipeline.progress import units

_BUSY = 0.1  # of all cores, taken by others: above it times mean little
_NAMES = {
    "ledgers_per_s": "ledgers/s",
    "rows_per_s": "rows/s",
    "mb_per_s": "MB/s, plain",
    "roofline_ledgers_per_s": "roofline, ledgers/s",
    "share_of_roofline": "share of the roofline",
    "cpu_ms_per_ledger": "CPU ms a ledger",
    "peak_memory_mib": "peak memory, MiB",
}


def lines(bench: Document) -> Iterator[str]:
    """Iterate over the lines of a bench."""
    yield from _on_what(bench)
    yield ""
    columns = ("ledgers", 9), ("ledgers/s", 11), ("MB/s", 8), ("rows/s", 12), ("roofline", 10), ("memory", 10)
    yield f"{'':<50}{''.join(name.rjust(width) for name, width in columns)}  CPU ms a ledger"
    for measure in bench["measures"]:
        yield _row(measure)
    needed = bench["roofline_cpu_ms_per_ledger"]
    cores = f"roofline: {bench['machine']['cores']} cores / CPU a ledger"
    yield f"{cores:<59}{bench['roofline_ledgers_per_s']:>11,.0f}{'':>40}  {_parts(needed)}"
    yield ""
    yield f"{'':<66}{'ratio':>7}  target"
    for target in bench["targets"]:
        yield _target(target)
    yield from _warnings(bench)


def changes(old: Document, new: Document) -> Iterator[str]:
    """Iterate over the lines that say what changed from an older bench to this one."""
    yield f"compared with the bench of {old.get('began_at')}"
    yield from _differences(old, new)
    yield f"{'':<66}{'then':>12}{'now':>12}{'change':>9}"
    for key in HEADLINES:
        yield from _change(_NAMES[key], old.get(key), new.get(key))
    for of, name in (("ledgers_per_s", "ledgers/s"), ("cpu_ms_per_ledger", "CPU ms a ledger")):
        before, now = (_by_key(each["measures"], of) for each in (old, new))
        for measure in new["measures"]:
            yield from _change(f"{measure['name']}: {name}", before.get(measure["key"]), now.get(measure["key"]))
    before, now = (_by_key(each.get("targets", []), "ratio") for each in (old, new))
    for target in new["targets"]:
        yield from _change(target["name"], before.get(target["key"]), now.get(target["key"]))


def _on_what(bench: Document) -> Iterator[str]:
    machine, versions = bench["machine"], bench["versions"]
    memory = units.size(machine["memory_bytes"])
    yield f"machine  {units.plural(machine['cores'], 'core')}, {memory} of memory, {machine['processor']}"
    yield f"server   PostgreSQL {versions.get('postgresql')}, a throw-away one"
    rounds = units.plural(bench["rounds"], "round")
    yield (
        f"ledgers  {units.count(bench['ledgers'])} a run, {units.count(bench['copied_ledgers'])} copied, {rounds}: "
        f"{bench['source']}"
    )
    crew = f"{units.plural(bench['workers'], 'worker')}, {units.plural(bench['connections'], 'connection')}"
    yield f"as typed {crew}"


def _row(measure: Mapping[str, Any]) -> str:
    memory = measure["peak_memory_mib"]
    return (
        f"{measure['name']:<50}{measure['ledgers']:>9,}{measure['ledgers_per_s']:>11,.0f}{measure['mb_per_s']:>8,.0f}"
        f"{measure['rows_per_s']:>12,.0f}{measure['share_of_roofline']:>10.2f}"
        f"{'' if memory is None else f'{memory:,.0f} MiB':>10}  {_parts(measure['cpu_ms_per_ledger'])}"
    )


def _parts(spent: Mapping[str, float]) -> str:
    parts = ", ".join(f"{name} {ms:.2f}" for name, ms in spent.items())
    return f"{sum(spent.values()):.2f}: {parts}"


def _target(target: Mapping[str, Any]) -> str:
    bound = f"{'at least' if target['at_least'] else 'at most'} {target['target']:g}"
    return f"{target['name']:<66}{target['ratio']:>7.3f}  {bound}: {'met' if target['met'] else 'MISSED'}"


def _warnings(bench: Document) -> Iterator[str]:
    cores = bench["machine"]["cores"]
    for measure in bench["measures"]:
        if (measure["cores_taken_by_others"] or 0.0) > _BUSY * cores:
            taken = f"others took {measure['cores_taken_by_others']:.1f} of {units.plural(cores, 'core')}"
            yield f"too busy: {measure['name']}: {taken}; its time means little"


def _differences(old: Document, new: Document) -> Iterator[str]:
    """Say what makes the two hard to compare."""
    for name in ("machine", "source", "ledgers", "versions"):
        if old.get(name) != new.get(name):
            yield f"  another {name}: then {_flat(old.get(name))}, now {_flat(new.get(name))}"


def _flat(value: object) -> str:
    return ", ".join(f"{name} {each}" for name, each in value.items()) if isinstance(value, dict) else str(value)


def _by_key(entries: object, of: str) -> dict[str, float]:
    """Return a number of each entry by its key; parts of one are added up, and what is no number is left out."""
    found = {}
    for entry in entries if isinstance(entries, list) else []:
        value = entry.get(of) if isinstance(entry, dict) else None
        value = sum(value.values()) if isinstance(value, dict) else value
        if isinstance(value, int | float):
            found[str(entry.get("key"))] = float(value)
    return found


def _change(name: str, then: object, now: object) -> Iterator[str]:
    if not isinstance(then, int | float) or not isinstance(now, int | float):
        return
    change = f"{(now / then - 1) * 100:+.0f} %" if then else ""
    yield f"{name:<66}{_number(then):>12}{_number(now):>12}{change:>9}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3f}"  # noqa: PLR2004  # three digits and more
