"""From what is asked for to a destination's spec: whole, changed, from a preset, from a curl command. Pure.

Raises Refusal with every problem, by field.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET

from columba.core import ids
from columba.core.model import rfc3339
from columba.errors import FieldError
from columba.forwarding import curl
from columba.forwarding.auth.kinds import NoAuth, OAuth2
from columba.forwarding.conditions import keyword_of
from columba.forwarding.destinations import (
    Destination,
    Wanted,
    divided,
    kept_secrets,
    references,
    unknown_secrets,
)
from columba.forwarding.destinations_shapes import HIDDEN, SEEN, DestinationChange, NewDestination, Request, Spec
from columba.forwarding.destinations_views import TriedMessage
from columba.forwarding.presets import fill, presets
from columba.http.body import invalid
from columba.http.checks import run_checks
from columba.http.egress import EgressError
from columba.usercode import Template, UserCodeError

OF_SPEC = tuple(name for name in Spec.__struct_fields__ if name not in ("params", "secrets"))
# Headers that hold a secret: given as they are, they are kept like one.
SECRET_HEADERS = frozenset(
    {
        *("authorization", "proxy-authorization", "x-api-key", "api-key", "apikey", "x-auth-token", "x-access-token"),
        *("private-token", "x-token", "cookie"),
    }
)
MOST_TEMPLATES = 1_000  # of a destination: they are compiled when it is first used
CheckUrl = Callable[[str], EgressError | None]


def made(asked: NewDestination, check_url: CheckUrl, account: Mapping[str, object]) -> Wanted:
    """A new destination. `account` has the names of the account's secrets."""
    own = _given(asked)
    preset = None
    if asked.preset is not None:
        preset = presets().get(asked.preset)
        if preset is None:
            detail = f"Expected one of {', '.join(presets())}."
            raise invalid([FieldError("preset", "invalid_value", detail)])
        params, secrets, errors = fill(preset, _mapping(asked.params))
        if errors:
            raise invalid(errors)
        base: dict[str, Any] = {**preset.destination, "params": params, "secrets": secrets}
    elif asked.curl is not None:
        try:
            base = curl.read(asked.curl)
        except curl.CurlError as error:
            raise invalid([FieldError("curl", "invalid_value", str(error))]) from None
        base["params"], base["secrets"] = _mapping(asked.params), {}
    else:
        base = {"params": _mapping(asked.params), "secrets": {}}
    secrets = {
        **base["secrets"],
        **{name: value for name, value in _mapping(asked.secrets).items() if value is not None},
    }
    try:
        spec = msgspec.convert({**base, **own, "secrets": secrets}, Spec)
    except msgspec.ValidationError as error:  # of a preset or a curl command: what is given itself was checked
        raise invalid([FieldError("curl" if asked.curl else "preset", "invalid_value", str(error))]) from None
    spec = _with_secret_headers(spec)
    check(spec, check_url, account)
    name = asked.name if asked.name is not UNSET else preset.title if preset is not None else _host(spec)
    return Wanted(name, _or(asked.description, ""), asked.preset, _or(asked.enabled, True), spec)


def changed(was: Destination, asked: DestinationChange, check_url: CheckUrl, account: Mapping[str, object]) -> Wanted:
    """A destination with some of it set anew."""
    plain = msgspec.to_builtins(was.spec) | _given(asked)
    params = {**was.spec.params, **_mapping(asked.params)}
    secrets: dict[str, Any] = {**was.spec.secrets, **_mapping(asked.secrets)}
    plain["params"] = {name: value for name, value in params.items() if value is not None}
    plain["secrets"] = {name: value for name, value in secrets.items() if value is not None}
    spec = _with_secret_headers(kept_secrets(msgspec.convert(plain, Spec), was.spec))
    check(spec, check_url, account)
    return Wanted(
        _or(asked.name, was.name), _or(asked.description, was.description), was.preset, _or(asked.enabled, was.enabled),
        spec,
    )  # fmt: skip


def _given(asked: DestinationChange) -> dict[str, Any]:
    """What is given of the spec, as plain values."""
    return {name: msgspec.to_builtins(value) for name in OF_SPEC if (value := getattr(asked, name, UNSET)) is not UNSET}


def check(spec: Spec, check_url: CheckUrl, account: Mapping[str, object]) -> None:
    """What only the whole can tell: its secrets are there, its URLs may be called."""
    count = _templates(msgspec.to_builtins(spec))
    if count > MOST_TEMPLATES:
        detail = f"Expected at most {MOST_TEMPLATES} templates in a destination, got {count}."
        raise invalid([FieldError("request", "too_many", detail)])
    errors = run_checks(spec)
    for place in unknown_secrets(spec):
        errors.append(
            FieldError(place, "required", f"Expected the secret: {HIDDEN} stands for one that is there already.")
        )
    for name in sorted(references(spec)):
        if name not in account and name not in spec.secrets:
            errors.append(
                FieldError("auth", "invalid_value", f"There is no secret {name!r}: POST /v1/secrets makes one.")
            )
    if not errors:
        urls = {"request.url": spec.request.url}
        urls |= {f"steps[{index}].request.url": step.request.url for index, step in enumerate(spec.steps)}
        if isinstance(spec.auth, OAuth2):
            urls["auth.token_url"] = spec.auth.token_url
        for field, source in urls.items():
            errors += _check_url(field, source, spec, check_url)
    if errors:
        raise invalid(errors)


def _templates(value: Any) -> int:
    if isinstance(value, str):
        return int("{" in value)
    if isinstance(value, dict | list):
        return sum(map(_templates, value.values() if isinstance(value, dict) else value))
    return 0


def _check_url(field: str, source: str, spec: Spec, check_url: CheckUrl) -> Iterable[FieldError]:
    """As far as a URL is known before there is a text."""
    if "steps" in source or "values" in source or "{%" in source:
        return
    context = tried_context(TriedMessage(), 0, {}, 0) | {"params": spec.params, "secrets": spec.secrets, "values": {}}
    try:
        problem = check_url(Template.parse(source, SEEN, "url").render(context))
    except UserCodeError as error:
        yield error.at(field)
        return
    if problem is not None and problem.kind == "forbidden_address":
        detail = f"{problem.detail} Use a public address, or have the operator allow it with --allow-network."
        yield FieldError(field, "forbidden_url", detail)
    elif problem is not None:
        yield FieldError(field, "invalid_url", problem.detail)


def _with_secret_headers(spec: Spec) -> Spec:
    """Headers that are secrets by their names become ones: `{{ secrets.header_... }}` stands in their place."""
    replace = msgspec.structs.replace
    found: dict[str, str] = {}
    request = _without_secrets(spec.request, "header", found)
    steps = [replace(step, request=_without_secrets(step.request, f"{step.name}_header", found)) for step in spec.steps]
    return replace(spec, request=request, steps=steps, secrets=spec.secrets | found) if found else spec


def _without_secrets(request: Request, prefix: str, found: dict[str, str]) -> Request:
    headers = dict(request.headers)
    for name, value in request.headers.items():
        if name.lower() in SECRET_HEADERS and value and "{" not in value and value != HIDDEN:
            key = f"{prefix}_{name.lower().replace('-', '_')}"
            found[key], headers[name] = value, f"{{{{ secrets.{key} }}}}"
    return request if headers == request.headers else msgspec.structs.replace(request, headers=headers)


def _host(spec: Spec) -> str:
    return (
        (urlsplit(spec.request.url).hostname or "destination")[:100] if "{" not in spec.request.url else "destination"
    )


def _mapping(value: Any) -> dict[str, Any]:
    return {} if value is UNSET else value


def _or(new: Any, old: Any) -> Any:
    return old if new is UNSET else new


# Shown, and tried


def shown(found: Destination) -> dict[str, Any]:
    """The spec as it is shown: with its defaults, without its secrets."""
    public, _ = divided(found.spec)
    return {name: getattr(public, name) for name in Spec.__struct_fields__} | {
        "auth": _plain(public.auth),
        "tls": None if public.tls is None else _plain(public.tls),
    }


def _plain(part: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {} if isinstance(part, NoAuth) else {
        name: msgspec.to_builtins(getattr(part, name)) for name in part.__struct_fields__
    }  # fmt: skip
    kind = msgspec.inspect.type_info(type(part))
    tag = getattr(kind, "tag", None)
    return plain if tag is None else {"kind": tag, **plain}


def tried_context(
    message: TriedMessage, an_id: int, account: Mapping[str, Any], at: int, contact: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What templates see of a text that didn't come in."""
    return {
        "id": ids.show("msg", an_id),
        "from": message.from_,
        "to": message.to,
        "text": message.text,
        "media": list(message.media),
        "received_at": rfc3339(at),
        "keyword": message.keyword if message.keyword is not None else keyword_of(message.text),
        "groups": message.groups,
        "contact": contact,
        "account": account,
        "steps": {},
        "metadata": message.metadata,
    }
