"""The document says what the endpoints do."""

import json
from typing import Any

import pytest
from openapi_spec_validator import validate

from columba.http import openapi
from columba.http.endpoint import describe
from tests.http.sample import Bird, Birds, document


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    made: dict[str, Any] = json.loads(json.dumps(document()))
    return made


def operation(spec: dict[str, Any], name: str) -> dict[str, Any]:
    every = [each for item in spec["paths"].values() for each in item.values()]
    found: dict[str, Any] = next(each for each in every if each["operationId"] == name)
    return found


def codes(spec: dict[str, Any], name: str) -> dict[str, list[str]]:
    """Of an operation: its problems by status."""
    answers = operation(spec, name)["responses"].items()
    refs = {status: answer["$ref"].rpartition("/")[2] for status, answer in answers if "$ref" in answer}
    shown = spec["components"]["responses"]
    return {status: list(shown[ref]["content"]["application/problem+json"]["examples"]) for status, ref in refs.items()}


def test_it_is_valid(spec: dict[str, Any]) -> None:
    validate(spec)


def test_every_refusal_is_told_by_status(spec: dict[str, Any]) -> None:
    told = codes(spec, "create_bird")
    assert told == {
        "400": ["invalid_json"],
        "401": ["unauthorized"],
        "403": ["forbidden"],
        "409": ["conflict", "idempotency_in_progress", "idempotency_mismatch"],
        "413": ["payload_too_large"],
        "415": ["unsupported_media_type"],
        "422": ["invalid_request", "invalid_time"],
        "429": ["rate_limited"],
        "500": ["internal"],
        "503": ["overloaded"],
    }
    assert "401" not in codes(spec, "create_token")
    assert codes(spec, "read_bird")["404"] == ["not_found"]


def test_parameters_come_from_path_query_and_method(spec: dict[str, Any]) -> None:
    listed = {each["name"]: each for each in operation(spec, "list_birds")["parameters"]}
    assert list(listed) == ["limit", "cursor", "name", "sex", "tag", "hatched_after"]
    assert listed["limit"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 1000, "default": 50}
    assert listed["name"] == {
        "name": "name",
        "in": "query",
        "required": False,
        "schema": {"type": "string", "maxLength": 20},
        "description": "only those of this name",
    }
    [identifier, key] = operation(spec, "release_bird")["parameters"]
    assert (identifier["name"], identifier["in"], identifier["required"]) == ("id", "path", True)
    assert key == {"$ref": "#/components/parameters/IdempotencyKey"}
    assert "parameters" not in operation(spec, "create_token")


def test_bodies_and_answers_have_their_types(spec: dict[str, Any]) -> None:
    body = operation(spec, "create_bird")["requestBody"]["content"]["application/json"]
    assert body["schema"] == {"$ref": "#/components/schemas/NewBird"}
    assert body["example"]["name"] == "Alba"
    for name, status, schema in [("create_bird", "201", "Bird"), ("list_birds", "200", "BirdPage")]:
        content = operation(spec, name)["responses"][status]["content"]["application/json"]
        assert content["schema"] == {"$ref": f"#/components/schemas/{schema}"}
    assert "content" not in operation(spec, "delete_bird")["responses"]["204"]
    assert list(operation(spec, "stream_birds")["responses"]["200"]["content"]) == ["text/event-stream"]
    assert list(operation(spec, "create_token")["requestBody"]["content"]) == ["application/x-www-form-urlencoded"]
    assert operation(spec, "release_bird")["requestBody"]["required"] is False
    assert "Birds" not in spec["components"]["schemas"]


def test_descriptions_come_from_docstrings(spec: dict[str, Any]) -> None:
    bird = spec["components"]["schemas"]["NewBird"]
    assert bird["description"] == "A bird to keep."
    assert (
        bird["properties"]["ring"]["description"]
        == "its number, two letters and digits; one of `ring` and `chip` is needed"
    )
    assert spec["components"]["schemas"]["Fly"]["properties"]["heading"]["description"] == "Degrees from north."
    assert operation(spec, "create_bird")["description"].startswith("Keeps a bird under a new id.")


def test_security_names_the_scope(spec: dict[str, Any]) -> None:
    assert operation(spec, "read_bird")["security"] == [{"bearer": []}, {"basic": []}, {"oauth2": ["birds:read"]}]
    assert operation(spec, "create_token")["security"] == []
    flow = spec["components"]["securitySchemes"]["oauth2"]["flows"]["clientCredentials"]
    assert flow == {"tokenUrl": "/v1/oauth/token", "scopes": {"birds:read": "See the birds.", "birds:write": ""}}


def test_events_are_webhooks(spec: dict[str, Any]) -> None:
    body = spec["webhooks"]["bird.seen"]["post"]["requestBody"]["content"]["application/json"]
    assert body["schema"] == {"$ref": "#/components/schemas/Bird"}


def test_two_operations_of_one_name_fail_at_once() -> None:
    twice = [describe("GET", path, name="same", tag="", summary="", answer=Bird, query=Birds) for path in ("/a", "/b")]
    with pytest.raises(ValueError, match="same"):
        openapi.document(twice, title="", version="")
