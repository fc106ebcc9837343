"""Events drawn at random: tokens' of all shapes, and what looks like them, from few contracts, accounts and amounts."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from hypothesis import Phase
from hypothesis import strategies as st
from made_ledgers import PASSPHRASE, Made, event
from stellar_sdk import Address, Keypair, scval, xdr
from token_books import sac

I128_MAX = 2**127 - 1
ISSUER = Keypair.from_raw_ed25519_public_key(bytes([9]) * 32).public_key
ASSETS = ["native", f"USD:{ISSUER}"]
CONTRACTS = [*(sac(PASSPHRASE, asset) for asset in ASSETS), b"t" * 32, b"u" * 32]


def address(kind: int, byte: int) -> xdr.SCVal:
    """Return an address of each `SCAddressType` that there is a strkey of."""
    head = {0: struct.pack(">II", 0, 0), 2: struct.pack(">IQ", 2, 77), 3: struct.pack(">II", 3, 0)}
    raw = head.get(kind, struct.pack(">I", kind)) + bytes([byte]) * 32
    return Address.from_xdr_sc_address(xdr.SCAddress.from_xdr_bytes(raw)).to_xdr_sc_val()


def fields(**values: xdr.SCVal) -> xdr.SCVal:
    """Return a map with these fields."""
    return scval.to_map({scval.to_symbol(name): value for name, value in sorted(values.items())})


ADDRESSES = [address(0, 1), address(0, 2), address(1, 3), address(2, 1), address(3, 4), address(4, 5)]
AMOUNTS = [scval.to_int128(amount) for amount in (0, 1, 5, I128_MAX)]
WRONG_AMOUNTS = [scval.to_int128(amount) for amount in (-1, -I128_MAX, -I128_MAX - 1)]
TOKENS = [scval.to_uint32(7), scval.to_uint64(7), scval.to_uint128(2**128 - 1), scval.to_uint256(2**256 - 1)]
LEDGERS = [scval.to_uint32(0), scval.to_uint32(2**32 - 1)]
IDS = [scval.to_uint64(9), scval.to_bytes(b"memo"), scval.to_string("memo"), scval.to_void(), scval.to_bool(True)]
OTHERS = [scval.to_void(), scval.to_bool(True), scval.to_bool(False), scval.to_string("native"), scval.to_vec([])]
STRINGS = [scval.to_string(asset) for asset in (*ASSETS, "XLM")]
AMOUNT, TOKEN, UNTIL = (st.sampled_from(some) for some in (AMOUNTS * 3 + WRONG_AMOUNTS, TOKENS, LEDGERS))
WHO = st.sampled_from(ADDRESSES)
PLAIN = st.sampled_from(AMOUNTS + WRONG_AMOUNTS + TOKENS + OTHERS + ADDRESSES)
MUXED = st.sampled_from(IDS)


def pair(first: xdr.SCVal, second: xdr.SCVal) -> xdr.SCVal:
    """Return a vector of two."""
    return scval.to_vec([first, second])


def _approval(who: xdr.SCVal, until: xdr.SCVal) -> xdr.SCVal:
    return fields(approved=who, operator=who, live_until_ledger=until)


DATA = {
    "amount": AMOUNT,
    "amount in a map": st.builds(lambda amount, muxed: fields(amount=amount, to_muxed_id=muxed), AMOUNT, MUXED),
    "token": TOKEN,
    "token in a map": st.builds(lambda token: fields(token_id=token), TOKEN),
    "both": st.builds(lambda amount, token: fields(amount=amount, token_id=token), AMOUNT, TOKEN),
    "allowance": st.builds(pair, AMOUNT, UNTIL),
    "allowance in a map": st.builds(lambda *two: fields(amount=two[0], live_until_ledger=two[1]), AMOUNT, UNTIL),
    "approval": st.builds(pair, WHO, UNTIL),
    "approval in a map": st.builds(_approval, WHO, UNTIL),
    "approved token": st.builds(pair, TOKEN, UNTIL),
    "bool": st.booleans().map(scval.to_bool),
    "address": WHO,
    "any two": st.builds(pair, PLAIN, PLAIN),
    "any": PLAIN,
}
MAPS = ("amount", "amount in a map", "token", "token in a map")
# name, addresses, data: what tokens have
SHAPES = [
    *(("transfer", 2, data) for data in ("amount", "amount", "amount in a map", "token", "token in a map", "both")),
    *(
        (name, 1, data)
        for name in ("mint", "burn")
        for data in ("amount", "amount in a map", "token", "token in a map")
    ),
    *((name, 2, "amount") for name in ("mint", "clawback")),
    ("clawback", 1, "amount"),
    *(("approve", 2, data) for data in ("allowance", "allowance in a map", "approved token")),
    *(("approve_for_all", 1, data) for data in ("approval", "approval in a map")),
    *(("set_authorized", count, "bool") for count in (1, 2)),
    ("set_admin", 1, "address"),
    ("fee", 1, "amount"),
]


@st.composite
def shaped(draw: st.DrawFn) -> xdr.ContractEvent:
    """Draw an event as tokens have it, of a contract that need not be theirs."""
    name, count, data = draw(st.sampled_from(SHAPES))
    contract = draw(st.integers(0, len(CONTRACTS) - 1))
    topics = [scval.to_symbol(name), *(draw(WHO) for _ in range(count))]
    if contract < len(ASSETS) and draw(st.integers(0, 9)):
        topics.append(STRINGS[contract])
    return event(CONTRACTS[contract], topics, draw(DATA[data]))


@st.composite
def token_approval(draw: st.DrawFn) -> xdr.ContractEvent:
    """Draw an `approve` whose second topic is a token."""
    topics = [scval.to_symbol("approve"), draw(WHO), draw(TOKEN)]
    return event(draw(st.sampled_from(CONTRACTS)), topics, draw(DATA["approval"] | DATA["approval in a map"]))


@st.composite
def hostile(draw: st.DrawFn) -> xdr.ContractEvent:
    """Draw an event of any shape under a token's name."""
    name = draw(st.sampled_from(sorted({name for name, _, _ in SHAPES} | {"approve", "other"})))
    topics = draw(st.lists(WHO | st.sampled_from(STRINGS) | PLAIN, max_size=4))
    first = draw(st.sampled_from([[scval.to_symbol(name)]] * 9 + [[scval.to_string(name)], []]))
    contract = draw(st.sampled_from([*CONTRACTS, None]))
    kind = draw(st.sampled_from(["CONTRACT"] * 9 + ["SYSTEM"]))
    return event(contract, [*first, *topics], draw(st.one_of(*DATA.values())), kind)


# shrinking such ledgers takes longer than a test may
QUICK = [Phase.explicit, Phase.reuse, Phase.generate]
EVENT = st.one_of(shaped(), shaped(), token_approval(), hostile())


@st.composite
def transactions(draw: st.DrawFn) -> Made:
    """Draw a transaction with events in all places where they can be."""
    fee = st.builds(
        lambda contract, payer, amount: event(contract, [scval.to_symbol("fee"), payer], amount),
        st.sampled_from([CONTRACTS[0], CONTRACTS[0], CONTRACTS[2]]),
        WHO,
        st.sampled_from(AMOUNTS + WRONG_AMOUNTS),
    )
    own = draw(st.lists(st.tuples(st.integers(0, 2), fee | EVENT), max_size=2))
    operations = draw(st.lists(st.lists(EVENT, max_size=4), min_size=1, max_size=2))
    diagnostic = draw(st.lists(shaped(), max_size=1))
    return Made(operations, own, diagnostic, successful=bool(draw(st.integers(0, 4))))


def chains(most: int = 5) -> st.SearchStrategy[Sequence[Sequence[Made]]]:
    """Draw up to `most` ledgers, each with its transactions."""
    return st.lists(st.lists(transactions(), max_size=3), min_size=1, max_size=most)
