"""What becomes of a plug-in's rows in a worker: sections when they are sound, else an error that names the event."""

from __future__ import annotations

import sys
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from decoding import parse
from made_ledgers import PASSPHRASE, Made, event, ledgers
from stellar_sdk import scval
from test_token_rows import FIRST
from token_events import ADDRESSES, CONTRACTS, STRINGS
from token_rows import numeric

from workers._decode import Decoder
from workers.failures import Failed
from workers.messages import Failure
from workers.protocols import Key, Protocol, ProtocolError, StateTable, Value
from workers.protocols.columns import Events, Rows, addresses, integers
from workers.protocols.plug_in import PlugIn, plug_ins

ACCOUNT, OTHER = (bytes([48]) + bytes([byte]) * 32 for byte in (1, 2))
VOTES = StateTable(
    name="polls_votes",
    key=(Key("contract_id", "contract"), Key("option", "u32"), Key("row", "contract")),
    values=(
        Value("votes", "integer", "sum"),
        Value("voter", "address", "last"),
        Value("first_seen", "ledger", "last"),
        Value("top", "integer", "max"),
    ),
)
Make = Callable[[Events], Rows]
LEDGERS = [3, 2, 0, 4]  # events of each


def polls(rows: Make, *, claims_assets: bool = False) -> Protocol:
    return Protocol(
        id="POLLS",
        claims=bool,
        claims_assets=claims_assets,
        topics=frozenset({"vote"}),
        rows_an_event=2,
        rows=rows,
        state=(VOTES,),
    )


def made(rows: Make, *sections: str, claims_assets: bool = False) -> dict[str, list[tuple[Any, ...]]]:
    """Return what a plug-in makes of votes for options 0 to 8, by section, as fields."""
    number = iter(range(sum(LEDGERS)))
    chain = [[Made([[vote(next(number), ADDRESSES[0]) for _ in range(count)]])] if count else [] for count in LEDGERS]
    objects = ledgers(FIRST, chain)
    plug_in = PlugIn(polls(rows, claims_assets=claims_assets), sections or ("polls_state_changes", "polls_votes"))
    decoder = Decoder(PASSPHRASE, tables=[], wanted=[plug_in.wanted])
    (calls,) = decoder.chunk(FIRST, FIRST + len(LEDGERS) - 1, objects, -1, framed=True).events
    found = {}
    for section, count, stream in plug_in.sections(calls):
        found[section] = parse(stream)
        assert len(found[section]) == count
    return found


def vote(option: int, voter, contract: bytes = CONTRACTS[2]):
    return event(contract, [scval.to_symbol("vote"), voter], scval.to_uint32(option))


def sound(events: Events, **other: object) -> pa.Table:
    """Return a table of history, with other columns or without some (None)."""
    columns = {
        "event": events.numbers,
        "account": addresses(events.topic(1)),
        "category": pa.repeat(7, len(events)),
        "reason": pa.repeat(9, len(events)),
    }
    return pa.table({name: column for name, column in (columns | other).items() if column is not None})


def state(events: Events, **other: object) -> pa.Table:
    columns = {
        "event": events.numbers,
        "option": integers(events.data),
        "row": pa.array([b"c" * 32] * len(events)),
        "votes": pa.repeat(1, len(events)),
        "voter": addresses(events.topic(1)),
        "top": events.data,  # as an ScVal
    }
    return pa.table({name: column for name, column in (columns | other).items() if column is not None})


def every(events: Events) -> Rows:
    return Rows(history=sound(events), state={"polls_votes": state(events)})


def place(option: int) -> tuple[int, int]:
    """Return the operation and the number of the event that votes for an option."""
    for ledger, count in enumerate(LEDGERS, FIRST):
        if option < count:
            return ledger << 32 | 1 << 12 | 1, option
        option -= count
    raise AssertionError("no such event")


def number(field: bytes) -> int:
    return int.from_bytes(field, "big")


def test_history_has_the_columns_of_its_table() -> None:
    """What a plug-in gives and what the program adds are the table's columns, rows by event and side."""

    def rows(events: Events) -> Rows:
        full = sound(
            events,
            side=pa.repeat(1, len(events)),
            amount=integers(events.data),
            token_id=events.data,
            counterparty=addresses(events.topic(1)),
            muxed_id=events.data,
            live_until_ledger=integers(events.data),
        )
        bare = sound(events, side=pa.repeat(0, len(events)))
        backwards = bare.take(pa.array(range(len(events) - 1, -1, -1)))
        return Rows(history=pa.concat_tables([full, backwards], promote_options="default"))

    found = made(rows, "polls_state_changes")["polls_state_changes"]
    assert len(found) == 2 * sum(LEDGERS)
    for option in range(sum(LEDGERS)):
        operation, index = place(option)
        bare, full = found[2 * option : 2 * option + 2]
        for side, row in enumerate((bare, full)):
            assert (row[0], number(row[1]), number(row[2])) == (b"POLLS", operation, 2 * index + side)
            assert row[3:7] == (CONTRACTS[2], ACCOUNT, b"\0\7", b"\0\x09")
        assert bare[7:] == (None,) * 5
        value = scval.to_uint32(option).to_xdr_bytes()
        assert (numeric(full[7]), numeric(full[8]), *full[9:11], number(full[11])) == (
            option, option, ACCOUNT, value, option,
        )  # fmt: skip


def test_state_has_its_declared_columns_behind_its_place() -> None:
    """Contract and ledger are the event's; the place is that of event and side; certainty comes last."""
    found = made(lambda events: Rows(state={"polls_votes": state(events)}))
    assert found["polls_state_changes"] == []
    for option, row in enumerate(found["polls_votes"]):
        operation, index = place(option)
        assert (number(row[0]), number(row[1]), row[2], number(row[3])) == (operation, 2 * index, CONTRACTS[2], option)
        assert (row[4], numeric(row[5]), row[6], number(row[7])) == (b"c" * 32, 1, ACCOUNT, operation >> 32)
        assert (numeric(row[8]), row[9]) == (option, b"\0")


def test_only_what_is_wanted_is_made() -> None:
    """Of the sections of a plug-in those are there that are wanted, without rows where there are none."""
    assert list(made(every, "polls_votes")) == ["polls_votes"]
    assert made(lambda _: Rows()) == {"polls_state_changes": [], "polls_votes": []}


def test_certain_history_is_a_section_of_its_own() -> None:
    """Rows of contracts that are assets' by proof are kept apart, for they ask nobody."""
    topics = [scval.to_symbol("vote"), ADDRESSES[0], STRINGS[0]]
    certain = event(CONTRACTS[0], topics, scval.to_uint32(1))
    objects = ledgers(FIRST, [[Made([[vote(0, ADDRESSES[1]), certain]])]])
    protocol = polls(every, claims_assets=True)
    plug_in = PlugIn(protocol, [*protocol.history, "polls_votes"])
    decoder = Decoder(PASSPHRASE, tables=[], wanted=[plug_in.wanted])
    (calls,) = decoder.chunk(FIRST, FIRST, objects, -1, framed=True).events
    found = {section: parse(stream) for section, _, stream in plug_in.sections(calls)}
    assert [row[4] for row in found["polls_certain_changes"]] == [ACCOUNT]
    assert [row[4] for row in found["polls_state_changes"]] == [OTHER]
    assert [row[-1] for row in found["polls_votes"]] == [b"\0", b"\1"]


def spoiled(events: Events, column: pa.Array, value: object) -> pa.Array:
    """Return a column with another value at the votes for option 5 and for option 7."""
    options = zip(integers(events.data).to_pylist(), column.to_pylist(), strict=True)
    return pa.array([value if option in (5, 7) else old for option, old in options], column.type)


def raising(events: Events) -> Rows:
    if {5, 7} & set(integers(events.data).to_pylist()):
        raise ValueError("no such option\nat all")
    return Rows(history=sound(events))


def history(**other: Callable[[Events], object]) -> Make:
    return lambda events: Rows(history=sound(events, **{name: column(events) for name, column in other.items()}))


def votes(**other: Callable[[Events], object]) -> Make:
    def rows(events: Events) -> Rows:
        return Rows(state={"polls_votes": state(events, **{name: column(events) for name, column in other.items()})})

    return rows


def decimals(events: Events) -> pa.Array:
    return integers(events.data)


AT_FIVE = {
    "raises": (raising, "ValueError: no such option at all"),
    "exits": (lambda events: sys.exit(3) if 5 in integers(events.data).to_pylist() else Rows(), "SystemExit: 3"),
    "no address": (
        history(account=lambda events: spoiled(events, addresses(events.topic(1)), b"somebody")),
        "history: account: no address: 736f6d65626f6479",
    ),
    "null": (
        history(account=lambda events: spoiled(events, addresses(events.topic(1)), None)),
        "history: account: a row without a value",
    ),
    "category": (
        history(category=lambda events: spoiled(events, pa.repeat(1, len(events)), 0)),
        "history: category: 0 is not within 1 to 32767",
    ),
    "muxed": (
        history(muxed_id=lambda events: spoiled(events, events.data, b"seven")),
        "history: muxed_id: no ScVal: 736576656e",
    ),
    "event": (
        history(event=lambda events: spoiled(events, events.numbers, -1)),
        "history: event is from -1 to -1, not within 0 to 0",
    ),
    "option": (
        votes(option=lambda events: spoiled(events, decimals(events), Decimal(2**32))),
        "polls_votes: option: 4294967296 is not within 0 to 4294967295",
    ),
    "top": (
        votes(top=lambda events: spoiled(events, events.data, scval.to_void().to_xdr_bytes())),
        "polls_votes: top: no integer: 00000001",
    ),
    "contract": (
        votes(row=lambda events: spoiled(events, pa.array([b"c" * 32] * len(events)), b"c")),
        "polls_votes: row: 1 bytes where a contract has 32",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("rows", "why"), AT_FIVE.values(), ids=AT_FIVE)
def test_the_first_bad_event_is_named(rows: Make, why: str) -> None:
    """Plug-in, ledger, event and reason, in one line; it is permanent, and no row is made."""
    with pytest.raises(Failed) as failed:
        made(rows)
    failure, (operation, index) = failed.value.failure, place(5)
    assert failure.reason == (
        f"plug-in POLLS failed at ledger {operation >> 32}, event {index} of operation {operation}: {why}"
    )
    assert (failure.transient, failure.ledger) == (False, operation >> 32)


ALWAYS = {
    "no rows": (lambda _: None, "`rows` returned no Rows: NoneType"),
    "no table": (lambda _: Rows(history=[]), "history is no pyarrow.Table: list"),
    "missing": (
        history(account=lambda _: None, reason=lambda _: None),
        "history: columns that are missing: account, reason",
    ),
    "no event": (history(event=lambda _: None), "history: columns that are missing: event"),
    "event null": (
        history(event=lambda events: pa.nulls(len(events), pa.int64())), "history: event: a row without a value"
    ),
    "unknown": (
        history(contract_id=lambda events: events.contract_id),
        "history: columns that nobody knows: contract_id",
    ),
    "type": (history(account=lambda events: events.numbers), "history: account is int64, which holds no address"),
    "text": (
        history(account=lambda events: events.numbers.cast(pa.string())),
        "history: account is string, which holds no address",
    ),
    "places": (
        history(amount=lambda events: pa.array([Decimal("1.5")] * len(events))),
        "history: amount is decimal128(2, 1), which holds no integer",
    ),
    "side": (history(side=lambda events: pa.repeat(2, len(events))), "history: side is from 2 to 2, not within 0 to 1"),
    "event type": (
        history(event=lambda events: events.numbers.cast(pa.float64())),
        "history: event is double, not an integer",
    ),
    "no such table": (lambda events: Rows(state={"votes": state(events)}), "state tables that are not declared: votes"),
    "ledger": (votes(first_seen=lambda events: events.ledger), "polls_votes: columns that nobody knows: first_seen"),
    "double": (
        lambda events: Rows(history=pa.concat_tables([sound(events)] * 2)), "history: two rows of one event and side"
    ),
    "double key": (
        lambda events: Rows(state={"polls_votes": pa.concat_tables([state(events)] * 2)}),
        "polls_votes: two rows of one event and side with one key",
    ),
    "double column": (
        lambda events: Rows(history=sound(events).append_column("event", events.numbers)),
        "history: columns that come twice: event",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("rows", "why"), ALWAYS.values(), ids=ALWAYS)
def test_rows_of_the_wrong_shape_are_told(rows: Make, why: str) -> None:
    """What is wrong with every event is told with the first one."""
    with pytest.raises(Failed) as failed:
        made(rows)
    (operation, index) = place(0)
    where = f"plug-in POLLS failed at ledger {FIRST}, event {index} of operation {operation}"
    assert failed.value.failure.reason == f"{where}: {why}"


def test_what_fails_for_many_events_alone_is_told_with_all() -> None:
    """Where no event fails alone, the first and the number of the others are told."""

    def rows(events: Events) -> Rows:
        if len(events) > 2:
            raise RuntimeError("too many")
        return Rows()

    with pytest.raises(
        Failed, match=rf"at ledger {FIRST}, event 0 of operation \d+ and 3 events behind it: RuntimeError: too"
    ):
        made(rows)


def test_a_lack_of_memory_is_no_fault_of_the_plug_in() -> None:
    """It is worth another attempt, as everywhere, and may be: it is named."""

    def rows(_: Events) -> Rows:
        raise MemoryError("no room for 8 bytes")

    with pytest.raises(Failed) as failed:
        made(rows)
    reason = "plug-in POLLS failed: MemoryError: no room for 8 bytes"
    assert failed.value.failure == Failure(reason=reason, transient=True)


def test_long_reasons_are_cut() -> None:
    """A reason stays far below what one write to a pipe holds."""

    def rows(_: Events) -> Rows:
        raise ValueError("x" * 10_000)

    with pytest.raises(Failed) as failed:
        made(rows)
    assert len(failed.value.failure.reason) == 2000


def test_several_rows_of_one_event_need_sides_where_the_last_counts() -> None:
    """Two rows for one key of an event are told apart by their sides; where values add up, they need not be."""
    both = lambda events: pa.concat_tables(  # noqa: E731
        [state(events, side=pa.repeat(side, len(events))) for side in (1, 0)]
    )
    found = made(lambda events: Rows(state={"polls_votes": both(events)}))["polls_votes"]
    assert [number(row[1]) for row in found[:2]] == [0, 1]
    other = lambda events: state(events, row=pa.array([b"d" * 32] * len(events)))  # noqa: E731
    found = made(lambda events: Rows(state={"polls_votes": pa.concat_tables([state(events), other(events)])}))
    assert len(found["polls_votes"]) == 2 * sum(LEDGERS)


def test_sections_that_nobody_makes_are_an_error() -> None:
    """A worker that is asked for sections without a plug-in says which."""
    with pytest.raises(ProtocolError, match=r"^no plug-in makes the rows of sep41_nothing, votes_cast$"):
        plug_ins(["votes_cast", "sep41_nothing"])
