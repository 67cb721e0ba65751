"""What programs send and get about contacts."""

import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from columba.contacts import LARGEST, MOST_ATTRIBUTES, MOST_TAGS
from columba.errors import FieldError
from columba.http.numbers import number_problems
from columba.http.paging import Paging
from columba.http.times import Timestamp

MOST_COLUMNS = 200
ATTRIBUTE = "attributes."  # before the name of one, as a column
MEANINGS = ("number", "name", "email", "language", "tags", "attributes")  # of columns
SAFE = 1 << 53  # whole numbers beyond it are no numbers any more in JavaScript

Number = Annotated[str, Meta(min_length=1, max_length=64, examples=["+447700900123"])]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
Email = Annotated[str, Meta(pattern=r"^[^@\s,;<>]+@[^@\s,;<>]+$", max_length=254, examples=["ada@example.org"])]
Language = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,2}$", description="A language tag (BCP 47).",
        examples=["en", "pt-BR"],
    ),
]  # fmt: skip
Tag = Annotated[
    str,
    Meta(pattern=r"^[^\s,;|]([^,;|]*[^\s,;|])?$", max_length=64, description="Without `,`, `;`, `|`."),
]
Attribute = Annotated[
    str, Meta(pattern=r"^[^\W\d]\w*$", max_length=64, description="Letters, digits, `_`.", examples=["plan"])
]
Value = (
    Annotated[str, Meta(max_length=500)] | Annotated[int, Meta(ge=-SAFE, le=SAFE)] | float | bool
)  # fmt: skip
Tags = Annotated[list[Tag], Meta(max_length=MOST_TAGS, description="The groups that the person is in.")]
Attributes = Annotated[
    dict[Attribute, Value],
    Meta(max_length=MOST_ATTRIBUTES, description="What else is known: texts, numbers, true or false."),
]
Changes = Annotated[
    dict[Attribute, Value | None],
    Meta(max_length=MOST_ATTRIBUTES, description="By their names; null takes one away, the others stay."),
]


is_name = re.compile(r"[^\W\d]\w{0,63}").fullmatch


class Said(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is said of a contact; what is left out stays.

    tags: all of them, in place of those before
    add_tags, remove_tags: these alone
    """

    name: Name | None | UnsetType = UNSET
    email: Email | None | UnsetType = UNSET
    language: Language | None | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET
    add_tags: Tags = []
    remove_tags: Tags = []
    attributes: Changes = {}

    def check_tags(self) -> Iterable[FieldError]:
        if self.tags is not UNSET and (self.add_tags or self.remove_tags):
            yield FieldError("tags", "invalid_value", "Expected either tags, or add_tags and remove_tags.")


class NewContact(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A contact."""

    number: Number
    name: Name | None = None
    email: Email | None = None
    language: Language | None = None
    tags: Tags = []
    attributes: Attributes = {}

    def check_number(self) -> Iterable[FieldError]:
        return number_problems("number", self.number)

    def check_attributes(self) -> Iterable[FieldError]:
        if problem := too_large(self.attributes):
            yield FieldError("attributes", "too_long", problem)


class PutContact(Said, kw_only=True, forbid_unknown_fields=True):
    """A contact, found by its number; what is left out stays as it is, and is empty where there was none.

    tags: all of them, in place of those before
    add_tags, remove_tags: these alone
    """

    number: Number

    def check_number(self) -> Iterable[FieldError]:
        return number_problems("number", self.number)


class ContactChange(Said, kw_only=True, forbid_unknown_fields=True):
    """What is to be different; what is left out stays.

    tags: all of them, in place of those before
    add_tags, remove_tags: these alone
    """

    number: Number | UnsetType = UNSET

    def check_number(self) -> Iterable[FieldError]:
        return number_problems("number", self.number)


class Contact(msgspec.Struct, kw_only=True):
    """A person that the account knows."""

    id: str
    number: str
    name: str | None
    email: str | None
    language: str | None
    tags: list[str]
    attributes: dict[str, Any]
    created_at: Timestamp
    updated_at: Timestamp


class ContactList(Paging, frozen=True, kw_only=True, forbid_unknown_fields=True):
    number: Annotated[str, Meta(max_length=64, description="Whose number this is.")] | None = None
    tag: Annotated[str, Meta(max_length=64, description="Who has this tag.")] | None = None
    name: (
        Annotated[str, Meta(min_length=1, max_length=200, description="Whose name begins so, whatever its case.")]
        | None
    ) = None


class NewContactImport(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A file that is to come.

    name: what you call it
    columns: what columns mean whose headings say something else: `{"Mobile no.": "number", "City": "attributes.town"}`;
        null leaves one out
    attributes: which of the other columns are kept, as attributes that are called as they are; all, if left out
    tags: that everybody in the file is given too
    known: what is done with those that are known already: `update` changes what their row says, `skip` leaves them alone
    """

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    columns: Annotated[
        dict[Annotated[str, Meta(max_length=200)], Annotated[str, Meta(max_length=75)] | None],
        Meta(max_length=MOST_COLUMNS),
    ] = {}
    attributes: Annotated[list[Attribute], Meta(max_length=MOST_ATTRIBUTES)] | None = None
    tags: Tags = []
    known: Literal["update", "skip"] = "update"

    def check_columns(self) -> Iterable[FieldError]:
        for heading, meaning in self.columns.items():
            attribute = meaning is not None and meaning.startswith(ATTRIBUTE) and is_name(meaning[len(ATTRIBUTE) :])
            if meaning is not None and meaning not in MEANINGS and not attribute:
                detail = f"Expected one of {', '.join(MEANINGS)}, an attribute such as attributes.plan, or null."
                yield FieldError(f"columns.{heading}", "invalid_value", detail)


def too_large(attributes: dict[str, Any]) -> str | None:
    """What is wrong with a contact's attributes, all together."""
    if len(attributes) > MOST_ATTRIBUTES:
        return f"Expected at most {MOST_ATTRIBUTES} attributes, got {len(attributes)}."
    if len(msgspec.json.encode(attributes)) > LARGEST:
        return f"Expected at most {LARGEST:,} bytes of attributes."
    return None
