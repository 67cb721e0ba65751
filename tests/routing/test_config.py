"""Configurations: every problem named, secrets apart, changes as they are asked for. Pure."""

from typing import Any

import pytest

from columba.routing import config as configs
from tests.routing import lines

FULL: dict[str, Any] = {
    "host": "smsc.example.org",
    "password": "pa55",
    "auth": {"kind": "bearer", "token": "t0ken", "realm": "sms"},
    "headers": {"x-key": "k3y", "x-more": "m0re"},
    "numbers": ["1", "2"],
}


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        ({}, [("config.host", "required")]),
        ({"host": ""}, [("config.host", "too_short")]),
        ({"hots": "x"}, [("config.host", "required"), ("config.hots", "unknown_field")]),
        (
            {"host": 7, "port": 0, "password": "far too long", "auth": {"kind": "bearer"}, "headers": {"a": 1}},
            [
                ("config.host", "wrong_type"),
                ("config.password", "too_long"),
                ("config.port", "out_of_range"),
                ("config.auth.token", "required"),
                ("config.headers.a", "wrong_type"),
            ],
        ),
        ({"host": "odd", "port": 2}, [("config.port", "invalid_value")]),
    ],
)
def test_every_problem_is_named(given: dict[str, Any], fields: list[tuple[str, str]]) -> None:
    config, errors = configs.read(lines.KIND, given)
    assert config is None or not hasattr(config, "hots")
    assert [(error.field, error.code) for error in errors] == fields
    assert "far too long" not in str(errors)


def test_what_is_secret_is_kept_apart_and_put_back() -> None:
    config, errors = configs.read(lines.KIND, FULL)
    assert errors == []
    public, secrets = configs.divided(config, FULL)
    assert public == {
        "host": "smsc.example.org", "auth": {"kind": "bearer", "realm": "sms"}, "headers": {}, "numbers": ["1", "2"]
    }  # fmt: skip
    assert dict(secrets) == {
        ("password",): "pa55", ("auth", "token"): "t0ken", ("headers", "x-key"): "k3y", ("headers", "x-more"): "m0re"
    }  # fmt: skip
    assert configs.united(public, secrets) == FULL
    open_to_all = {"host": "a", "password": None}
    config, _ = configs.read(lines.KIND, open_to_all)
    assert configs.divided(config, open_to_all) == (open_to_all, ())


def test_what_is_shown_has_the_defaults_and_no_secret() -> None:
    config, _ = configs.read(lines.KIND, FULL)
    assert configs.shown(config) == FULL | {
        "password": "***", "auth": {"kind": "bearer", "token": "***", "realm": "sms"},
        "headers": {"x-key": "***", "x-more": "***"}, "port": 2775, "binds": 1,
    }  # fmt: skip
    config, _ = configs.read(lines.KIND, {"host": "a"})
    assert configs.shown(config)["password"] is None


@pytest.mark.parametrize(
    ("changes", "after"),
    [
        ({}, {}),
        ({"host": "b", "port": 9}, {"host": "b", "port": 9}),
        ({"password": "***"}, {}),
        ({"password": "n3w"}, {"password": "n3w"}),
        ({"auth": {"kind": "bearer", "token": "***"}}, {"auth": {"kind": "bearer", "token": "t0ken"}}),
        ({"auth": {"kind": "none"}}, {"auth": {"kind": "none"}}),
        ({"headers": {"x-key": "***", "x-new": "n3w"}}, {"headers": {"x-key": "k3y", "x-new": "n3w"}}),
        ({"headers": {"x-new": "***"}}, {"headers": {"x-new": "***"}}),  # there is none to keep
        ({"numbers": []}, {"numbers": []}),
    ],
)
def test_changes(changes: dict[str, Any], after: dict[str, Any]) -> None:
    before = dict(FULL)
    assert configs.changed(before, changes) == FULL | after
    assert before == FULL


def test_null_takes_a_field_back_to_its_default() -> None:
    assert configs.changed(FULL, {"password": None, "auth": None, "port": None}) == {
        "host": FULL["host"], "headers": FULL["headers"], "numbers": FULL["numbers"]
    }  # fmt: skip
