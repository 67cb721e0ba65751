"""The embedded store: one SQLite file, written by one process (writer.py), read by a few threads.

Owns DIR/columba.db. WAL and synchronous=FULL: a commit is on the disk before its future resolves. Fails to open with
StoreRefused (says what to do) on a SQLite with the WAL defect, a disk that can't be fsynced, a newer database; fails a
commit with StoreUnavailable when the disk is full or failing, and works again by itself once there is room; and while the
file is not the one that was opened: what is written then would be gone with the last process that has it open.
"""

import asyncio
import os
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import msgspec

from . import migrate
from .plan import Attempts, Group, Journal, Plan, Results, Step, StoreUnavailable, attempts, batch, came_back
from .sql import Row, Statement, Value
from .writer import UNAVAILABLE, write_ahead

OLDEST_SAFE = (3, 51, 3)  # 3.7.0 to 3.51.2 can corrupt a WAL database
_rows_of = msgspec.json.Decoder(list[tuple[Any, ...]]).decode
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
IN_FLIGHT = 4  # batches at the writer: one that it works on, others that wait so that it needn't


WRITER = Path(__file__).with_name("writer.py")


REPLACED = (
    "{0} or its log was removed or replaced while the server runs: put it back, or stop the server, see to its files"
    " (columba.db and columba.db-wal belong together), and start it"
)


class WriteFailed(Exception):
    """A statement failed for what it was given; the text is the database's."""


class StoreRefused(Exception):
    """The store can't be opened as it is; the text says why and what to do."""


class _Line(asyncio.Protocol):
    """The socket to the writer: frames in and out."""

    def __init__(self, answered: Callable[[Any], None], lost: Callable[[], None]) -> None:
        self._answered = answered
        self._lost = lost
        self._come = bytearray()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        come = self._come
        come += data
        while len(come) >= 4:
            end = 4 + int.from_bytes(come[:4], "little")
            if len(come) < end:
                return
            answer = _decode(bytes(come[4:end]))
            del come[:end]
            self._answered(answer)

    def connection_lost(self, error: Exception | None) -> None:
        self._lost()

    def send(self, content: bytes) -> None:
        self.transport.write(len(content).to_bytes(4, "little") + content)


class _Batch(NamedTuple):
    """Groups at the writer: what they run, and how far that is."""

    groups: list[Group]
    work: Attempts
    plans: Sequence[Plan]


class SqliteStore:
    engine = "sqlite"

    def __init__(self, path: Path, observe: Callable[[int, float], None] | None = None) -> None:
        self.path = path
        self._loop = asyncio.get_running_loop()
        self.journal = Journal(self._ring_writer, observe=observe)
        self._line: _Line | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._ready: asyncio.Future[str] = self._loop.create_future()
        self._files: tuple[tuple[int, int], ...] = ()  # those that were opened
        self._numbers: dict[int, int] = {}  # statements that the writer knows, by their identity
        self._there: deque[_Batch] = deque()  # at the writer, in order
        self._sending = False
        self._local = threading.local()
        self._readers = ThreadPoolExecutor(3, "sqlite-reader")
        self._opened: list[apsw.Connection] = []
        self._closed = False
        self._ended = asyncio.Event()
        self._restarts = 0
        self._why = ""  # it could not be started, the last time
        self._starting: asyncio.Task[None] | None = None

    async def open(self) -> None:
        why = await self._start()
        if why:
            await self.close()
            raise StoreRefused(f"{self.path} can't be opened: {why}")

    # Writing

    @property
    def backlog(self) -> int:
        return self.journal.backlog

    def commit(self, plan: Plan, *, apart: bool = False) -> Awaitable[Results]:
        return self.journal.commit(plan)

    async def _start(self) -> str:
        """Start the writer; why it can't, if it can't."""
        ours, theirs = socket.socketpair()
        for each in (ours, theirs):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        ours.setblocking(False)
        self._ready = self._loop.create_future()
        self._numbers = {}
        with theirs:
            try:
                self._process = subprocess.Popen(  # noqa: ASYNC220, S603
                    [sys.executable, "-P", str(WRITER), str(self.path), str(theirs.fileno())],
                    pass_fds=(theirs.fileno(),),
                    stdin=subprocess.DEVNULL,
                )
            except OSError:
                ours.close()
                raise
        line = _Line(self._answered, self._lost)
        await self._loop.create_connection(lambda: line, sock=ours)
        self._line = line
        return await self._ready

    def _ring_writer(self) -> None:
        """A plan has come to an idle journal: what comes in this turn of the loop goes with it."""
        if not self._sending:
            self._sending = True
            self._loop.call_soon(self._send)

    def _send(self) -> None:
        self._sending = False
        if self._line is None:
            self._refuse()
            return
        while len(self._there) < IN_FLIGHT and (groups := self.journal.take()):
            work = attempts(groups)
            self._put(_Batch(groups, work, next(work)))

    def _put(self, batch_: _Batch) -> None:
        """Hand a batch to the writer. One that can't be written at all is not the writer's trouble."""
        assert self._line is not None
        new: list[Any] = []
        try:
            plans = [[self._step(step, new) for step in plan.steps] for plan in batch_.plans]
        except Exception as error:
            self._numbers = {known: n for known, n in self._numbers.items() if all(n != each[0] for each in new)}
            self._advance(batch_, error, 0.0)
            return
        self._there.append(batch_)
        self._line.send(_encode([new, plans]))

    def _step(self, step: Step, new: list[Any]) -> list[Any]:
        statement = step.statement
        number = self._numbers.get(id(statement))
        if number is None:
            number = self._numbers[id(statement)] = len(self._numbers)
            new.append([number, [statement.sqlite, statement.whole, statement.blind]])
        rows = step.rows
        return [number, len(rows), batch(rows) if rows else "", step.given, step.missing, step.feed]

    def _answered(self, answer: list[Any]) -> None:
        if not self._ready.done():
            files = _files(self.path)
            if answer[0] and (not self._files or files[:1] == self._files[:1]):
                self._files = files
            self._ready.set_result("" if answer[0] else answer[3])
            return
        there = self._there.popleft()
        came: list[Results] | Exception
        if _files(self.path) != self._files:  # what is written now nobody finds again
            came = StoreUnavailable(REPLACED.format(self.path))
        elif answer[0]:
            came = [
                [_result(step, told) for step, told in zip(plan.steps, result, strict=True)]
                for plan, result in zip(there.plans, answer[2], strict=True)
            ]
        elif answer[2]:
            came = StoreUnavailable(answer[3])
        else:
            came = WriteFailed(answer[3])
        self._advance(there, came, answer[1])
        if not self._sending:
            self._send()

    def _advance(self, there: _Batch, came: list[Results] | Exception, seconds: float) -> None:
        try:
            plans = there.work.send(came)
        except StopIteration as stop:
            self.journal.done(there.groups, stop.value, seconds)
        else:
            self._put(there._replace(plans=plans))

    def _lost(self) -> None:
        """The writer is gone: what was with it may or may not be committed. Start another."""
        self._line = None
        if not self._ready.done():
            self._ready.set_result("its writer ended at once")
        while self._there:
            there = self._there.popleft()
            self.journal.done(
                there.groups, [[StoreUnavailable("the writer ended")] * len(g.plans) for g in there.groups], 0.0
            )
        self._refuse()
        if self._closed:
            self._ended.set()
            return
        self._restarts += 1
        self._loop.call_later(min(5.0, 0.1 * self._restarts), self._restart)

    def _refuse(self) -> None:
        while groups := self.journal.take():
            self.journal.done(
                groups,
                [[StoreUnavailable(f"the writer is being started{self._why}")] * len(g.plans) for g in groups],
                0,
            )

    def _restart(self) -> None:
        if not self._closed:
            self._starting = self._loop.create_task(self._again())

    async def _again(self) -> None:
        if self._process is not None:
            await self._loop.run_in_executor(None, self._process.wait)
        if self._closed:
            return
        try:
            why = await self._start()
            self._why = f": {why}" if why else ""
            if why:
                return  # it has ended again: _lost sees to the next one
        except OSError:  # no process, no socket: not now
            self._lost()
            return
        self._restarts = 0

    # Reading

    async def read(self, statement: Statement, rows: Sequence[Row] = (), **params: Value) -> list[Row]:
        """Rows as they are after the last commit."""
        if self._closed:
            raise StoreUnavailable("the store is closed")
        return await self._loop.run_in_executor(self._readers, self._read, statement, rows, params)

    def _read(self, statement: Statement, rows: Sequence[Row], params: Mapping[str, Value]) -> list[Row]:
        bindings: dict[str, Value] = dict(params)
        if statement.columns:
            bindings["batch"] = batch(rows)
        try:
            connection: apsw.Connection | None = getattr(self._local, "connection", None)
            if connection is None:
                connection = self._local.connection = _reader(self.path)
                self._opened.append(connection)
            return connection.execute(statement.sqlite, bindings).fetchall()
        except UNAVAILABLE as error:
            raise StoreUnavailable(str(error)) from error

    async def scrub(self) -> None:
        """Deleted content is overwritten in the database (`secure_delete`), but older pages may stand in the log."""
        if self._closed:
            raise StoreUnavailable("the store is closed")
        await self._loop.run_in_executor(self._readers, self._empty_log)

    def _empty_log(self) -> None:
        try:
            connection = apsw.Connection(str(self.path))
            try:
                connection.set_busy_timeout(5_000)
                for _ in range(20):
                    if not connection.execute("pragma wal_checkpoint(truncate)").get[0]:
                        return  # nobody was in the way
                    time.sleep(0.1)
            finally:
                connection.close()
        except UNAVAILABLE as error:
            raise StoreUnavailable(str(error)) from error

    # The bell: there is nobody else

    def ring(self, topic: str) -> None:
        pass

    def on_bell(self, listener: Callable[[str], None]) -> None:
        pass

    async def close(self) -> None:
        self._closed = True
        await self.journal.close()
        if self._starting is not None:
            await self._starting
        self._readers.shutdown(wait=True)
        for connection in self._opened:
            connection.close()
        if self._line is not None:
            self._line.transport.close()  # the last to close brings everything into the one file
            await self._ended.wait()
        if self._process is not None:
            await self._loop.run_in_executor(None, self._process.wait)


def _files(path: Path) -> tuple[tuple[int, int], ...]:
    """Which files the database and its log are, under whatever name; nothing for one that is gone."""
    found = []
    for each in (path, f"{path}-wal"):
        try:  # after each commit: a `with` would cost more than the question
            status = os.stat(each)
        except OSError:
            continue
        found.append((status.st_dev, status.st_ino))
    return tuple(found)


def _result(step: Step, told: str | bool | None) -> list[Row]:
    return came_back(step, _rows_of(told) if isinstance(told, str) else told)


def _reader(path: Path) -> apsw.Connection:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    connection.set_busy_timeout(5_000)
    connection.pragma("cache_size", -4_000)
    connection.pragma("temp_store", 2)
    return connection


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
        store = SqliteStore(path, observe)
        await store.open()
        return store
    except apsw.Error as error:
        raise StoreRefused(f"{path} can't be opened: {error}") from error


def migrate_sqlite(path: Path, upto: int | None = None) -> list[int]:
    """Run the migrations that are missing; processes that start together run them once."""
    connection = apsw.Connection(str(path))
    try:
        connection.set_busy_timeout(30_000)
        write_ahead(connection)
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
