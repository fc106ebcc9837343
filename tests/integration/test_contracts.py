"""The books of contracts: what was seen is found again, in whatever order it came, and every code has its verdict."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stellar_sdk import xdr

from pipeline.classification import Classifier
from pipeline.errors import BackfillError, Refused
from pipeline.store import contracts
from workers.protocols import Protocol, finding, installed

A, B, W1, W2, W3 = (bytes([number]) * 32 for number in range(5))
Seen = tuple[bytes, int, bytes | None]  # contract, ledger, code
SPECS = [(W1, b"one"), (W2, b"two"), (W3, None)]


def merge(
    conn: psycopg.Connection,
    seen: Sequence[Seen],
    specs: Sequence[contracts.Spec] = (),
    since: int = 1,
    classifier: Classifier | None = None,
) -> None:
    with conn.transaction():
        contracts.stage(conn, specs, [(*each, None) for each in seen])
        contracts.merge(conn, contracts.STAGED, since, classifier or Classifier({}))


def held(conn: psycopg.Connection) -> list[Seen]:
    query = "SELECT contract_id, from_ledger, wasm_hash FROM ledgerfill.contract_instances ORDER BY 1, 2"
    return [tuple(row) for row in conn.execute(query)]


@dataclass(frozen=True)
class History:
    """What two contracts ran at the end of each ledger from 0, in which ledgers they were touched, and what is read."""

    runs: dict[bytes, list[bytes | None]]
    touched: dict[bytes, set[int]]
    parts: list[tuple[int, int]]  # first and last ledger, in the order in which they are read

    def seen(self, first: int, last: int) -> list[Seen]:
        """Return what a worker says of a part: each contract's first sight, and its changes."""
        rows: list[Seen] = []
        for contract, runs in self.runs.items():
            ledgers = [ledger for ledger in range(first, last + 1) if ledger in self.touched[contract]]
            rows += [(contract, ledger - 1, runs[ledger - 1]) for ledger in ledgers[:1]]
            rows += [(contract, ledger, runs[ledger]) for ledger in ledgers if runs[ledger] != runs[ledger - 1]]
        return rows

    def since(self, number: int) -> int:
        """Return from where on all was read without a gap when a part has come."""
        read = {ledger for first, last in self.parts[: number + 1] for ledger in range(first, last + 1)}
        since = self.parts[number][0]
        while since - 1 in read:
            since -= 1
        return since


@st.composite
def histories(draw: st.DrawFn) -> History:
    runs, touched = {}, {}
    for contract in (A, B):
        runs[contract] = draw(st.lists(st.sampled_from([W1, None]), min_size=13, max_size=13))
        changes = {ledger for ledger in range(1, 13) if runs[contract][ledger] != runs[contract][ledger - 1]}
        touched[contract] = changes | draw(st.sets(st.integers(1, 12)))
    cuts = sorted(draw(st.sets(st.integers(2, 12), max_size=5)))
    parts = [(low, high - 1) for low, high in pairwise([1, *cuts, 13])]
    return History(runs, touched, draw(st.permutations(parts))[: draw(st.integers(1, len(parts)))])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories())
def test_what_was_seen_is_found_in_whatever_order_it_came(conn: psycopg.Connection, history: History):
    """At each ledger that was read, every contract that was seen by then runs what it ran, and none twice."""
    conn.execute("TRUNCATE ledgerfill.contract_instances")
    for number, (first, last) in enumerate(history.parts):
        merge(conn, history.seen(first, last), since=history.since(number))
    rows = held(conn)
    for first, last in history.parts:
        for contract, runs in history.runs.items():
            known = [(ledger, code) for owner, ledger, code in rows if owner == contract]
            sights = [ledger - 1 for ledger in range(first, last + 1) if ledger in history.touched[contract]]
            for ledger in range(sights[0], last + 1) if sights else ():
                assert [code for at, code in known if at <= ledger][-1] == runs[ledger]
    if history.parts == sorted(history.parts) and history.since(len(history.parts) - 1) == 1:
        assert not any(one[0] == other[0] and one[2] == other[2] for one, other in pairwise(rows))


def test_what_was_seen_behind_a_gap_is_kept(conn: psycopg.Connection):
    """What lies in between, read later, may say that a contract had changed and changed back."""
    merge(conn, [(A, 3, W1)], since=1)
    merge(conn, [(A, 8, W1)], since=9)
    merge(conn, [(A, 4, W2)], since=1)
    assert held(conn) == [(A, 3, W1), (A, 4, W2), (A, 8, W1)]


def test_a_change_that_is_undone_in_its_ledger_is_none(conn: psycopg.Connection):
    """The last that a ledger says of a contract counts, and it may be what was said before."""
    merge(conn, [(A, 3, W1), (A, 8, W1), (A, 9, W2)])
    assert held(conn) == [(A, 3, W1), (A, 9, W2)]


def test_only_neighbours_are_read(conn: psycopg.Connection):
    """A contract that has changed a hundred thousand times costs no more than another."""
    conn.execute(
        "INSERT INTO ledgerfill.contract_instances (contract_id, from_ledger, wasm_hash) "
        "SELECT %s, n, CASE WHEN n %% 2 = 0 THEN %s::bytea ELSE %s::bytea END FROM generate_series(10, 100000) n",
        (A, W1, W2),
    )
    conn.execute("ANALYZE ledgerfill.contract_instances")
    with conn.transaction():
        contracts.stage(conn, [], [(A, 100_001, W2, None), (B, 100_001, W2, None)])
        query = b"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + contracts._SQL["merge_instances"]
        plan = conn.execute(query, {"since": 1}).fetchone()
    assert plan is not None
    buffers = plan[0][0]["Plan"]["Shared Hit Blocks"] + plan[0][0]["Plan"]["Shared Read Blocks"]
    assert buffers < 200


def test_staged_rows_are_gone_after_the_transaction(conn: psycopg.Connection):
    """What one chunk has staged is never merged with the next."""
    merge(conn, [(A, 5, W1)], SPECS)
    merge(conn, [(B, 6, None)])
    assert held(conn) == [(A, 5, W1), (B, 6, None)]
    assert conn.execute("SELECT count(*) FROM ledgerfill.protocol_wasms").fetchone() == (3,)


def spec(*functions: str) -> bytes:
    """Return a contractspecv0 of functions without inputs and outputs."""
    entries = [
        xdr.SCSpecEntry(
            xdr.SCSpecEntryKind.SC_SPEC_ENTRY_FUNCTION_V0,
            function_v0=xdr.SCSpecFunctionV0(b"", xdr.SCSymbol(name.encode()), [], []),
        )
        for name in functions
    ]
    return b"".join(entry.to_xdr_bytes() for entry in entries)


def protocol(name: str, function: str, *, claims_assets: bool = False) -> Protocol:
    """Return a protocol that claims whatever has a function."""
    return Protocol(
        id=name,
        claims=lambda functions: function in functions,
        claims_assets=claims_assets,
        topics=frozenset({"transfer"}),
        rows_an_event=1,
    )


def broken(name: str) -> Protocol:
    """Return a protocol that fails at each code."""
    failing = protocol(name, "x")
    object.__setattr__(failing, "claims", lambda functions: functions["absent"])
    return failing


RED, BLUE = protocol("RED", "paint_red", claims_assets=True), protocol("BLUE", "paint_blue")
KNOWN = Classifier({"RED": RED, "BLUE": BLUE})
PAINTS = [(W1, spec("paint_red")), (W2, spec("hello", "paint_blue")), (W3, spec("hello"))]


def claimed(conn: psycopg.Connection) -> dict[bytes, str | None]:
    return dict(conn.execute("SELECT wasm_hash, protocol_id FROM ledgerfill.protocol_wasms").fetchall())


def bring(conn: psycopg.Connection, specs: Sequence[contracts.Spec], classifier: Classifier = KNOWN) -> None:
    with conn.transaction():
        contracts.stage(conn, specs, [])
        contracts.merge(conn, contracts.STAGED, 1, classifier)


@pytest.mark.parametrize("first", ["code", "protocols"])
def test_code_is_classified_whichever_comes_first(conn: psycopg.Connection, first: str):
    """Code that comes is shown to the protocols that are set up, and a protocol that is set up sees what has come."""
    steps = [lambda: bring(conn, PAINTS), lambda: contracts.add(conn, ["RED", "BLUE"], KNOWN)]
    for step in steps if first == "code" else reversed(steps):
        step()
    assert claimed(conn) == {W1: "RED", W2: "BLUE", W3: None}


def test_only_what_is_set_up_claims(conn: psycopg.Connection):
    """A plug-in that is installed and not set up claims nothing, until it is."""
    contracts.add(conn, ["BLUE"], KNOWN)
    bring(conn, PAINTS)
    assert claimed(conn) == {W1: None, W2: "BLUE", W3: None}
    contracts.add(conn, ["RED", "BLUE"], KNOWN)
    assert claimed(conn) == {W1: "RED", W2: "BLUE", W3: None}


def test_contracts_follow_their_code_from_the_ledger_of_the_upgrade(conn: psycopg.Connection):
    """A contract is of its code's protocol from the ledger on in which it came to it; an asset's has no code."""
    contracts.add(conn, ["RED", "BLUE"], KNOWN)
    bring(conn, PAINTS)
    merge(conn, [(A, 5, W1), (A, 7, W3), (A, 9, W2), (B, 6, None)])
    query = "SELECT contract_id, from_ledger, protocol_id FROM ledgerfill.protocol_contracts ORDER BY 1, 2"
    assert conn.execute(query).fetchall() == [(A, 5, "RED"), (A, 9, "BLUE"), (B, 6, "RED")]
    assert contracts.counts(conn) == [contracts.Counted("BLUE", 1, 1), contracts.Counted("RED", 1, 1)]


def test_two_protocols_that_claim_one_code_are_named(conn: psycopg.Connection):
    """Neither is set up then."""
    greedy = Classifier({"RED": RED, "GREEDY": protocol("GREEDY", "paint_red")})
    bring(conn, PAINTS, greedy)
    with pytest.raises(BackfillError, match=f"GREEDY and RED both claim the contract code {W1.hex()}"):
        contracts.add(conn, ["GREEDY", "RED"], greedy)
    assert [each.id for each in contracts.set_up(conn)] == []


def test_a_protocol_that_claims_what_another_has_is_named(conn: psycopg.Connection):
    """One that comes later is not set up then, whatever else it claims, and the code stays whose it was."""
    greedy = Classifier({"RED": RED, "GREEDY": protocol("GREEDY", "paint_red")})
    bring(conn, PAINTS, greedy)
    contracts.add(conn, ["RED"], greedy)
    with pytest.raises(BackfillError, match=f"^protocols RED and GREEDY both claim the contract code {W1.hex()}$"):
        contracts.add(conn, ["GREEDY"], greedy)
    assert [each.id for each in contracts.set_up(conn)] == ["RED"]
    assert claimed(conn)[W1] == "RED"
    contracts.add(conn, ["RED"], Classifier({"RED": protocol("RED", "no_more")}))  # nobody is asked twice


def test_a_plugin_that_exits_ends_nothing_but_the_chunk(conn: psycopg.Connection):
    """It would end the thread that commits, and nobody would hear of it."""
    leaving = protocol("LEAVING", "x")
    object.__setattr__(leaving, "claims", lambda functions: sys.exit(len(functions)))
    only = Classifier({"LEAVING": leaving})
    contracts.add(conn, ["LEAVING"], only)
    with pytest.raises(BackfillError, match=f"LEAVING failed at the contract code {W1.hex()}: SystemExit: 1"):
        bring(conn, PAINTS, only)


@pytest.mark.parametrize("given", [None, "yes", 1])
def test_a_claim_is_true_or_false(conn: psycopg.Connection, given: object):
    """A plug-in that forgets to answer, or answers in words, claims nothing by it."""
    vague = protocol("VAGUE", "x")
    object.__setattr__(vague, "claims", lambda _: given)
    only = Classifier({"VAGUE": vague})
    contracts.add(conn, ["VAGUE"], only)
    with pytest.raises(BackfillError, match=f"TypeError: claims returned {given!r}, not True or False"):
        bring(conn, PAINTS, only)


def test_a_plugin_that_takes_long_is_named(conn: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, caplog):
    """So is the code that it is asked about: it may hang there."""
    monkeypatch.setattr(finding, "_LONG_S", 0.2)
    slow = protocol("SLOW", "x")
    object.__setattr__(slow, "claims", lambda _: time.sleep(0.6) or True)
    only = Classifier({"SLOW": slow})
    contracts.add(conn, ["SLOW"], only)
    bring(conn, PAINTS, only)
    said = f"asking the plug-in of protocol SLOW about the contract code {W1.hex()} has taken 0.2 s and goes on"
    assert caplog.messages[0] == said


def test_a_plugin_that_fails_is_named(conn: psycopg.Connection):
    """So are the code and the error; the code is not there then, and comes again."""
    only = Classifier({"BROKEN": broken("BROKEN")})
    contracts.add(conn, ["BROKEN"], only)
    message = f"the plug-in of protocol BROKEN failed at the contract code {W1.hex()}: KeyError: 'absent'"
    with pytest.raises(BackfillError, match=message):
        bring(conn, PAINTS, only)
    assert claimed(conn) == {}


def test_the_ledger_of_a_clash_is_named(conn: psycopg.Connection):
    """So is the contract that is known to run such a code first, as it comes and as a protocol is set up."""
    contracts.add(conn, ["RED"], KNOWN)
    seen = "; contract CAAAAAAA[A-Z2-7]* runs it from ledger 7 on$"
    with pytest.raises(BackfillError, match=f"failed at the contract code {W1.hex()}: KeyError: 'absent'{seen}"):
        merge(conn, [(B, 9, W1), (A, 7, W1)], PAINTS, classifier=Classifier({"RED": broken("RED")}))
    merge(conn, [(B, 9, W1), (A, 7, W1)], PAINTS, classifier=KNOWN)
    greedy = Classifier({"RED": RED, "GREEDY": protocol("GREEDY", "paint_red")})
    with pytest.raises(BackfillError, match=f"RED and GREEDY both claim the contract code {W1.hex()}{seen}"):
        contracts.add(conn, ["GREEDY"], greedy)


def test_the_ledger_of_code_that_nobody_runs_is_named(conn: psycopg.Connection):
    """Where no contract is known to run it, the ledger that brought it stands for that."""
    contracts.add(conn, ["RED"], KNOWN)
    with conn.transaction(force_rollback=True):
        contracts.stage(conn, PAINTS, [])
        conn.execute("UPDATE pg_temp.ledgerfill_contract_specs SET ledger = 8")
        with pytest.raises(BackfillError, match=f"the contract code {W1.hex()}: KeyError: 'absent'; ledger 8 has it$"):
            contracts.merge(conn, contracts.STAGED, 1, Classifier({"RED": broken("RED")}))


def test_a_protocol_without_its_plugin_is_refused(conn: psycopg.Connection):
    """A store whose protocol this program does not have takes no new code: it could not be classified."""
    contracts.add(conn, ["RED"], KNOWN)
    with pytest.raises(Refused, match="no plug-in for protocol RED is installed"):
        bring(conn, PAINTS, Classifier({"BLUE": BLUE}))


def test_code_that_comes_while_a_protocol_is_set_up_is_not_missed(store: str, conn: psycopg.Connection):
    """Who sets up waits for those who are adding code, and sees it."""
    with psycopg.connect(store) as adding:
        contracts.stage(adding, PAINTS, [])
        contracts.merge(adding, contracts.STAGED, 1, KNOWN)
        setting_up = threading.Thread(target=contracts.add, args=(conn, ["RED"], KNOWN))
        setting_up.start()
        setting_up.join(0.5)
        assert setting_up.is_alive()
        adding.commit()
        setting_up.join(10)
    assert claimed(conn) == {W1: "RED", W2: None, W3: None}


def test_both_that_come_built_in_are_installed():
    """The program's own plug-ins are found as any other is."""
    assert {"SEP41", "SEP50"} <= set(installed())
