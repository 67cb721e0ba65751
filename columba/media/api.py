"""`/v1/media`, and what links lead to: `/media/...` and `/m/...`.

What is served was sent by anyone: it is never called something that a browser would run, never guessed at, shown in the
page only if it is a picture, a sound or a film, and boxed in even then. Whoever has a link needs no key.
"""

from collections.abc import Callable, Iterator, Mapping
from email.message import Message
from email.parser import HeaderParser
from typing import Annotated, Any, Final, Literal, NamedTuple
from urllib.parse import unquote

import msgspec
from msgspec import Meta
from starlette.responses import Response

from columba.core import ids, model
from columba.core.outbox import Failed
from columba.errors import FieldError, Refusal
from columba.http.body import invalid
from columba.http.egress import Egress
from columba.http.endpoint import Call, Endpoint, endpoint
from columba.http.paging import Page, Paging, decode_cursor, page
from columba.http.times import Timestamp
from columba.keys import Key
from columba.media.fetching import Fetching
from columba.media.links import HOUR_MS, PREFIX
from columba.media.room import BY_URL, FAILED, ORIGINS, SQL, Found, Media, Medium
from columba.media.sniff import is_inline
from columba.store import Step, Store, plan

TAG: Final = "Media"
MARGIN: Final = 64 * 1024  # what a form adds to its file
MOST_PARTS, LONGEST_HEAD = 20, 8_192

Name = Annotated[str, Meta(min_length=1, max_length=200, description="What to call the file.")]
Origin = Literal["upload", "url", "received"]
State = Literal["pending", "ready", "failed"]


class NewMedia(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A file to be fetched. To upload one, send the file itself, or a form that has it as `file`.

    url: where it is now
    """

    url: Annotated[str, Meta(min_length=1, max_length=2_000)]
    name: Name | None = None


class MediaFile(msgspec.Struct, kw_only=True):
    """A file that is kept.

    url: a signed link to it, for whoever has it
    url_expires_at: when that link ends; reading this again gives a new one
    content_type: what its bytes say that it is
    state: `pending` while it is being fetched
    message_id: the text from a person that it came with
    error: why it could not be fetched, the last time
    """

    id: str
    url: str
    name: str
    content_type: str | None
    size: int
    sha256: str | None
    state: State
    origin: Origin
    message_id: str | None
    error: str | None
    created_at: Timestamp
    url_expires_at: Timestamp


class Uploading(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to call a file that is the body itself."""

    name: Name | None = None


class Wanted(Paging, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which media.

    message_id: those of one message
    """

    message_id: Annotated[str, Meta(max_length=64)] | None = None
    origin: Origin | None = None


class LinkQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What makes a link good."""

    expires: Annotated[str, Meta(max_length=12)] = ""
    sig: Annotated[str, Meta(max_length=64)] = ""


class Usage(msgspec.Struct):
    """What an account keeps.

    quota: how many bytes it may keep; null without an end
    """

    bytes: int
    files: int
    quota: int | None
    largest_file: int


class Upload(NamedTuple):
    body: bytes
    content_type: str
    name: str | None


EXAMPLE: Final = {"url": "https://example.org/menu.jpg"}
SHOWN: Final[model.Json] = {
    "id": "med_0ajk7w2kn0401",
    "url": "https://sms.example.org/media/med_0ajk7w2kn0401/menu.jpg?expires=1770458400&sig=bq0cBPa0yR3Xf2zH6m1q3Q",
    "name": "menu.jpg",
    "content_type": "image/jpeg",
    "size": 48213,
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "state": "ready",
    "origin": "upload",
    "message_id": None,
    "error": None,
    "created_at": "2026-01-31T09:30:00.000Z",
    "url_expires_at": "2026-02-07T10:00:00.000Z",
}


def endpoints(
    media: Media, fetching: Fetching, egress: Egress, store: Store, clock: Callable[[], int]
) -> list[Endpoint]:
    """The endpoints under /v1/media, and the public ones."""

    @endpoint(
        "POST", "/v1/media", body=NewMedia, files=True, query=Uploading, body_limit=media.limits.size + MARGIN,
        answer=MediaFile, status=201, scope="media:write", tag=TAG, summary="Upload a file, or have one fetched",
        refusals=("quota_exceeded", "store_unavailable", "invalid_url", "forbidden_url"), example=EXAMPLE,
        answer_example=SHOWN,
    )  # fmt: skip
    async def create_media(call: Call[NewMedia | None, Uploading]) -> model.Json:
        """The body is the file, with its Content-Type; or a form (`multipart/form-data`) with a part `file`; or JSON with
        a `url`, from which it is fetched now. It is kept when this is answered. What it is is told by its bytes: a type
        that says otherwise is refused. Name its `id` in a message's `media`; what no message uses is deleted in time."""
        who = _caller(call)
        if call.body is not None:
            problem = egress.check_url(call.body.url)
            if problem is not None:
                code = "invalid_url" if problem.kind == "invalid_url" else "forbidden_url"
                raise invalid([FieldError("url", code, problem.detail)])
            try:
                got = await fetching.now(call.body.url)
            except Failed as failed:
                raise invalid([FieldError("url", "invalid_url", f"It could not be fetched: {failed}")]) from None
            name = call.body.name or unquote(call.body.url.partition("?")[0].rpartition("/")[2])
            made = await media.add(who.account_id, who.mode, got.body, got.declared, name, BY_URL)
        else:
            upload = read_upload(call.raw, call.header("content-type") or "")
            made = await media.add(
                who.account_id, who.mode, upload.body, upload.content_type, call.query.name or upload.name
            )
        return media.view(made)

    @endpoint(
        "GET", "/v1/media", query=Wanted, answer=Page[MediaFile], scope="media:read", tag=TAG, summary="List media"
    )
    async def list_media(call: Call[None, Wanted]) -> Page[model.Json]:
        """The newest first: uploaded, fetched and received."""
        who, query = _caller(call), call.query
        last = decode_cursor(query.cursor, tuple[int])
        message_id = None
        if query.message_id is not None:
            message_id = ids.read("msg", query.message_id)
            if message_id is None:
                raise invalid([FieldError("message_id", "invalid_value", "Expected the id of a message (msg_...).")])
        found = await media.list(
            who.account_id, who.mode, (1 << 62) if last is None else last[0], query.limit + 1, message_id,
            -1 if query.origin is None else ORIGINS.index(query.origin),
        )  # fmt: skip
        return page(found, query.limit, media.view, lambda medium: (medium.id,))

    @endpoint("GET", "/v1/media/usage", answer=Usage, scope="media:read", tag=TAG, summary="See how much is kept")
    async def media_usage(call: Call[None, None]) -> Usage:
        """Of the account, in both of its modes."""
        kept, files = await media.usage(_caller(call).account_id)
        return Usage(kept, files, media.limits.quota or None, media.limits.size)

    async def find(call: Call[Any, Any]) -> Medium:
        who = _caller(call)
        return await media.find(who.account_id, who.mode, ids.read(PREFIX, call.path["id"]))

    @endpoint("GET", "/v1/media/{id}", answer=MediaFile, scope="media:read", tag=TAG, summary="Get a file's record")
    async def get_media(call: Call[None, None]) -> model.Json:
        """What it is, with a fresh link."""
        return media.view(await find(call))

    @endpoint(
        "GET", "/v1/media/{id}/content", media="*/*", scope="media:read", tag=TAG,
        summary="Download a file", refusals=("media_pending", "store_unavailable"),
    )  # fmt: skip
    async def download_media(call: Call[None, None]) -> Response:
        """The bytes, for whoever has the account's key. A link needs none."""
        return served(await media.read(await find(call)), call.headers, 0)

    @endpoint(
        "POST", "/v1/media/{id}/fetch", answer=MediaFile, scope="media:write", tag=TAG,
        summary="Fetch a file again", refusals=("conflict",),
    )  # fmt: skip
    async def fetch_media(call: Call[None, None]) -> model.Json:
        """One that came with a text and could not be fetched is tried anew."""
        medium = await find(call)
        results = await store.commit(plan(Step(SQL["fetch_again"], [(medium.id, clock())])))
        if medium.id not in {row[0] for row in results[0]}:
            why = "its address is no longer known" if medium.state == FAILED else "it has not failed"
            raise Refusal("conflict", f"It can't be fetched again: {why}.")
        fetching.wake()
        return media.view(await find(call))

    @endpoint(
        "DELETE", "/v1/media/{id}", scope="media:write", tag=TAG, summary="Delete a file",
        refusals=("conflict", "store_unavailable"),
    )  # fmt: skip
    async def delete_media(call: Call[None, None]) -> None:
        """The bytes go, links to it end, and messages that had it show a link that leads nowhere."""
        await media.discard(await find(call))

    async def by_link(an_id: int | None, call: Call[None, Any], ends: int) -> Response:
        if an_id is None:
            raise Refusal("not_found", "There is nothing at this address.")
        if an_id == 0:
            raise Refusal("link_expired")
        medium = await media.by_link(an_id)
        if medium is None:
            raise Refusal("not_found", "It has been deleted.")
        return served(await media.read(medium), call.headers, (ends - clock()) // 1000)

    @endpoint(
        "GET", "/media/{id}/{name}", public=True, query=LinkQuery, media="*/*", tag=TAG,
        summary="Follow a link", refusals=("link_expired", "media_pending", "store_unavailable"),
    )  # fmt: skip
    async def follow_link(call: Call[None, LinkQuery]) -> Response:
        """What a signed link leads to, until it ends. Ranges and ETags are understood."""
        query = call.query
        ends = int(query.expires) * 1000 if query.expires.isascii() and query.expires.isdecimal() else 0
        return await by_link(media.links.check(call.path["id"], query.expires, query.sig), call, ends)

    @endpoint(
        "GET", "/m/{code}", public=True, media="*/*", tag=TAG, summary="Follow a short link",
        refusals=("link_expired", "media_pending", "store_unavailable"),
    )  # fmt: skip
    async def follow_short_link(call: Call[None, None]) -> Response:
        """The same, as it stands in texts."""
        return await by_link(media.links.check_short(call.path["code"]), call, clock() + HOUR_MS)

    return [
        create_media,
        list_media,
        media_usage,
        get_media,
        download_media,
        fetch_media,
        delete_media,
        follow_link,
        follow_short_link,
    ]


# -- In


def read_upload(raw: bytes, content_type: str) -> Upload:
    """The file in a body: the whole of it, or the part `file` of a form."""
    about = _headers(b"content-type: " + content_type.encode("latin-1", "replace"))
    if about.get_content_type() != "multipart/form-data":
        return Upload(raw, content_type, None)
    boundary = about.get_param("boundary")
    if not isinstance(boundary, str) or not 0 < len(boundary) <= 70:  # RFC 2046 §5.1.1
        raise invalid([FieldError("body", "invalid_value", "The form's Content-Type names no boundary.")])
    for head, body in _parts(raw, boundary.encode("latin-1", "replace")):
        part = _headers(head)
        if part.get_param("name", header="content-disposition") == "file":
            return Upload(body, part.get("content-type", ""), part.get_filename())
    raise invalid([FieldError("file", "required", "Expected a form with a part named `file`.")])


def _headers(raw: bytes) -> Message:
    return HeaderParser().parsestr(raw.decode("utf-8", "replace"))


def _parts(raw: bytes, boundary: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The head and the body of each part (RFC 2046 §5.1). By hand: the library's parser reads line by line."""
    line = b"\r\n--" + boundary
    raw = b"\r\n" + raw
    start = raw.find(line)
    for _ in range(MOST_PARTS):
        if start < 0 or raw.startswith(b"--", start + len(line)):
            return
        head = raw.find(b"\r\n", start + len(line)) + 2
        blank = raw.find(b"\r\n\r\n", head - 2, head + LONGEST_HEAD)
        end = raw.find(line, head)
        if head < 2 or blank < 0 or end < 0:
            return
        yield raw[head:blank], raw[blank + 4 : end]
        start = end


# -- Out


def served(found: Found, headers: Mapping[bytes, bytes], fresh_s: int) -> Response:
    """The file as an answer: whole, a range of it (RFC 9110 §14), or nothing where it is known already."""
    tag = f'"{found.digest[:32]}"'
    shown = "inline" if is_inline(found.content_type) else "attachment"
    text = found.content_type.startswith("text/")
    lines = {
        "content-type": f"{found.content_type}; charset=utf-8" if text else found.content_type,
        "content-disposition": f'{shown}; filename="{found.name}"',
        "x-content-type-options": "nosniff",
        "content-security-policy": "default-src 'none'; sandbox",
        "cross-origin-resource-policy": "cross-origin",
        "referrer-policy": "no-referrer",
        "x-robots-tag": "noindex",
        "cache-control": f"private, max-age={min(fresh_s, 3600)}" if fresh_s > 0 else "no-store",
        "accept-ranges": "bytes",
        "etag": tag,
    }
    if tag in headers.get(b"if-none-match", b"").decode("latin-1"):
        return Response(status_code=304, headers=lines)
    span = _range(headers, len(found.body), tag)
    if span is None:
        return Response(found.body, headers=lines)
    start, end = span
    if start >= end:
        return Response(status_code=416, headers={**lines, "content-range": f"bytes */{len(found.body)}"})
    lines["content-range"] = f"bytes {start}-{end - 1}/{len(found.body)}"
    return Response(found.body[start:end], status_code=206, headers=lines)


def _range(headers: Mapping[bytes, bytes], size: int, tag: str) -> tuple[int, int] | None:
    """The one range that is asked for; None for the whole. A player of films asks for a piece first."""
    unit, _, asked = headers.get(b"range", b"").decode("latin-1").partition("=")
    if unit.strip().lower() != "bytes" or "," in asked or headers.get(b"if-range", tag.encode()) != tag.encode():
        return None
    first, dash, last = asked.strip().partition("-")
    if not dash or not all(
        each.isascii() and (each.isdecimal() or not each) and len(each) < 16 for each in (first, last)
    ):
        return None
    if not first:
        return (max(0, size - int(last)), size) if last and int(last) else ((size, size) if last else None)
    return int(first), min(size, int(last) + 1) if last else size


def _caller(call: Call[Any, Any]) -> Key:
    assert isinstance(call.caller, Key)
    return call.caller
