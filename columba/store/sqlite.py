"""The embedded store: one SQLite file, written by one thread, read by a few.

Owns DIR/columba.db. WAL and synchronous=FULL: a commit is on the disk before its future resolves. Fails to open with
StoreRefused (says what to do) on a SQLite with the WAL defect, a disk that can't be fsynced, a newer database; fails a
commit with StoreUnavailable when the disk is full or failing, and works again by itself once there is room.
"""

import asyncio
import os
import queue
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import apsw
import msgspec

from . import migrate
from .plan import Attempts, Journal, Outcome, Plan, Results, StoreUnavailable, attempts, batch, rows_for
from .sql import Row, Statement, Value

OLDEST_SAFE = (3, 51, 3)  # 3.7.0 to 3.51.2 can corrupt a WAL database
_decode = msgspec.json.Decoder(list[tuple[Any, ...]]).decode
_UNAVAILABLE = (apsw.FullError, apsw.IOError, apsw.BusyError, apsw.CantOpenError, apsw.ReadOnlyError, apsw.NoMemError)


class _Partly(Exception):
    """A write changed fewer rows than it was given: it must be run again, and say which."""


class StoreRefused(Exception):
    """The store can't be opened as it is; the text says why and what to do."""


class SqliteStore:
    engine = "sqlite"

    def __init__(self, path: Path, observe: Callable[[int, float], None] | None = None) -> None:
        self.path = path
        self._write = _connect(path)
        self._loop = asyncio.get_running_loop()
        self._work_bell: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self.journal = Journal(lambda: self._work_bell.put(True), observe=observe)
        self._writer = threading.Thread(target=self._work, name="sqlite-writer", daemon=True)
        self._writer.start()
        self._local = threading.local()
        self._readers = ThreadPoolExecutor(3, "sqlite-reader")
        self._opened: list[apsw.Connection] = []
        self._closed = False

    # Writing

    @property
    def backlog(self) -> int:
        return self.journal.backlog

    def commit(self, plan: Plan, *, apart: bool = False) -> Awaitable[Results]:
        return self.journal.commit(plan)

    def _work(self) -> None:
        """The writer: as soon as one commit is done, the next begins with all that has gathered."""
        journal, loop = self.journal, self._loop
        while self._work_bell.get():
            while groups := journal.take():
                began = time.perf_counter()
                outcomes = self._drive(attempts(groups))
                loop.call_soon_threadsafe(journal.done, groups, outcomes, time.perf_counter() - began)
        self._write.close()

    def _drive(self, work: Attempts) -> list[list[Outcome]]:
        plans = next(work)
        while True:
            came: list[Results] | Exception
            try:
                came = self._transact(plans)
            except Exception as error:
                came = error
            try:
                plans = work.send(came)
            except StopIteration as stop:
                outcomes: list[list[Outcome]] = stop.value
                return outcomes

    def _transact(self, plans: Sequence[Plan]) -> list[Results]:
        try:
            try:
                return self._run(plans, blind=True)
            except _Partly:
                return self._run(plans, blind=False)
        except _UNAVAILABLE as error:
            raise StoreUnavailable(str(error)) from error

    def _run(self, plans: Sequence[Plan], blind: bool) -> list[Results]:
        write = self._write
        write.execute("begin immediate")
        try:
            results = [self._steps(plan, blind) for plan in plans]
            write.execute("commit")
        except BaseException:
            if write.in_transaction:
                write.execute("rollback")
            raise
        return results

    def _steps(self, plan: Plan, blind: bool) -> Results:
        write = self._write
        results: Results = []
        texts: dict[int, str] = {}
        for place, step in enumerate(plan.steps):
            rows = rows_for(step, results)
            if not rows:
                results.append([])
                continue
            statement = step.statement
            text = texts.get(step.feed, "") if step.feed is not None else ""
            bindings = (text or batch(rows),)
            if statement.whole:
                text = texts[place] = write.execute(statement.whole, bindings).get
                results.append([] if text == "[]" else _decode(text))
            elif statement.blind and blind:
                write.execute(statement.blind, bindings)
                if write.changes() != len(rows):
                    raise _Partly
                returned = statement.returned
                results.append([tuple([row[i] for i in returned]) for row in rows])
            else:
                results.append(write.execute(statement.sqlite, bindings).fetchall())
        return results

    # Reading

    async def read(self, statement: Statement, rows: Sequence[Row] = (), **params: Value) -> list[Row]:
        """Rows as they are after the last commit."""
        if self._closed:
            raise StoreUnavailable("the store is closed")
        return await self._loop.run_in_executor(self._readers, self._read, statement, rows, params)

    def _read(self, statement: Statement, rows: Sequence[Row], params: Mapping[str, Value]) -> list[Row]:
        bindings: dict[str, Value] = dict(params)
        if statement.columns:
            bindings["1"] = batch(rows)
        try:
            connection: apsw.Connection | None = getattr(self._local, "connection", None)
            if connection is None:
                connection = self._local.connection = _connect(self.path, apsw.SQLITE_OPEN_READONLY)
                self._opened.append(connection)
            return connection.execute(statement.sqlite, bindings).fetchall()
        except _UNAVAILABLE as error:
            raise StoreUnavailable(str(error)) from error

    # The bell: there is nobody else

    def ring(self, topic: str) -> None:
        pass

    def on_bell(self, listener: Callable[[str], None]) -> None:
        pass

    async def close(self) -> None:
        self._closed = True
        await self.journal.close()
        self._readers.shutdown(wait=True)
        for connection in self._opened:
            connection.close()
        self._work_bell.put(False)  # the last to close brings everything into the one file
        await self._loop.run_in_executor(None, self._writer.join)


def _connect(path: Path, flags: int = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE) -> apsw.Connection:
    connection = apsw.Connection(str(path), flags=flags)
    connection.set_busy_timeout(5_000)
    if flags & apsw.SQLITE_OPEN_READWRITE:
        _write_ahead(connection)
        connection.pragma("wal_autocheckpoint", 4_000)
        connection.pragma("journal_size_limit", 64 << 20)
        connection.pragma("cache_size", -32_000)
    else:
        connection.pragma("cache_size", -4_000)
    connection.pragma("temp_store", 2)
    return connection


def _write_ahead(connection: apsw.Connection, patience: float = 30.0) -> None:
    """Write-ahead logging, each commit synced. Its first start waits for no lock by itself, as all else does."""
    deadline = time.monotonic() + patience
    while True:
        try:
            connection.pragma("journal_mode", "wal")
            break
        except apsw.BusyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    connection.pragma("synchronous", 2)


def check_disk(folder: Path) -> None:
    """A disk that takes writes and keeps them."""
    probe = folder / f".fsync-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with probe.open("wb") as file:
                file.write(b"columba")
                file.flush()
                os.fsync(file.fileno())
        finally:
            probe.unlink(missing_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StoreRefused(
            f"{folder} can't be written durably ({error.strerror}): nothing accepted there would be safe. "
            "Choose a folder on a disk that supports fsync, with --data DIR."
        ) from error


def check_version(version: str = "") -> None:
    version = version or apsw.sqlite_lib_version()
    if tuple(int(part) for part in version.split(".")) < OLDEST_SAFE:
        raise StoreRefused(
            f"SQLite {version} can corrupt a database in WAL mode. Columba needs "
            f"{'.'.join(map(str, OLDEST_SAFE))} or later: reinstall the apsw package, which brings its own."
        )


async def open_sqlite(folder: Path, observe: Callable[[int, float], None] | None = None) -> SqliteStore:
    """The store in a folder: checked, migrated, ready."""
    check_version()
    check_disk(folder)
    path = folder / "columba.db"
    try:
        await asyncio.get_running_loop().run_in_executor(None, migrate_sqlite, path)
        return SqliteStore(path, observe)
    except apsw.Error as error:
        raise StoreRefused(f"{path} can't be opened: {error}") from error


def migrate_sqlite(path: Path, upto: int | None = None) -> list[int]:
    """Run the migrations that are missing; processes that start together run them once."""
    connection = apsw.Connection(str(path))
    try:
        connection.set_busy_timeout(30_000)
        _write_ahead(connection)
        connection.execute("begin immediate")
        try:
            connection.execute("create table if not exists migrations (number integer primary key, at integer)")
            have = {int(row[0]) for row in connection.execute("select number from migrations")}
            done = []
            for step in migrate.missing(have, upto):
                connection.execute(step.text("sqlite"))
                connection.execute(
                    "insert into migrations (number, at) values (?, ?)", (step.number, int(time.time() * 1000))
                )
                done.append(step.number)
            connection.execute("commit")
        except BaseException:
            if connection.in_transaction:
                connection.execute("rollback")
            raise
    except migrate.NewerDatabase as error:
        raise StoreRefused(str(error)) from error
    finally:
        connection.close()
    return done
