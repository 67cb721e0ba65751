"""A declaration that makes no sense fails when it is made, or when the app is."""

from typing import Any

import pytest

from columba.http.dispatch import build
from columba.http.endpoint import Call, Endpoint, describe, endpoint
from columba.http.wire import BODY_LIMIT
from tests.http import sample


async def nothing(call: Call[None, None]) -> None:
    """Does nothing."""


@pytest.mark.parametrize(
    "declared",
    [
        {"path": "v1/birds"},
        {"path": "/v1//birds"},
        {"path": "/v1/birds/{id}.json"},
        {"refusals": ("no_such_code",)},
        {"public": True, "scope": "birds:read"},
        {"public": True, "idempotency": "auto"},
    ],
)
def test_a_declaration_that_makes_no_sense_fails_at_once(declared: dict[str, Any]) -> None:
    path = declared.pop("path", "/v1/birds")
    with pytest.raises(ValueError, match="/birds"):
        endpoint("GET", path, tag="Birds", summary="", **declared)(nothing)


def put_together(endpoints: list[Endpoint]) -> None:
    build(endpoints, authenticate=sample.authenticate, new_request_id=str, clock=float)


def test_two_endpoints_in_one_place_fail_at_once() -> None:
    twice = [describe("GET", path, name="n", tag="", summary="", handler=nothing) for path in ("/a/{id}", "/a/{other}")]
    with pytest.raises(ValueError, match="declared twice"):
        put_together(twice)


def test_an_endpoint_that_nothing_serves_fails_at_once() -> None:
    with pytest.raises(ValueError, match="POST /a"):
        put_together([describe("POST", "/a", name="n", tag="", summary="")])


def test_a_body_has_a_limit_unless_said_otherwise() -> None:
    assert describe("POST", "/a", name="n", tag="", summary="").body_limit == BODY_LIMIT == 2**20
