"""The API reference in a browser: `/docs`, `/docs/errors` and `/v1/openapi.json`, made when first asked for, and kept.

The page is ours, works offline and asks no other address for anything: its policy allows scripts, styles and requests
from here alone. Making the document takes a quarter of a second and 10 MB, so a process that nobody asks has neither.
"""

import asyncio
import gzip
import hashlib
import html
import re
from collections.abc import Callable, Mapping
from functools import partial
from importlib import resources
from typing import Any, Final

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from columba.errors import CATALOGUE
from columba.http.wire import Pairs, send_answer

_POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PLAIN: Final = [
    (b"cache-control", b"no-cache"),  # kept, but asked about: a new release shows at once
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]
_HTML: Final = [(b"content-type", b"text/html; charset=utf-8"), (b"content-security-policy", _POLICY), *_PLAIN]
_ASSETS: Final = {
    "reference.css": b"text/css; charset=utf-8",
    "reference.js": b"text/javascript; charset=utf-8",
    "icon.svg": b"image/svg+xml",
}


def docs_routes(document: Callable[[], Mapping[str, Any]]) -> dict[tuple[str, str], ASGIApp]:
    """The raw routes that show the OpenAPI document that `document` makes."""
    json = (b"content-type", b"application/json")
    routes = {
        ("GET", "/docs"): _kept(partial(_asset, "reference.html"), _HTML),
        ("GET", "/docs/errors"): _kept(_errors_page, _HTML),
        ("GET", "/v1/openapi.json"): _kept(lambda: msgspec.json.encode(document()), [json, *_PLAIN]),
    }
    for name, kind in _ASSETS.items():
        routes["GET", f"/docs/assets/{name}"] = _kept(partial(_asset, name), [(b"content-type", kind), *_PLAIN])
    return routes


def _asset(name: str) -> bytes:
    return resources.files("columba.http").joinpath("assets", name).read_bytes()


def _kept(make: Callable[[], bytes], headers: Pairs) -> ASGIApp:
    """A body that never changes: with its tag, and packed for whoever takes it so (RFC 9110 §8.8.3, §12.5.3)."""
    making: asyncio.Future[tuple[bytes, bytes, bytes]] | None = None

    def made() -> tuple[bytes, bytes, bytes]:
        body = make()
        return body, gzip.compress(body, mtime=0), b'"%b"' % hashlib.sha256(body).hexdigest()[:20].encode("ascii")

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal making
        if making is None or (making.done() and (making.cancelled() or making.exception() is not None)):
            making = asyncio.ensure_future(asyncio.to_thread(made))
        body, packed, tag = await asyncio.shield(making)
        common = [*headers, (b"etag", tag), (b"vary", b"accept-encoding")]
        asked = dict(scope["headers"])
        if tag in asked.get(b"if-none-match", b""):
            await send_answer(send, 304, b"", common)
        elif b"gzip" in asked.get(b"accept-encoding", b""):
            await send_answer(send, 200, packed, [*common, (b"content-encoding", b"gzip")])
        else:
            await send_answer(send, 200, body, common)

    return answer


def _errors_page() -> bytes:
    """Every code of the catalogue under its own anchor: where a problem's `type` leads."""
    rows = "\n".join(
        f'<section id="{code}" class="code"><h2><a href="#{code}"><code>{code}</code></a> '
        f'<span class="status s{kind.http // 100}">{kind.http}</span></h2>'
        f"<p><strong>{_words(kind.title)}.</strong> {_words(kind.advice)}</p></section>"
        for code, kind in CATALOGUE.items()
    )
    return _ERRORS.replace("{rows}", rows).encode("utf-8")


def _words(text: str) -> str:
    """Text as HTML, with `code` in it."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))


_ERRORS: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Errors - Columba API</title>
<link rel="stylesheet" href="/docs/assets/reference.css">
<link rel="icon" href="/docs/assets/icon.svg">
</head>
<body class="errors">
<header class="top"><a class="home" href="/docs">Columba API</a></header>
<main id="main">
<h1>Errors</h1>
<p>A request that is not done is answered with <code>application/problem+json</code> (RFC 9457). Its <code>code</code>
is one of these; <code>errors</code> names each field that is wrong, with a code of its own.</p>
{rows}
</main>
</body>
</html>
"""
