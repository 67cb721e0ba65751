"""The API, as the commands that are its clients ask it.

Owns the connection. Loads next to nothing: these commands are run from scripts, again and again. A request that may be
repeated (each may: a POST has its Idempotency-Key) is, when the connection breaks or the server asks to come back soon.
Fails with Unreachable (nothing was sent), Unanswered (nobody knows), Foreign (that is no Columba) or Problem (what the
API says), each a ClickException with its exit code.
"""

import http.client
import ipaddress
import json
import os
import re
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import click

from columba import __version__
from columba.cli.show import clean, json_text, style

DEFAULT_URL = "http://127.0.0.1:8080"
PATIENCE_S = 30.0  # for one answer
TRIES = 3
LONGEST_PAUSE_S = 10.0
MOST = 64 << 20  # bytes of one answer
Json = dict[str, Any]


class Failure(click.ClickException):
    """What went wrong, in lines for people; `as_json` in a program's words."""

    exit_code = 1
    as_json = False  # the command was asked for JSON

    def __init__(self, message: str, code: str = "", advice: str = "", status: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.advice = advice
        self.status = status  # of the HTTP answer, where there was one

    @property
    def passing(self) -> bool:
        """Whether the same may be asked again soon."""
        return self.status in (429, 502, 503, 504) or self.code == "idempotency_in_progress"

    def body(self) -> Json:
        return {"code": self.code, "title": self.message, "detail": self.advice}

    def lines(self) -> list[str]:
        return [style(f"columba: {self.message}", "bad", err=True), *([self.advice] if self.advice else [])]

    def show(self, file: IO[Any] | None = None) -> None:
        if self.as_json:
            click.echo(json_text(self.body()))
        else:
            for line in self.lines():
                click.echo(line, file=file, err=file is None)


class Unreachable(Failure):
    """Nothing was sent."""


class Unanswered(Failure):
    """It was sent, and no answer came: nobody knows whether it was done."""

    exit_code = 3


class Foreign(Failure):
    """What answers is no Columba."""


class Problem(Failure):
    """What the API refused, and why."""

    def __init__(self, status: int, body: Json, retry_after: float = 1.0) -> None:
        self.told = body
        self.retry_after = retry_after
        title = body.get("title") or http.client.responses.get(status, "refused")
        super().__init__(clean(title), str(body["code"]), status=status)

    def body(self) -> Json:
        return self.told

    def lines(self) -> list[str]:
        errors = [each for each in self.told.get("errors") or [] if isinstance(each, dict)]
        detail = clean(self.told.get("detail") or "")
        lines = [style(f"columba: {self.message}", "bad", err=True) + f" ({self.status} {clean(self.code)})"]
        if detail and not errors and detail.rstrip(".") != self.message.rstrip("."):
            lines.append(f"  {detail}")
        for each in errors:
            field = style(clean(each.get("field") or "body"), "strong", err=True)
            lines.append(f"  {field}: {clean(each.get('detail') or '')} ({clean(each.get('code') or '')})")
        if self.status == 401:
            lines.append("  The key is read from COLUMBA_KEY or --key; `columba keys create --mode test` makes one.")
        if request_id := self.told.get("request_id"):
            lines.append(style(f"  request {clean(request_id)}", "faint", err=True))
        return lines


class Broken(Problem):
    """The server failed over it: nobody knows whether it was done."""

    exit_code = 3


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    json: Any


class Where(NamedTuple):
    """A base URL, taken apart."""

    tls: bool
    host: str
    port: int
    path: str

    @property
    def loopback(self) -> bool:
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost" or self.host.endswith(".localhost")


def where(url: str) -> Where:
    """ValueError for what is no http or https URL."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or not url.isascii() or not url.isprintable():
        raise ValueError("write http://HOST:PORT or https://HOST")
    tls = parts.scheme == "https"
    path = parts.path.rstrip("/") + (f"?{parts.query}" if parts.query else "")
    return Where(tls, parts.hostname, parts.port or (443 if tls else 80), path)


def connect(place: Where, timeout: float) -> http.client.HTTPConnection:
    """An open connection: through the proxy of the environment where there is one, never to this machine itself."""
    host, port = place.host, place.port
    proxy = None if place.loopback else _proxy(place)
    if proxy is not None:
        host, port = proxy.host, proxy.port
    kind = http.client.HTTPSConnection if place.tls else http.client.HTTPConnection
    connection = kind(host, port, timeout=timeout)
    if proxy is not None:
        connection.set_tunnel(place.host, place.port)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _proxy(place: Where) -> Where | None:
    scheme = "https" if place.tls else "http"
    if not any(os.environ.get(name) for name in (f"{scheme}_proxy", f"{scheme.upper()}_PROXY")):
        return None
    from urllib.request import getproxies, proxy_bypass  # slow to load, and rarely needed

    url = getproxies().get(scheme)
    try:
        return None if not url or proxy_bypass(place.host) else where(url if "://" in url else f"http://{url}")
    except ValueError:
        return None


def why(error: Exception) -> str:
    """A connection's trouble in a few words."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, socket.gaierror):
        return "the name is not known"
    text = getattr(error, "verify_message", "") or getattr(error, "strerror", "") or str(error) or type(error).__name__
    return clean(str(text)).lower()


class Api:
    """A server at `url` and a key of it. `pause` waits, `say` tells of it."""

    def __init__(self, url: str, key: str, pause: Callable[[float], None] = time.sleep) -> None:
        self.url = url
        self.place = where(url)
        self._fields = {"Authorization": f"Bearer {key}", "User-Agent": f"columba/{__version__}"}
        self._connection: http.client.HTTPConnection | None = None
        self._pause = pause
        self.say: Callable[[str], None] = lambda text: click.echo(text, err=True)

    def get(self, path: str, query: Sequence[tuple[str, str]] = (), patience: float = PATIENCE_S) -> Any:
        return self._ask("GET", path + (f"?{urlencode(query)}" if query else ""), None, {}, patience)

    def post(self, path: str, body: Json, idempotency_key: str = "") -> Any:
        fields = {
            "Content-Type": "application/json",
            "Idempotency-Key": idempotency_key or f"cli-{secrets.token_hex(12)}",
        }
        return self._ask("POST", path, json.dumps(body).encode(), fields, PATIENCE_S)

    def change(self, method: str, path: str, body: Json) -> Any:
        """PATCH or PUT: doing it again changes nothing."""
        return self._ask(method, path, json.dumps(body).encode(), {"Content-Type": "application/json"}, PATIENCE_S)

    def pour(self, path: str, body: Iterator[bytes], content_type: str, patience: float) -> Any:
        """A body of any size, in one request that is never repeated. Raises OSError or HTTPException when it breaks."""
        connection = connect(self.place, patience)
        try:
            fields = {**self._fields, "Content-Type": content_type, "Transfer-Encoding": "chunked"}
            connection.request("POST", self.place.path + path, body, fields, encode_chunked=True)
            response = connection.getresponse()
            return self._judged(Answer(response.status, _lower(response), _decode(response.read(MOST))))
        finally:
            connection.close()

    def drain(self, path: str) -> Iterator[bytes]:
        """An answer of any size, as it comes."""
        try:
            connection = connect(self.place, PATIENCE_S)
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error, False) from error
        try:
            connection.request("GET", self.place.path + path, headers=self._fields)
            response = connection.getresponse()
            if response.status != 200:
                raise self.problem(Answer(response.status, _lower(response), _decode(response.read(MOST))))
            while chunk := response.read(262_144):
                yield chunk
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error, False) from error
        finally:
            connection.close()

    def beside(self) -> "Api":
        """Another connection, for another thread."""
        return Api(self.url, self._fields["Authorization"].removeprefix("Bearer "))

    def upload(self, path: str, body: bytes, content_type: str, query: Sequence[tuple[str, str]] = ()) -> Any:
        """A file as it is."""
        fields = {"Content-Type": content_type, "Idempotency-Key": f"cli-{secrets.token_hex(12)}"}
        return self._ask("POST", path + (f"?{urlencode(query)}" if query else ""), body, fields, PATIENCE_S)

    def download(self, path: str) -> bytes:
        """What is at an address, as it is."""
        try:
            connection = self._connected(PATIENCE_S)
            connection.request("GET", self.place.path + path, headers=self._fields)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._unreachable(error, False) from error
        if response.status != 200:
            raise self.problem(Answer(response.status, _lower(response), _decode(content)))
        return content

    def delete(self, path: str, query: Sequence[tuple[str, str]] = ()) -> None:
        self._ask("DELETE", path + (f"?{urlencode(query)}" if query else ""), None, {}, PATIENCE_S)

    def _ask(self, method: str, target: str, body: bytes | None, fields: Mapping[str, str], patience: float) -> Any:
        sent = False
        for left in reversed(range(TRIES)):
            try:
                connection = self._connected(patience)
            except (OSError, http.client.HTTPException) as error:
                raise self._unreachable(error, sent) from error
            try:
                sent = True
                answer = self._exchange(connection, method, self.place.path + target, body, fields)
                return self._judged(answer)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if not left or isinstance(error, TimeoutError):
                    raise Unanswered(
                        f"{self.url} did not answer ({why(error)})",
                        "unanswered",
                        "It may or may not have been done." if method != "GET" else "",
                    ) from error
                pause = 0.2
            except Failure as failure:
                pause = failure.retry_after if isinstance(failure, Problem) else 1.0
                if not left or not failure.passing or pause > LONGEST_PAUSE_S:
                    raise
                self.say(f"columba: {failure.message}; trying again in {pause:g} s.")
            self._pause(pause)
        raise AssertionError("unreachable")

    def _connected(self, patience: float) -> http.client.HTTPConnection:
        if self._connection is None:
            self._connection = connect(self.place, patience)
        self._connection.sock.settimeout(patience)
        return self._connection

    def _unreachable(self, error: Exception, sent: bool) -> Failure:
        what = f"nothing answers at {self.url} ({why(error)})"
        if sent:
            return Unanswered(what, "unanswered", "It may or may not have been done.")
        return Unreachable(
            what,
            "unreachable",
            "Start the server with `columba serve`, or say where it is with --url or COLUMBA_URL.",
        )

    def _exchange(
        self, connection: http.client.HTTPConnection, method: str, target: str, body: bytes | None,
        fields: Mapping[str, str],
    ) -> Answer:  # fmt: skip
        connection.request(method, target, body, {**self._fields, **fields})
        response = connection.getresponse()
        content = response.read(MOST + 1)
        if len(content) > MOST or connection.sock is None:  # the server closes, or it is too much
            self.close()
        return Answer(response.status, _lower(response), _decode(content))

    def _judged(self, answer: Answer) -> Any:
        if (200 <= answer.status < 300 and answer.json is not None) or answer.status == 204:
            return answer.json
        raise self.problem(answer)

    def problem(self, answer: Answer) -> Failure:
        """An answer that is none of those that were hoped for."""
        told = answer.json
        if isinstance(told, dict) and isinstance(told.get("code"), str):
            seconds = answer.headers.get("retry-after", "")
            kind = Broken if answer.status in (500, 502, 504) else Problem
            return kind(answer.status, told, float(seconds) if re.fullmatch("[0-9]{1,6}", seconds) else 1.0)
        what = f"{self.url} answered {answer.status}, and not as Columba does"
        return Foreign(what, "foreign", "Check --url or COLUMBA_URL.", answer.status)

    def pages(self, path: str, query: Sequence[tuple[str, str]], most: int) -> Iterator[Json]:
        """The rows of a list, page after page."""
        cursor: str | None = None
        while most > 0:
            more = [("cursor", cursor)] if cursor else []
            page = self.get(path, [*query, ("limit", str(min(most, 1000))), *more])
            if not isinstance(page, dict) or not isinstance(page.get("data"), list):
                raise self.problem(Answer(200, {}, None))
            yield from page["data"]
            most -= len(page["data"])
            cursor = page.get("next_cursor")
            if not cursor:
                return

    def stream(self, target: str, fields: Mapping[str, str], silence: float) -> Iterator[bytes]:
        """What a stream sends, as it comes: first b"" when it is open. `silence` seconds without a byte are its end.

        Raises OSError or HTTPException when the connection breaks; Unreachable when there was none.
        """
        try:
            connection = connect(self.place, PATIENCE_S)
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error, False) from error
        try:
            fields = {**self._fields, "Accept": "text/event-stream", "Cache-Control": "no-store", **fields}
            connection.request("GET", self.place.path + target, headers=fields)
            sock = connection.sock
            response = connection.getresponse()
            headers = _lower(response)
            if response.status != 200 or not headers.get("content-type", "").startswith("text/event-stream"):
                raise self.problem(Answer(response.status, headers, _decode(response.read(MOST))))
            sock.settimeout(silence)
            yield b""
            while chunk := response.read1(65_536):
                yield chunk
        finally:
            connection.close()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


def _lower(response: http.client.HTTPResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.getheaders()}


def _decode(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def with_api(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command --url, --key and --json (as `as_json`), and the Api as its first argument."""

    def called(url: str, key: str | None, as_json: bool, **given: Any) -> None:
        try:
            where(url)
        except ValueError as error:
            raise click.BadParameter(f"{url[:200]!r} is no address: {error}.", param_hint="--url") from error
        key = (key or "").strip()
        if not key:
            raise click.UsageError(
                "No key is given: set COLUMBA_KEY, or use --key. `columba keys create --mode test` makes one."
            )
        if not key.isascii() or not key.isprintable() or " " in key:
            raise click.BadParameter("That is no key: keys look like ck_test_...", param_hint="--key")
        api = Api(url.rstrip("/"), key)
        try:
            function(api, as_json=as_json, **given)
        except Failure as failure:
            failure.as_json = as_json
            raise
        finally:
            api.close()

    called.__doc__ = function.__doc__
    called.__name__ = function.__name__
    called.__click_params__ = [*reversed(_OPTIONS), *getattr(function, "__click_params__", [])]  # type: ignore[attr-defined]
    return called


_OPTIONS: Sequence[click.Option] = (
    click.Option(
        ["--url"], envvar="COLUMBA_URL", default=DEFAULT_URL, metavar="URL", show_envvar=True, show_default=True,
        help="Where the server is.",
    ),
    click.Option(
        ["--key"], envvar="COLUMBA_KEY", metavar="KEY", show_envvar=True,
        help="The API key. Better in the variable, where others on this machine don't see it.",
    ),
    click.Option(["--json", "as_json"], is_flag=True, help="Answer as JSON, problems too."),
)  # fmt: skip
