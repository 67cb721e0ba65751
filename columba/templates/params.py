"""A template's parameters: their types, defaults and limits, and whether values keep to them. Pure.

A value that is missing or null is the default; without one it is required. Raises nothing: problems are FieldErrors whose
fields are `params.NAME`.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from columba.errors import FieldError
from columba.text import check, encoding_of

MOST_PARAMS: Final = 50
MOST_LENGTH: Final = 1_600  # characters, of any value
USUAL_LENGTH: Final = 200
MOST_ITEMS: Final = 50
MOST_NUMBER: Final = 1e15
NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")

Kind = Literal["string", "integer", "number", "boolean", "list"]
Plain = Annotated[str, Meta(max_length=MOST_LENGTH)] | int | float | bool
Value = Plain | Annotated[list[Plain], Meta(max_length=MOST_ITEMS)] | None
Values = Annotated[
    dict[Annotated[str, Meta(min_length=1, max_length=64)], Value],
    Meta(
        max_length=MOST_PARAMS, description="Values of the template's parameters, by name.", examples=[{"name": "Ada"}]
    ),
]


class Param(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a parameter may be.

    required: whether it must be given; so it is where there is no default
    default: its value where none is given
    min_length: characters of a string, items of a list
    max_length: characters of a string (200 if nothing is said), items of a list
    gsm: only characters of the GSM alphabet, so that it never doubles the price
    min: of an integer or a number
    max: of an integer or a number
    values: all that it may be
    sample: what previews show
    """

    type: Kind = "string"
    required: bool | None = None
    default: Value = None
    min_length: Annotated[int, Meta(ge=0, le=MOST_LENGTH)] = 0
    max_length: Annotated[int, Meta(ge=1, le=MOST_LENGTH)] | None = None
    gsm: bool = False
    min: Annotated[float, Meta(ge=-MOST_NUMBER, le=MOST_NUMBER)] | None = None
    max: Annotated[float, Meta(ge=-MOST_NUMBER, le=MOST_NUMBER)] | None = None
    values: Annotated[list[Plain], Meta(min_length=1, max_length=100)] | None = None
    sample: Value = None
    description: Annotated[str, Meta(max_length=500)] = ""

    @property
    def is_required(self) -> bool:
        return self.default is None and self.required is not False

    @property
    def longest(self) -> int:
        """Characters of a string, items of a list."""
        return self.max_length or (MOST_ITEMS if self.type == "list" else USUAL_LENGTH)


def problem_of(param: Param, value: Any) -> tuple[str, str] | None:
    """Why a value can't be this parameter's: a code and a detail."""
    kind = param.type
    if kind == "string":
        if type(value) is not str:
            return "wrong_type", f"Expected a string, got {_name(value)}."
        return _text_problem(param, value) or _listed(param, value)
    if kind == "boolean":
        return None if type(value) is bool else ("wrong_type", f"Expected true or false, got {_name(value)}.")
    if kind == "list":
        if type(value) is not list:
            return "wrong_type", f"Expected a list, got {_name(value)}."
        if not param.min_length <= len(value) <= param.longest:
            return "out_of_range", f"Expected {param.min_length} to {param.longest} items."
        if sum(len(str(each)) for each in value) > MOST_LENGTH:
            return "too_long", f"Its items have more than {MOST_LENGTH} characters."
        found = (_bad(each) for each in value if type(each) is str)
        return next((("invalid_text", each) for each in found if each), None)
    if type(value) is not int and (kind == "integer" or type(value) is not float):
        return "wrong_type", f"Expected {'an integer' if kind == 'integer' else 'a number'}, got {_name(value)}."
    low = -MOST_NUMBER if param.min is None else param.min
    high = MOST_NUMBER if param.max is None else param.max
    if not low <= value <= high:
        return "out_of_range", f"Expected {low:g} to {high:g}."
    return _listed(param, value)


def _text_problem(param: Param, value: str) -> tuple[str, str] | None:
    if len(value) > param.longest:
        return "too_long", f"Expected at most {param.longest} characters, got {len(value)}."
    if len(value) < param.min_length:
        return "too_short", f"Expected at least {param.min_length} characters, got {len(value)}."
    if param.gsm and encoding_of(value) != "gsm7":
        return "invalid_value", "It has characters that are not in the GSM alphabet."
    bad = _bad(value)
    return ("invalid_text", bad) if bad else None


def _bad(value: str) -> str:
    if value.isprintable():
        return ""
    wrong = check(value, 1)
    return f"character {wrong[0][0] + 1}: {wrong[0][1]}" if wrong else ""


def _listed(param: Param, value: Any) -> tuple[str, str] | None:
    if param.values is not None and value not in param.values:
        return "invalid_value", f"Expected one of {', '.join(map(str, param.values[:20]))}."
    return None


def _name(value: Any) -> str:
    return {str: "a string", int: "an integer", float: "a number", bool: "a boolean", list: "a list"}.get(
        type(value), "something else"
    )


def declared_problems(params: Mapping[str, Param]) -> Iterable[FieldError]:
    """What is wrong with parameters as they are declared."""
    for name, param in params.items():
        at = f"params.{name}"
        if not NAME.fullmatch(name):
            yield FieldError(
                at, "invalid_value", "A name is letters, digits and underscores, and begins with a letter."
            )
        if param.values is not None and param.type in ("boolean", "list"):
            yield FieldError(f"{at}.values", "invalid_value", f"They are not for parameters of type {param.type}.")
        if param.min_length > param.longest or (
            param.min is not None and param.max is not None and param.min > param.max
        ):
            yield FieldError(at, "out_of_range", "Its least is more than its most.")
        for field, values in (("default", [param.default]), ("sample", [param.sample]), ("values", param.values or [])):
            for value in values:
                # The list of values can't be held against itself.
                problem = None if value is None else problem_of(msgspec.structs.replace(param, values=None), value)
                if problem is None and value is not None and field != "values":
                    problem = _listed(param, value)
                if problem is not None:
                    yield FieldError(f"{at}.{field}", *problem)
                    break


Check = Callable[[Mapping[str, Any] | None], tuple[Mapping[str, Any], list[FieldError]]]
"""From the values given to all values, defaults among them, and every problem."""


def checker(params: Mapping[str, Param]) -> Check:
    """The check of a template's values, made once for the many messages to come."""
    defaults: dict[str, Any] = {name: param.default for name, param in params.items()}
    # What most parameters are: a string that is only to be short enough.
    short = {
        name: param.longest
        for name, param in params.items()
        if param.type == "string" and not param.min_length and not param.gsm and param.values is None
    }
    everything = params.keys()

    def run(given: Mapping[str, Any] | None) -> tuple[Mapping[str, Any], list[FieldError]]:
        values = dict(defaults)
        problems: list[FieldError] = []
        for name, value in (given or {}).items():
            if value is None and name in values:
                continue
            longest = short.get(name)
            if longest is not None and type(value) is str and len(value) <= longest and value.isprintable():
                values[name] = value
            elif name not in everything:
                known = f" It has {', '.join(everything)}." if everything else ""
                problems.append(
                    FieldError(f"params.{name}", "unknown_field", f"The template has no such parameter.{known}")
                )
            else:
                problem = problem_of(params[name], value)
                if problem is not None:
                    problems.append(FieldError(f"params.{name}", *problem))
                values[name] = value
        for name, value in values.items():
            if value is None:
                param = params[name]
                if param.is_required:
                    problems.append(FieldError(f"params.{name}", "required", f"Expected {_expected(param)}."))
                else:
                    values[name] = _nothing(param)
        return values, problems

    return run


def _expected(param: Param) -> str:
    return {"integer": "an integer", "list": "a list"}.get(param.type, f"a {param.type}")


def _nothing(param: Param) -> Any:
    return {"string": "", "list": [], "boolean": False}.get(param.type, "")


def sample_of(name: str, param: Param) -> Any:
    """What previews show where nothing is given."""
    for value in (param.sample, param.default, *(param.values or ())):
        if value is not None:
            return value
    if param.type == "string":
        return (name * (param.min_length // len(name) + 1))[: max(param.min_length, min(len(name), param.longest))]
    if param.type == "list":
        return [name] * max(1, param.min_length)
    if param.type == "boolean":
        return True
    low, high = (param.min or 0), (param.max if param.max is not None else 100)
    return int(max(low, min(high, 42)))


def worst_of(param: Param) -> Any:
    """A value that makes the longest text, in the dearest alphabet that it may use."""
    if param.values is not None:
        return max(param.values, key=lambda value: (encoding_of(str(value)) != "gsm7", len(str(value))))
    if param.type == "string":
        return ("W" if param.gsm else "ў") * param.longest
    if param.type == "list":
        return ["W" * (MOST_LENGTH // param.longest)] * param.longest
    if param.type == "boolean":
        return True
    ends = [value for value in (param.min, param.max) if value is not None] or [-MOST_NUMBER]
    return max((int(end) if param.type == "integer" else end for end in ends), key=lambda value: len(str(value)))
