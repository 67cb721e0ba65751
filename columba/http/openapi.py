"""The API's own description, OpenAPI 3.1, made from the endpoints: what is declared is what is documented.

A struct's docstring describes it; a line `name: words` in it (or Meta) describes a field. Made once, at start; raises
ValueError for two endpoints of one name.
"""

import inspect
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from columba.errors import CATALOGUE, Refusal
from columba.http.endpoint import Endpoint
from columba.http.problems import Problem, problem

Json = dict[str, Any]

_SCHEMAS: Final = "#/components/schemas/"
_GENERIC: Final = re.compile(r"([A-Za-z0-9.]+)_([A-Za-z0-9_.]+?)_")
_FIELD_LINE: Final = re.compile(r"([a-z_][a-z0-9_]*): (.+)", re.ASCII)
_EVERYWHERE: Final = ("invalid_request", "internal", "overloaded")


class Webhook(NamedTuple):
    """A kind of event that is posted to webhook endpoints, and the type of what is posted."""

    name: str
    summary: str
    payload: Any
    description: str = ""
    example: Any = None


def document(
    endpoints: Iterable[Endpoint],
    *,
    title: str,
    version: str,
    description: str = "",
    tags: Mapping[str, str] | None = None,
    scopes: Mapping[str, str] | None = None,
    webhooks: Sequence[Webhook] = (),
) -> Json:
    """The whole document. `tags` and `scopes` are descriptions; those not described come after."""
    endpoints = list(endpoints)
    schemas = _Schemas(endpoints, webhooks)
    paths: dict[str, Json] = {}
    responses: dict[str, Json] = {}
    names: set[str] = set()
    for endpoint in endpoints:
        if endpoint.name in names:
            raise ValueError(f"two endpoints are named {endpoint.name}")
        names.add(endpoint.name)
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, schemas, responses)
    tagged = {**(tags or {}), **{e.tag: "" for e in endpoints if e.tag not in (tags or {})}}
    asked = {e.scope: "" for e in endpoints if e.scope is not None} | dict(scopes or {})
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": description},
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"basic": []}, {"oauth2": []}],
        "tags": [{"name": name, "description": text} if text else {"name": name} for name, text in tagged.items()],
        "paths": paths,
        "webhooks": {hook.name: _webhook(hook, schemas) for hook in webhooks},
        "components": {
            "schemas": schemas.components(),
            "responses": dict(sorted(responses.items())),
            "parameters": {"IdempotencyKey": _IDEMPOTENCY_KEY},
            "headers": {"X-Request-Id": _REQUEST_ID, "Retry-After": _RETRY_AFTER},
            "securitySchemes": _security(asked),
        },
    }


_IDEMPOTENCY_KEY: Final[Json] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Makes the request safe to repeat: for 24 hours the same key and body get the first answer again.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}
_REQUEST_ID: Final[Json] = {
    "description": "What to name when asking about this request: the X-Request-Id sent, or a new one.",
    "schema": {"type": "string"},
}
_RETRY_AFTER: Final[Json] = {
    "description": "Seconds to wait before the next attempt.",
    "schema": {"type": "integer", "minimum": 0},
}


def _security(scopes: Mapping[str, str]) -> Json:
    flow = {"tokenUrl": "/v1/oauth/token", "scopes": dict(sorted(scopes.items()))}
    return {
        "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, or a token from /v1/oauth/token."},
        "basic": {"type": "http", "scheme": "basic", "description": "A key's id and its secret."},
        "oauth2": {"type": "oauth2", "flows": {"clientCredentials": flow}},
    }


# -- Operations


def _operation(endpoint: Endpoint, schemas: "_Schemas", responses: dict[str, Json]) -> Json:
    operation: Json = {"operationId": endpoint.name, "tags": [endpoint.tag], "summary": endpoint.summary}
    if endpoint.description:
        operation["description"] = endpoint.description
    parameters = [_path_parameter(name) for name in endpoint.parameters]
    if endpoint.query is not None:
        parameters += schemas.parameters(endpoint.query)
    if endpoint.method == "POST" and endpoint.idempotency != "none":
        parameters.append({"$ref": "#/components/parameters/IdempotencyKey"})
    if parameters:
        operation["parameters"] = parameters
    if endpoint.body is not None:
        media = "application/x-www-form-urlencoded" if endpoint.form else "application/json"
        content = _content(media, schemas.of(endpoint.body), endpoint.example)
        if endpoint.files:
            content |= _FILES
        operation["requestBody"] = {"required": not endpoint.body_may_be_missing, "content": content}
    if endpoint.public:
        operation["security"] = []
    elif endpoint.scope is not None:
        operation["security"] = [{"bearer": []}, {"basic": []}, {"oauth2": [endpoint.scope]}]
    operation["responses"] = {
        str(endpoint.status): _answer(endpoint, schemas),
        **_refusals(endpoint, schemas, responses),
    }
    return operation


_FILES: Final[Json] = {
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "properties": {"file": {"type": "string", "contentMediaType": "application/octet-stream"}},
            "required": ["file"],
        }
    },
    "application/octet-stream": {"schema": {"type": "string", "contentMediaType": "application/octet-stream"}},
}


def _path_parameter(name: str) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "maxLength": 256}}


def _content(media: str, schema: Json, example: Any) -> Json:
    return {media: {"schema": schema} if example is None else {"schema": schema, "example": example}}


def _answer(endpoint: Endpoint, schemas: "_Schemas") -> Json:
    answer: Json = {
        "description": _HTTP.get(endpoint.status, "Done."),
        "headers": {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}},
    }
    if endpoint.status != 204:
        schema = schemas.of(endpoint.answer) if endpoint.answer is not None else {"type": "string"}
        answer["content"] = _content(endpoint.media, schema, endpoint.answer_example)
    return answer


_HTTP: Final = {200: "It is done.", 201: "It is made.", 202: "It is accepted, and safe.", 204: "It is done."}


def _codes(endpoint: Endpoint) -> Iterable[str]:
    """The code of every refusal that this endpoint may answer with."""
    yield from endpoint.refusals
    yield from _EVERYWHERE
    if not endpoint.public:
        yield from ("unauthorized", "rate_limited")
    if endpoint.scope is not None:
        yield "forbidden"
    if endpoint.body is not None:
        yield from ("invalid_json", "payload_too_large", "unsupported_media_type")
    if endpoint.parameters:
        yield "not_found"
    if endpoint.method == "POST" and endpoint.idempotency != "none":
        yield from ("idempotency_mismatch", "idempotency_in_progress")


def _refusals(endpoint: Endpoint, schemas: "_Schemas", responses: dict[str, Json]) -> Json:
    by_status: dict[int, set[str]] = {status: set() for status in endpoint.errors}
    for code in _codes(endpoint):
        by_status.setdefault(CATALOGUE[code].http, set()).add(code)
    refusals = {}
    for status, codes in sorted(by_status.items()):
        if status in endpoint.errors:
            refusals[str(status)] = _other_response(schemas.of(endpoint.errors[status]), sorted(codes))
            continue
        name = "-".join(sorted(codes))
        responses.setdefault(name, _problem_response(sorted(codes)))
        refusals[str(status)] = {"$ref": f"#/components/responses/{name}"}
    return refusals


def _problem_response(codes: Sequence[str]) -> Json:
    shown = [problem(Refusal(code, CATALOGUE[code].advice), "req_example") for code in codes]
    response: Json = {
        "description": "\n".join(f"`{code}`: {CATALOGUE[code].title}." for code in codes),
        "headers": {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}},
        "content": {
            "application/problem+json": {
                "schema": {"$ref": f"{_SCHEMAS}Problem"},
                "examples": {each.code: {"value": msgspec.to_builtins(each)} for each in shown},
            }
        },
    }
    if shown[0].status in (429, 503):
        response["headers"]["Retry-After"] = {"$ref": "#/components/headers/Retry-After"}
    return response


def _other_response(shape: Json, codes: Sequence[str]) -> Json:
    """An error in a shape of its own; or a problem, where codes stand for the same status."""
    response: Json = _problem_response(codes) if codes else {"description": "It is not done.", "content": {}}
    response["content"]["application/json"] = {"schema": shape}
    return response


def _webhook(hook: Webhook, schemas: "_Schemas") -> Json:
    operation: Json = {
        "operationId": f"webhook_{hook.name}",
        "summary": hook.summary,
        "security": [],
        "requestBody": {
            "required": True,
            "content": _content("application/json", schemas.of(hook.payload), hook.example),
        },
        "responses": {"2XX": {"description": "Taken. Anything else is tried again."}},
    }
    if hook.description:
        operation["description"] = hook.description
    return {"post": operation}


# -- Schemas


class _Schemas:
    """The JSON schema of every type that the endpoints name."""

    def __init__(self, endpoints: Sequence[Endpoint], webhooks: Sequence[Webhook]) -> None:
        kinds: list[Any] = [Problem]
        for endpoint in endpoints:
            those = (endpoint.body, endpoint.query, endpoint.answer, *endpoint.errors.values())
            kinds += (kind for kind in those if kind is not None)
        kinds += (hook.payload for hook in webhooks)
        shapes, named = msgspec.json.schema_components(kinds, ref_template=_SCHEMAS + "{name}")
        renamed = {name: _plain_name(name) for name in named}
        if len(set(renamed.values())) < len(renamed):
            renamed = {name: name for name in named}
        shapes, named = _rename([list(shapes), named], renamed)
        self._shapes = [(kind, shape) for kind, shape in zip(kinds, shapes, strict=True)]
        self._named = {renamed[name]: _described(schema) for name, schema in named.items()}
        self._queries = {endpoint.query for endpoint in endpoints if endpoint.query is not None}

    def of(self, kind: Any) -> Json:
        """A type's schema: a reference where it has a name."""
        return next(shape for known, shape in self._shapes if known is kind)

    def parameters(self, query: type[msgspec.Struct]) -> list[Json]:
        """A query struct's fields as parameters."""
        schema = self._named[self.of(query)["$ref"].removeprefix(_SCHEMAS)]
        return [
            _query_parameter(name, field, name in schema["required"]) for name, field in schema["properties"].items()
        ]

    def components(self) -> Json:
        """Everything with a name. Query structs are told as parameters, not here."""
        queries = {self.of(query)["$ref"].removeprefix(_SCHEMAS) for query in self._queries}
        return {name: schema for name, schema in sorted(self._named.items()) if name not in queries}


def _plain_name(name: str) -> str:
    """`Page_Webhook_`, as msgspec has it, as `WebhookPage`."""
    generic = _GENERIC.fullmatch(name)
    return f"{generic[2].rpartition('.')[2]}{generic[1]}" if generic else name


def _rename(schemas: Any, names: Mapping[str, str]) -> Any:
    text = json.dumps(schemas)
    for old, new in names.items():
        if old != new:
            text = text.replace(f'"{_SCHEMAS}{old}"', f'"{_SCHEMAS}{new}"')
    return json.loads(text)


def _described(schema: Json) -> Json:
    """The schema with its docstring's lines about fields moved to the fields."""
    fields: Json = schema.get("properties", {})
    words, about = [], ""
    for line in inspect.cleandoc(schema.get("description", "")).splitlines():
        found = _FIELD_LINE.fullmatch(line)
        if found and found[1] in fields:
            about = found[1]
            fields[about].setdefault("description", found[2])
        elif about and line.startswith(" "):
            fields[about]["description"] += f" {line.strip()}"
        else:
            about = ""
            words.append(line)
    for field in fields.values():
        if "default" in field and field["default"] is None:
            del field["default"]
    described = {name: value for name, value in schema.items() if name not in ("title", "description")}
    text = "\n".join(words).strip()
    return {"description": text, **described} if text else described


def _query_parameter(name: str, field: Json, required: bool) -> Json:
    schema = dict(field)
    about = schema.pop("description", "")
    choices = [choice for choice in schema.get("anyOf", ()) if choice != {"type": "null"}]
    if len(choices) == 1:
        schema.pop("anyOf")
        about = about or choices[0].get("description", "")
        schema = {**{key: value for key, value in choices[0].items() if key != "description"}, **schema}
    parameter: Json = {"name": name, "in": "query", "required": required, "schema": schema}
    return {**parameter, "description": about} if about else parameter
