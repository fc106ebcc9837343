"""Two plug-ins in Python alone, to be measured: one wants the mints, about 1 % of the events, the other one nothing."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from workers.protocols import Functions, Key, Protocol, StateTable, Value
from workers.protocols.columns import Events, Rows, addresses, fields, integers

BALANCE, MINT = 1, 2


def claims(_: Functions) -> bool:
    """Claim no code: assets are enough."""
    return False


def rows(events: Events) -> Rows:
    """Give a row of history an event, and what each account got of a contract."""
    data = pc.coalesce(fields(events.data, "amount"), events.data)
    same = {"category": BALANCE, "reason": MINT}
    columns = {name: pa.repeat(pa.scalar(value), len(events)) for name, value in same.items()}
    given = {"event": events.numbers, "account": addresses(events.topic(1)), "amount": integers(data)}
    history = pa.table(given | columns).drop_null()
    state = history.select(["event", "account", "amount"])
    return Rows(history=history, state={"mints_got": state})


MINTS = Protocol(
    id="MINTS",
    claims=claims,
    claims_assets=True,
    topics=frozenset({"mint"}),
    rows_an_event=1,
    rows=rows,
    state=(
        StateTable(
            name="mints_got",
            key=(Key("contract_id", "contract"), Key("account", "address")),
            values=(Value("amount", "integer", "sum"), Value("last_ledger", "ledger", "max")),
        ),
    ),
)
NOTHING = replace(
    MINTS,
    id="NOTHING",
    claims_assets=False,
    topics=frozenset({"nobody_emits_this"}),
    state=(replace(MINTS.state[0], name="nothing_got"),),
)
