"""The plug-in contract: what the built-in protocols claim, how plug-ins are found, and what no protocol may declare."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path

import documented
import pytest

from pipeline.classification import Classifier
from pipeline.errors import Refused
from workers._decode import contract_spec
from workers.protocols import (
    Function,
    Functions,
    Key,
    Protocol,
    ProtocolError,
    StateTable,
    Value,
    finding,
    functions_of,
    installed,
)
from workers.protocols.sep41 import PROTOCOL as SEP41
from workers.protocols.sep50 import PROTOCOL as SEP50

SHARED_NAMES = ["approve", "balance", "name", "symbol", "transfer", "transfer_from"]
SEP41_NAMES = [*SHARED_NAMES, "allowance", "burn", "burn_from", "decimals"]
SEP50_NAMES = [
    *SHARED_NAMES,
    "approve_for_all",
    "get_approved",
    "is_approved_for_all",
    "owner_of",
    "token_uri",
]
CONTRACT = Key("contract_id", "contract")


def types(text: str) -> tuple[str, ...]:
    """Split at the commas that are not between angle brackets, and leave away the names before colons."""
    parts = re.findall(r"(?:[^,<>]|<(?:[^<>]|<[^<>]*>)*>)+", text)
    return tuple(part.rpartition(": ")[2].strip() for part in parts)


def known(shared: Path) -> dict[str, Functions]:
    """Return the functions of the real contracts, by file, as their index lists them."""
    found: dict[str, Functions] = {}
    for block in (shared / "wasm/INDEX.txt").read_text().split("\n\n"):
        lines = re.findall(r"^    (\S.*)\((.*)\)(?: -> (.*))?$", block, re.MULTILINE)
        found[block.split("\n", 1)[0]] = {name: Function(types(given), types(out)) for name, given, out in lines}
    return found


@pytest.fixture
def real41(shared: Path) -> Functions:
    return known(shared)["sep41-token.wasm"]


@pytest.fixture
def real50(shared: Path) -> Functions:
    return known(shared)["sep50-nft-position-manager.wasm"]


def retyped(functions: Functions, was: str, now: str) -> Functions:
    return {
        name: Function(*(tuple(now if kind == was else kind for kind in kinds) for kinds in function))
        for name, function in functions.items()
    }


def test_real_contracts_are_told_apart(shared: Path) -> None:
    """Of all real contracts one is a fungible token and one a collectible; no near miss is either."""
    contracts = known(shared)
    assert len(contracts) > 20
    assert [name for name, functions in contracts.items() if SEP41.claims(functions)] == ["sep41-token.wasm"]
    assert [name for name, functions in contracts.items() if SEP50.claims(functions)] == [
        "sep50-nft-position-manager.wasm"
    ]


def test_real_codes_are_told_apart(shared: Path) -> None:
    """The same from the codes themselves: what the core reads of their specifications is what their index says."""
    contracts = known(shared)
    found = {}
    for path in sorted((shared / "wasm").glob("*.wasm")):
        spec = contract_spec(path.read_bytes())
        found[path.name] = functions_of(spec) if spec else {}
    assert found.keys() == contracts.keys()
    for name in ("sep41-token.wasm", "lending-market.wasm", "near-miss-membership.wasm"):
        assert found[name].keys() == contracts[name].keys()
    assert found["sep41-token.wasm"] == contracts["sep41-token.wasm"]
    assert [name for name, functions in found.items() if SEP41.claims(functions)] == ["sep41-token.wasm"]
    assert [name for name, functions in found.items() if SEP50.claims(functions)] == ["sep50-nft-position-manager.wasm"]


def test_function_told_of_twice_is_what_both_say(shared: Path) -> None:
    """A specification may tell of a function twice in the same words; in others, it says nothing of that function."""
    spec = contract_spec((shared / "wasm/sep41-token.wasm").read_bytes())
    plain = contract_spec((shared / "wasm/sep50-nft-position-manager.wasm").read_bytes())
    assert SEP41.claims(functions_of(spec + spec))
    both = functions_of(spec + plain)
    assert both.keys() == functions_of(spec).keys() ^ functions_of(plain).keys() | {"name", "symbol"}
    assert not SEP41.claims(both)
    with pytest.raises(ValueError, match="no ScSpecEntry"):
        functions_of(spec[:-1])


@pytest.mark.parametrize("name", SEP41_NAMES)
def test_fungible_token_needs_each_function(real41: Functions, name: str) -> None:
    """A contract that lacks one function of SEP-41, or has it with one type more or another, is refused."""
    function = real41[name]
    without = {other: known for other, known in real41.items() if other != name}
    assert not SEP41.claims(without)
    assert not SEP41.claims({**without, name: Function((*function.inputs, "u32"), function.outputs)})
    assert not SEP41.claims({**without, name: Function(function.inputs, (*function.outputs, "bool"))})
    for place in range(len(function.inputs)):
        other = (*function.inputs[:place], "symbol", *function.inputs[place + 1 :])
        assert not SEP41.claims({**without, name: Function(other, function.outputs)})


def test_fungible_token_transfers_to_plain_or_muxed_addresses(real41: Functions) -> None:
    """The receiver of a transfer may be muxed; its sender may not."""
    for to, accepted in (("address", True), ("muxed_address", True), ("option<address>", False)):
        assert SEP41.claims({**real41, "transfer": Function(("address", to, "i128"))}) is accepted
    assert not SEP41.claims({**real41, "transfer": Function(("muxed_address", "address", "i128"))})


@pytest.mark.parametrize("name", SEP50_NAMES)
def test_collectible_needs_each_function(real50: Functions, name: str) -> None:
    """A contract that lacks one function of SEP-50, or has it with one type more or another, is refused."""
    function = real50[name]
    without = {other: known for other, known in real50.items() if other != name}
    assert not SEP50.claims(without)
    assert not SEP50.claims({**without, name: Function((*function.inputs, "bool"), function.outputs)})
    assert not SEP50.claims({**without, name: Function(function.inputs, (*function.outputs, "bool"))})
    for place in range(len(function.inputs)):
        other = (*function.inputs[:place], "symbol", *function.inputs[place + 1 :])
        assert not SEP50.claims({**without, name: Function(other, function.outputs)})


@pytest.mark.parametrize(
    ("token", "accepted"), [(f"{sign}{bits}", sign == "u") for sign in "ui" for bits in (32, 64, 128, 256)]
)
def test_collectible_ids_are_of_one_unsigned_type(real50: Functions, token: str, accepted: bool) -> None:
    """Token ids may be of any unsigned type, the same in all functions; the balance may be of another."""
    own = {name: real50[name] for name in SEP50_NAMES}
    ledger = {name: own[name] for name in ("approve", "approve_for_all")}  # whose last type is a ledger, not an id
    other = retyped(own, "u32", token) | {
        "approve": Function(("address", "address", token, "u32")),
        "approve_for_all": ledger["approve_for_all"],
    }
    assert SEP50.claims(other) is accepted
    assert SEP50.claims({**other, "balance": Function(("address",), ("u128",))}) is accepted
    mixed = {**other, "owner_of": Function(("bytes32",), ("address",))}
    assert not SEP50.claims(mixed)
    if accepted and token != "u32":
        assert not SEP50.claims({**other, "owner_of": own["owner_of"]})


def test_no_contract_is_both(real41: Functions, real50: Functions) -> None:
    """A contract with all names of both standards is of the one whose types it has."""
    assert SEP41.claims({**real50, **real41})
    assert not SEP50.claims({**real50, **real41})


def test_built_in_protocols_are_installed() -> None:
    """Both come with the package, as plug-ins like any other; Stellar Asset Contracts are fungible tokens."""
    found = installed()
    assert {"SEP41": SEP41, "SEP50": SEP50}.items() <= found.items()
    assert [protocol.id for protocol in found.values() if protocol.claims_assets] == ["SEP41"]


PLUG_IN = """
from workers.protocols import Key, Protocol, StateTable, Value

PROTOCOL = Protocol(
    id={id!r},
    claims=lambda functions: "vote" in functions,
    topics=frozenset({{"vote"}}),
    rows_an_event=1,
    state=(
        StateTable(
            name={table!r},
            key=(Key("contract_id", "contract"),),
            values=(Value("votes", "integer", "sum"),),
        ),
    ),
)
"""


@pytest.fixture
def plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Writes a module and returns its entry point."""
    monkeypatch.syspath_prepend(tmp_path)
    made: list[str] = []

    def write(name: str, text: str) -> EntryPoint:
        (tmp_path / f"{name}.py").write_text(text)
        made.append(name)
        return EntryPoint(name, f"{name}:PROTOCOL", "ledgerfill.protocols")

    yield write
    for name in made:
        sys.modules.pop(name, None)


def test_plug_in_is_found(plug_in) -> None:
    """A plug-in of another package is a protocol beside the others, in the order of ids."""
    points = [plug_in("votes", PLUG_IN.format(id="VOTES", table="votes_cast"))]
    points.append(EntryPoint("sep41", "workers.protocols.sep41:PROTOCOL", "ledgerfill.protocols"))
    assert list(installed(points)) == ["SEP41", "VOTES"]
    assert list(installed([*points, *points])) == ["SEP41", "VOTES"]  # as where a package is found on two paths


def test_example_of_the_docs_is_a_plug_in(plug_in) -> None:
    """What the page on protocols shows is a whole plug-in: found, and claiming what it says."""
    points = installed([plug_in("points", documented.example())])["POINTS"]
    three, two = Function(("address", "address", "i128")), Function(("address", "i128"))
    wanted = {"transfer": three, "burn": two, "burnFrom": three}
    assert points.claims({**wanted, "other": two})
    assert not points.claims({**wanted, "burnFrom": two})
    assert not any(protocol.claims(wanted) for protocol in (SEP41, SEP50))


def test_plug_in_that_is_installed_meanwhile_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks for a protocol that was not there a moment ago is given it, and what was told before stays true."""
    monkeypatch.syspath_prepend(tmp_path)
    asked = Classifier()
    with pytest.raises(Refused, match="no plug-in for protocol POINTS is installed: there are SEP41, SEP50"):
        asked.protocol("POINTS")
    documented.install(tmp_path)
    assert asked.protocol("POINTS").id == "POINTS"
    assert list(asked.protocols) == ["POINTS", "SEP41", "SEP50"]
    for name in ("my_package.points", "my_package"):
        sys.modules.pop(name)


def test_plug_in_that_raises_is_named(plug_in) -> None:
    """A plug-in that cannot be imported is named, with its module and its own words."""
    point = plug_in("broken", "raise RuntimeError('no such\\nmodel')")
    with pytest.raises(
        ProtocolError, match=r"^cannot load plug-in broken \(broken:PROTOCOL\): RuntimeError: no such m"
    ):
        installed([point])
    with pytest.raises(ProtocolError, match=r"^cannot load plug-in leaving \(leaving:PROTOCOL\): SystemExit: 3$"):
        installed([plug_in("leaving", "raise SystemExit(3)")])
    with pytest.raises(ProtocolError, match=r"^cannot load plug-in odd \(odd:PROTOCOL\): Odd: 4$"):
        installed([plug_in("odd", "class Odd(BaseException): pass\nraise Odd(4)")])


def test_plug_in_that_takes_long_is_named(plug_in, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    """While a plug-in is loaded and that takes long, it is said which one; of the others nothing is."""
    monkeypatch.setattr(finding, "_LONG_S", 0.2)
    quick, slow = (PLUG_IN.format(id=name, table=f"{name.lower()}_cast") for name in ("QUICK", "SLOW"))
    installed([plug_in("quick", quick), plug_in("slow", f"import time\ntime.sleep(0.6)\n{slow}")])
    assert caplog.messages == ["loading plug-in slow (slow:PROTOCOL) has taken 0.2 s and goes on"]


def test_plug_in_without_its_object_is_named(plug_in) -> None:
    """An entry point that leads nowhere, or to something else than a protocol, is named."""
    with pytest.raises(ProtocolError, match=r"cannot load plug-in empty .*AttributeError"):
        installed([plug_in("empty", "")])
    with pytest.raises(ProtocolError, match=r"plug-in other \(other:PROTOCOL\) is no Protocol: dict"):
        installed([plug_in("other", "PROTOCOL = {}")])


@pytest.mark.parametrize("bad", ["", "-VOTES", "VOTES 2", "ÄMTER", "V" * 64, "../x", "VOTES\n"])
def test_bad_id_is_named(plug_in, bad: str) -> None:
    """An id that is no key, prefix and file name at once is refused, with the plug-in and the id."""
    point = plug_in("badly", PLUG_IN.format(id=bad, table="votes_cast"))
    with pytest.raises(ProtocolError, match=r"cannot load plug-in badly \(badly:PROTOCOL\): ValueError: bad id '"):
        installed([point])


def test_two_of_one_id_are_both_named(plug_in) -> None:
    """Two plug-ins that share an id, be it in other letters, are refused with both names."""
    first = plug_in("one", PLUG_IN.format(id="VOTES", table="votes_cast"))
    for second in ("VOTES", "votes"):
        point = plug_in(f"two_{second}", PLUG_IN.format(id=second, table="votes_other"))
        with pytest.raises(ProtocolError, match=rf"plug-in one \(.*\) and plug-in two_{second} \(.*both have the id"):
            installed([first, point])


def test_two_of_one_table_are_both_named(plug_in) -> None:
    """Two plug-ins that would write one table are refused with both names."""
    points = [plug_in(name, PLUG_IN.format(id=id_, table="a_b_cast")) for name, id_ in (("one", "A"), ("two", "A-B"))]
    with pytest.raises(ProtocolError, match=r"plug-in one \(.*both have the state table a_b_cast"):
        installed(points)


def test_table_of_the_program_itself_is_taken(plug_in) -> None:
    """A plug-in whose table would be taken for one of the program's own is refused."""
    point = plug_in("one", PLUG_IN.format(id="CONTRACT", table="contract_specs"))
    with pytest.raises(
        ProtocolError, match=r"^this program and plug-in one \(.*both have the state table contract_specs$"
    ):
        installed([point])


def test_two_of_one_history_are_both_named(plug_in) -> None:
    """Two plug-ins whose sections of history would have one name are refused with both names."""
    points = [
        plug_in(name, PLUG_IN.format(id=id_, table=f"a_b_{name}")) for name, id_ in (("one", "A_B"), ("two", "A-B"))
    ]
    with pytest.raises(ProtocolError, match=r"plug-in one \(.*both have the history a_b_certain_changes"):
        installed(points)


SUM = Value("total", "integer", "sum")
VOTES = StateTable(name="votes_cast", key=(CONTRACT,), values=(SUM,))
ZERO = Value("total", "integer", "sum", delete_at="zero")


@pytest.mark.parametrize(
    ("key", "values", "why"),
    [
        ((), (SUM,), "the first key is the contract"),
        ((Key("account", "address"), CONTRACT), (SUM,), "the first key is the contract"),
        ((CONTRACT,), (), "nothing to keep"),
        ((CONTRACT, Key("total", "address")), (SUM,), "names of columns that are taken"),
        ((CONTRACT, Key("operation_id", "integer")), (SUM,), "names of columns that are taken"),
        ((CONTRACT, Key("event", "integer")), (SUM,), "names of columns that are taken"),
        ((CONTRACT, Key("Account", "address")), (SUM,), "no name for a table or column: 'Account'"),
        ((CONTRACT, Key("account", "jsonb")), (SUM,), "no type 'jsonb'"),
        ((CONTRACT,), (Value("total", "u32", "sum"),), "only an integer holds a sum"),
        ((CONTRACT,), (Value("total", "integer", "mean"),), "no merge 'mean'"),
        ((CONTRACT,), (Value("owner", "address", "last", delete_at="zero"),), "address has no zero"),
        ((CONTRACT,), (Value("total", "integer", "sum", delete_at="null"),), "a sum is never NULL"),
        ((CONTRACT,), (Value("top", "integer", "max", delete_at="zero"),), "a maximum deletes no row"),
        ((CONTRACT,), (ZERO, Value("other", "integer", "sum")), "a sum would be lost with the row"),
        ((CONTRACT,), (ZERO, Value("top", "integer", "max")), "a maximum would be lost with the row"),
    ],
)
def test_table_that_would_not_fold_is_refused(key, values, why: str) -> None:
    """A declaration that is no table, or whose folds would depend on the cut, is refused with the reason."""
    with pytest.raises(ValueError, match=why):
        StateTable(name="votes_cast", key=key, values=values)


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"topics": frozenset()}, "no topics"),
        ({"topics": frozenset({"two words"})}, "no symbol: 'two words'"),
        ({"rows_an_event": 0}, "0 rows an event"),
        ({"rows": "votes.rows"}, "`rows` is no function"),
        ({"state": SEP41.state}, "the name of state table sep41_balances begins with 'votes_'"),
        ({"state": (VOTES, VOTES)}, "two state tables of one name"),
        ({"state": (replace(VOTES, name="votes_state_changes"),)}, "votes_state_changes is named as a history is"),
    ],
)
def test_protocol_that_cannot_be_is_refused(other: dict[str, object], why: str) -> None:
    """Topics that no event has, no rows at all, and tables under another protocol's name are refused."""
    sound = {"id": "VOTES", "claims": bool, "topics": frozenset({"vote"}), "rows_an_event": 1}
    assert Protocol(**sound).state == ()
    with pytest.raises(ValueError, match=why):
        Protocol(**sound | other)
