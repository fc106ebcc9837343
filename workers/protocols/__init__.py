"""Protocols: contract standards as plug-ins, the two built in."""

from __future__ import annotations

from workers.protocols.contract import Function, Functions, Key, Protocol, ProtocolError, StateTable, Value
from workers.protocols.finding import PlugInRaised, foreign, installed
from workers.protocols.functions import functions_of

__all__ = [
    "Function",
    "Functions",
    "Key",
    "PlugInRaised",
    "Protocol",
    "ProtocolError",
    "StateTable",
    "Value",
    "foreign",
    "functions_of",
    "installed",
]
