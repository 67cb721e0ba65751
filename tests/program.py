"""The real program for end-to-end tests, and a sink for the requests that it sends.

    with Program() as columba, Sink() as sink:
        columba.request("POST", "/v1/webhooks", {"url": sink.url, "events": ["message.*"]})
        columba.kill9(); columba.start()
        eventually(lambda: len(sink.requests) == 3)

A program that does not get ready, or does not stop when told, is a ProgramError with the end of its log.
"""

import contextlib
import http.client
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

from tests.keeper import free_port, leashed

PROGRAM = Path(sys.executable).with_name("columba")
PATIENCE = 60.0  # seconds for the program to start, stop or answer
T = TypeVar("T")


class ProgramError(AssertionError):
    """The program did not do what a test relies on."""


def eventually(get: Callable[[], T], timeout: float = PATIENCE, every: float = 0.01) -> T:
    """What `get` returns once that is true of it. An AssertionError of its own counts as not yet.

    It is asked less and less often, down to ten times a second: to ask is work, and others wait for the processor.
    """
    end = time.monotonic() + timeout
    while True:
        last: object
        try:
            if got := get():
                return got
            last = got
        except AssertionError as error:
            last = error
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout:g} s; at last: {last!r}")
        time.sleep(every)
        every = max(every, min(0.1, every * 1.1))


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]  # names in lower case
    json: Any  # the text, where it is not JSON


class _Whole(http.client.HTTPConnection):
    """Sends a request in one piece, as most clients do."""

    _gathered = b""

    def send(self, data: Any) -> None:
        self._gathered += data

    def getresponse(self) -> http.client.HTTPResponse:
        gathered, self._gathered = self._gathered, b""
        if self.sock is None:
            self.connect()
        self.sock.sendall(gathered)
        return super().getresponse()


class Program:
    """`columba serve` in a folder of its own, on free ports, allowed to reach loopback addresses.

    `args` are added to `serve`, `env` to the environment (all COLUMBA_ variables of this process are left out). It may
    be started again after `stop` or `kill9`, with the same folder, ports and keys. Start it from a thread that outlives
    it: it is killed with that thread. Requests may come from any thread, one at a time.
    """

    def __init__(
        self,
        args: Iterable[str] = (),
        env: Mapping[str, str] | None = None,
        data: Path | None = None,
        *,
        database: str | None = None,
        smpp: bool = False,
        command: Sequence[str | Path] = (PROGRAM,),
    ) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="columba-test-")
        self.folder = Path(self._temporary.name)
        self.data = data or self.folder / "data"
        self.port, self.smpp_port = free_port(), free_port() if smpp else None
        self.url = f"http://127.0.0.1:{self.port}"
        self.live_key = self.test_key = ""
        self._args, self._program = list(args), [str(part) for part in command]
        self._env = {name: value for name, value in os.environ.items() if not name.startswith("COLUMBA_")} | {
            "COLUMBA_DATA": str(self.data),
            "COLUMBA_HOST": "127.0.0.1",
            "COLUMBA_PORT": str(self.port),
            "COLUMBA_ALLOW_NETWORK": "127.0.0.0/8,::1/128",
            "PYTHONUNBUFFERED": "1",
        }
        if smpp:
            self._env["COLUMBA_SMPP_PORT"] = str(self.smpp_port)
        if database:
            self._env["COLUMBA_DATABASE"] = database
        self._env |= env or {}
        self._log = self.folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: http.client.HTTPConnection | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error:
            print(f"The program's log:\n{self._tail()}")
        self.close()

    @property
    def log(self) -> str:
        """All that it has written to its standard output and error, over all its starts."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def worked(self) -> float:
        """Seconds that a processor has worked for it since its start: the same on a machine that is busy with others."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _tail(self) -> str:
        return "\n".join(self.log.splitlines()[-40:])

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            raise ProgramError(f"the program is not running; its log ends:\n{self._tail()}")
        return self._process

    def start(self) -> None:
        """Start it and wait until it is ready."""
        if self._process:
            raise ProgramError("the program has been started already")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                leashed([*self._program, "serve", *self._args]),
                cwd=self.folder,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        end = time.monotonic() + PATIENCE
        while not self._ready():
            self._running()
            if time.monotonic() > end:
                raise ProgramError(f"the program was not ready within {PATIENCE:g} s; its log ends:\n{self._tail()}")
            time.sleep(0.01)
        self.live_key = self.live_key or self._key("live")
        self.test_key = self.test_key or self._key("test")

    def _ready(self) -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.request("GET", "/readyz", key="").status == 200
        return False

    def _key(self, mode: str) -> str:
        found = re.search(rf"ck_{mode}_\w+", self.log)
        return found[0] if found else ""

    def run(self, *args: str) -> str:
        """Another command of the program, with the same settings; what it prints."""
        command = [*self._program, *args]
        done = subprocess.run(command, cwd=self.folder, env=self._env, capture_output=True, text=True, timeout=PATIENCE)
        if done.returncode:
            raise ProgramError(f"columba {' '.join(args)} ended with {done.returncode}: {done.stderr}{done.stdout}")
        return done.stdout

    def request(
        self,
        method: str,
        path: str,
        json: object = None,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """One request, with the test key unless another is given ("" is none). It is never sent twice."""
        fields = {"Authorization": f"Bearer {self.test_key if key is None else key}"} if key != "" else {}
        if json is not None:
            body, fields = _encode(json), fields | {"Content-Type": "application/json"}
        connection = self._connect()
        try:
            connection.request(method, path, body, fields | dict(headers or {}))
            response = connection.getresponse()
            content = response.read()
        except BaseException:
            self._disconnect()
            raise
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, _decode(content))

    def _connect(self) -> http.client.HTTPConnection:
        """The connection kept from the last request, unless the program has closed it meanwhile."""
        kept = self._connection
        if kept and kept.sock and select.select([kept.sock], [], [], 0)[0]:
            self._disconnect()
        if self._connection is None:
            self._connection = _Whole("127.0.0.1", self.port, timeout=PATIENCE)
            self._connection.connect()
            self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None

    def kill9(self) -> None:
        process = self._running()
        os.killpg(process.pid, signal.SIGKILL)
        self._ended(process)

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        process = self._running()
        process.terminate()
        try:
            return self._ended(process)
        except subprocess.TimeoutExpired:
            self.kill9()
            raise ProgramError(
                f"the program did not stop within {PATIENCE:g} s of SIGTERM; its log ends:\n{self._tail()}"
            ) from None

    def _ended(self, process: subprocess.Popen[bytes]) -> int:
        code = process.wait(PATIENCE)
        self._disconnect()
        self._process = None
        return code

    def pause(self) -> None:
        os.killpg(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.killpg(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """Kill it if it runs, and remove its folder."""
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
        self._disconnect()
        self._temporary.cleanup()


def _encode(value: object) -> bytes:
    return json.dumps(value).encode()


def _decode(content: bytes) -> Any:
    try:
        return json.loads(content) if content else None
    except ValueError:
        return content.decode(errors="replace")


class Request(NamedTuple):
    """One that came in at a sink."""

    method: str
    path: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    time: float  # time.time() when it was complete

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Reply(NamedTuple):
    """What a sink answers, after `delay` seconds; with `close` the connection is cut instead."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = {}
    delay: float = 0.0
    close: bool = False


OK = Reply()


class Sink:
    """An HTTP server in this process that records requests.

    It answers with the first of `replies` while there are any, then with `reply`: a Reply or a function of a Request.
    """

    def __init__(self, reply: Reply | Callable[[Request], Reply] = OK, replies: Iterable[Reply] = ()) -> None:
        self.reply, self.replies = reply, deque(replies)
        self.requests: list[Request] = []
        self._news, self._closing = threading.Condition(), threading.Event()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def connections(self) -> int:
        """How many have been made so far."""
        return self._server.connections

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.cut()
        self._server.server_close()

    def wait(self, count: int, timeout: float = PATIENCE) -> list[Request]:
        """The requests, once there are so many."""
        with self._news:
            if not self._news.wait_for(lambda: len(self.requests) >= count, timeout):
                raise AssertionError(f"{len(self.requests)} requests instead of {count} within {timeout:g} s")
            return list(self.requests)

    def answer(self, request: Request) -> Reply | None:
        """Record a request; what to answer, or None to cut the connection."""
        with self._news:
            self.requests.append(request)
            reply = self.replies.popleft() if self.replies else self.reply
            self._news.notify_all()
        reply = reply(request) if callable(reply) else reply
        if reply.delay and self._closing.wait(reply.delay):
            return None
        return None if reply.close else reply


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # so that closing waits for them
    request_queue_size = 128

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._open: set[socket.socket] = set()
        self.connections = 0

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        self.connections += 1
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def cut(self) -> None:
        """End the connections that are kept alive, so that their threads end."""
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news: what it sent completely is recorded."""


def _handler(sink: Sink) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1  # headers and body in one packet

        def handle_any(self) -> None:
            body = self._chunks() if "transfer-encoding" in self.headers else self._fixed()
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = sink.answer(Request(self.command, self.path, headers, body, time.time()))
            if reply is None:
                self.close_connection = True
                return
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)
            self.wfile.flush()

        def _fixed(self) -> bytes:
            return self.rfile.read(int(self.headers.get("content-length", 0)))

        def _chunks(self) -> bytes:
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():  # trailers
                pass
            return body

        def log_message(self, *args: object) -> None:
            """The test looks at what was recorded."""

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = handle_any

    return Handler
