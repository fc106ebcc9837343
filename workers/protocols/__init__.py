"""Protocols: contract standards as plug-ins, the two built in."""

from __future__ import annotations

from workers.protocols.contract import Function, Functions, Key, Protocol, ProtocolError, StateTable, Value
from workers.protocols.finding import installed, printing_aside
from workers.protocols.functions import functions_of

__all__ = [
    "Function",
    "Functions",
    "Key",
    "Protocol",
    "ProtocolError",
    "StateTable",
    "Value",
    "functions_of",
    "installed",
    "printing_aside",
]
