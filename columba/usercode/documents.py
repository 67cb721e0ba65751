"""JSON documents: looked into by JSONPath (RFC 9535), checked by JSON Schema. Fails with UserCodeError when parsed.

Both are bounded by what they look at: answers are at most 20,000 bytes, and a query that goes through everything at every
level is refused. A schema's patterns run in linear time, and it reaches for nothing outside itself.
"""

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from columba.usercode.errors import UserCodeError

if TYPE_CHECKING:  # the libraries are loaded when they are first needed: together they take 13 MB
    from jsonpath import JSONPath, JSONPathEnvironment

LONGEST_QUERY: Final = 500
LARGEST_SCHEMA: Final = 50_000  # bytes
MOST_PROBLEMS: Final = 20
_DESCENTS: Final = re.compile(r"\.\.")
_STRINGS: Final = re.compile(r"'(?:[^'\\]|\\.)*+'|\"(?:[^\"\\]|\\.)*+\"")


@cache
def _environment() -> "JSONPathEnvironment":
    from jsonpath import JSONPathEnvironment

    environment = JSONPathEnvironment()
    # No functions that take patterns: those are RE2's alone.
    for name in ("match", "search", "isinstance", "is", "typeof", "type", "keys", "startswith"):
        environment.function_extensions.pop(name, None)
    return environment


@lru_cache(maxsize=2048)
def parse_path(query: str) -> "JSONPath":
    from jsonpath import JSONPath, JSONPathError

    if len(query) > LONGEST_QUERY:
        raise UserCodeError(1, LONGEST_QUERY + 1, f"The JSONPath is longer than {LONGEST_QUERY} characters.")
    if not query.startswith("$"):
        raise UserCodeError(1, 1, "A JSONPath begins with $, such as $.ticket.id.")
    outside = _STRINGS.sub("''", query)
    descents = list(_DESCENTS.finditer(outside))
    if len(descents) > 1 or ("?" in outside and (outside.count("?") > 1 or "$" in outside[1:] or descents)):
        raise UserCodeError(1, descents[-1].start() + 1 if descents else 1, "The JSONPath asks for too much at once.")
    if "=~" in outside:
        raise UserCodeError(1, outside.index("=~") + 1, "Patterns can't be used in a JSONPath.")
    try:
        found = _environment().compile(query)
    except JSONPathError as error:
        token = getattr(error, "token", None)
        at = getattr(token, "index", 0)
        raise UserCodeError(1, at + 1, f"{error.args[0] if error.args else 'It is no JSONPath.'}"[:200]) from None
    except (RecursionError, ValueError, TypeError, KeyError, IndexError):
        raise UserCodeError(1, 1, "It is no JSONPath.") from None
    if not isinstance(found, JSONPath):
        raise UserCodeError(1, 1, "Only one path can be asked for.")
    return found


def jsonpath(query: str, document: Any) -> Any:
    """The first value that the query finds; None for none."""
    path = parse_path(query)
    from jsonpath import JSONPathError

    try:
        found = path.match(document)
    except (JSONPathError, RecursionError, TypeError, ValueError):
        return None
    return None if found is None else found.obj


class Schema:
    """A JSON Schema that is ready to use."""

    __slots__ = ("_validator",)

    def __init__(self, validator: Any) -> None:
        self._validator = validator

    @staticmethod
    def parse(schema: Mapping[str, Any] | bool) -> "Schema":
        text = msgspec.json.encode(schema)
        if len(text) > LARGEST_SCHEMA:
            raise UserCodeError(0, 0, f"The schema is larger than {LARGEST_SCHEMA} bytes.")
        return _schema(text)

    def problems(self, document: Any) -> list[str]:
        """What is wrong with a document, each with its place; none of its values are told."""
        found = []
        for error in self._validator.iter_errors(document):
            found.append(_told(error))
            if len(found) == MOST_PROBLEMS:
                break
        return found


@lru_cache(maxsize=512)
def _schema(text: bytes) -> Schema:
    import jsonschema_rs

    try:
        return Schema(
            jsonschema_rs.validator_for(
                msgspec.json.decode(text),
                mask="the value",
                offline=True,
                pattern_options=jsonschema_rs.RegexOptions(size_limit=1 << 18, dfa_size_limit=1 << 20),
            )
        )
    except jsonschema_rs.ValidationError as error:
        raise UserCodeError(0, 0, f"The schema is not valid: {_told(error)}"[:300]) from None
    except (jsonschema_rs.ReferencingError, ValueError, TypeError, RecursionError) as error:
        raise UserCodeError(0, 0, f"The schema is not valid: {error}"[:300]) from None


def _told(error: Any) -> str:
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.instance_path)
    return f"{where.lstrip('.') or 'the whole'}: {error.message}"[:300]
