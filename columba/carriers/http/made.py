"""A configuration of kind `http` made ready to use, once: templates, paths, patterns, maps.

Fails with UserCodeError that names the field.
"""

import re
from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

import msgspec

from columba.carriers.over_http import (
    ACCOUNT,
    EXPIRED,
    FILTERED,
    NO_SUCH_NUMBER,
    NOT_HERE,
    OPTED_OUT,
    REJECTED,
    TOO_FAST,
    TROUBLE,
    UNREACHABLE,
    Errors,
    Meaning,
    Reply,
)
from columba.core import status
from columba.http.egress import Answer
from columba.usercode import Expression, Pattern, Template, UserCodeError, jsonpath, parse_path, structure

from .config import Body, Config, Statuses, Success, Texts

NAMES: Final = frozenset(
    {
        *("id", "to", "to_digits", "from", "from_digits", "text", "media", "class", "encoding", "part", "parts", "ref"),
        *("udh", "callback", "valid_for", "dlt_entity_id", "dlt_template_id"),
    }
)
ANSWER_NAMES: Final = frozenset({"status", "headers", "body", "text"})

MEANINGS: Final[dict[str, Meaning]] = {
    "unknown_number": NO_SUCH_NUMBER,
    "unreachable": UNREACHABLE,
    "filtered": FILTERED,
    "opted_out": OPTED_OUT,
    "rejected": REJECTED,
    "expired": EXPIRED,
    "throttled": TOO_FAST,
    "retry": TROUBLE,
    "reroute": NOT_HERE,
    "account": ACCOUNT,
}
_STATES: Final[dict[str, int | None]] = {"pending": None} | {
    name: status.NUMBERS[name] for name in ("delivered", "undelivered", "failed", "expired", "canceled", "unknown")
}
# The words that most providers use; `statuses` goes before them. Upper-case ones are SMPP's.
USUAL: Final[dict[str, int | None]] = {
    **dict.fromkeys(
        ("accepted", "queued", "buffered", "pending", "enroute", "sending", "sent", "submitted", "acceptd")
    ),
    **dict.fromkeys(("scheduled", "processed")),
    **dict.fromkeys(("delivered", "delivrd", "read", "success"), status.DELIVERED),
    **dict.fromkeys(("undelivered", "undeliv", "undeliverable", "not_delivered"), status.UNDELIVERED),
    **dict.fromkeys(("failed", "rejected", "rejectd", "error"), status.FAILED),
    "expired": status.EXPIRED,
    **dict.fromkeys(("deleted", "canceled", "cancelled"), status.CANCELED),
    "unknown": status.UNKNOWN,
}


class Place(NamedTuple):
    """What is looked into: an answer, or a callback, or one of several things in it."""

    document: Any
    fields: Mapping[str, Any]
    headers: Mapping[str, str]
    text: str


Find = Callable[[Place], Any]


class Made(NamedTuple):
    url: Template
    headers: list[tuple[str, Template]]
    query: list[tuple[str, Template]]
    body: Callable[[Mapping[str, Any]], bytes] | None
    content_type: str
    taken: Callable[[Answer, Place], bool]
    id: Find | None
    code: Find | None
    codes: Errors
    status: tuple[Find | None, Find, Find, Find | None, Errors, Mapping[str, int | None]] | None
    inbound: dict[str, Find | None] | None
    reply: Reply


def make(config: Config) -> Made:
    ask = config.request
    made = config.callbacks
    url = ask.url if not ask.url.startswith("/") else config.base_url.rstrip("/") + ask.url
    content_type, body = _body(ask.body)
    return Made(
        _named("request.url", Template.parse, url, NAMES, "url"),
        [
            (name, _named(f"request.headers.{name}", Template.parse, text, NAMES, "line"))
            for name, text in ask.headers.items()
        ],
        [(name, _named(f"request.query.{name}", Template.parse, text, NAMES)) for name, text in ask.query.items()],
        body,
        content_type,
        _taken(config.success),
        _find("id", config.id) if config.id else None,
        _find("failure.code", config.failure.code) if config.failure.code else None,
        {code: MEANINGS[word] for code, word in config.failure.codes.items()},
        _statuses(made.status) if made.status else None,
        _texts(made.inbound) if made.inbound else None,
        Reply(made.reply.status, made.reply.body.encode(), made.reply.content_type),
    )


def _named(field: str, make: Callable[..., Any], *given: Any) -> Any:
    try:
        return make(*given)
    except UserCodeError as error:
        raise UserCodeError(0, 0, f"{field}: {error}") from None


def _body(body: Body | None) -> tuple[str, Callable[[Mapping[str, Any]], bytes] | None]:
    if body is None:
        return "", None
    if body.form is not None:
        form = [
            (name, _named(f"request.body.form.{name}", Template.parse, text, NAMES)) for name, text in body.form.items()
        ]
        return "application/x-www-form-urlencoded", lambda values: urlencode(
            [(name, template.render(values)) for name, template in form]
        ).encode()
    if body.text is not None:
        xml = body.text.lstrip().startswith("<")
        template: Template = _named("request.body.text", Template.parse, body.text, NAMES, "xml" if xml else "none")
        return "text/xml; charset=utf-8" if xml else "text/plain; charset=utf-8", lambda values: template.render(
            values
        ).encode()
    _named("request.body.json", structure, body.json, NAMES)
    shape = _shape(body.json)
    return "application/json", lambda values: _encode(shape(values))


_encode = msgspec.json.Encoder().encode
_VARIABLE: Final = re.compile(r"\{\{\s*(\w+)\s*\}\}")


def _shape(value: Any) -> Callable[[Mapping[str, Any]], Any]:
    """A structure in which a lone variable, which most texts are, is looked up and not rendered."""
    if isinstance(value, dict):
        pairs = [(name, _shape(each)) for name, each in value.items()]
        return lambda values: {name: make(values) for name, make in pairs}
    if isinstance(value, list):
        makers = [_shape(each) for each in value]
        return lambda values: [make(values) for make in makers]
    lone = _VARIABLE.fullmatch(value) if isinstance(value, str) else None
    if lone is not None:
        return itemgetter(lone[1])
    if isinstance(value, str) and "{" in value:
        made = structure(value, NAMES)
        return made.render
    return lambda _values: value


def _taken(success: Success) -> Callable[[Answer, Place], bool]:
    allowed = frozenset(success.status) or range(200, 300)
    pattern: Pattern | None = _named("success.pattern", Pattern.parse, success.pattern) if success.pattern else None
    expression: Expression | None = (
        _named("success.expression", Expression.parse, success.expression, ANSWER_NAMES) if success.expression else None
    )

    def taken(answer: Answer, place: Place) -> bool:
        if answer.status not in allowed or (pattern is not None and not pattern.matches(place.text)):
            return False
        if expression is None:
            return True
        values = {"status": answer.status, "headers": dict(place.headers), "body": place.document, "text": place.text}
        return expression.holds(values)

    return taken


_STEPS: Final = re.compile(r"\$((?:\.[A-Za-z_]\w*|\[(?:[0-9]{1,4}|'[^'\\]*'|\"[^\"\\]*\")\])*)")
_STEP: Final = re.compile(r"\.(\w+)|\[([0-9]+)\]|\['([^']*)'\]|\[\"([^\"]*)\"\]")


def _find(field: str, where: str) -> Find:
    if where.startswith("$"):
        return _path(field, where)
    scheme, colon, rest = where.partition(":")
    if colon and scheme == "header":
        name = rest.strip().lower()
        return lambda place: place.headers.get(name)
    if colon and scheme == "pattern":
        pattern: Pattern = _named(field, Pattern.parse, rest)
        return lambda place: _group(pattern.match(place.text))
    return lambda place: place.fields.get(where)


def _group(found: dict[str, str] | None) -> str | None:
    return found.get("id", found.get("1", found["0"])) if found is not None else None


def _path(field: str, query: str) -> Find:
    """A plain path is followed by itself: that is fifty times as fast."""
    plain = _STEPS.fullmatch(query)
    if plain is None:
        _named(field, parse_path, query)
        return lambda place: jsonpath(query, place.document)
    steps: list[str | int] = [
        int(found[2]) if found[2] else found[1] or found[3] or found[4] or "" for found in _STEP.finditer(plain[1])
    ]

    def follow(place: Place) -> Any:
        at = place.document
        try:
            for step in steps:
                at = at[step]
        except (LookupError, TypeError):
            return None
        return at

    return follow


def _statuses(said: Statuses) -> tuple[Find | None, Find, Find, Find | None, Errors, Mapping[str, int | None]]:
    where = "callbacks.status"
    return (
        _find(f"{where}.each", said.each) if said.each else None,
        _find(f"{where}.id", said.id),
        _find(f"{where}.status", said.status),
        _find(f"{where}.code", said.code) if said.code else None,
        {code: MEANINGS[word] for code, word in said.codes.items()},
        {**USUAL, **{word.lower(): _STATES[state] for word, state in said.statuses.items()}},
    )


def _texts(said: Texts) -> dict[str, Find | None]:
    names = ("each", "sender", "to", "text", "id", "media", "ref", "part", "parts")
    places = {name: getattr(said, name) for name in names}
    return {name: _find(f"callbacks.inbound.{name}", where) if where else None for name, where in places.items()}
