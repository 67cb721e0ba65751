"""JSON documents: looked into by JSONPath (RFC 9535), checked by JSON Schema. Fails with UserCodeError when parsed.

Both are bounded by what they look at: answers are at most 20,000 bytes, and a query that goes through everything at every
level is refused, as is one that multiplies what it finds. A schema's patterns run in linear time, it reaches for nothing
outside itself, and its references are counted for what they come to.
"""

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import msgspec

from columba.usercode.errors import UserCodeError

if TYPE_CHECKING:  # the libraries are loaded when they are first needed: together they take 13 MB
    from jsonpath import JSONPath, JSONPathEnvironment

LONGEST_QUERY: Final = 500
LARGEST_SCHEMA: Final = 50_000  # bytes
DEEPEST: Final = 100  # levels of a schema, with those it refers to
MOST_PROBLEMS: Final = 20
MOST_CHOICES: Final = 20  # commas of a query
MOST_PLACES: Final = 5_000  # of a schema, what it refers to counted each time
MOST_CHECKS: Final = 1_000_000  # places of a schema times values of a document
MOST_TOLD_OF: Final = 50_000  # the same, where all that is wrong is listed: that takes longer
_DESCENTS: Final = re.compile(r"\.\.")
_CHOICES: Final = re.compile(r"\[[^\[\]]*,")
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
    choices = list(_CHOICES.finditer(outside))
    if len(choices) > 1 or outside.count(",") > MOST_CHOICES:  # each would multiply what the others find
        raise UserCodeError(1, choices[-1].start() + 1, "The JSONPath asks for too much at once.")
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

    __slots__ = ("_places", "_validator")

    def __init__(self, validator: Any, places: int) -> None:
        self._validator = validator
        self._places = places

    @staticmethod
    def parse(schema: Mapping[str, Any] | bool) -> "Schema":
        text = msgspec.json.encode(schema)
        if len(text) > LARGEST_SCHEMA:
            raise UserCodeError(0, 0, f"The schema is larger than {LARGEST_SCHEMA} bytes.")
        return _schema(text)

    def problems(self, document: Any) -> list[str]:
        """What is wrong with a document, each with its place; none of its values are told."""
        checks = self._places * _values(document, MOST_CHECKS // self._places + 1)
        if checks > MOST_CHECKS:
            return ["the whole: it is too large to be checked by this schema."]
        if self._validator.is_valid(document):
            return []
        if checks > MOST_TOLD_OF:
            return ["the whole: it does not fit, and is too large to say where."]
        found = []
        for error in self._validator.iter_errors(document):
            found.append(_told(error))
            if len(found) == MOST_PROBLEMS:
                break
        return found


@lru_cache(maxsize=512)
def _schema(text: bytes) -> Schema:
    import jsonschema_rs

    schema = msgspec.json.decode(text)
    places = _places(schema, schema, {}, 0)
    try:
        return Schema(
            jsonschema_rs.validator_for(
                schema,
                mask="the value",
                offline=True,
                pattern_options=jsonschema_rs.RegexOptions(size_limit=1 << 18, dfa_size_limit=1 << 20),
            ),
            max(places, 1),
        )
    except jsonschema_rs.ValidationError as error:
        raise UserCodeError(0, 0, f"The schema is not valid: {_told(error)}"[:300]) from None
    except (jsonschema_rs.ReferencingError, ValueError, TypeError, RecursionError) as error:
        raise UserCodeError(0, 0, f"The schema is not valid: {error}"[:300]) from None


def _places(node: Any, whole: Any, known: dict[int, int], depth: int) -> int:
    """How many places a document may be checked against. References multiply: thirty can be a billion."""
    if not isinstance(node, dict | list) or not node:
        return 1
    if id(node) in known:
        if not known[id(node)]:
            raise UserCodeError(0, 0, "The schema is not valid: a $ref leads back to where it stands, without end.")
        return known[id(node)]
    if depth > DEEPEST:
        raise UserCodeError(0, 0, f"The schema nests deeper than {DEEPEST} levels.")
    if depth and isinstance(node, dict) and any(isinstance(node.get(name), str) for name in _bases(whole)):
        raise UserCodeError(0, 0, "The schema is not valid: an $id is for the whole, not for a part of it.")
    known[id(node)] = 0  # being counted
    found = 1
    for name, each in node.items() if isinstance(node, dict) else enumerate(node):
        found += _places(each, whole, known, depth + 1)
        if name in ("$ref", "$dynamicRef", "$recursiveRef") and isinstance(each, str):
            found += _places(_referred(whole, each), whole, known, depth + 1)
    if isinstance(node, dict) and not _UNEVALUATED.isdisjoint(node):
        found *= 3  # to know what was not looked at, what was is looked at again
    if found > MOST_PLACES:
        raise UserCodeError(0, 0, f"The schema asks for too much: more than {MOST_PLACES} places, with all $refs.")
    known[id(node)] = found
    return found


def _bases(whole: Any) -> tuple[str, ...]:
    """What would have the references of a part begin at that part."""
    old = isinstance(whole, dict) and "draft-04" in str(whole.get("$schema"))
    return ("$id", "id") if old else ("$id",)


def _referred(whole: Any, reference: str) -> Any:
    """What a $ref leads to: a JSON Pointer (RFC 6901) into the schema itself."""
    if not reference.startswith("#/") and reference != "#":
        raise UserCodeError(0, 0, "The schema is not valid: a $ref has the form #/$defs/name.")
    found = whole
    for part in unquote(reference[1:]).split("/")[1:]:
        part = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict) and part in found:
            found = found[part]
        elif isinstance(found, list) and part.isascii() and part.isdecimal() and int(part[:6]) < len(found):
            found = found[int(part[:6])]
        else:
            raise UserCodeError(0, 0, f"The schema is not valid: there is nothing at {reference}"[:300])
    return found


def _values(document: Any, most: int) -> int:
    """How many values a document has in it; counted as far as `most`."""
    found, waiting = 0, [document]
    while waiting and found <= most:
        each = waiting.pop()
        found += 1
        if isinstance(each, dict):
            waiting += each.values()
        elif isinstance(each, list | tuple):
            waiting += each
    return found


_UNEVALUATED: Final = frozenset(("unevaluatedProperties", "unevaluatedItems"))


def _told(error: Any) -> str:
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.instance_path)
    return f"{where.lstrip('.') or 'the whole'}: {error.message}"[:300]
