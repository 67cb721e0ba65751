"""Refusals and surprises as application/problem+json (RFC 9457).

A Refusal is told in full, with every field it names. Anything else is `internal`: logged with its trace under the
request's id, and none of it told. Nothing here fails.
"""

import traceback
from typing import Final

import msgspec
import structlog
from starlette.types import Scope, Send

from columba.errors import Refusal
from columba.http.wire import CLOSE, NO_STORE, Pairs, Unread, encode, send_answer

TYPE_PROBLEM: Final = (b"content-type", b"application/problem+json")

_CODES: Final = {404: "not_found", 405: "method_not_allowed", 413: "payload_too_large"}

_log = structlog.get_logger(__name__)


class FieldProblem(msgspec.Struct, frozen=True):
    """One problem of one field.

    field: a path such as `messages[3].to`, a query parameter's or a header's name, or `body` for the whole of it
    code: from the same catalogue as the problem's own code
    detail: what was expected and what came
    """

    field: str
    code: str
    detail: str


class Problem(msgspec.Struct, frozen=True):
    """Why a request was not done (RFC 9457).

    type: where the code is explained
    title: the code in a few words, always the same
    status: the HTTP status again
    detail: what was wrong this time
    code: one of the catalogue at /docs/errors
    request_id: what to name when asking about it
    errors: every field that is wrong, where fields are
    """

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[FieldProblem] = []


def problem(refusal: Refusal, request_id: str) -> Problem:
    """The body of the answer to a refusal."""
    return Problem(
        type=f"/docs/errors#{refusal.code}",
        title=refusal.kind.title,
        status=refusal.kind.http,
        detail=refusal.detail,
        code=refusal.code,
        request_id=request_id,
        errors=[FieldProblem(*error) for error in refusal.errors],
    )


def problem_headers(refusal: Refusal, request_id: str) -> list[tuple[bytes, bytes]]:
    """The headers of the answer to a refusal."""
    headers = [TYPE_PROBLEM, NO_STORE, (b"x-request-id", request_id.encode())]
    if refusal.retry_after is not None:
        headers.append((b"retry-after", b"%d" % max(refusal.retry_after, 0)))
    if refusal.kind.http == 401:
        headers.append((b"www-authenticate", b'Bearer realm="columba"'))  # RFC 9110 §15.5.2
    if isinstance(refusal, Unread):
        headers.append(CLOSE)
    return headers


async def send_problem(send: Send, refusal: Refusal, request_id: str, headers: Pairs = ()) -> None:
    """Answer with a refusal; `headers` come on top of its own."""
    body = encode(problem(refusal, request_id))
    await send_answer(send, refusal.kind.http, body, (*problem_headers(refusal, request_id), *headers))


def internal(error: Exception, request_id: str, scope: Scope) -> Refusal:
    """What an unexpected exception is answered with, once it is in the log."""
    _log.error(
        "request_failed", request_id=request_id, method=scope["method"], path=scope["path"], exception=trace(error)
    )
    return Refusal("internal", "It was noted under this request_id.")


def trace(error: BaseException) -> str:
    """An exception for the log: where it came from, without the local variables that some formatters add."""
    return "".join(traceback.format_exception(error))


def code_of(status: int) -> str:
    """How a bare status, of a mounted app for one, is told."""
    return _CODES.get(status, "internal" if status >= 500 else "invalid_request")
