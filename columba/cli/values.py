"""Kinds of option values that several commands take. A value that is none is a usage error that says what to write."""

import json
import re
import time
from datetime import UTC, datetime
from typing import Any

import click

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_SPAN = re.compile(r"(?P<min>[0-9]{0,6})(?P<to>-?)(?P<max>[0-9]{0,6})", re.ASCII)
_DURATION = re.compile(r"([0-9]{1,9})([smhd]?)", re.ASCII)


class Duration(click.ParamType[int]):
    """`90`, `90s`, `15m`, `24h`, `30d`: a number of seconds."""

    name = "time"

    def __init__(self, least: int = 1, most: int = 10**9) -> None:
        self.least, self.most = least, most

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        seconds = read_duration(str(value))
        if seconds is None:
            self.fail(f"{value!r} is no length of time: write 90s, 15m, 24h or 30d.", param, ctx)
        if not self.least <= seconds <= self.most:
            self.fail(f"{value} is not within {self.least} and {self.most} seconds.", param, ctx)
        return seconds


class Moment(click.ParamType[str]):
    """A time as RFC 3339, in local time where it names no offset; or a length of time from now (or back)."""

    name = "when"

    def __init__(self, direction: int = 1) -> None:
        self.direction = direction

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        seconds = read_duration(text)
        try:
            if seconds is not None:
                moment = datetime.fromtimestamp(time.time() + self.direction * seconds, UTC)
            else:
                moment = datetime.fromisoformat(text).astimezone(UTC)
        except (ValueError, OverflowError, OSError):
            example = "10m from now: 10m" if self.direction > 0 else "10m ago: 10m"
            self.fail(f"{text[:40]!r} is no time. Write 2026-01-31T09:30:00Z, or for {example}.", param, ctx)
        return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


class Span(click.ParamType[dict[str, Any]]):
    """`1-70`, `2-`, `-70` or `3`: from, to, both included."""

    name = "span"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        found = _SPAN.fullmatch(str(value))
        if found is None or not (found["min"] or found["max"]):
            self.fail(f"{value!r} is no span: write 1-70, 2- or -70.", param, ctx)
        if not found["to"]:
            return {"min": int(found["min"]), "max": int(found["min"])}
        return {name: int(found[name]) for name in ("min", "max") if found[name]}


def read_duration(text: str) -> int | None:
    found = _DURATION.fullmatch(text)
    return None if found is None else int(found[1]) * _UNITS[found[2] or "s"]


def read_params(given: tuple[str, ...]) -> dict[str, Any]:
    """`name=Ada order=42`: values that are JSON numbers, booleans or lists are those, all others strings."""
    found: dict[str, Any] = {}
    for each in given:
        name, sign, value = each.partition("=")
        if not sign:
            raise click.BadParameter(f"{each!r} is not NAME=VALUE.", param_hint="--param")
        try:
            read = json.loads(value)
        except ValueError:
            read = value
        found[name] = value if read is None or isinstance(read, dict | str) else read
    return found


def place(kind: str, an_id: str, prefix: str = "") -> str:
    """The address of a thing of a kind, such as `routes`, by the id that was given for it."""
    if not an_id.isascii() or not an_id.replace("_", "").isalnum():
        raise click.BadParameter(f"{an_id!r} is no id: they look like {prefix or kind[:3]}_01j9...", param_hint="ID")
    return f"/v1/{kind}/{an_id}"
