"""Connections to real servers, and to those that cannot serve: refused with words that hold no password."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from pipeline.config import StoreSettings
from pipeline.errors import Refused
from pipeline.store import version
from pipeline.store.connection import DatabaseUnreachable, Limits, connect, open_store, permitted
from pipeline.store.database import Database
from pipeline.store.embedded import account

SECRET = "marker-of-a-password"
DEBIAN = Path("/usr/lib/postgresql/15/bin")


def setting(conn: psycopg.Connection, name: str) -> str:
    return conn.execute("SELECT current_setting(%s)", [name]).fetchone()[0]


def test_open_store_gives_a_store_of_this_version(database: str):
    """An empty database becomes a store; the connection is in autocommit and sees its tables without their schema."""
    with closing(open_store(database)) as conn:
        assert version.current(conn) == version.STEPS[-1].to
        assert conn.autocommit
        assert conn.execute("SELECT count(*) FROM ledgers").fetchone() == (0,)


def test_a_store_that_was_there_is_not_made_again(database: str):
    """Whoever drops or renames it under a command is told so: what comes next does not go into an empty one."""
    ours = Database(StoreSettings(database=database))
    ours.connect().close()
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute("ALTER SCHEMA ledgerfill RENAME TO elsewhere")
        with pytest.raises(Refused, match="is gone: its schema was dropped or renamed"):
            ours.connect()
        assert conn.execute("SELECT to_regnamespace('ledgerfill')").fetchone() == (None,)
        conn.execute("ALTER SCHEMA elsewhere RENAME TO ledgerfill")
    ours.connect().close()


def test_sessions_are_limited_and_named(database: str):
    """Every session has its schema, limits and name pinned, beside what the URL itself asks for."""
    limits = Limits(lock_s=1.5, statement_s=20, idle_in_transaction_s=3)
    url = f"{database}?options=-c%20work_mem%3D5MB%20-c%20search_path%3Dpublic"
    with closing(connect(url, limits=limits, application="a test")) as conn:
        found = {
            name: setting(conn, name)
            for name in (
                "search_path",
                "lock_timeout",
                "statement_timeout",
                "idle_in_transaction_session_timeout",
                "application_name",
                "work_mem",
            )
        }
    assert list(found.values()) == ["ledgerfill", "1500ms", "20s", "3s", "a test", "5MB"]


def test_dates_are_read_whatever_the_database_writes(database: str):
    """A server may have a style of its own: times of runs come in the one that can be read."""
    with connect(database) as conn:
        conn.execute(sql.SQL("ALTER DATABASE {} SET datestyle = 'German'").format(sql.Identifier(conn.info.dbname)))
    with connect(database) as conn:
        assert conn.execute("SELECT '2026-11-27 12:00Z'::timestamptz").fetchone() == (
            datetime(2026, 11, 27, 12, tzinfo=UTC),
        )


def test_a_session_may_be_idle_for_as_long_as_a_run_takes(database: str):
    """A server or database that ends idle sessions does not end the one that holds a run's lock."""
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(f"ALTER DATABASE {owner.info.dbname} SET idle_session_timeout = '100ms'")
    with closing(connect(database)) as conn:
        time.sleep(0.5)
        assert setting(conn, "idle_session_timeout") == "0"


def test_connect_writes_nothing(database: str):
    """A connection that only looks leaves an empty database empty."""
    with closing(connect(database)) as conn:
        assert version.current(conn) is None


def refusal(url: str, **more: bool) -> Refused:
    with pytest.raises(Refused) as refused:
        open_store(url, **more)
    whole = "".join(traceback.format_exception(refused.value))
    assert SECRET not in whole
    return refused.value


def test_a_server_that_is_not_there(free_port: int):
    """No server: unreachable, by host, port, database and user; a run may try again."""
    found = refusal(f"postgresql://me:{SECRET}@127.0.0.1:{free_port}/books")
    assert str(found) == (
        f"cannot connect to PostgreSQL at 127.0.0.1:{free_port}, database books, user me: Connection refused"
    )
    assert isinstance(found, DatabaseUnreachable)
    assert isinstance(found, psycopg.OperationalError)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dbname": "nowhere"}, 'database "nowhere" does not exist'),
        ({"password": SECRET}, 'password authentication failed for user "ledgerfill"'),
        ({"user": "stranger", "password": SECRET}, 'password authentication failed for user "stranger"'),
        ({"sslmode": "require"}, "server does not support SSL"),
    ],
)
def test_a_server_that_lets_nobody_in(server: str, change: dict[str, str], message: str):
    """A wrong password, user, database or TLS mode is refused for good, in the server's own words."""
    found = refusal(psycopg.conninfo.make_conninfo(server, **change))
    assert message in str(found)
    assert not isinstance(found, DatabaseUnreachable)


@pytest.mark.parametrize(
    "url",
    [
        f"postgre://me:{SECRET}@host/books",
        f"postgresql://me:{SECRET}@host/books?nonsense=1",
        f"host=x password='{SECRET}",
    ],
)
def test_a_url_that_cannot_be_read(url: str):
    """A URL that libpq cannot read is refused without being quoted."""
    assert "cannot read the database URL" in str(refusal(url))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (f"postgresql://me:{SECRET}@host/books?bogus=1", "there is no parameter bogus"),
        (f"postgresql://host/books?connect_timeout=1&bogus=1&password={SECRET}", "there is no parameter bogus"),
        ("postgresql://me:begin/x?marker=1@host/books", "expected postgresql://user@host:port/database"),
    ],
)
def test_a_parameter_that_libpq_does_not_know_is_named(url: str, message: str):
    """What is misspelt is said, unless it may be a part of a password that nobody encoded."""
    assert str(refusal(url)) == f"cannot read the database URL: {message}"


def test_a_password_with_an_at_sign_is_not_taken_for_a_host(free_port: int):
    """An @ that nobody encoded ends the password for libpq, and the rest of it must not be shown as a host."""
    found = str(refusal(f"postgresql://me:begin@{SECRET}@127.0.0.1:{free_port}/books"))
    assert found == "cannot read the database URL: in a password, an @ is written as %40"


def test_a_user_without_rights_is_refused(database: str):
    """A user who may not make the tables is told so."""
    name = "without_rights"
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{SECRET}'")
        try:
            found = refusal(psycopg.conninfo.make_conninfo(database, user=name, password=SECRET))
        finally:
            owner.execute(f"DROP ROLE {name}")
    assert str(found).startswith("user without_rights may not use the store: permission denied for database")


@pytest.mark.parametrize("what", ["DATABASE {database}", "ROLE {user} IN DATABASE {database}"])
def test_a_store_that_may_only_be_read_is_refused(store: str, what: str):
    """Whoever has set that, for whatever reason: it is named before anything is begun, and who reads may go on."""
    with psycopg.connect(store, autocommit=True) as conn:
        user, database = conn.info.user, conn.info.dbname
        whose = sql.SQL(what).format(database=sql.Identifier(database), user=sql.Identifier(user))
        conn.execute(sql.SQL("ALTER {} SET default_transaction_read_only = on").format(whose))
    message = f"lets user {user} only read in database {database}, for default_transaction_read_only is on: once"
    with pytest.raises(Refused, match=message):
        open_store(store)
    connect(store).close()


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Serve one connection on a port of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            conn, _ = listener.accept()
            with conn:
                serve(conn)

        thread = threading.Thread(target=accept)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def old_server(conn: socket.socket) -> None:
    """Speak the protocol as a PostgreSQL 14 does, up to the first query."""
    conn.recv(1024)
    status = b"".join(
        message(b"S", name + b"\0" + value + b"\0")
        for name, value in ((b"server_version", b"14.9"), (b"client_encoding", b"UTF8"))
    )
    conn.sendall(message(b"R", struct.pack("!i", 0)) + status)
    conn.sendall(message(b"K", struct.pack("!ii", 1, 2)) + message(b"Z", b"I"))
    conn.recv(1024)


def test_an_old_server_is_refused():
    """Below version 15 nothing is tried."""
    with listening(old_server) as port:
        found = refusal(f"postgresql://127.0.0.1:{port}/books?sslmode=disable&gssencmode=disable")
    assert str(found) == f"PostgreSQL at 127.0.0.1:{port} is version 14.9: version 15 or newer is required"


def pooling(server: str) -> Callable[[socket.socket], None]:
    """Stand between client and server as a pooler does: with a backend number of its own."""
    host, port = server.rpartition("@")[2].split("/")[0].split(":")

    def copy(source: socket.socket, target: socket.socket) -> None:
        while data := source.recv(65536):
            start = data.find(b"K" + struct.pack("!i", 12))
            if start >= 0:
                data = data[: start + 5] + struct.pack("!i", 77) + data[start + 9 :]
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)

    def serve(client: socket.socket) -> None:
        with socket.create_connection((host, int(port))) as upstream:
            back = threading.Thread(target=copy, args=(upstream, client))
            back.start()
            copy(client, upstream)
            back.join()

    return serve


def test_a_pooler_is_refused(server: str):
    """Behind a pooler a session's lock does not hold: refused, whatever the pooler lets through."""
    with listening(pooling(server)) as port:
        url = psycopg.conninfo.make_conninfo(server, port=port, sslmode="disable", gssencmode="disable")
        assert "reached through a connection pooler" in str(refusal(url))


def picky_pooler(conn: socket.socket) -> None:
    conn.recv(1024)
    conn.sendall(message(b"E", b"SFATAL\0C08P01\0Munsupported startup parameter: options\0\0"))


def test_a_pooler_that_says_so_itself_is_refused():
    """PgBouncer refuses a session's settings before anything else can show it."""
    with listening(picky_pooler) as port:
        found = refusal(f"postgresql://127.0.0.1:{port}/books?sslmode=disable&gssencmode=disable")
    assert f"PostgreSQL at 127.0.0.1:{port} is reached through a connection pooler" in str(found)


@pytest.fixture(scope="module")
def debian(reachable: Path) -> Iterator[tuple[str, Path]]:
    """A PostgreSQL 15 of the system's with TLS, as conninfo for a host that is not local, and its certificate."""
    if not (DEBIAN / "postgres").exists() or not shutil.which("openssl"):
        pytest.skip("takes Debian's PostgreSQL 15 and openssl: the embedded one has no TLS")
    user, folder = account.choose(Path("/nowhere")), reachable / "debian"
    folder.mkdir()
    user.give(folder)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    certificate, key = folder / "server.crt", folder / "server.key"
    request = "openssl req -x509 -nodes -days 2 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -subj /CN=db.test"
    request += f" -addext subjectAltName=DNS:db.test -keyout {key} -out {certificate}"
    settings = f"-p {port} -c ssl=on -c ssl_cert_file={certificate} -c ssl_key_file={key} -c fsync=off"
    settings += f" -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c shared_buffers=16MB"
    for command in (
        request.split(),
        [DEBIAN / "initdb", "--no-sync", "-A", "trust", "-U", "me", "-E", "UTF8", "--locale=C", folder / "data"],
        [DEBIAN / "pg_ctl", "-w", "-D", folder / "data", "-l", folder / "log", "-o", settings, "start"],
    ):
        assert user.run(command).wait() == 0
    os.chmod(certificate, 0o644)  # noqa: PTH101  # its owner is another user
    try:
        yield f"host=db.test hostaddr=127.0.0.1 port={port} user=me dbname=postgres", certificate
    finally:
        user.run([DEBIAN / "pg_ctl", "-w", "-D", folder / "data", "-m", "fast", "stop"]).wait()


def test_a_proven_server_is_used(debian: tuple[str, Path]):
    """PostgreSQL 15 serves; a host that is not local is spoken to over TLS once it has proved who it is."""
    conninfo, certificate = debian
    with closing(open_store(f"{conninfo} sslrootcert={certificate}")) as conn:
        assert conn.pgconn.ssl_in_use
        assert conn.info.server_version // 10_000 == 15
        assert version.current(conn) == version.STEPS[-1].to


def test_a_server_that_proves_nothing_is_refused(debian: tuple[str, Path]):
    """A certificate that no authority vouches for, or of another host, is refused; the flag lets it pass."""
    conninfo, certificate = debian
    assert "certificate verify failed" in str(refusal(conninfo))
    other = conninfo.replace("db.test", "other.test")
    assert "does not match host name" in str(refusal(f"{other} sslrootcert={certificate}"))
    with closing(open_store(other, insecure_tls=True)) as conn:
        assert conn.pgconn.ssl_in_use


def test_missing_rights_on_a_part_of_the_store_are_a_refusal():
    """Whoever may enter the store, but not read or write all of it, is told what is missing."""
    with (
        pytest.raises(Refused, match="this user may not use the store: permission denied for sequence run_ids"),
        permitted(),
    ):
        raise psycopg.errors.InsufficientPrivilege("permission denied for sequence run_ids\nCONTEXT: none")
