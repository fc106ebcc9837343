"""Specifications of contracts: every real one is read as the index of contracts has it, hostile WASM hurts nobody."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from specs import MAGIC, NAME, bytes_n, custom, function, option, pair, plain, user
from stellar_sdk import xdr
from xdrlib3 import Unpacker

from workers._decode import contract_spec, spec_functions

MAX_SPEC = 1 << 20
MAX_LEVELS = 1500
INDEXED = re.compile(r"^(\S+\.wasm)\n(?:  .*\n)*?  functions \((\d+)\):\n((?:    .*\n)*)", re.MULTILINE)
Functions = list[tuple[str, tuple[str, ...], tuple[str, ...]]]


def parts(shown: str) -> list[str]:
    """Take a list apart at the commas that are in no brackets."""
    out, depth = [""], 0
    for letter in shown:
        depth += (letter == "<") - (letter == ">")
        if letter == "," and depth == 0:
            out.append("")
        else:
            out[-1] += letter
    return [part.strip() for part in out if part]


def blunt(shown: str) -> str:
    """A type as the index writes it: tuples without their parts, results without their error."""
    shown = re.sub(r"tuple<[^<>]*(?:<[^<>]*>[^<>]*)*>", "tuple", shown)
    return re.sub(r"result<(.*),[^,]*>$", r"result<\1>", shown)


def indexed(shared: Path) -> dict[str, list[tuple[str, list[str], str]]]:
    """Functions by file: name, types of inputs, type of the output."""
    out = {}
    for file, count, lines in INDEXED.findall((shared / "wasm" / "INDEX.txt").read_text()):
        found = [re.match(r" *(.*)\((.*)\)(?: -> (.*))?$", line) for line in lines.splitlines()]
        out[file] = [(m[1], [part.split(": ")[1] for part in parts(m[2])], m[3] or "") for m in found if m]
        assert len(out[file]) == int(count)
    return out


def test_every_real_contract_has_the_functions_of_the_index(shared: Path) -> None:
    """Names and types of all functions of all contracts at hand; the one without a specification has none."""
    wanted = indexed(shared)
    files = sorted((shared / "wasm").glob("*.wasm"))
    assert {file.name for file in files} == set(wanted)
    for file in files:
        spec = contract_spec(file.read_bytes())
        assert (spec is None) == (file.name == "no-spec-smoke.wasm")
        found = sorted(spec_functions(spec or b""))
        shown = [(name, [blunt(of) for of in inputs], "".join(map(blunt, out))) for name, inputs, out in found]
        assert shown == sorted(wanted[file.name]), file.name


def test_the_specification_is_that_of_another_decoder(shared: Path) -> None:
    """Its bytes are whole entries to stellar-sdk, as many functions as are told."""
    spec = contract_spec((shared / "wasm" / "sep41-token.wasm").read_bytes())
    assert spec is not None
    entries, reader = [], Unpacker(spec)
    while reader.get_position() < len(spec):
        entries.append(xdr.SCSpecEntry.unpack(reader))
    names = [entry.function_v0.name.sc_symbol.decode() for entry in entries if entry.function_v0]
    assert [name for name, *_ in spec_functions(spec)] == names


def test_types_are_told_with_their_parts_and_in_order() -> None:
    """Every kind of type in one function, the parts of the composed ones included."""
    kind = xdr.SCSpecType
    word, number, account = plain("SYMBOL"), plain("U64"), plain("ADDRESS")
    composed = [
        option(number),
        xdr.SCSpecTypeDef(kind.SC_SPEC_TYPE_VEC, vec=xdr.SCSpecTypeVec(account)),
        xdr.SCSpecTypeDef(kind.SC_SPEC_TYPE_MAP, map=xdr.SCSpecTypeMap(word, bytes_n(32))),
        pair(word, user(b"Mine")),
        pair(),
    ]
    result = xdr.SCSpecTypeDef(kind.SC_SPEC_TYPE_RESULT, result=xdr.SCSpecTypeResult(composed[4], plain("ERROR")))
    names = [name.removeprefix("SC_SPEC_TYPE_") for name in kind.__members__ if kind[name] < kind.SC_SPEC_TYPE_OPTION]
    spec = function(b"all", *(plain(name) for name in names), *composed, outputs=(result,))
    written = ("option<u64>", "vec<address>", "map<symbol,bytes32>", "tuple<symbol,Mine>", "tuple<>")
    wanted = ("all", (*(name.lower() for name in names), *written), ("result<tuple<>,error>",))
    assert spec_functions(spec + function(b"none")) == [wanted, ("none", (), ())]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"address", '"address"'),
        (b"option<u64>", '"option<u64>"'),
        (b"A,i128", '"A,i128"'),
        (b"Own_2", "Own_2"),
        (b"", '""'),
        (b'A"\x1b[2K\n\xff', r'"A\"\x1b[2K\n\xff"'),
    ],
)
def test_no_type_of_a_contracts_own_passes_for_a_built_in(name: bytes, shown: str) -> None:
    """Whatever a stranger calls a structure, it is not told as the type of that name, and it can be printed."""
    assert spec_functions(function(b"f", user(name))) == [("f", (shown,), ())]
    assert shown.isprintable()


def test_control_characters_in_the_name_of_a_function_are_escaped() -> None:
    """A name that would write to the terminal is told in printable characters, one to one."""
    names = [b"\x1b[2K", rb"\x1b[2K", "\u202eé".encode()]
    found = [name for name, *_ in spec_functions(b"".join(map(function, names)))]
    assert found == [r"\x1b[2K", r"\\x1b[2K", r"\xe2\x80\xae\xc3\xa9"]


def test_several_sections_are_one_specification() -> None:
    """What is split over sections is joined in their order, whatever lies between them."""
    whole = function(b"one") + function(b"two")
    code = MAGIC + custom(whole[:7]) + custom(b"\xff" * 9, name=b"contractmetav0") + custom(whole[7:])
    assert contract_spec(code) == whole
    assert [name for name, *_ in spec_functions(whole)] == ["one", "two"]
    assert contract_spec(MAGIC + custom(b"")) == b""
    assert spec_functions(b"") == []


@pytest.mark.parametrize("width", [1, 5])
def test_lengths_have_up_to_five_bytes(width: int) -> None:
    """LEB128 that is longer than it needs to be is read."""
    assert contract_spec(MAGIC + custom(b"spec", width=width)) == b"spec"


@pytest.mark.parametrize(
    "code",
    [
        b"",
        b"\0asm",
        b"\0asm\x02\0\0\0" + custom(b"spec"),  # a version that nobody knows
        b"\0asm\x0d\0\x01\0" + custom(b"spec"),  # a component
        MAGIC + custom(b"spec") + b"\0",  # ends within a length
        MAGIC + custom(b"spec")[:-1],  # ends within the section
        MAGIC + custom(b"spec") + b"\0\xff\xff\xff\xff\x0f",  # a section of 4 GiB
        MAGIC + custom(b"spec", width=6),  # LEB128 over five bytes
        MAGIC + b"\0\x80\x80\x80\x80\x10" + NAME,  # LEB128 over 32 bits
        MAGIC + custom(b"spec") + b"\0\x02\x7f\0",  # a name that is longer than its section
        MAGIC + custom(b"spec") + custom(b"", name=b"\xff"),  # a name that is no UTF-8
        MAGIC + custom(b"spec") + b"\x63\x01\0",  # a section of a kind that nobody knows
    ],
)
def test_wasm_that_is_not_sound_has_no_specification(code: bytes) -> None:
    """Whatever is wrong with it, also behind a specification, the answer is None and nothing is raised."""
    assert contract_spec(code) is None


def test_every_truncation_of_a_real_contract_is_survived(shared: Path) -> None:
    """Cut anywhere, a contract has its specification whole or not at all."""
    code = (shared / "wasm" / "sep41-token.wasm").read_bytes()
    whole = contract_spec(code)
    assert {contract_spec(code[:length]) for length in range(len(code))} <= {None, whole}


def test_a_specification_has_at_most_one_mebibyte() -> None:
    """A byte more, in one section or in two, and there is none; the same holds for its functions."""
    most = bytes(MAX_SPEC)
    assert contract_spec(MAGIC + custom(most)) == most
    assert contract_spec(MAGIC + custom(most + b"\0")) is None
    assert contract_spec(MAGIC + custom(most) + custom(b"\0")) is None
    with pytest.raises(ValueError, match="a contract's specification has at most 1048576 bytes, this one 1048577"):
        spec_functions(most + b"\0")


@pytest.mark.parametrize(
    "spec",
    [
        b"\0",
        bytes(MAX_SPEC - 1),  # functions without end, the last of them cut
        b"\0\0\0\x63",  # a kind of entry that nobody knows
        function(b"f")[:-4],
        function(b"f") + b"\0\0\0\0",
        function(b"f", plain("U32")).replace(b"\0\0\0\x04", b"\0\0\0\x0f"),  # a type that nobody knows
        function(b"f").replace(b"f\0\0\0", b"f\0\0\x01"),  # padding that is not zero
        b"\0\0\0\0" + b"\xff" * 8,  # a text of 4 GiB
        b"\0\0\0\0" * 3 + b"\xff\xff\xff\xff",  # 4 billion inputs
    ],
)
def test_what_is_no_sequence_of_entries_is_a_value_error(spec: bytes) -> None:
    """It names the entry that cannot be read."""
    with pytest.raises(ValueError, match=r"no ScSpecEntry at byte \d+ of \d+: "):
        spec_functions(spec)


def nested(levels: int) -> bytes:
    """A function that takes an option of an option of … of a value."""
    spec = function(b"f", plain("VAL"))
    return spec[:-8] + (1000).to_bytes(4, "big") * levels + spec[-8:]


def test_nesting_ends_at_a_limit_and_not_with_the_stack() -> None:
    """Depth costs neither the process nor time: within the limit it is told, beyond it refused."""
    (found,) = spec_functions(nested(300))
    assert found[1] == ("option<" * 300 + "val" + ">" * 300,)
    for levels in (MAX_LEVELS, MAX_SPEC // 4 - 100):
        with pytest.raises(ValueError, match="no ScSpecEntry at byte 0"):
            spec_functions(nested(levels))
