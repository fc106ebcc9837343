"""Which protocol a contract code is of, by its spec (SEP-48): the plug-ins are asked, once for each code."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping
from functools import lru_cache

from pipeline.errors import Refused, Unclassified
from workers.protocols import PlugInRaised, Protocol, ProtocolError, foreign, functions_of, installed

_VERDICTS = 10_000  # codes whose verdict is kept in mind


class Classifier:
    """Asks the plug-ins that are installed; they are looked for when the first code is there to be judged."""

    def __init__(self, protocols: Mapping[str, Protocol] | None = None) -> None:
        """Know these protocols; None: those that are installed."""
        self._known, self._given = protocols, protocols is not None
        self._claiming = lru_cache(_VERDICTS)(self._ask)

    @property
    def protocols(self) -> Mapping[str, Protocol]:
        """The protocols that can be asked, by id. Raises `Refused` where a plug-in cannot be used."""
        if self._known is None:
            self._known = _installed()
        return self._known

    def protocol(self, name: str) -> Protocol:
        """Return a protocol. Raises `Refused` where no plug-in of that id is installed, also not meanwhile."""
        if name not in self.protocols and not self._given:
            importlib.invalidate_caches()
            self._known = _installed()
        if name not in self.protocols:
            raise Refused(f"no plug-in for protocol {name} is installed: there are {', '.join(sorted(self.protocols))}")
        return self.protocols[name]

    def claims_assets(self, name: str) -> bool:
        """Return whether Stellar Asset Contracts are of this protocol."""
        return self.protocol(name).claims_assets

    def verdict(
        self, wasm_hash: bytes, spec: bytes | None, among: Collection[str], *, owner: str | None = None
    ) -> str | None:
        """Return which of these protocols claims a code, or None; `owner`: who has claimed it before.

        Raises `Unclassified` where two do or a plug-in fails, and `Refused` where one of them is not installed.
        """
        claiming = [owner] if owner else []
        claiming += [name for name in among if name != owner and self._claiming(wasm_hash, spec, name)]
        if len(claiming) > 1:
            raise Unclassified(f"protocols {' and '.join(claiming)} both claim the contract code {wasm_hash.hex()}")
        return claiming[0] if claiming else None

    def _ask(self, wasm_hash: bytes, spec: bytes | None, name: str) -> bool:
        protocol = self.protocol(name)
        if spec is None:
            return False
        try:
            functions = functions_of(spec)
        except ValueError:  # a stranger's code may carry anything for a spec
            return False
        try:
            with foreign(f"asking the plug-in of protocol {name} about the contract code {wasm_hash.hex()}"):
                claims = protocol.claims(functions)
                if not isinstance(claims, bool):
                    raise TypeError(f"claims returned {claims!r}, not True or False")
                return claims
        except PlugInRaised as error:
            failed = f"the plug-in of protocol {name} failed at the contract code {wasm_hash.hex()}"
            raise Unclassified(f"{failed}: {error}") from error


def _installed() -> Mapping[str, Protocol]:
    try:
        return installed()
    except ProtocolError as error:
        raise Refused(str(error)) from error
