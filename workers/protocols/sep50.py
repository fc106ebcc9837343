"""SEP-50, collectibles: contracts by their eleven functions, over token ids of any unsigned type."""

from __future__ import annotations

from workers.protocols.contract import Function, Functions, Key, Protocol, StateTable, Value

_UNSIGNED = ("u32", "u64", "u128", "u256")  # "TokenID … should be an unsigned integer"


def _wanted(token: str) -> dict[str, Function]:
    return {
        "approve": Function(("address", "address", token, "u32")),
        "approve_for_all": Function(("address", "address", "u32")),
        "get_approved": Function((token,), ("option<address>",)),
        "is_approved_for_all": Function(("address", "address"), ("bool",)),
        "name": Function((), ("string",)),
        "owner_of": Function((token,), ("address",)),
        "symbol": Function((), ("string",)),
        "token_uri": Function((token,), ("string",)),
        "transfer": Function(("address", "address", token)),
        "transfer_from": Function(("address", "address", "address", token)),
    }


_INTERFACES = [_wanted(token) for token in _UNSIGNED]
_BALANCES = {Function(("address",), (count,)) for count in _UNSIGNED}  # "in most cases" the type of the token ids


def claims(functions: Functions) -> bool:
    """Return whether the interface is whole, with one type for all token ids; other functions may stand beside it."""
    return functions.get("balance") in _BALANCES and any(
        all(functions.get(name) == function for name, function in interface.items()) for interface in _INTERFACES
    )


PROTOCOL = Protocol(
    id="SEP50",
    claims=claims,
    topics=frozenset({"transfer", "mint", "burn", "approve", "approve_for_all"}),
    rows_an_event=2,  # a transfer has two sides
    state=(
        StateTable(
            name="sep50_tokens",
            key=(Key("contract_id", "contract"), Key("token_id", "integer")),
            values=(Value("owner", "address", "last", delete_at="null"), Value("last_ledger", "ledger", "max")),
        ),
    ),
)
