"""Recorded exchanges: what is in `exchanges/KIND.json`, and a stand-in that answers as the provider did.

A file has a `config`, `sends` (what is sent for a part, what was answered, and what became of it) and `callbacks` (what
came in, and what it says). `{status}` stands for the address of the callback of that name. A new kind of carrier is
tested by adding its file.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec
import pytest

from columba.carriers import CarrierKind, kinds
from columba.carriers.over_http import Callback, never
from columba.core import status
from columba.core.contract import Inbound, Outcome, Receipt
from tests.carriers.signing import SIGN, Signed
from tests.program import Reply, Request

FOLDER = Path(__file__).with_name("exchanges")
NOW = 1_700_000_000_000
HOME = "https://columba.example"
Json = dict[str, Any]


class Case(NamedTuple):
    kind: str
    config: Json
    case: Json

    def built(self, base_url: str = "") -> Any:
        """The configuration as the kind has it, aimed at another server."""
        return msgspec.convert(aimed(self.config, base_url), kinds()[self.kind].config)


def aimed(config: Json, base_url: str) -> Json:
    """A configuration whose provider is elsewhere."""
    if not base_url:
        return config
    if "request" not in config:
        return {**config, "base_url": base_url}
    parts = urlsplit(config["request"]["url"])
    resource = f"{parts.path}?{parts.query}" if parts.query else parts.path
    return {**config, "base_url": base_url, "request": {**config["request"], "url": resource}}


def recorded(name: str) -> list[Case]:
    """All cases of one sort: `sends` or `callbacks`."""
    found = []
    for path in sorted(FOLDER.glob("*.json")):
        data = json.loads(path.read_text())
        for case in data[name]:
            config = {**data["config"], **case.get("config", {})}
            found.append(Case(path.stem, {k: v for k, v in config.items() if v is not None}, case))
    return found


def cases(name: str) -> list[Any]:
    return [pytest.param(each, id=f"{each.kind}: {each.case['name']}") for each in recorded(name)]


def first(kind: str, name: str, to: str = "", **wanted: Any) -> Case:
    """The first case of a kind that has what is wanted."""
    return next(
        each
        for each in recorded(name)
        if each.kind == kind
        and (not to or each.case["to"] == to)
        and all(each.case.get(key) not in (None, []) for key in wanted)
    )


def http_kinds() -> list[str]:
    return [name for name, kind in sorted(kinds().items()) if kind.parse is not None]


def kind_of(case: Case) -> CarrierKind:
    return kinds()[case.kind]


# -- The provider


def reply(answer: Json) -> Reply:
    """An answer as it was recorded."""
    headers = dict(answer.get("headers", {}))
    if "json" in answer:
        return Reply(
            answer["status"], json.dumps(answer["json"]).encode(), {"Content-Type": "application/json", **headers}
        )
    return Reply(answer["status"], answer.get("text", "").encode(), headers)


def check_request(request: Request, wanted: Json, status_url: str) -> None:
    """What arrived is what was recorded."""

    def filled(value: Any) -> Any:
        return json.loads(json.dumps(value).replace("{status}", status_url))

    if "method" in wanted:
        assert request.method == wanted["method"]
    if "path" in wanted:
        assert request.path == wanted["path"]
    for name, value in wanted.get("headers", {}).items():
        assert request.headers[name] == value, name
    if "json" in wanted:
        assert json.loads(request.body) == filled(wanted["json"])
    if "form" in wanted:
        pairs = parse_qsl(request.body.decode(), keep_blank_values=True)
        assert sorted(map(list, pairs)) == sorted(filled(wanted["form"]))
    if "body" in wanted:
        assert request.body.decode() == wanted["body"]


def shown(outcome: Outcome) -> Json:
    """An outcome as the files have it."""
    plain = {
        name: getattr(outcome, name) for name in ("kind", "id", "error", "code", "wait_ms") if getattr(outcome, name)
    }
    return plain | ({"parts": [shown(each) for each in outcome.parts]} if outcome.parts else {})


# -- Callbacks


def body_of(case: Json) -> tuple[bytes, str]:
    if "json" in case:
        return json.dumps(case["json"]).encode(), "application/json"
    if "form" in case:
        return urlencode(case["form"]).encode(), "application/x-www-form-urlencoded"
    return case.get("text", "").encode(), "text/plain"


def signed(case: Case, url: str, now: int = NOW) -> Signed:
    """A recorded callback, as the provider would send it now to this address."""
    body, media_type = body_of(case.case)
    query = case.case.get("query")
    url = f"{url}?{query}" if query else url
    headers = {"Content-Type": media_type, **case.case.get("headers", {})}
    sign: Callable[[Any, str, bytes, int], Signed] | None = SIGN.get(case.kind)
    made = sign(case.config, url, body, now) if sign is not None else Signed(url, {}, body)
    return made._replace(headers={**headers, **made.headers})


def callback(case: Case, made: Signed, used: Callable[[str], bool] = never, now: int = NOW) -> Callback:
    return Callback(
        case.case["to"], case.case.get("method", "POST"), (made.url,), urlsplit(made.url).query,
        {name.lower(): value for name, value in made.headers.items()}, made.body, now, used,
    )  # fmt: skip


def receipt(one: Receipt) -> Json:
    plain = {"id": one.carrier_message_id, "status": status.NAMES[one.status], "error": one.error, "code": one.code}
    return {name: value for name, value in plain.items() if value is not None}


def text(one: Inbound) -> Json:
    plain: Json = {"sender": one.sender, "to": one.to, "text": one.text}
    if one.carrier_message_id:
        plain["id"] = one.carrier_message_id
    if one.media:
        plain["media"] = list(one.media)
    if one.fragment:
        assert one.fragment.body.text == one.text
        plain["fragment"] = [one.fragment.ref, one.fragment.n, one.fragment.of]
    return plain


def headers_without(made: Signed, *names: str) -> Mapping[str, str]:
    return {name: value for name, value in made.headers.items() if name.lower() not in names}
