"""What an answer is: how templates see it, whether it is a success, what is saved of it, what of it is shown. Pure.

Saving fails with UserCodeError; nothing else fails.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from columba.forwarding.destinations_views import GotResponse
from columba.forwarding.rendering import CompiledSaved, CompiledSuccess
from columba.http.egress import Answer
from columba.usercode import Template, UserCodeError, jsonpath

MOST_KEPT = 20_000  # bytes of an answer that are kept and shown
# What the same request will be answered again.
HOPELESS = frozenset({400, 405, 406, 410, 411, 413, 414, 415, 422, 501, 505})


class Judged(NamedTuple):
    """What an answer is taken for."""

    error: str | None
    permanent: bool = False


def result_of(answer: Answer) -> dict[str, Any]:
    """An answer as templates and expressions see it."""
    return {
        "ok": True,
        "skipped": False,
        "status": answer.status,
        "headers": answer.headers,
        "body": answer.body.decode("utf-8", "replace"),
        "json": _document(answer),
        "saved": {},
    }


def _document(answer: Answer) -> Any:
    if not answer.body or answer.body[:1] == b"<" or answer.truncated:
        return None
    try:
        return msgspec.json.decode(answer.body)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None


def judge(success: CompiledSuccess, answer: Answer, seen: Mapping[str, Any]) -> Judged:
    error: str | None = None
    hopeless = False
    if not success.status(answer.status):
        error = f"http_{answer.status}: The server answered {answer.status}"
        if 300 <= answer.status < 400:
            error += ", and redirects are not followed: use the final address"
        error += "."
        hopeless = answer.status in HOPELESS
    else:
        for name, pattern in success.headers:
            if not pattern.matches(answer.header(name) or ""):
                error = f"check: The answer's header {name} is not as it should be."
                break
        if error is None and success.cel is not None:
            error = _not_true(success, seen)
    if error is not None and success.permanent is not None:
        hopeless = success.permanent.holds(seen)
    return Judged(error, hopeless)


def _not_true(success: CompiledSuccess, seen: Mapping[str, Any]) -> str | None:
    assert success.cel is not None
    try:
        value = success.cel.evaluate(seen)
    except UserCodeError as error:
        return f"check: The answer is no success: {success.cel.source[:200]} has no value ({error.detail})."
    return None if value is True else f"check: The answer is no success: {success.cel.source[:200]} is not true."


def saved_of(saved: CompiledSaved, result: Mapping[str, Any], inner: Mapping[str, Any]) -> Any:
    spec = saved.spec
    if spec.jsonpath is not None:
        return jsonpath(spec.jsonpath, result["json"])
    if spec.header is not None:
        return result["headers"].get(spec.header.lower())
    seen = {**inner, **result, "answer": result}
    if isinstance(saved.look, Template):
        return saved.look.render(seen)
    assert saved.look is not None
    return saved.look.evaluate(seen)


def shown_of(answer: Answer, hide: Callable[[str], str]) -> GotResponse:
    body = answer.body[:MOST_KEPT].decode("utf-8", "replace").replace("\0", "\ufffd")
    return GotResponse(
        status=answer.status,
        headers={name: hide(value) for name, value in answer.headers.items()},
        body=hide(body),
        truncated=answer.truncated or len(answer.body) > MOST_KEPT,
        latency_ms=int(answer.latency * 1000),
    )
