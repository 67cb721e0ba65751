"""Carriers of kind `http`: any provider, by configuration alone.

The request is a template; its answer is judged by status, a pattern or an expression; what callbacks say is found by
paths. What is wrong with any of it is told when the carrier is set up. At work, a template that can't be carried out
fails its message (`rejected`), and a callback that can't be read is answered 400.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec

from columba.carriers.over_http import (
    REJECTED,
    WHOLE,
    About,
    Callback,
    Request,
    Said,
    Unsendable,
    Unsigned,
    Way,
    basic,
    by_status,
    digits,
    dlt,
    http_kind,
    number,
    same,
    sender_of,
    told,
)
from columba.core import status
from columba.core.contract import CUT, Can, Cut, Fragment, Inbound, Outcome, Part, Receipt
from columba.http.egress import Answer
from columba.text import Decoded
from columba.usercode import UserCodeError

from .config import Auth, Basic, Bearer, Config, Header, Hmac, Query
from .made import USUAL, Find, Made, Place

MOST_EACH: Final = 1_000


def request(config: Config, part: Part, way: Way) -> Request:
    made = config.made
    sender = sender_of(config, part)
    values = {
        "id": f"{part.message_id:x}-{part.n}",
        "to": part.to,
        "to_digits": digits(part.to),
        "from": sender,
        "from_digits": digits(sender),
        "text": part.text,
        "media": list(part.media),
        "class": status.CLASSES[part.klass],
        "encoding": status.ENCODINGS[part.encoding],
        "part": part.n,
        "parts": part.of,
        "ref": part.ref,
        "udh": f"050003{part.ref & 0xFF:02x}{part.of & 0xFF:02x}{part.n & 0xFF:02x}" if part.of > 1 else "",
        "callback": way.callback("status"),
        "dlt_entity_id": "",
        "dlt_template_id": "",
        **dlt(part, "dlt_entity_id", "dlt_template_id"),
        "valid_for": max(1, (part.expires_at - way.now) // 1000) if part.expires_at else None,
    }
    try:
        url = made.url.render(values)
        query = [(name, template.render(values)) for name, template in made.query]
        headers = {name: template.render(values) for name, template in made.headers}
        body = made.body(values) if made.body is not None else b""
    except UserCodeError as error:
        raise Unsendable(str(error)[:200]) from None
    if made.content_type and not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = made.content_type
    return _authorised(config.auth, config.request.method, url, query, headers, body)


def _authorised(
    auth: Auth, method: str, url: str, query: Sequence[tuple[str, str]], headers: dict[str, str], body: bytes
) -> Request:
    match auth:
        case Bearer(token):
            headers["Authorization"] = f"Bearer {token}"
        case Basic(user, password):
            headers |= basic(user, password)
        case Header(name, value):
            headers[name] = value
        case Query(name, value):
            query = [*query, (name, value)]
        case Hmac():
            headers[auth.header] = auth.prefix + _mac(auth, body)
    if query:
        url += ("&" if "?" in url else "?") + urlencode(query, quote_via=quote)
    return Request(method, url, headers, body)


def _mac(auth: Hmac, text: bytes) -> str:
    mac = hmac.digest(auth.secret.encode(), text, getattr(hashlib, auth.algorithm))
    return mac.hex() if auth.encoding == "hex" else base64.b64encode(mac).decode()


def probe(config: Config) -> Request | None:
    return _authorised(config.auth, "GET", config.probe, [], {}, b"") if config.probe else None


def answer(config: Config, part: Part, answer: Answer) -> Outcome:
    made = config.made
    place = _answered(answer)
    if made.taken(answer, place):
        an_id = _said(made.id(place)) if made.id is not None else ""
        if made.id is not None and not an_id:
            raise ValueError("the answer has no id")
        return Outcome("sent", an_id[:255] or None)
    code = _said(made.code(place)) if made.code is not None else ""
    meaning = made.codes.get(code)
    if meaning is not None:
        return meaning.outcome(code)
    return by_status(answer.status, code) if answer.status >= 300 else REJECTED.outcome(code or "not as it should be")


def _answered(answer: Answer) -> Place:
    text = answer.body.decode("utf-8", "replace")
    document = _json(answer.body) if answer.body[:1] in (b"{", b"[", b'"') else None
    return Place(document, document if isinstance(document, dict) else {}, answer.headers, text)


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None


def _said(value: Any) -> str:
    """A value as providers mean it, whether they write it as a text or as a number."""
    if isinstance(value, str):
        return value
    return "" if value is None else msgspec.json.encode(value).decode()


# -- In


def parse(config: Config, callback: Callback) -> Said:
    check(config.callbacks.check, callback)
    made = config.made
    place = _called(callback)
    if callback.name == "status":
        return _receipts(made, place, callback.now)
    assert config.callbacks.inbound is None or made.inbound is not None
    if made.inbound is None or config.callbacks.inbound is None:
        raise ValueError("callbacks.inbound is not set")
    wait_ms = int(config.callbacks.inbound.join_seconds * 1000)
    return Said(
        inbound=tuple(_text(made.inbound, each, wait_ms) for each in _each(made.inbound["each"], place)),
        reply=made.reply,
    )


def check(how: Basic | Header | Query | Hmac | None, callback: Callback) -> None:
    match how:
        case Query(name, value):
            good = same(callback.asked(name), value)
        case Header(name, value):
            good = same(callback.header(name.lower()), value)
        case Basic(user, password):
            good = same(callback.header("authorization"), basic(user, password)["Authorization"])
        case Hmac():
            moment = callback.header(how.timestamp.lower()).encode() + b"." if how.timestamp else b""
            given = callback.header(how.header.lower())
            good = bool(given) and same(given, how.prefix + _mac(how, moment + callback.body))
        case None:
            raise Unsigned("Callbacks of this carrier are refused: callbacks.check is not set.")
    if not good:
        raise Unsigned("The callback's secret or signature is missing or wrong.")


def _called(callback: Callback) -> Place:
    text = callback.body.decode("utf-8", "replace")
    if callback.body[:1] in (b"{", b"[") and not callback.media_type.endswith("urlencoded"):
        document = msgspec.json.decode(callback.body)
        return Place(document, document if isinstance(document, dict) else {}, callback.headers, text)
    fields = dict(callback.pairs())
    return Place(fields, fields, callback.headers, text or callback.query)


def _each(find: Find | None, place: Place) -> Iterable[Place]:
    if find is None:
        return (place,)
    found = find(place)
    if not isinstance(found, list) or len(found) > MOST_EACH:
        raise ValueError("`each` finds no list")
    return [Place(each, each if isinstance(each, dict) else {}, place.headers, place.text) for each in found]


def _receipts(made: Made, place: Place, now: int) -> Said:
    if made.status is None:
        raise ValueError("callbacks.status is not set")
    each, an_id, word, code, codes, statuses = made.status
    found: list[Receipt] = []
    strange = ""
    for one in _each(each, place):
        name = _said(an_id(one))[:255]
        if not name:
            raise ValueError("the receipt has no id")
        said = told(name, _said(word(one)).lower(), statuses, now, codes, _said(code(one)) if code is not None else "")
        found += said.receipts
        strange = strange or said.strange
    return Said(tuple(found), reply=made.reply, strange=strange)


def _text(made: Mapping[str, Find | None], place: Place, wait_ms: int) -> Inbound:
    def value(name: str) -> str:
        find = made[name]
        return _said(find(place)) if find is not None else ""

    if not value("sender"):
        raise ValueError("the text has no sender")
    media = made["media"](place) if made["media"] is not None else None
    found = media if isinstance(media, list) else [media] if media else []
    fragment = None
    if value("ref") and value("parts") not in ("", "0", "1"):
        n, of = int(value("part")), int(value("parts"))
        if 1 <= n <= of <= 255:
            body = Decoded(value("text"), "utf8", value("text").encode())
            fragment = Fragment(f"h{value('ref')[:64]}", n, of, body, wait_ms)
    return Inbound(
        number(value("sender")),
        number(value("to")),
        value("text"),
        tuple(map(_said, found)),
        value("id")[:255] or None,
        fragment,
    )


def credentials(config: Config) -> Mapping[str, str]:
    """For media of its own, where they are headers."""
    if isinstance(config.auth, Bearer | Basic | Header):
        return _authorised(config.auth, "GET", "", [], {}, b"").headers
    return {}


def urls(config: Config) -> Mapping[str, str]:
    """The addresses, as far as they are fixed."""
    found = {"base_url": config.base_url} if config.base_url else {}
    if not config.request.url.startswith("/"):
        host, _, rest = config.request.url.partition("://")
        fixed = f"{host}://{rest.split('/')[0].split('?')[0]}"
        if "{" not in fixed:
            found["request.url"] = fixed
    if config.probe:
        found["probe"] = config.probe
    return found


def cut(config: Config) -> Cut:
    return (WHOLE if config.long == "whole" else CUT)._replace(alphabet=config.alphabet)


KIND = http_kind(
    "http",
    Config,
    request=request,
    answer=answer,
    parse=parse,
    probe=probe,
    fetch=credentials,
    cut=lambda config: (
        WHOLE._replace(alphabet=config.alphabet) if config.long == "whole" else CUT._replace(alphabet=config.alphabet)
    ),
    can=lambda config: Can(media=config.media, receipts=config.callbacks.status is not None),
    urls=urls,
    about=About(
        "any provider",
        "What `callbacks.check` says: a secret in a header or in the address, Basic authentication, or a signed body.",
        USUAL,
        {},
        "",
    ),
)
