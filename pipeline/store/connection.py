"""Opens connections to the store's server, and refuses a server that cannot serve.

Errors name host, port, database and user, never a password.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial

import psycopg
from psycopg.abc import RV, PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pipeline.errors import Refused, first_line
from pipeline.store import queries, tls, version
from pipeline.store.lookout import Lookout

OLDEST_SERVER = 15  # major version
_SQL = queries.load("connection")
_lookout = Lookout()
_CANCEL_S = 1.0
_ASKING_S = 10.0
_SCHEMA = "ledgerfill"
_PREFIX = re.compile(
    r"^(?:connection (?:failed|is bad): )?(?:connection to server (?:at|on) .*? failed: )?(?:FATAL: +)?"
)
_UNKNOWN = re.compile(r'^invalid URI query parameter: "(\w+)"')
_LASTING = re.compile(
    r"authentication failed|no password supplied|pg_hba\.conf|does not exist|permission denied|certificate"
    r"|does not support SSL|startup parameter",
)


class DatabaseUnreachable(Refused, psycopg.OperationalError):
    """No connection now, and perhaps one later: before a start it is refused, in a run it is tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long a session may wait or work before the server ends it; 0 means without a limit.

    A session without one for its statements asks over another now and then whether the server is still at work.
    """

    connect_s: int = 10
    lock_s: float = 60.0
    statement_s: float = 600.0
    idle_in_transaction_s: float = 120.0
    unacknowledged_s: float = 30.0  # until a connection over a network that died in silence counts as broken

    def options(self) -> str:
        """Write them, and the schema, as libpq hands them to the server."""
        milliseconds = {
            "lock_timeout": self.lock_s,
            "statement_timeout": self.statement_s,
            "idle_in_transaction_session_timeout": self.idle_in_transaction_s,
        }
        settings = [f"search_path={_SCHEMA}", *(f"{name}={round(s * 1000)}" for name, s in milliseconds.items())]
        settings.append("DateStyle=ISO")  # one that a role or a database has of its own, psycopg cannot read
        settings.append("idle_session_timeout=0")  # the session with a run's lock has nothing to say for hours
        return " ".join(f"-c {setting}" for setting in settings)

    @property
    def answer_s(self) -> float:
        """How long an answer may take before the connection counts as broken, or the server is asked."""
        return self.statement_s + self.unacknowledged_s


DEFAULT_LIMITS = Limits()


class _Session(psycopg.Connection):
    """A connection that does not wait for ever for a server, or what is between, that takes all and says nothing."""

    answer_s: float | None = None
    at_work: Callable[[], bool] = staticmethod(lambda: False)
    waiting_since: float | None = None
    another: Callable[[], psycopg.Connection]

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Wait for one answer, and on while the server is at work for it."""
        self.waiting_since = start = time.monotonic()
        try:
            while True:
                try:
                    return super().wait(gen, interval, timeout or self.answer_s)
                except psycopg.errors._WaitTimeout as error:  # its only name
                    if timeout is None and self.at_work():
                        continue
                    self.pgconn.finish()
                    raise psycopg.OperationalError(f"no answer in {time.monotonic() - start:.0f} s") from error
        finally:
            self.waiting_since = None


def open_store(
    url: str,
    *,
    insecure_tls: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    application: str = "ledgerfill",
    known: bool = False,
) -> psycopg.Connection:
    """Return a connection to a store of this program's version, in autocommit; it is made, or brought there if older.

    `known`: the store was there before, and none is made in its place.
    Raises `Refused`: the server cannot serve, or its store is newer, gone or something else; `DatabaseUnreachable`.
    """
    conn = connect(url, insecure_tls=insecure_tls, limits=limits, application=application)
    try:
        _require_writable(conn)
        if known and version.current(conn) is None:
            raise Refused(f"the store in database {conn.info.dbname} is gone: its schema was dropped or renamed")
        version.bring_up_to_date(conn)
    except psycopg.errors.InsufficientPrivilege as error:
        user = conn.info.user
        conn.close()
        raise Refused(f"user {user} may not use the store: {first_line(error)}") from error
    except BaseException:
        conn.close()
        raise
    return conn


def connect(
    url: str, *, insecure_tls: bool = False, limits: Limits = DEFAULT_LIMITS, application: str = "ledgerfill"
) -> psycopg.Connection:
    """Return a connection in autocommit to a server that can serve; what is in its database is not looked at.

    `insecure_tls`: a server that is not local need not prove who it is.
    """
    parameters = _parameters(url)
    conninfo = make_conninfo(
        **parameters
        | tls.parameters(parameters, insecure=insecure_tls)
        | {
            "options": f"{parameters.get('options') or os.environ.get('PGOPTIONS', '')} {limits.options()}".strip(),
            "application_name": application,
            "client_encoding": "utf8",
            "connect_timeout": str(limits.connect_s),
            "keepalives_idle": str(round(limits.unacknowledged_s)),
            "tcp_user_timeout": str(round(limits.unacknowledged_s * 1000)),
        }
    )
    try:
        conn = _Session.connect(conninfo, autocommit=True)
    except psycopg.Error as error:
        raise _refusal(error, parameters) from error
    conn.answer_s = limits.answer_s
    try:
        _require_able(conn)
    except BaseException:
        conn.close()
        raise
    asking = replace(limits, statement_s=_ASKING_S)
    conn.another = partial(connect, url, insecure_tls=insecure_tls, limits=asking, application=application)
    if not limits.statement_s:
        conn.at_work = partial(_at_work, conn.info.backend_pid, conn.another)
    _lookout.watch(conn)
    return conn


def may_pass(error: Exception) -> bool:
    """Return whether it may go well later: a server that is away may come back, a store that is refused stays so."""
    return isinstance(error, DatabaseUnreachable) or not isinstance(error, Refused)


@contextmanager
def permitted() -> Iterator[None]:
    """Turn PostgreSQL's complaint about missing rights into `Refused`."""
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        raise Refused(f"this user may not use the store: {first_line(error)}") from error


def cancel(conn: psycopg.Connection) -> None:
    """Ask the server to give up what it does for `conn`, from any thread; where it cannot be asked, do nothing."""
    with suppress(psycopg.Error):
        conn.cancel_safe(timeout=_CANCEL_S)


def sever(conn: psycopg.Connection) -> None:
    """Break a connection, from any thread: whoever waits for an answer is told at once that there will be none."""
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(conn.fileno())) as link:
        link.shutdown(socket.SHUT_RDWR)


def _at_work(backend_pid: int, another: Callable[[], psycopg.Connection]) -> bool:
    """Ask the server about a session; where it cannot be asked, nothing is to be expected of it."""
    try:
        with closing(another()) as conn:
            return conn.execute(_SQL["at_work"], {"pid": backend_pid}).fetchone() is not None
    except (Refused, psycopg.Error):
        return False


def _parameters(url: str) -> dict[str, str]:
    try:
        found = {name: str(value) for name, value in conninfo_to_dict(url).items() if value is not None}
    except psycopg.ProgrammingError as error:
        # Its text quotes what it could not read, the password as likely as anything: not so the name of a parameter,
        # unless an @ behind it makes it a part of one.
        unknown = _UNKNOWN.search(str(error))
        if unknown and "@" not in url.rpartition("?")[2]:
            raise Refused(f"cannot read the database URL: there is no parameter {unknown[1]}") from None
        raise Refused("cannot read the database URL: expected postgresql://user@host:port/database") from None
    if "@" in found.get("host", "")[1:]:  # the rest of a password that holds one; in front it names an abstract socket
        raise Refused("cannot read the database URL: in a password, an @ is written as %40")
    return found


def _require_able(conn: psycopg.Connection) -> None:
    if conn.info.server_version < OLDEST_SERVER * 10_000:
        found = conn.info.parameter_status("server_version")
        raise Refused(f"{_server(conn)} is version {found}: version {OLDEST_SERVER} or newer is required")
    row = conn.execute("SELECT pg_backend_pid(), current_setting('search_path')").fetchone()
    # A pooler hands out a number of its own, and may drop what a session has set.
    if row is None or row[0] != conn.info.backend_pid or row[1] != _SCHEMA:
        raise _pooler(_server(conn))


def _require_writable(conn: psycopg.Connection) -> None:
    if conn.info.parameter_status("in_hot_standby") == "on":
        raise Refused(f"{_server(conn)} is a read-only replica: name its primary with --database")
    if conn.info.parameter_status("default_transaction_read_only") == "on":
        raise Refused(
            f"{_server(conn)} lets user {conn.info.user} only read in database {conn.info.dbname}, "
            "for default_transaction_read_only is on: once it is off, the same command goes on"
        )


def _server(conn: psycopg.Connection) -> str:
    return f"PostgreSQL at {conn.info.host}:{conn.info.port}"


def _pooler(server: str) -> Refused:
    return Refused(
        f"{server} is reached through a connection pooler, where the lock of a run does not hold: "
        "name the server itself with --database"
    )


def _refusal(error: psycopg.Error, parameters: dict[str, str]) -> Refused:
    host = parameters.get("host") or parameters.get("hostaddr") or os.environ.get("PGHOST") or "its local socket"
    port = parameters.get("port") or os.environ.get("PGPORT") or "5432"
    said = _PREFIX.sub("", first_line(error))
    for secret in filter(None, (parameters.get("password"), parameters.get("sslpassword"))):
        said = said.replace(secret, "***")
    if "startup parameter" in said:
        return _pooler(f"PostgreSQL at {host}:{port}")
    names = (("database", parameters.get("dbname")), ("user", parameters.get("user")))
    whose = "".join(f", {what} {name}" for what, name in names if name)
    text = f"cannot connect to PostgreSQL at {host}:{port}{whose}: {said}"
    return Refused(text) if _LASTING.search(said) else DatabaseUnreachable(text)
