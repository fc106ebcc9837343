"""SEP-41, fungible tokens: contracts by their ten functions, and every Stellar Asset Contract."""

from __future__ import annotations

from workers.protocols.contract import Function, Functions, Key, Protocol, StateTable, Value

_WANTED = {
    "allowance": Function(("address", "address"), ("i128",)),
    "approve": Function(("address", "address", "i128", "u32")),
    "balance": Function(("address",), ("i128",)),
    "burn": Function(("address", "i128")),
    "burn_from": Function(("address", "address", "i128")),
    "decimals": Function((), ("u32",)),
    "name": Function((), ("string",)),
    "symbol": Function((), ("string",)),
    "transfer_from": Function(("address", "address", "address", "i128")),
}
_TRANSFERS = {Function(("address", to, "i128")) for to in ("address", "muxed_address")}


def claims(functions: Functions) -> bool:
    """Return whether the interface is whole, with its types in order; other functions may stand beside it."""
    return functions.get("transfer") in _TRANSFERS and all(
        functions.get(name) == wanted for name, wanted in _WANTED.items()
    )


PROTOCOL = Protocol(
    id="SEP41",
    claims=claims,
    claims_assets=True,
    topics=frozenset({"transfer", "mint", "burn", "clawback", "approve", "set_authorized", "set_admin", "fee"}),
    rows_an_event=2,  # a transfer has two sides
    state=(
        StateTable(
            name="sep41_balances",
            key=(Key("contract_id", "contract"), Key("account", "address")),
            values=(Value("balance", "integer", "sum", delete_at="zero"), Value("last_ledger", "ledger", "max")),
        ),
        StateTable(
            name="sep41_allowances",
            key=(Key("contract_id", "contract"), Key("owner", "address"), Key("spender", "address")),
            values=(
                Value("amount", "integer", "last", delete_at="zero"),
                Value("live_until_ledger", "u32", "last"),
                Value("last_ledger", "ledger", "max"),
            ),
        ),
    ),
)
