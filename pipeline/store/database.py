"""The database of a command: the user's own server, or the program's embedded one, started when it is needed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager

import psycopg

from pipeline import secrets
from pipeline.config import StoreSettings
from pipeline.errors import BackfillError, Refused
from pipeline.store import locks, version
from pipeline.store.books import Run
from pipeline.store.connection import DEFAULT_LIMITS, DatabaseUnreachable, Limits, connect, open_store
from pipeline.store.embedded import EmbeddedServer, default_home
from pipeline.store.embedded import settings as profiles

logger = logging.getLogger(__name__)
_SHORT = Limits(connect_s=3, lock_s=1.0, statement_s=2.0, unacknowledged_s=2.0)  # somebody may wait for the end
_LOADING = (locks.BASE_TABLES, *locks.MIGRATION.values())


class Database:
    """Connections to the store that settings name; nothing is started before the first is asked for."""

    def __init__(self, settings: StoreSettings) -> None:
        """Take the settings."""
        self._settings = settings
        self._url = settings.database_url
        self.home = default_home()
        self.embedded = EmbeddedServer(self.home) if self._url is None else None
        self._reviving = threading.Lock()
        self._known = False  # whether a store was there
        self._profile: Mapping[str, str] = profiles.SERVING

    @property
    def url(self) -> str:
        """With its password; the embedded server runs from here on."""
        if self._url is None:
            assert self.embedded is not None  # noqa: S101 - by construction: no URL, so the server is ours
            self._url = self.embedded.ensure_running()
            secrets.remember(self._url)
        return self._url

    @property
    def shown(self) -> str:
        """As people may see it."""
        return self._settings.database_shown

    def connect(self, limits: Limits = DEFAULT_LIMITS) -> psycopg.Connection:
        """Return a new connection to the store, whose version is this program's. Raises `Refused`.

        From any thread. An embedded server that has died meanwhile is started again, one that was stopped is not.
        """
        url = self.url
        try:
            return self._open(url, limits)
        except DatabaseUnreachable:
            if not self._revived(url):
                raise
        return self._open(self.url, limits)

    def _open(self, url: str, limits: Limits) -> psycopg.Connection:
        conn = open_store(url, insecure_tls=self._settings.insecure_tls, limits=limits, known=self._known)
        self._known = True
        return conn

    def _revived(self, tried: str) -> bool:
        """Return whether the embedded server runs again, perhaps at another port than in `tried`."""
        if self.embedded is None:
            return False
        with self._reviving:  # who comes second finds what the first has done
            if self._url != tried:
                return True
            url = self.embedded.revive()
            if url is None:
                return False
            self._url = url
            self._use(self._profile)
            return True

    def read(self) -> psycopg.Connection:
        """Return a connection to a store that is there and of this version, and make nothing. Raises `Refused`."""
        conn, found = self.look(start=True), None
        with ExitStack() as stack:
            if conn is not None:
                stack.callback(conn.close)
                if not version.missing(conn):
                    stack.pop_all()
                    return conn
                found = version.current(conn)
            what = "no store" if found is None else f"a store of version {found}, not {version.STEPS[-1].to},"
            raise Refused(f"there is {what} in {self.shown}: a backfill makes it and brings it up to date")

    def look(self, *, start: bool) -> psycopg.Connection | None:
        """Return a connection for reading what is there, of whatever version, and make nothing.

        None where there is no embedded store yet, or (without `start`) its server does not run.
        """
        if self.embedded is not None:
            state = self.embedded.state()
            if state == "absent" or not (start or state == "running"):
                return None
        return connect(self.url, insecure_tls=self._settings.insecure_tls)

    @contextmanager
    def loading(self, run: Run | None = None) -> Iterator[None]:
        """Have the embedded server set for loading as long as this lasts, then for serving; another is left as it is.

        For a run that holds a lock: where others load beside it, the last of them sets the server for serving.
        """
        # A job that was killed leaves the server set for loading until the next one ends or the server is started
        # anew. Nothing comes of it but a longer recovery and more disk for WAL.
        self._use(profiles.LOADING)
        try:
            yield
        finally:
            if not self._others_load(run):
                self._use(profiles.SERVING)

    def _others_load(self, run: Run | None) -> bool:
        if self.embedded is None or self._url is None:
            return False
        try:
            with closing(self._open(self._url, _SHORT)) as conn:  # which starts no server
                return locks.others(conn, run, _LOADING)
        except (BackfillError, psycopg.Error):
            return False

    def _use(self, profile: Mapping[str, str]) -> None:
        if self.embedded is None:
            return
        self._profile = profile
        try:
            self.embedded.use(profile)
        except BackfillError as error:  # slower, but no reason to end a run, or to hide why one has ended
            logger.warning("the embedded PostgreSQL keeps its present settings: %s", error)
