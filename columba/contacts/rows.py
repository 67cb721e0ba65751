"""Files of contacts: what a row means.

Columns are known by usual names (`phone`, `full name`, `e-mail`, `labels`), by what the announcement says of their
headings, or become attributes that are called as they are. An empty cell leaves what is known as it is.
"""

import re
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, Final

import msgspec

from columba.contacts import MOST_ATTRIBUTES
from columba.contacts.room import Contacts, Owner
from columba.contacts.shapes import ATTRIBUTE, SAFE, NewContactImport, Said, is_name
from columba.errors import Refusal
from columba.http.body import decode
from columba.imports.reading import NUMBERS, simple
from columba.imports.room import Announced, Kind, Refused
from columba.store import Step

PATH: Final = "/v1/contacts/imports/data"
COLUMNS: Final[Mapping[str, str]] = dict.fromkeys(NUMBERS, "number") | {
    "name": "name", "full_name": "name", "contact": "name", "email": "email", "e-mail": "email", "mail": "email",
    "email_address": "email", "language": "language", "lang": "language", "locale": "language", "tags": "tags",
    "tag": "tags", "labels": "tags", "groups": "tags", "lists": "tags", "attributes": "attributes",
}  # fmt: skip
OURS: Final = frozenset({"id", "created_at", "updated_at"})  # what an export has besides

_NOT_IN_NAMES: Final = re.compile(r"\W+")
_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]{0,15})(\.[0-9]{1,17})?(e[+-][0-9]{2,3})?").fullmatch
_TAGS: Final = re.compile(r"[,;|]")


def kind(contacts: Contacts) -> Kind:
    """Files of contacts."""

    def taking(file: Announced) -> Rows:
        return Rows(contacts, (file.account_id, file.mode), file.said)

    return Kind("contacts", PATH, "contacts:write", NewContactImport, taking)


class Rows:
    """A Taking of columba/imports."""

    def __init__(self, contacts: Contacts, owner: Owner, asked: NewContactImport) -> None:
        self._contacts = contacts
        self._owner = owner
        self._asked = asked

    def columns(self, names: Sequence[str]) -> list[str | None]:
        found = [self._column(name) for name in names]
        attributes = {name for name in found if name is not None and name.startswith(ATTRIBUTE)}
        if len(attributes) > MOST_ATTRIBUTES:
            detail = (
                f"It has {len(attributes)} columns that would be attributes; {MOST_ATTRIBUTES} is the most. "
                "Name those that are wanted in `attributes` of the announcement."
            )
            raise Refusal("invalid_request", detail)
        return found

    def _column(self, heading: str) -> str | None:
        asked = self._asked
        if heading in asked.columns:
            return asked.columns[heading]
        name = simple(heading)
        if name in COLUMNS:
            return COLUMNS[name]
        if name.startswith(ATTRIBUTE):
            return _attribute(heading[len(ATTRIBUTE) :])
        found = _attribute(name)
        if found is None or name in OURS:
            return None
        wanted = asked.attributes is None or found.removeprefix(ATTRIBUTE) in asked.attributes
        return found if wanted else None

    def read(self, row: Mapping[str, str]) -> tuple[str, Said]:
        """Whom a row is about, and what it says."""
        said: dict[str, Any] = {name: row[name] for name in ("name", "email", "language") if row.get(name)}
        if language := said.get("language"):
            said["language"] = language.replace("_", "-")
        tags = [each.strip() for each in _TAGS.split(row.get("tags", "")) if each.strip()]
        if tags or self._asked.tags:
            said["add_tags"] = list(dict.fromkeys((*tags, *self._asked.tags)))
        attributes = _object(row.get("attributes", ""))
        attributes |= {
            name[len(ATTRIBUTE) :]: value_of(text) for name, text in row.items() if text and name.startswith(ATTRIBUTE)
        }
        if attributes:
            said["attributes"] = attributes
        try:
            return row["number"], decode(Said, msgspec.json.encode(said))
        except Refusal as refusal:
            raise Refused("invalid_value", _short(refusal)) from None

    async def write(self, items: Sequence[tuple[str, Said]], *more: Step) -> list[bool | Refused]:
        done = await self._contacts.put(self._owner, items, self._asked.known == "skip", more)
        return [
            each.made or each.changed if each.refused is None else Refused("invalid_value", _short(each.refused))
            for each in done
        ]


def _attribute(name: str) -> str | None:
    name = _NOT_IN_NAMES.sub("_", name.strip()).strip("_")[:64]
    return f"{ATTRIBUTE}{name}" if is_name(name) else None


def _object(text: str) -> dict[str, Any]:
    """What an export keeps of attributes that have no column."""
    if not text:
        return {}
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        raise Refused("invalid_value", "attributes: expected a JSON object.") from None


def value_of(text: str) -> Any:
    """A cell as a value: true, false and numbers are such; a text within quotes is one, whatever is in it."""
    if text in ("true", "false"):
        return text == "true"
    if _NUMBER(text):
        number = float(text) if "." in text or "e" in text else int(text)
        return number if -SAFE <= number <= SAFE or (isinstance(number, float) and isfinite(number)) else text
    if text[0] == '"' == text[-1] and len(text) > 1:
        try:
            return msgspec.json.decode(text, type=str)
        except msgspec.DecodeError:
            return text
    return text


def cell_of(value: Any) -> str:
    """A value as a cell, from which it is read again."""
    if isinstance(value, str):
        return (
            value
            if value and value == value.strip() and value_of(value) == value
            else msgspec.json.encode(value).decode()
        )
    return repr(value) if isinstance(value, float) else msgspec.json.encode(value).decode()


def _short(refusal: Refusal) -> str:
    errors = refusal.errors
    return (f"{errors[0].field}: {errors[0].detail}" if errors else refusal.detail)[:500]
