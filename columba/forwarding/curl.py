"""curl commands: read into a destination's fields, and written from requests. Pure.

What a command does that a destination can't do is refused by CurlError, with what to do instead; what makes no
difference here (`-s`, `-v`, `--compressed`) is left out. A secret that is written as a variable of the shell (`$TOKEN`)
stands for the account's secret of this name in lower case.
"""

import base64
import binascii
import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, quote_plus

import msgspec

from columba.forwarding.destinations_shapes import HIDDEN, METHODS
from columba.forwarding.destinations_views import SentRequest

LONGEST = 20_000


class CurlError(ValueError):
    """Why a command isn't taken."""


_SHORT = {
    "X": "request", "H": "header", "d": "data", "u": "user", "F": "form", "G": "get", "A": "user-agent", "b": "cookie",
    "e": "referer", "m": "max-time", "k": "insecure", "E": "cert", "L": "location", "I": "head", "T": "upload-file",
    "x": "proxy", "o": "output", "K": "config", "n": "netrc",
}  # fmt: skip
_FLAGS = frozenset({"get", "insecure", "location", "head", "digest", "basic", "anyauth", "ntlm", "negotiate", "netrc"})
_IGNORED = frozenset(
    {
        *("silent", "show-error", "verbose", "include", "fail", "fail-with-body", "compressed", "http1.1", "http2"),
        *(
            "no-buffer",
            "globoff",
            "location",
            "no-progress-meter",
            "progress-bar",
            "tlsv1.2",
            "tlsv1.3",
            "ipv4",
            "basic",
        ),
        *(
            "tcp-nodelay",
            "path-as-is",
            "http1.0",
            "http2-prior-knowledge",
            "ssl-reqd",
            "raw",
            "no-keepalive",
            "anyauth",
        ),
    }
)
_IGNORED_VALUES = frozenset(
    {
        *(
            "output",
            "write-out",
            "connect-timeout",
            "retry",
            "retry-delay",
            "retry-max-time",
            "dump-header",
            "limit-rate",
        ),
        *("ciphers", "keepalive-time", "stderr", "trace", "trace-ascii"),
    }
)
_IGNORED_SHORT = frozenset("sSvifgNZ#046O")
_VALUED_SHORT = frozenset("XHduFAbemETxoKwcyYCQz")
_REFUSED = {
    "insecure": "Certificates are always checked: give the server's authority as `tls.ca` instead of -k.",
    "proxy": "Requests go straight to their address: leave the proxy out.",
    "upload-file": "Files can't be sent from here: put what is to be sent into `request.body`.",
    "config": "Write what the file says into the command.",
    "head": "HEAD is not a method of destinations: use GET.",
    "netrc": "Write the user and password with -u.",
    "ntlm": "NTLM is not spoken.",
    "negotiate": "Negotiate is not spoken.",
}
_VARIABLE = re.compile(r"\$\{?([A-Za-z][A-Za-z0-9_]{0,63})\}?")


def read(command: str) -> dict[str, Any]:
    """The fields of a destination: `request`, and `auth`, `timeout`, `tls` where the command has them."""
    words = _words(command)
    given: list[tuple[str, str]] = []
    urls: list[str] = []
    for name, value in _options(words):
        if name == "url":
            urls.append(value)
        elif name in _REFUSED:
            raise CurlError(_REFUSED[name])
        else:
            given.append((name, value))
    if len(urls) != 1:
        raise CurlError("Expected one URL." if urls else "There is no URL in it.")
    url = urls[0] if "://" in urls[0] or urls[0].startswith("{{") else f"http://{urls[0]}"
    url, user = _user_in_url(url)
    return _Command(url, given, user).fields()


class _Command:
    """One command's options, put together."""

    def __init__(self, url: str, given: Sequence[tuple[str, str]], user: str | None) -> None:
        self.url = url
        self.options: dict[str, list[str]] = {}
        self.data: list[tuple[str, str]] = []
        for name, value in given:
            if name in ("data", "data-raw", "data-ascii", "data-binary", "data-urlencode", "json"):
                self.data.append((name, value))
            else:
                self.options.setdefault(name, []).append(value)
        if user is not None:
            self.options.setdefault("user", []).append(user)
        self.headers: dict[str, str] = {}
        self.auth: dict[str, Any] | None = None

    def fields(self) -> dict[str, Any]:
        for header in self.options.get("header", ()):
            name, colon, value = header.partition(":")
            if not colon:
                name, colon, value = header.partition(";")
            if not name.strip():
                raise CurlError("A header without a name.")
            if value.strip() or colon == ";":
                self._header(name.strip(), value.strip())
        for option, name in (("user-agent", "User-Agent"), ("referer", "Referer"), ("cookie", "Cookie")):
            for value in self.options.get(option, ()):
                self.headers[name] = value
        self._authenticate()
        method, body = self._body()
        method = self.options.get("request", [method])[-1].upper()
        if method not in METHODS:
            raise CurlError(f"The method is none of {', '.join(METHODS)}.")
        request: dict[str, Any] = {"method": method, "url": self.url}
        if self.headers:
            request["headers"] = self.headers
        if body is not None:
            request["body"] = body
        made: dict[str, Any] = {"request": request}
        if self.auth is not None:
            made["auth"] = self.auth
        if "max-time" in self.options:
            made["timeout"] = _seconds(self.options["max-time"][-1])
        for option in ("cert", "key", "cacert"):
            if option in self.options:
                raise CurlError(f"Files can't be read from here: give the PEM of --{option} in `tls`.")
        return made

    def _header(self, name: str, value: str) -> None:
        low = name.lower()
        if low in ("content-length", "host", "accept-encoding", "connection", "transfer-encoding", "expect"):
            return
        if low == "idempotency-key" and "{{" not in value:  # the same for all texts would make them one; ours is sent
            return
        scheme, _, rest = value.partition(" ")
        if low == "authorization" and scheme.lower() == "bearer" and rest:
            self.auth = {"kind": "bearer", "token": _secret(rest.strip())}
            if scheme != "Bearer":
                self.auth["scheme"] = scheme
        elif low == "authorization" and scheme.lower() == "basic" and (pair := _pair(rest)) is not None:
            self.auth = {"kind": "basic", "username": pair[0], "password": _secret(pair[1])}
        elif low in ("authorization", "x-api-key", "api-key", "x-auth-token", "private-token") and self.auth is None:
            self.auth = {"kind": "header", "name": name, "value": _secret(value)}
        else:
            self.headers[name] = value

    def _authenticate(self) -> None:
        user = self.options.get("user")
        if user:
            username, _, password = user[-1].partition(":")
            kind = "digest" if "digest" in self.options else "basic"
            self.auth = {"kind": kind, "username": username, "password": _secret(password)}
        if "oauth2-bearer" in self.options:
            self.auth = {"kind": "bearer", "token": _secret(self.options["oauth2-bearer"][-1])}
        if "aws-sigv4" in self.options:
            if user is None:
                raise CurlError("--aws-sigv4 takes its keys from -u KEY:SECRET.")
            _, _, region, service = [*self.options["aws-sigv4"][-1].split(":"), "", "", "", ""][:4]
            if not region or not service:
                raise CurlError("Expected --aws-sigv4 aws:amz:REGION:SERVICE.")
            username, _, password = user[-1].partition(":")
            self.auth = {
                "kind": "sigv4", "access_key_id": username, "secret_access_key": _secret(password), "region": region,
                "service": service,
            }  # fmt: skip

    def _body(self) -> tuple[str, dict[str, Any] | None]:
        """The usual method with what is sent, and what is sent."""
        if "form" in self.options:
            return "POST", {"multipart": [_part(each) for each in self.options["form"]]}
        if not self.data:
            return "GET", None
        if "get" in self.options:
            joint = "&" if "?" in self.url else "?"
            self.url += joint + "&".join(_urlencoded(*each) for each in self.data)
            return "GET", None
        content_type = next(
            (self.headers.pop(name) for name in [*self.headers] if name.lower() == "content-type"), None
        )
        if any(name == "json" for name, _ in self.data):
            self.headers.setdefault("Accept", "application/json")
            content_type = content_type or "application/json"
        text = "&".join(_urlencoded(*each) for each in self.data)
        if any(name == "json" for name, _ in self.data):
            text = "".join(value for _, value in self.data)
        kind = (content_type or "application/x-www-form-urlencoded").partition(";")[0].strip().lower()
        if kind == "application/json" or kind.endswith("+json"):
            try:
                value = msgspec.json.decode(text)
            except (msgspec.MsgspecError, RecursionError):
                return "POST", {"text": text, "content_type": content_type}
            body: dict[str, Any] = {"json": value}
            if content_type != "application/json":
                body["content_type"] = content_type
            return "POST", body
        if kind == "application/x-www-form-urlencoded":
            pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=200) if "=" in text else []
            fields: dict[str, Any] = {}
            for name, value in pairs:
                known = fields.get(name)
                fields[name] = (
                    value if known is None else [*known, value] if isinstance(known, list) else [known, value]
                )
            if pairs:
                return "POST", {"form": fields}
        if kind.endswith("xml"):
            return "POST", {"xml": text, "content_type": content_type}
        return "POST", {"text": text, "content_type": content_type or "application/x-www-form-urlencoded"}


def _words(command: str) -> list[str]:
    if len(command) > LONGEST:
        raise CurlError(f"It is longer than {LONGEST} characters.")
    text = re.sub(r"[\\^]\r?\n", " ", command.strip())
    text = re.sub(r"\$'((?:[^'\\]|\\.)*+)'", lambda found: shlex.quote(_ansi(found[1])), text, flags=re.DOTALL)
    try:
        words = shlex.split(text, posix=True)
    except ValueError as error:
        raise CurlError(f"It is no command: {error}.") from None
    while words and words[0] in ("$", "sudo", "%"):
        words = words[1:]
    if not words or words[0].rpartition("/")[2].removesuffix(".exe") != "curl":
        raise CurlError("It doesn't begin with curl.")
    if any(word in ("|", "&&", "||", ";", ">", ">>", "<") for word in words):
        raise CurlError("It is more than one command.")
    return words[1:]


_ANSI = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", "'": "'", '"': '"', "0": "\0"}


def _ansi(text: str) -> str:
    def one(found: re.Match[str]) -> str:
        code = found[1]
        if code[0] in "uUx" and len(code) > 1:
            return chr(min(int(code[1:], 16), 0x10FFFF))
        return _ANSI.get(code, code)

    return re.sub(r"\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|x[0-9a-fA-F]{2}|.)", one, text, flags=re.DOTALL)


def _options(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each option with its value, "" where it takes none; what isn't one is a URL."""
    rest = list(reversed(words))

    def value(option: str) -> str:
        if not rest:
            raise CurlError(f"{option} has no value.")
        return rest.pop()

    while rest:
        word = rest.pop()
        if word == "--":
            yield from (("url", each) for each in reversed(rest))
            return
        if word.startswith("--"):
            name, equals, attached = word[2:].partition("=")
            if name in _IGNORED or name.startswith("no-"):
                continue
            if name in _FLAGS:
                yield name, ""
            elif name in _IGNORED_VALUES:
                value(word)
            elif name in _LONG:
                yield name, attached if equals else value(word)
            else:
                raise CurlError(f"--{name[:50]} is not known here.")
        elif word.startswith("-") and len(word) > 1:
            letters = word[1:]
            while letters:
                letter, letters = letters[0], letters[1:]
                if letter in _VALUED_SHORT:
                    found = letters or value(f"-{letter}")
                    letters = ""
                    if letter in _SHORT and letter != "o":
                        yield _SHORT[letter], found
                elif letter in _SHORT:
                    if letter != "L":
                        yield _SHORT[letter], ""
                elif letter not in _IGNORED_SHORT:
                    raise CurlError(f"-{letter} is not known here.")
        else:
            yield "url", word


_LONG = frozenset(
    {
        *(
            "url",
            "request",
            "header",
            "data",
            "data-raw",
            "data-ascii",
            "data-binary",
            "data-urlencode",
            "json",
            "user",
        ),
        *("form", "form-string", "user-agent", "cookie", "referer", "max-time", "cert", "key", "cacert", "upload-file"),
        *("oauth2-bearer", "aws-sigv4", "proxy", "config"),
    }
)


def _user_in_url(url: str) -> tuple[str, str | None]:
    found = re.match(r"([a-zA-Z]+://)([^/?#@]*)@(.*)", url, re.DOTALL)
    return (url, None) if found is None else (found[1] + found[3], found[2])


def _secret(text: str) -> Any:
    """A text, or the account's secret that a variable of the shell stands for."""
    found = _VARIABLE.fullmatch(text)
    return text if found is None else {"secret": found[1].lower()}


def _pair(encoded: str) -> tuple[str, str] | None:
    try:
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    return (name, password) if colon else None


def _urlencoded(option: str, value: str) -> str:
    if value.startswith("@") and option not in ("data-raw",):
        raise CurlError("Files can't be read from here: write what is in the file into the command.")
    if option != "data-urlencode":
        return value
    name, equals, content = value.partition("=")
    return f"{name}={quote_plus(content)}" if equals and name else quote_plus(content if equals else value)


def _part(text: str) -> dict[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise CurlError("Expected -F NAME=VALUE.")
    if value.startswith(("@", "<")):
        raise CurlError('Files can\'t be read from here: the message\'s own are {"name": ..., "media": "all"}.')
    value, _, kind = value.partition(";type=")
    return {"name": name, "text": value} | ({"content_type": kind} if kind else {})


def _seconds(text: str) -> float:
    try:
        return min(max(float(text), 1.0), 60.0)
    except ValueError:
        raise CurlError("-m takes a number of seconds.") from None


# Written


def write(
    request: SentRequest,
    variables: Mapping[str, str],
    options: Sequence[str] = (),
    without: Collection[str] = (),
) -> str:
    """A command that sends a request. `variables` are what stands for `***` in a header or in the URL; `options` are
    curl's, such as `--digest -u "me:$PASSWORD"`, and `without` the headers that they make."""
    lines = [f"curl -X {request.method} {quoted(request.url, variables.get('url', 'SECRET'))}", *options]
    for name, value in request.headers.items():
        low = name.lower()
        if low not in without:
            lines.append(f"-H {quoted(f'{name}: {value}', variables.get(low, 'SECRET'))}")
    if request.body is not None:
        if request.base64:
            lines[0] = f"base64 -d <<< {shlex.quote(request.body)} | {lines[0]}"
            lines.append("--data-binary @-")
        else:
            lines.append(f"--data-raw {quoted(request.body, 'SECRET')}")
    return " \\\n  ".join(lines)


def quoted(text: str, variable: str) -> str:
    """For the shell, with a variable for each secret."""
    parts = text.split(HIDDEN)
    return f'"${variable}"'.join(shlex.quote(part) if part else "" for part in parts) or "''"
