"""What is configured of a carrier, as its kind declares it: read with every problem named, its secrets kept apart.

Pure. In here a configuration is plain JSON objects (as it was given), or the kind's struct (as it is used).
"""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import cache
from typing import Any

import msgspec
import msgspec.inspect as mi

from columba.carriers import SECRET, CarrierKind
from columba.errors import FieldError
from columba.http.walk import BAD, Walk
from columba.http.words import strip

HIDDEN = "***"  # what is shown instead of a secret, and what leaves one as it is

Path = tuple[str | int, ...]
Plain = dict[str, Any]
Secrets = tuple[tuple[Path, Any], ...]


def read(kind: CarrierKind, given: Plain) -> tuple[Any, list[FieldError]]:
    """The struct; or None and every problem, each with its field (`config.host`)."""
    struct: Any = kind.config
    walk = Walk()
    built = walk.run(given, _type(struct), "config")
    return (None if built is BAD else built), walk.errors


def changed(given: Plain, changes: Mapping[str, Any]) -> Plain:
    """A configuration with some of its fields set anew; null takes one back to its default (RFC 7396, one level deep).

    A secret that is given as it was shown stays what it is.
    """
    new = {**given, **deepcopy(dict(changes))}
    for name, value in changes.items():
        if value is None:
            del new[name]
        else:
            new[name] = _unhidden(new[name], given.get(name))
    return new


def _unhidden(new: Any, old: Any) -> Any:
    if new == HIDDEN and old is not None:
        return old
    if isinstance(new, dict) and isinstance(old, dict):
        return {name: _unhidden(value, old.get(name)) for name, value in new.items()}
    if isinstance(new, list) and isinstance(old, list):
        return [_unhidden(value, old[i] if i < len(old) else None) for i, value in enumerate(new)]
    return new


def divided(config: Any, given: Plain) -> tuple[Plain, Secrets]:
    """What may be read by anybody who can read the database, and the secrets with their places."""
    public = deepcopy(given)
    secrets = []
    for path in secret_places(config):
        holder = _at(public, path[:-1])
        if isinstance(holder, dict) and path[-1] in holder:
            secrets.append((path, holder.pop(path[-1])))
        elif isinstance(holder, list) and isinstance(path[-1], int) and path[-1] < len(holder):
            secrets.append((path, holder[path[-1]]))
            holder[path[-1]] = None
    return public, tuple(secrets)


def united(public: Plain, secrets: Secrets) -> Plain:
    given = deepcopy(public)
    for path, value in secrets:
        _at(given, path[:-1])[path[-1]] = value
    return given


def shown(config: Any) -> Plain:
    """All of it, defaults too, without its secrets."""
    plain: Plain = msgspec.to_builtins(config)
    for path in secret_places(config):
        _at(plain, path[:-1])[path[-1]] = HIDDEN
    return plain


def secret_places(config: Any) -> list[Path]:
    return list(_places(config, mi.AnyType(), ()))


def _places(value: Any, kind: mi.Type, path: Path) -> Iterator[Path]:
    if value is None or value is msgspec.UNSET:
        return
    if _is_secret(kind):
        yield path
    elif isinstance(value, msgspec.Struct):
        info = _type(type(value))
        assert isinstance(info, mi.StructType)
        for field in info.fields:
            yield from _places(getattr(value, field.name), field.type, (*path, field.encode_name))
    elif isinstance(value, dict):
        for name, each in value.items():
            yield from _places(each, _inner(kind), (*path, name))
    elif isinstance(value, list | tuple):
        for n, each in enumerate(value):
            yield from _places(each, _inner(kind), (*path, n))


def _is_secret(kind: mi.Type) -> bool:
    if isinstance(kind, mi.UnionType):
        return any(_is_secret(member) for member in kind.types)
    if not isinstance(kind, mi.Metadata):
        return False
    more = kind.extra_json_schema or {}
    return SECRET.items() <= more.items() or _is_secret(kind.type)


def _inner(kind: mi.Type) -> mi.Type:
    """What a dict or a list of this type holds."""
    kind = strip(kind)
    for member in map(strip, kind.types if isinstance(kind, mi.UnionType) else (kind,)):
        if isinstance(member, mi.DictType):
            return member.value_type
        if isinstance(member, mi.CollectionType):
            return member.item_type
    return mi.AnyType()


def _at(plain: Any, path: Path) -> Any:
    for step in path:
        try:
            plain = plain[step]
        except (KeyError, IndexError, TypeError):
            return None
    return plain


@cache
def _type(kind: Any) -> mi.Type:
    return mi.type_info(kind)
