"""What the tests of contracts' specifications share: WASM and `ScSpecEntry` written without the decoder."""

from __future__ import annotations

from stellar_sdk import xdr

MAGIC = b"\0asm\x01\0\0\0"
NAME = b"contractspecv0"


def leb(number: int, *, width: int = 1) -> bytes:
    """An unsigned LEB128, of at least `width` bytes."""
    out = bytearray()
    while number > 0x7F or len(out) < width - 1:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def custom(content: bytes, *, name: bytes = NAME, width: int = 1) -> bytes:
    """A custom section."""
    body = leb(len(name)) + name + content
    return b"\0" + leb(len(body), width=width) + body


def function(name: bytes, *inputs: xdr.SCSpecTypeDef, outputs: tuple[xdr.SCSpecTypeDef, ...] = ()) -> bytes:
    """A `ScSpecEntry` as stellar-sdk writes it."""
    given = [xdr.SCSpecFunctionInputV0(b"doc", b"input", each) for each in inputs]
    of = xdr.SCSpecFunctionV0(b"a function", xdr.SCSymbol(name), given, list(outputs))
    return xdr.SCSpecEntry(xdr.SCSpecEntryKind.SC_SPEC_ENTRY_FUNCTION_V0, of).to_xdr_bytes()


def plain(name: str) -> xdr.SCSpecTypeDef:
    return xdr.SCSpecTypeDef(xdr.SCSpecType[f"SC_SPEC_TYPE_{name}"])


def user(name: bytes) -> xdr.SCSpecTypeDef:
    return xdr.SCSpecTypeDef(xdr.SCSpecType.SC_SPEC_TYPE_UDT, udt=xdr.SCSpecTypeUDT(name))


def bytes_n(count: int) -> xdr.SCSpecTypeDef:
    of = xdr.SCSpecTypeBytesN(xdr.Uint32(count))
    return xdr.SCSpecTypeDef(xdr.SCSpecType.SC_SPEC_TYPE_BYTES_N, bytes_n=of)


def option(of: xdr.SCSpecTypeDef) -> xdr.SCSpecTypeDef:
    return xdr.SCSpecTypeDef(xdr.SCSpecType.SC_SPEC_TYPE_OPTION, option=xdr.SCSpecTypeOption(of))


def pair(*of: xdr.SCSpecTypeDef) -> xdr.SCSpecTypeDef:
    return xdr.SCSpecTypeDef(xdr.SCSpecType.SC_SPEC_TYPE_TUPLE, tuple=xdr.SCSpecTypeTuple(list(of)))
