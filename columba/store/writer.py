"""SQLite's writer, a process of its own: run as a script by `sqlite.py` with the database's path and a socket.

In a thread it would share the interpreter's lock with the event loop, and a commit of some twenty statements would wait
for that lock as often: the two together were slower than one after the other. Here a batch comes in one frame, is one
transaction, and its results go back in one frame.

A frame is four bytes of length and msgpack. In: what statements are new, and plans; a step's rows come as JSON text and
mostly leave as such, for SQLite to read. Out: for each step null (nothing to tell, or: every row given was written), or
its rows as JSON text. Ends when the other end of the socket is closed, after the transaction in progress: so it never
outlives its parent by more than that. Imports nothing of Columba, so that it starts quickly and stays small.
"""

import signal
import socket
import struct
import sys
import time
from collections.abc import Sequence
from typing import Any

import apsw
import msgspec

_rows_of = msgspec.json.Decoder(list[list[Any]]).decode
_encode_rows = msgspec.json.Encoder().encode
# The disk or the file is not well: nothing in what was asked for is wrong.
UNAVAILABLE = (apsw.FullError, apsw.IOError, apsw.BusyError, apsw.CantOpenError, apsw.ReadOnlyError, apsw.NoMemError)


class Partly(Exception):
    """A write changed fewer rows than it was given: the transaction must be run again, and say which."""


class Known(msgspec.Struct, array_like=True):
    """A statement: as it is, as a select that gives one text, without its `returning` and what that would return."""

    text: str
    whole: str
    blind: str


class Step(msgspec.Struct, array_like=True):
    statement: int
    count: int
    rows: str
    given: int | None
    missing: int | tuple[int, ...] | None
    feed: int | None


class Request(msgspec.Struct, array_like=True):
    new: list[tuple[int, Known]]
    plans: list[list[Step]]


class Done:
    """What a step of `count` rows came to: `whole` when every one of them was dealt with, else the rows in `text`."""

    __slots__ = ("count", "ids", "text", "whole")

    def __init__(self, count: int, text: str | None, whole: bool = False) -> None:
        self.count = count
        self.text = text
        self.whole = whole
        self.ids: set[Any] | None = None

    def keys(self) -> set[Any]:
        if self.ids is None:
            self.ids = {row[0] for row in _rows_of(self.text)} if self.text else set()
        return self.ids

    def has_all(self) -> bool:
        return self.whole or (self.text is not None and len(self.keys()) == self.count)


NOTHING = Done(0, None)


class Writer:
    def __init__(self, connection: apsw.Connection) -> None:
        self.connection = connection
        self.known: dict[int, Known] = {}

    def transact(self, plans: Sequence[Sequence[Step]]) -> list[list[str | bool | None]]:
        try:
            return self.run(plans, blind=True)
        except Partly:
            return self.run(plans, blind=False)

    def run(self, plans: Sequence[Sequence[Step]], blind: bool) -> list[list[str | bool | None]]:
        connection = self.connection
        connection.execute("begin immediate")
        try:
            results = [self.steps(plan, blind) for plan in plans]
            connection.execute("commit")
        except BaseException:
            if connection.in_transaction:
                connection.execute("rollback")
            raise
        return [[True if done.whole else done.text for done in result] for result in results]

    def steps(self, plan: Sequence[Step], blind: bool) -> list[Done]:
        results: list[Done] = []
        for step in plan:
            count, rows = input_of(step, results)
            if not count:
                results.append(NOTHING)
                continue
            done = self.step(self.known[step.statement], count, rows, blind and count == step.count)
            done.count = step.count  # against which those that hold later rows to it measure what is missing
            results.append(done)
        return results

    def step(self, statement: Known, count: int, rows: str, blind: bool) -> Done:
        connection = self.connection
        if statement.whole:
            text = connection.execute(statement.whole, (rows,)).get
            return Done(count, None if text == "[]" else text)
        if statement.blind and blind:
            connection.execute(statement.blind, (rows,))
            if connection.changes() != count:
                raise Partly
            return Done(count, None, whole=True)
        returned = connection.execute(statement.text, (rows,)).fetchall()
        return Done(count, _encode_rows(returned).decode() if returned else None)


def input_of(step: Step, results: Sequence[Done]) -> tuple[int, str]:
    """How many rows a step runs with, and those rows."""
    if step.feed is not None:
        fed = results[step.feed]
        return (len(_rows_of(fed.text)), fed.text) if fed.text else (0, "")
    count, rows = step.count, step.rows
    if not count:
        return 0, ""
    if step.given is not None and not results[step.given].has_all():
        keys = results[step.given].keys()
        kept = [row for row in _rows_of(rows) if row[0] in keys]
        count, rows = len(kept), _encode_rows(kept).decode()
    if step.missing is not None:
        those = (step.missing,) if isinstance(step.missing, int) else step.missing
        for done in (results[k] for k in those):
            if done.whole:
                return 0, ""
            if done.text is not None:
                keys = done.keys()
                kept = [row for row in _rows_of(rows) if row[0] not in keys]
                count, rows = len(kept), _encode_rows(kept).decode()
    return count, rows


def connect(path: str) -> apsw.Connection:
    connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE)  # a file that is gone is not made anew
    connection.set_busy_timeout(5_000)
    write_ahead(connection)
    connection.pragma("wal_autocheckpoint", 4_000)
    connection.pragma("journal_size_limit", 64 << 20)
    connection.pragma("cache_size", -32_000)
    connection.pragma("temp_store", 2)
    connection.pragma("secure_delete", 1)  # who was erased is in no free page
    return connection


def write_ahead(connection: apsw.Connection, patience: float = 30.0) -> None:
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


def serve(path: str, line: socket.socket) -> None:
    decode = msgspec.msgpack.Decoder(Request).decode
    encode = msgspec.msgpack.Encoder().encode
    try:
        writer = Writer(connect(path))
    except apsw.Error as error:
        send(line, encode([False, 0.0, True, str(error)]))
        return
    send(line, encode([True, 0.0, []]))
    while (frame := receive(line)) is not None:
        request = decode(frame)
        writer.known.update(request.new)
        began = time.perf_counter()
        answer: list[Any]
        try:
            answer = [True, 0.0, writer.transact(request.plans)]
        except UNAVAILABLE as error:
            answer = [False, 0.0, True, str(error)]
        except Exception as error:
            answer = [False, 0.0, False, f"{type(error).__name__}: {error}"]
        answer[1] = time.perf_counter() - began
        send(line, encode(answer))
    writer.connection.close()


def receive(line: socket.socket) -> bytearray | None:
    head = read(line, 4)
    return None if head is None else read(line, struct.unpack("<I", head)[0])


def read(line: socket.socket, size: int) -> bytearray | None:
    data = bytearray(size)
    view = memoryview(data)
    while view:
        got = line.recv_into(view)
        if not got:
            return None
        view = view[got:]
    return data


def send(line: socket.socket, content: bytes) -> None:
    try:
        line.sendall(struct.pack("<I", len(content)) + content)
    except OSError:
        sys.exit()  # nobody is left to be told


if __name__ == "__main__":
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)  # the parent says when it is over
    serve(sys.argv[1], socket.socket(fileno=int(sys.argv[2])))
