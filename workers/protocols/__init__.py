"""Protocols: contract standards as plug-ins, the two built in."""

from __future__ import annotations

from workers.protocols.contract import Function, Functions, Key, Protocol, ProtocolError, StateTable, Value
from workers.protocols.finding import installed

__all__ = [
    "Function",
    "Functions",
    "Key",
    "Protocol",
    "ProtocolError",
    "StateTable",
    "Value",
    "installed",
]
