"""What programs send and get about templates."""

import re
from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from columba.core import status
from columba.errors import FieldError
from columba.http.paging import Paging
from columba.http.times import Timestamp
from columba.numbers import NumberError, sender
from columba.templates.params import MOST_PARAMS, Param, Values, declared_problems

MOST_LANGUAGES: Final = 50
MOST_TEXT: Final = 2_000
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z]{4})?(-([A-Za-z]{2}|[0-9]{3}))?")

Class = Literal["otp", "transactional", "marketing"]
Name = Annotated[
    str, Meta(min_length=1, max_length=64, description="Letters, digits, `_`, `.`, `-`.", examples=["order_shipped"])
]
Language = Annotated[
    str, Meta(min_length=2, max_length=16, description="A language tag (BCP 47).", examples=["en", "pt-BR"])
]
Sender = Annotated[str, Meta(max_length=64, description="A number, a short code or a name.")]
Params = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Param | Annotated[str, Meta(max_length=16)]],
    Meta(max_length=MOST_PARAMS, description='Parameters by name; `"string"` is short for `{"type": "string"}`.'),
]


class Version(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The text in one language.

    text: with `{{ name }}` where parameters go; conditions, loops and filters as in forwarding
    """

    language: Language
    text: Annotated[str, Meta(min_length=1, max_length=MOST_TEXT)]


class Content(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a revision says: what is kept of it. `inferred`: the parameters were read from the texts."""

    versions: list[Version]
    params: dict[str, Param] = {}
    class_: Class | None = field(name="class", default=None)
    from_: str | None = field(name="from", default=None)
    default_language: str = ""
    inferred: bool = False

    @property
    def klass(self) -> int | None:
        return None if self.class_ is None else status.CLASSES.index(self.class_)


def tag(language: str) -> str:
    """A language tag in its usual spelling: pt-BR, zh-Hant-TW."""
    first, *rest = language.split("-")
    return "-".join([first.lower(), *(each.title() if len(each) == 4 else each.upper() for each in rest)])


def read_params(given: dict[str, Param | str]) -> dict[str, Param]:
    """With those written short in full. FieldErrors come from `params_problems`."""
    return {
        name: msgspec.convert({"type": each}, Param) if isinstance(each, str) else each for name, each in given.items()
    }


def params_problems(given: dict[str, Param | str]) -> Iterable[FieldError]:
    for name, each in given.items():
        if isinstance(each, str):
            try:
                read_params({name: each})
            except msgspec.ValidationError:
                detail = "Expected one of string, integer, number, boolean, list."
                yield FieldError(f"params.{name}", "invalid_value", detail)
                return
    yield from declared_problems(read_params(given))


def _versions_problems(versions: list[Version], default: str | None) -> Iterable[FieldError]:
    seen: set[str] = set()
    for n, each in enumerate(versions):
        if not _LANGUAGE.fullmatch(each.language):
            yield FieldError(f"versions[{n}].language", "invalid_value", "Expected a language tag such as en or pt-BR.")
        elif tag(each.language) in seen:
            yield FieldError(f"versions[{n}].language", "invalid_value", "This language is there already.")
        seen.add(tag(each.language))
    if default is not None and tag(default) not in seen:
        yield FieldError("default_language", "invalid_value", "Expected a language that has a version.")


def _name_problems(name: str) -> Iterable[FieldError]:
    if not _NAME.fullmatch(name) or re.fullmatch(r"tpl_\w{13}", name):
        yield FieldError(
            "name", "invalid_value", "Expected letters, digits, `_`, `.` and `-`; a letter or digit first."
        )


def _sender_problems(name: str | None) -> Iterable[FieldError]:
    if name is not None:
        try:
            sender(name)
        except NumberError as error:
            yield FieldError("from", "invalid_sender", error.detail)


class NewTemplate(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A template. Its texts are used as soon as it is approved.

    versions: its text in each language
    params: none named means that every name in the texts is a required string
    class: what its messages are; else what each message says
    from: what its messages come from; else what each message says
    default_language: the language for those that have no version; the first one's if nothing is said
    draft: whether it has to be approved before it can be sent; so it is with keys that may not approve
    """

    name: Name
    versions: Annotated[list[Version], Meta(min_length=1, max_length=MOST_LANGUAGES)]
    params: Params = {}
    description: Annotated[str, Meta(max_length=500)] = ""
    class_: Class | None = field(name="class", default=None)
    from_: Sender | None = field(name="from", default=None)
    default_language: Language | None = None
    draft: bool | None = None

    def check_name(self) -> Iterable[FieldError]:
        return _name_problems(self.name)

    def check_from(self) -> Iterable[FieldError]:
        return _sender_problems(self.from_)

    def check_versions(self) -> Iterable[FieldError]:
        return _versions_problems(self.versions, self.default_language)

    def check_params(self) -> Iterable[FieldError]:
        return params_problems(self.params)


class TemplateChange(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What is to be different. Texts, parameters, class, sender and default language make a new revision."""

    name: Name | UnsetType = UNSET
    description: Annotated[str, Meta(max_length=500)] | UnsetType = UNSET
    versions: Annotated[list[Version], Meta(min_length=1, max_length=MOST_LANGUAGES)] | UnsetType = UNSET
    params: Params | UnsetType = UNSET
    class_: Class | None | UnsetType = field(name="class", default=UNSET)
    from_: Sender | None | UnsetType = field(name="from", default=UNSET)
    default_language: Language | UnsetType = UNSET
    draft: bool | None = None

    def check_name(self) -> Iterable[FieldError]:
        return () if self.name is UNSET else _name_problems(self.name)

    def check_from(self) -> Iterable[FieldError]:
        return () if self.from_ is UNSET else _sender_problems(self.from_)

    def check_params(self) -> Iterable[FieldError]:
        return () if self.params is UNSET else params_problems(self.params)

    def check_versions(self) -> Iterable[FieldError]:
        return () if self.versions is UNSET else _versions_problems(self.versions, None)


class Template(msgspec.Struct, kw_only=True):
    """A template as its newest revision has it.

    state: `draft` while the newest revision waits to be approved
    revision: the number of the newest revision
    approved_revision: the one that messages are made from; null while there is none
    """

    id: str
    name: str
    description: str
    state: Literal["draft", "approved"]
    revision: int
    approved_revision: int | None
    versions: list[Version]
    params: dict[str, Param]
    class_: Class | None = field(name="class")
    from_: str | None = field(name="from")
    default_language: str
    created_at: Timestamp
    updated_at: Timestamp


class Revision(msgspec.Struct, kw_only=True):
    """One revision of a template.

    created_by: the key that made it
    approved_by: the key that approved it, last
    """

    revision: int
    versions: list[Version]
    params: dict[str, Param]
    class_: Class | None = field(name="class")
    from_: str | None = field(name="from")
    default_language: str
    created_at: Timestamp
    created_by: str
    approved_at: Timestamp | None
    approved_by: str | None


class Templates(Paging, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which templates.

    name: the one of this name
    """

    name: Annotated[str, Meta(max_length=64)] | None = None


class Approval(msgspec.Struct, forbid_unknown_fields=True):
    """Which revision: the newest if none is named."""

    revision: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None


class NewTrial(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What to fill in.

    params: samples and defaults stand for those not given
    revision: the newest if none is named
    to: whom it would go to, for the price
    """

    params: Values = {}
    language: Language | None = None
    revision: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    to: Annotated[str, Meta(max_length=64)] | None = None


class Filled(msgspec.Struct):
    """A text as it would be sent.

    price: what its parts cost together, where `to` is given and the price table says
    """

    text: str
    encoding: Literal["gsm7", "ucs2"]
    segments: int
    units: int
    price: str | None = None


class Trial(msgspec.Struct):
    """A template filled in.

    language: the version that is used
    sample: with the values given, and samples where there are none
    worst: the longest and dearest that the parameters' limits allow
    """

    language: str
    revision: int
    params: dict[str, Any]
    sample: Filled
    worst: Filled
