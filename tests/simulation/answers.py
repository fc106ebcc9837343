"""The product's own queries, answered from the model: a stretch, cursors, and tables in which a ledger is one row."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from scenario import true_hash

from pipeline.segments import SEGMENT_LEDGERS
from pipeline.store import queries
from workers.messages import TABLES

if TYPE_CHECKING:
    from sessions import Session

HISTORY = "state_changes"
_WHEN = datetime(2026, 1, 1, tzinfo=UTC)
Answer = Callable[["Session", Mapping[str, Any]], list[tuple]]


def answer(session: Session, query: bytes | str | sql.Composed, names: Mapping[str, Any]) -> list[tuple]:
    """Return the rows that a query gives or changes; `KeyError` for one that is not known."""
    if isinstance(query, bytes):
        if query.splitlines()[-1].startswith(b"SELECT set_config("):  # which changes no row
            return []
        return ANSWERS[query](session, names)
    text = query.as_string(None) if isinstance(query, sql.Composed) else query
    for known, made in TEMPLATES:
        if found := known.fullmatch(text):
            return made(session, dict(names) | found.groupdict() if isinstance(names, Mapping) else {})
    raise KeyError(text)


# Cursors


def _read(session: Session, names: Mapping[str, Any]) -> list[tuple]:
    found = session.rows("cursors")
    return [(key, *found[key]) for key in sorted(names["keys"]) if key in found]


def _locked(session: Session, names: Mapping[str, Any]) -> list[tuple]:
    for key in sorted(names["keys"]):
        session.lock("cursors", key)
    return _read(session, names)


def _of_histories(session: Session, _: Mapping[str, Any]) -> list[tuple]:
    ends = ("_history_cursor", "_history_below_cursor")
    return _locked(session, {"keys": [key for key in session.rows("cursors") if key.endswith(ends)]})


def _make(session: Session, names: Mapping[str, Any]) -> list[tuple]:
    if names["key"] in session.rows("cursors"):
        return []
    session.put("cursors", names["key"], (names["value"], names["hash"], names["job"], names["run_id"]))
    if names["key"].endswith("_cursor"):
        session.store.begin(names["key"], names["value"] + 1)
    if _is_history(names["key"]):
        protocol = names["key"].removeprefix("protocol_").removesuffix("_history_cursor")
        session.put("histories", protocol, names["value"] + 1)
    return [()]


def _swap(session: Session, names: Mapping[str, Any]) -> list[tuple]:
    value, known, *_ = session.rows("cursors").get(names["key"], (0, None))
    if value != names["first"] - 1 or known not in (None, names["previous_hash"]):
        return []
    session.put("cursors", names["key"], (names["last"], names["last_hash"], names["job"], names["run_id"]))
    return [()]


def _is_history(key: str) -> bool:
    return key.endswith("_history_cursor")


# What is below histories


def _parts_of(protocol: str) -> tuple[str, str]:
    """Return the keys of a part: its cursor and its first ledger."""
    return f"protocol_{protocol}_history_below_cursor", f"protocol_{protocol}_history_below_from"


def _found(session: Session, names: Mapping[str, Any]) -> list[tuple]:
    first, *_ = _stretch(session)
    there, found = session.rows("cursors"), []
    for each in sorted(names["ids"]):
        if (begins := session.rows("histories").get(each, 0)) > first:
            reached, part = (there[key][0] if key in there else None for key in _parts_of(each))
            found.append((each, first, true_hash(first - 1), begins, part, reached))
    return found


def _forget_part(session: Session, names: Mapping[str, Any]) -> list[tuple]:
    for key in _parts_of(names["id"]):
        session.put("cursors", key, None)
    return []


def _clear_part(session: Session, names: Mapping[str, Any]) -> list[tuple]:
    if session.rows("histories").get(names["id"]) != names["past"]:
        return []
    ledgers = range(names["first"], names["past"])
    return _remove(session, HISTORY, lambda key: key[0] == names["id"] and key[1] in ledgers)


def _keep(session: Session, names: Mapping[str, Any]) -> list[tuple]:
    ids = session.rows("histories") if names["ids"] is None else names["ids"]
    for each in ids:
        _, part = _parts_of(each)
        if (row := session.rows("cursors").get(part)) and row[0] < names["first"]:
            session.put("cursors", part, (names["first"], *row[1:]))
        if session.rows("histories").get(each, names["first"]) < names["first"]:
            session.put("histories", each, names["first"])
    return []


def _jump(session: Session, names: Mapping[str, Any]) -> list[tuple]:
    first, *_ = _stretch(session)
    there, (below, part) = session.rows("cursors"), _parts_of(names["id"])
    begins = {f"protocol_{names['id']}_history_cursor": session.rows("histories").get(names["id"], 0)}
    begins |= {below: there[part][0]} if part in there else {}
    for key, begin in begins.items():
        if key in there and there[key][0] < begin - 1:
            known = true_hash(begin - 1) if begin == first else None
            session.put("cursors", key, (begin - 1, known, names["job"], names["run_id"]))
    return []


def _leave(session: Session, names: Mapping[str, Any]) -> list[tuple]:
    _, part = keys = _parts_of(names["id"])
    if (row := session.rows("cursors").get(part)) and row[0] >= session.rows("histories")[names["id"]]:
        for key in keys:
            session.put("cursors", key, None)
    return []


def _join(session: Session, names: Mapping[str, Any]) -> list[tuple]:
    for each in names["ids"]:
        there, (below, part) = session.rows("cursors"), _parts_of(each)
        if there[below][0] == session.rows("histories")[each] - 1:
            session.put("histories", each, there[part][0])
            for key in (below, part):
                session.put("cursors", key, None)
    return []


# The stretch


def _stretch(session: Session) -> tuple[int, int, tuple[str, int]]:
    return session.rows("stretches")[0]


def _all(session: Session, _: Mapping[str, Any]) -> list[tuple]:
    first, last, by = _stretch(session)
    return [(first, last, true_hash(first - 1), true_hash(first), true_hash(last), *by, _WHEN)]


def _hashes(session: Session, names: Mapping[str, Any]) -> list[tuple]:
    there = session.rows("ledgers")
    return [(ledger, true_hash(ledger)) for ledger in names["ledgers"] if ledger in there]


def _extend(session: Session, names: Mapping[str, Any]) -> list[tuple]:
    first, last, _ = _stretch(session)
    if last != names["first"] - 1 or names["previous_hash"] != true_hash(last):
        return []
    session.put("stretches", 0, (first, names["end"], (names["job"], names["run_id"])))
    return [()]


def _begin(session: Session, names: Mapping[str, Any]) -> list[tuple]:
    first, *_ = _stretch(session)
    assert names["first"] >= first, f"ledgers from {names['first']} on come back, and the oldest is {first}"
    raise psycopg.errors.ExclusionViolation("overlaps or touches")  # all that is asked for does


def _standing(session: Session, names: Mapping[str, Any]) -> list[tuple]:
    session.lock("stretches", 0)
    first, last, by = _stretch(session)
    return [(first, last, true_hash(last), *by)] if last >= names["first"] - 1 else []


def _cut(session: Session, names: Mapping[str, Any]) -> list[tuple]:
    if _stretch(session)[0] >= names["first"]:
        return []
    session.lock("stretches", 0)
    return [_stretch(session)[:1]]


def _forget(session: Session, names: Mapping[str, Any]) -> list[tuple]:
    assert _stretch(session)[1] >= names["first"], "everything is forgotten"
    return []


def _shorten(session: Session, names: Mapping[str, Any]) -> list[tuple]:
    first, last, by = _stretch(session)
    cut = names["first"]
    if not (first < cut <= last) or cut not in session.rows("ledgers"):
        return []
    session.put("stretches", 0, (cut, last, by))
    return [()]


# Segments


def _below(session: Session, names: Mapping[str, Any]) -> list[tuple]:
    return [(first,) for first in sorted(session.rows("segments")) if first + SEGMENT_LEDGERS <= names["first"]]


def _history_below(session: Session, names: Mapping[str, Any]) -> list[tuple]:
    values = [value for key, (value, *_) in session.rows("cursors").items() if _is_history(key)]
    pasts = [first + SEGMENT_LEDGERS for first in sorted(session.rows("history_segments"))]
    gone = [past for past in pasts if past <= names["first"] and all(value >= past - 1 for value in values)]
    return [(past - SEGMENT_LEDGERS,) for past in gone]


def _parts(session: Session, names: Mapping[str, Any]) -> list[tuple]:
    there = {f"{table}_{first}" for table in TABLES for first in session.rows("segments")}
    there |= {f"{HISTORY}_{first}" for first in session.rows("history_segments")}
    return [(part,) for part in names["parts"] if part in there]


def _unregister(table: str) -> Answer:
    def unregister(session: Session, names: Mapping[str, Any]) -> list[tuple]:
        session.put(table, names["first"], None)
        return [()]

    return unregister


def _in_part(names: Mapping[str, Any]) -> tuple[str, Callable[[Any], bool]]:
    """Return the table of a part, and what tells whether a key of the table is in it."""
    table, _, first = names["part"].rpartition("_")
    ledgers = range(int(first), int(first) + SEGMENT_LEDGERS)
    return table, (lambda key: key[1] in ledgers) if table == HISTORY else ledgers.__contains__


def _drop(session: Session, names: Mapping[str, Any]) -> list[tuple]:
    session.drop(*_in_part(names))
    return []


def _clear(session: Session, names: Mapping[str, Any]) -> list[tuple]:
    table, in_part = _in_part(names)
    below = int(names["bound"]) >> (0 if names["key"] == "sequence" else 32)
    return _remove(session, table, lambda key: in_part(key) and (key[1] if table == HISTORY else key) < below)


def _clear_protocols(session: Session, names: Mapping[str, Any]) -> list[tuple]:
    table, in_part = _in_part(names)
    below = names["below"] >> 32
    return _remove(session, table, lambda key: in_part(key) and key[0] in names["protocol_ids"] and key[1] < below)


def _remove(session: Session, table: str, gone: Callable[[Any], bool]) -> list[tuple]:
    keys = [key for key in session.rows(table) if gone(key)]
    for key in keys:
        session.put(table, key, None)
    return [() for _ in keys]


def _landed(session: Session, names: Mapping[str, Any]) -> list[tuple]:
    return [(True,)] if commit_of(names) in session.rows("commits") else []


def commit_of(names: Mapping[str, Any]) -> tuple[object, ...]:
    """Return what tells one commit from all others."""
    return names["run_id"], names["first"], names["commit_id"]


def _template(query: bytes) -> re.Pattern[str]:
    text = re.escape(query.decode())
    return re.compile(re.sub(r"\\{(\w+)\\}", r'"?(?P<\1>\\w+)"?', text))


_OF = {
    name: queries.load(name)
    for name in ("cursors", "below", "commit", "stretches", "contracts", "retention", "segments")
}
ANSWERS: dict[bytes, Answer] = {
    _OF["cursors"]["read"]: _read,
    _OF["cursors"]["take"]: _locked,
    _OF["cursors"]["make"]: _make,
    _OF["cursors"]["swap"]: _swap,
    _OF["below"]["found"]: _found,
    _OF["below"]["forget"]: _forget_part,
    _OF["below"]["clear"]: _clear_part,
    _OF["below"]["keep"]: _keep,
    _OF["below"]["jump"]: _jump,
    _OF["below"]["leave"]: _leave,
    _OF["below"]["join"]: _join,
    _OF["contracts"]["set_up"]: lambda session, _: [
        (each, each == "SEP41", *["success"] * 3) for each in session.store.protocols
    ],
    _OF["stretches"]["all"]: _all,
    _OF["stretches"]["near"]: _all,
    _OF["stretches"]["oldest"]: lambda session, _: [_stretch(session)[:1]],
    _OF["stretches"]["hashes"]: _hashes,
    _OF["commit"]["take_next"]: lambda *_: [],  # nothing lies above
    _OF["commit"]["extend"]: _extend,
    _OF["commit"]["begin"]: _begin,
    _OF["commit"]["begins"]: lambda session, _: [_stretch(session)[:1]],
    _OF["commit"]["standing"]: _standing,
    _OF["commit"]["landed"]: _landed,
    _OF["segments"]["lock"]: lambda *_: [],  # nobody else makes tables
    _OF["retention"]["cut"]: _cut,
    _OF["retention"]["history_cursors"]: _of_histories,
    _OF["retention"]["forget"]: _forget,
    _OF["retention"]["shorten"]: _shorten,
    _OF["retention"]["below"]: _below,
    _OF["retention"]["history_below"]: _history_below,
    _OF["retention"]["parts"]: _parts,
    _OF["retention"]["unregister"]: _unregister("segments"),
    _OF["retention"]["unregister_history"]: _unregister("history_segments"),
}
TEMPLATES: list[tuple[re.Pattern[str], Answer]] = [
    (_template(_OF["retention"]["clear"]), _clear),
    (_template(_OF["retention"]["drop"]), _drop),
    (_template(queries.load("state_changes")["clear"]), _clear_protocols),
    (re.compile(r"SELECT set_config\('lock_timeout', .*"), lambda *_: []),
]
