"""When a server has to prove who it is: always, unless it is local or a flag says otherwise."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path

from pipeline.errors import Refused

_PROVEN = "verify-full"
# Where systems keep the authorities they trust; psycopg's own OpenSSL looks at none of these.
_AUTHORITIES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Alpine
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",  # macOS, BSD
)


def parameters(conninfo: Mapping[str, str], *, insecure: bool) -> dict[str, str]:
    """Return libpq's TLS parameters for a connection; `Refused` where a weaker mode is asked for without the flag."""
    asked = conninfo.get("sslmode") or os.environ.get("PGSSLMODE")
    if is_local(conninfo):
        return {"sslmode": asked} if asked else {}
    if insecure:
        return {"sslmode": asked or "require"}
    if asked not in (None, _PROVEN):
        raise Refused(
            f"the database URL asks for sslmode={asked} and its host is not local: "
            f"use sslmode={_PROVEN}, or --insecure-tls to go without proof of who the server is"
        )
    return {"sslmode": _PROVEN} | _authorities(conninfo)


def is_local(conninfo: Mapping[str, str]) -> bool:
    """Return whether every host is this machine: a socket, `localhost` or a loopback address."""
    if "service" in conninfo or "PGSERVICE" in os.environ:
        return False  # its hosts are in a file that only libpq reads
    named = conninfo.get("host") or os.environ.get("PGHOST", "")
    addresses = conninfo.get("hostaddr") or os.environ.get("PGHOSTADDR", "")
    hosts = [host for host in (*named.split(","), *addresses.split(",")) if host]
    return all(_is_this_machine(host) for host in hosts)


def _is_this_machine(host: str) -> bool:
    if host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _authorities(conninfo: Mapping[str, str]) -> dict[str, str]:
    """Return whose signature counts: what the user named, else what the system trusts."""
    own = Path("~/.postgresql/root.crt").expanduser()
    if conninfo.get("sslrootcert") or os.environ.get("PGSSLROOTCERT") or own.exists():
        return {}
    found = next((path for path in _AUTHORITIES if Path(path).exists()), "system")
    return {"sslrootcert": found}
