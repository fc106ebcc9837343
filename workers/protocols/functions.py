"""The functions of a WASM as plug-ins are shown them, read from its specification (SEP-48)."""

from __future__ import annotations

from workers._decode import spec_functions
from workers.protocols.contract import Function, Functions


def functions_of(spec: bytes) -> Functions:
    """Return a specification's functions by name; `ValueError` where it is none.

    One that it tells of twice with other types is left out: a stranger's text decides nothing that it contradicts.
    """
    told: dict[str, set[Function]] = {}
    for name, inputs, outputs in spec_functions(spec):
        told.setdefault(name, set()).add(Function(inputs, outputs))
    return {name: types.pop() for name, types in told.items() if len(types) == 1}
