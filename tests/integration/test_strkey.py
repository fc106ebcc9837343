"""strkey() and unstrkey() against stellar-sdk and the examples of SEP-23."""

from __future__ import annotations

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from stellar_sdk import StrKey

many = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
key = st.binary(min_size=32, max_size=32)


def signed_payload(key: bytes, payload: bytes) -> bytes:
    return key + len(payload).to_bytes(4, "big") + payload + bytes(-len(payload) % 4)


KINDS = {
    "account": (6, key, StrKey.encode_ed25519_public_key),
    "muxed": (12, st.binary(min_size=40, max_size=40), StrKey.encode_med25519_public_key),
    "seed": (18, key, StrKey.encode_ed25519_secret_seed),
    "pre_auth_tx": (19, key, StrKey.encode_pre_auth_tx),
    "hash_x": (23, key, StrKey.encode_sha256_hash),
    "contract": (2, key, StrKey.encode_contract),
    "liquidity_pool": (11, key, StrKey.encode_liquidity_pool),
    "claimable_balance": (1, key.map(lambda key: b"\0" + key), StrKey.encode_claimable_balance),
    "signed_payload": (
        15,
        st.builds(signed_payload, key, st.binary(min_size=1, max_size=64)),
        StrKey.encode_ed25519_signed_payload,
    ),
}

# The invalid examples of SEP-23, version 1.3.0.
INVALID = [
    "GAAAAAAAACGC6",
    "MA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJUAAAAAAAAAAAACJUR",
    "GA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJVSGZA",
    "GA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJUACUSI",
    "G47QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJVP2I",
    "MA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJVAAAAAAAAAAAAAJLKA",
    "MA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJVAAAAAAAAAAAAAAV75I",
    "M47QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJUAAAAAAAAAAAACJUQ",
    "MA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJUAAAAAAAAAAAACJUK===",
    "MA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJUAAAAAAAAAAAACJUO",
    "PA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJUAAAAAQACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB6IAAAAAAAAPM",
    "PA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJUAAAAAOQCAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4Z2PQ",
    "PA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJUAAAAAOQCAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DXFH6",
    "BAAD6DBUX6J22DMZOHIEZTEQ64CVCHEDRKWZONFEUL5Q26QD7R76RGR4TV",
    "BAAT6DBUX6J22DMZOHIEZTEQ64CVCHEDRKWZONFEUL5Q26QD7R76RGXACA",
]
VALID = "GA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJVSGZ"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_reads_as_the_sdk_writes_it(conn: psycopg.Connection, kind: str):
    """An address of each kind becomes the strkey that stellar-sdk gives it, and that strkey the same address."""
    number, payloads, encode = KINDS[kind]

    @many
    @given(payloads)
    def check(payload: bytes) -> None:
        address, text = bytes([number << 3]) + payload, encode(payload)
        query = "SELECT ledgerfill.strkey(%s), ledgerfill.unstrkey(%s)"
        assert conn.execute(query, [address, text]).fetchone() == (text, address)

    check()


@many
@given(payload=st.binary(min_size=40, max_size=40))
def test_muxed_contract_comes_back(conn: psycopg.Connection, payload: bytes):
    """A muxed contract address (CAP-84), which stellar-sdk does not know yet, begins with W and comes back."""
    address = bytes([22 << 3]) + payload
    text, back = conn.execute("SELECT s, ledgerfill.unstrkey(s) FROM ledgerfill.strkey(%s) AS s", [address]).fetchone()
    assert (text[0], len(text), back) == ("W", 69, address)


@pytest.mark.parametrize("text", [*INVALID, "", VALID.lower(), VALID + "\n", " " + VALID, VALID[:-1], "É" * 56])
def test_what_is_no_strkey_is_refused(conn: psycopg.Connection, text: str):
    """The invalid examples of SEP-23 and other spellings are an error, not an address."""
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="no strkey"):
        conn.execute("SELECT ledgerfill.unstrkey(%s)", [text])


@many
@given(place=st.integers(1, 55), letter=st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"))
def test_wrong_letter_is_refused(conn: psycopg.Connection, place: int, letter: str):
    """A strkey with one other letter is refused: the checksum does not hold."""
    text = VALID[:place] + letter + VALID[place + 1 :]
    if text == VALID:
        return
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="no strkey"):
        conn.execute("SELECT ledgerfill.unstrkey(%s)", [text])


@many
@example(b"")
@example(bytes(32))
@example(bytes([6 << 3 | 1]) + bytes(32))
@example(bytes([15 << 3]) + bytes(32) + b"\0\0\0\1" + b"\1\0\0\1")
@given(junk=st.binary(max_size=110))
def test_what_is_no_address_is_refused(conn: psycopg.Connection, junk: bytes):
    """Bytes that are no address are an error, never a strkey that nobody could read back."""
    try:
        (text,) = conn.execute("SELECT ledgerfill.strkey(%s)", [junk]).fetchone()
    except psycopg.errors.InvalidParameterValue:
        return
    assert conn.execute("SELECT ledgerfill.unstrkey(%s)", [text]).fetchone() == (junk,)


def test_nothing_stays_nothing(conn: psycopg.Connection):
    """NULL in, NULL out, so that views can use both on columns that may be empty."""
    assert conn.execute("SELECT ledgerfill.strkey(NULL), ledgerfill.unstrkey(NULL)").fetchone() == (None, None)
