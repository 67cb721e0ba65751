"""Presets: one data file a system, with what it asks for and the destination that is made of it.

A file is a `Preset` without its name: `params` become the destination's params, those that are secret its secrets, and
`destination` has its other fields. Fails at import of nothing: a file that is wrong is found by the tests.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from columba.errors import FieldError
from columba.forwarding.destinations_views import Preset, PresetParam

FOLDER = Path(__file__).parent


class _File(msgspec.Struct, forbid_unknown_fields=True):
    title: str
    about: str
    params: dict[str, PresetParam]
    destination: dict[str, Any]
    setup: str = ""


@cache
def presets() -> Mapping[str, Preset]:
    found = {}
    for file in sorted(FOLDER.glob("*.json")):
        read = msgspec.json.decode(file.read_bytes(), type=_File)
        found[file.stem] = Preset(
            name=file.stem, title=read.title, about=read.about, params=read.params, destination=read.destination,
            setup=read.setup,
        )  # fmt: skip
    return found


def fill(preset: Preset, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str], list[FieldError]]:
    """What is given for a preset, divided into params and secrets, with its defaults; and what is wrong with it."""
    params: dict[str, Any] = {}
    secrets: dict[str, str] = {}
    errors: list[FieldError] = []
    for name, value in given.items():
        param = preset.params.get(name)
        if param is None:
            detail = f"The preset {preset.name} asks for {', '.join(preset.params)}."
            errors.append(FieldError(f"params.{name}", "unknown_field", detail))
        elif param.secret:
            if not isinstance(value, str) or not value:
                errors.append(FieldError(f"params.{name}", "wrong_type", "Expected a text."))
            else:
                secrets[name] = value
        elif isinstance(value, dict | list) or (param.choices is not None and value not in param.choices):
            expected = (
                f"one of {', '.join(map(str, param.choices))}" if param.choices else "a text, a number or a boolean"
            )
            errors.append(FieldError(f"params.{name}", "invalid_value", f"Expected {expected}."))
        elif isinstance(value, str) and len(value) > 4_000:
            errors.append(FieldError(f"params.{name}", "too_long", "Expected at most 4000 characters."))
        elif value is not None:
            params[name] = value.rstrip("/") if isinstance(value, str) and name.endswith("url") else value
    for name, param in preset.params.items():
        if name in params or name in secrets:
            continue
        if param.required and param.default is None and not any(e.field == f"params.{name}" for e in errors):
            errors.append(FieldError(f"params.{name}", "required", f"Expected {param.title}, got nothing."))
        elif param.secret:
            secrets[name] = param.default or ""
        else:
            params[name] = param.default
    return params, secrets, errors
