"""The load tools of tools/*.c: builds them on first use, starts them, reads what they tell.

    with smsc() as carrier, http_sink() as hooks:
        result = hload(8080, "/v1/messages", 20_000, body='{"to": "+{d}", "text": "n={n}"}', headers={...})
        carrier.stats().distinct, hooks.stats().final.distinct

Their times are time.monotonic() of this machine. A tool ends with the thread that started it. One that can't be built
or fails is a LoadError with its own words.
"""

import contextlib
import hashlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Literal, ParamSpec

import msgspec

from tests.keeper import free_port, leashed

SOURCES = Path(__file__).with_name("tools")
PATIENCE = 10.0  # seconds for a tool to start or to answer
P = ParamSpec("P")


class LoadError(Exception):
    """A load tool could not be built, or failed."""


@cache
def _folder() -> Path:
    """Where tools of just these sources are kept, and nobody else can put others."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(SOURCES.iterdir()))).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"columba-bench-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid() or folder.stat().st_mode & 0o022:
        raise LoadError(f"{folder} could be written to by others; remove it.")
    (folder / digest).mkdir(exist_ok=True)
    return folder / digest


@cache
def tool(name: str) -> Path:
    """The built tool."""
    built = _folder() / name
    if not built.exists():
        if not (gcc := shutil.which("gcc")):
            raise LoadError("gcc is missing: the load tools are written in C.")
        with tempfile.TemporaryDirectory(dir=_folder()) as workshop:
            fresh = Path(workshop) / name
            command = [gcc, "-O2", "-Wall", "-Wextra", "-o", str(fresh), str(SOURCES / f"{name}.c")]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise LoadError(f"{name}.c does not build:\n{done.stderr}")
            fresh.replace(built)
    return built


def _start(name: str, *arguments: object) -> subprocess.Popen[bytes]:
    command = leashed([str(tool(name)), *map(str, arguments)])
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def _line(process: subprocess.Popen[bytes]) -> str:
    assert isinstance(process.args, list)
    return " ".join(map(str, process.args))


def _finish(process: subprocess.Popen[bytes], timeout: float) -> bytes:
    """All that it prints, once it has ended by itself."""
    try:
        out, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        _end(process)
        raise LoadError(f"{_line(process)} did not end within {timeout:g} s") from None
    if process.returncode:
        raise LoadError(f"{_line(process)} ended with {process.returncode}: {errors.decode(errors='replace').strip()}")
    return out


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


@contextlib.contextmanager
def _listening(name: str, *arguments: object) -> Iterator[subprocess.Popen[bytes]]:
    """A tool that others can connect to, until the end of the block."""
    process = _start(name, *arguments)
    try:
        if process.stdout and not process.stdout.readline():
            _finish(process, PATIENCE)
        yield process
    finally:
        _end(process)


# The HTTP load generator


class LoadResult(msgspec.Struct, frozen=True):
    """What became of the requests: sent = ok (2xx) + bad (other answers) + unknown (the connection broke)."""

    sent: int
    ok: int
    bad: int
    unknown: int
    accepted: int  # the sum of the answers' "accepted" fields: a batch has one
    started: float = msgspec.field(name="t0")
    ended: float = msgspec.field(name="t1")
    rate: float = msgspec.field(name="rps")  # ok a second
    p50: float = 0.0  # ms, as all latencies
    p90: float = 0.0
    p99: float = 0.0
    max: float = 0.0
    reconnects: int = 0
    cpu: float = 0.0  # seconds that the generator itself used
    status: dict[int, int] = {}
    sample_bad: str = ""  # the first answer that was not 2xx


class Load:
    """Requests on their way."""

    def __init__(self, process: subprocess.Popen[bytes], timeout: float, acknowledged: Path | None) -> None:
        self._process, self._timeout, self._acknowledged = process, timeout, acknowledged
        self.pid = process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def result(self) -> LoadResult:
        """Wait for the end."""
        return msgspec.json.decode(_finish(self._process, self._timeout), type=LoadResult, strict=False)

    def acknowledged(self) -> dict[int, float]:
        """When each request was answered with a 2xx, by its number; for loads started with `note`, once they ended."""
        assert self._acknowledged, "start it with note=True"
        lines = (line.split() for line in self._acknowledged.read_text().splitlines())
        return {int(number): float(moment) for number, moment in lines}


@contextlib.contextmanager
def hload_started(
    port: int,
    url: str,
    n: int = 20_000,
    c: int = 50,
    body: str | bytes | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    copies: int = 1,
    distinct: int = 0,
    first: int = 0,
    reconnect: float = 0.0,
    note: bool = False,
    timeout: float = 600.0,
) -> Iterator[Load]:
    """Exactly n requests on c connections, under way until the end of the block.

    In URL and body {n} is the request's number (from `first`) and {d} a 12-digit destination. What stands between {*
    and *} in the body is repeated `copies` times, with commas, each with a number of its own: a batch. `distinct`
    bodies are made in advance and used in turn, instead of one for each request. With `reconnect` the load goes on if
    the server comes back within so many seconds; requests whose connection broke stay unknown. `note` keeps which were
    acknowledged.
    """
    with tempfile.TemporaryDirectory(prefix="columba-load-") as folder:
        arguments: list[object] = ["-p", port, "-u", url, "-n", n, "-c", c, "-s", first, "-R", reconnect]
        if body is not None:
            path = Path(folder) / "body"
            path.write_bytes(body.encode() if isinstance(body, str) else body)
            arguments += ["-f", path, "-k", copies, "-D", distinct]
        for name, value in (headers or {}).items():
            arguments += ["-H", f"{name}: {value}"]
        acknowledged = Path(folder) / "acknowledged" if note else None
        if acknowledged:
            arguments += ["-a", acknowledged]
        process = _start("hload", *arguments)
        try:
            yield Load(process, timeout, acknowledged)
        finally:
            _end(process)


def _waited(start: Callable[P, contextlib.AbstractContextManager[Load]]) -> Callable[P, LoadResult]:
    def run(*args: P.args, **kwargs: P.kwargs) -> LoadResult:
        with start(*args, **kwargs) as load:
            return load.result()

    return run


hload = _waited(hload_started)


# The HTTP sink


class Count(msgspec.Struct, frozen=True):
    """Callbacks of one kind. `distinct` and `dups` go by the number n that the load gave each message."""

    n: int
    distinct: int
    dups: int
    first: float  # time.monotonic(), 0 if there was none
    last: float


class SinkStats(msgspec.Struct, frozen=True):
    final: Count  # final receipts
    mid: Count  # all other reports: accepted, sent
    inbound: Count
    without_number: int
    connections: int


class HttpSink:
    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.pid, self.port, self.url = process.pid, port, f"http://127.0.0.1:{port}"

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=PATIENCE) as answer:
            content: bytes = answer.read()
        return content

    def stats(self) -> SinkStats:
        told = json.loads(self._get("/__stats"))

        def count(name: str, time: str) -> Count:
            numbers = (told[name], told[f"{name}_distinct"], told[f"{name}_dups"])
            return Count(*numbers, told[f"{time}_first"], told[f"{time}_last"])

        kinds = count("dlr_final", "f"), count("dlr_mid", "m"), count("mo", "mo")
        return SinkStats(*kinds, told["noN"], told["conns"])

    def reset(self) -> None:
        self._get("/__reset")


@contextlib.contextmanager
def http_sink(port: int | None = None, body: str = "") -> Iterator[HttpSink]:
    """A server that answers each callback with 200 and this body, and counts it."""
    port = port or free_port()
    with _listening("httpsink", "-p", port, "-b", body) as process:
        yield HttpSink(process, port)


# The SMSC and the SMPP client


class SmscStats(msgspec.Struct, frozen=True):
    binds: int
    unbinds: int
    submits: int
    distinct: int  # by the n=<int> in the text
    dups: int
    without_number: int = msgspec.field(name="no_n")
    first: float = msgspec.field(name="t_first")
    last: float = msgspec.field(name="t_last")
    receipts_sent: int = msgspec.field(name="dlr_sent")
    receipts_nobody: int = msgspec.field(name="dlr_nobody")  # no receiver was bound
    receipts_answered: int = msgspec.field(name="dlr_resp")
    receipts_refused: int = msgspec.field(name="dlr_err")
    receipts_last: float = msgspec.field(name="dlr_last")
    inbound_sent: int = msgspec.field(name="mo_sent")
    inbound_answered: int = msgspec.field(name="mo_resp")
    inbound_refused: int = msgspec.field(name="mo_err")
    inbound_first: float = msgspec.field(name="mo_first")
    inbound_last: float = msgspec.field(name="mo_last")
    enquiries: int = msgspec.field(name="enq")
    last_error: int = msgspec.field(name="last_err")
    now: float = 0.0


class Smsc:
    def __init__(self, process: subprocess.Popen[bytes], port: int, control: int) -> None:
        self.pid, self.port, self._control = process.pid, port, control

    def ctl(self, order: str) -> bytes:
        """Its answer to a line of its control port (see smsc.c)."""
        with socket.create_connection(("127.0.0.1", self._control), PATIENCE) as line:
            line.sendall(order.encode() + b"\n")
            with line.makefile("rb") as answers:
                answer = answers.readline()
        if not answer or answer.startswith(b'{"ok":0'):
            raise LoadError(f"smsc refused {order!r}: {answer.decode().strip()}")
        return answer

    def stats(self) -> SmscStats:
        return msgspec.json.decode(self.ctl("stats"), type=SmscStats)

    def reset(self) -> None:
        self.ctl("reset")

    def receipts(self, when: Literal["never", "asked", "always"], delay_ms: int = 0) -> None:
        self.ctl(f"dlr {('never', 'asked', 'always').index(when)}")
        self.ctl(f"delay {delay_ms}")

    def respond_after(self, ms: int) -> None:
        """Be slow: answer each submit_sm so much later."""
        self.ctl(f"rdelay {ms}")

    def send_inbound(self, n: int, window: int = 50, to: str = "12345") -> None:
        """Texts from people to whoever is bound; returns at once."""
        self.ctl(f"mo {n} {window} {to}")

    def submitted(self) -> dict[int, int]:
        """How often each number was submitted."""
        with tempfile.NamedTemporaryFile("r", prefix="columba-smsc-") as dump:
            self.ctl(f"dump {dump.name}")
            return {int(number): int(times) for number, times in (line.split() for line in dump)}


@contextlib.contextmanager
def smsc(
    port: int | None = None, control: int | None = None, receipts: Literal["never", "asked", "always"] = "asked"
) -> Iterator[Smsc]:
    """An SMSC that answers every submit_sm at once."""
    port, control = port or free_port(), control or free_port()
    flags: Sequence[str] = {"never": [], "asked": ["-d"], "always": ["-D"]}[receipts]
    with _listening("smsc", "-p", port, "-c", control, *flags) as process:
        yield Smsc(process, port, control)


class SmppResult(msgspec.Struct, frozen=True):
    n: int
    window: int
    errors: int = msgspec.field(name="err")
    delivered: int = msgspec.field(name="deliver")
    seconds: float = msgspec.field(name="secs")
    rate: float = 0.0


def smppc(
    port: int,
    n: int,
    window: int = 50,
    system_id: str = "u",
    password: str = "p",
    receipts: bool = False,
    timeout: float = 600.0,
) -> SmppResult:
    """n submit_sm over one bind; with `receipts` it waits for as many deliver_sm too."""
    arguments = ("-p", port, "-n", n, "-w", window, "-r", int(receipts), "-u", system_id, "-P", password)
    return msgspec.json.decode(_finish(_start("smppc", *arguments), timeout), type=SmppResult)
