"""What programs say of a destination. Its spec is kept in these shapes too.

Checks name every problem: each template, expression, path and schema is parsed here, with line and column.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from columba.errors import FieldError
from columba.forwarding.auth.kinds import Auth, NoAuth, Tls
from columba.usercode import NAMES, Expression, Pattern, Schema, Template, UserCodeError, parse_path
from columba.usercode.templates import DEEPEST

HIDDEN = "***"  # what is shown instead of a secret, and what leaves one as it is
SEEN = NAMES | {"params", "secrets", "values"}  # by the templates of requests
ANSWERED = SEEN - {"secrets"} | {"answer", "status", "headers", "body", "json", "saved"}  # by what looks at an answer
MOST_STEPS = 10
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_FRAMING = frozenset(
    {
        *("accept-encoding", "connection", "content-length", "expect", "host", "http2-settings", "keep-alive"),
        *("proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
    }
)
_TOKEN = frozenset("!#$%&'*+.^_`|~-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")

Source = Annotated[str, Meta(max_length=20_000)]
Cel = Annotated[str, Meta(min_length=1, max_length=4_000, examples=["json.ok == true"])]
Name = Annotated[str, Meta(min_length=1, max_length=100)]
Word = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,63}$", examples=["find"])]
Schedule = Annotated[
    list[Annotated[int, Meta(ge=0, le=604_800)]],
    Meta(max_length=20, description="Seconds after each failed attempt; null for the usual schedule."),
]


def template(field: str, source: str, names: frozenset[str] = SEEN) -> Iterable[FieldError]:
    try:
        Template.check(source, names)
    except UserCodeError as error:
        yield error.at(field)


def expression(field: str, source: str, names: frozenset[str]) -> Iterable[FieldError]:
    try:
        Expression.parse(source, names)
    except UserCodeError as error:
        yield error.at(field)


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One part of a multipart body: a field, or the message's media.

    text: a template; left out where it is media
    media: `all` of them, each as a part of this name; or the one at this place, from 0. Where there is none, no part is sent
    filename: a template; the file's own name, if left out
    """

    name: Name
    text: Source | None = None
    media: Literal["all"] | Annotated[int, Meta(ge=0, le=100)] | None = None
    filename: Source | None = None
    content_type: Annotated[str, Meta(max_length=200)] | None = None

    def check(self) -> Iterable[FieldError]:
        if (self.text is None) == (self.media is None):
            yield FieldError("text", "required", "Expected one of text, media.")
        for name in ("text", "filename"):
            if (source := getattr(self, name)) is not None:
                yield from template(name, source)


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is sent: one of these. Texts in them are templates.

    json: any JSON value. A text that is a single `{{ expression }}` becomes the expression's value, with its type
    form: fields of a form; a list is sent as several of one name
    multipart: parts, with files
    xml: a document; what is put into it is escaped
    text: text of whatever kind
    content_type: instead of the usual one
    """

    json: Any = UNSET
    form: Annotated[dict[str, Any], Meta(max_length=200)] | None = None
    multipart: Annotated[list[Part], Meta(min_length=1, max_length=50)] | None = None
    xml: Source | None = None
    text: Source | None = None
    content_type: Annotated[str, Meta(max_length=200)] | None = None

    def check(self) -> Iterable[FieldError]:
        kinds = ("json", "form", "multipart", "xml", "text")
        given = [
            name for name in kinds if getattr(self, name) not in (None, UNSET) or (name == "json" and self.json is None)
        ]
        if len(given) != 1:
            code = "invalid_value" if given else "required"
            yield FieldError(given[1] if given else "json", code, f"Expected one of {', '.join(kinds)}.")
        if self.json is not UNSET:
            yield from _structure("json", self.json)
        if self.form is not None:
            yield from _structure("form", self.form)
        for name in ("xml", "text"):
            if (source := getattr(self, name)) is not None:
                yield from template(name, source)


def _structure(field: str, value: Any, depth: int = 0) -> Iterable[FieldError]:
    """Each text in it that is no template, by its place."""
    if isinstance(value, str):
        yield from template(field, value)
    elif depth > DEEPEST:
        yield FieldError(field, "out_of_range", f"Expected at most {DEEPEST} levels.")
    elif isinstance(value, dict):
        for name, each in value.items():
            yield from _structure(f"{field}.{name}", each, depth + 1)
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _structure(f"{field}[{index}]", each, depth + 1)


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A request; all texts in it are templates.

    url: what is put into it is percent-encoded, unless it stands at the very beginning
    query: added to the URL; a list is sent as several of one name, and what is null is left out
    """

    url: Annotated[str, Meta(min_length=1, max_length=4_000, examples=["https://example.org/texts"])]
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    headers: Annotated[dict[str, Source], Meta(max_length=50)] = {}
    query: Annotated[dict[str, Any], Meta(max_length=50)] = {}
    body: Body | None = None

    def check_url(self) -> Iterable[FieldError]:
        yield from template("url", self.url)

    def check_headers(self) -> Iterable[FieldError]:
        seen = set()
        for name, source in self.headers.items():
            field = f"headers.{name}"
            if not name or not _TOKEN.issuperset(name):
                yield FieldError(field, "invalid_value", "A header's name has letters, digits and - only.")
            elif name.lower() in _FRAMING:
                yield FieldError(field, "invalid_value", "This header is written by Columba itself.")
            elif name.lower() in seen:
                yield FieldError(field, "invalid_value", "This header is given twice.")
            seen.add(name.lower())
            yield from template(field, source)

    def check_query(self) -> Iterable[FieldError]:
        yield from _structure("query", self.query)

    def check_body(self) -> Iterable[FieldError]:
        if self.body is not None and self.method == "GET":
            yield FieldError("body", "invalid_value", "A GET has no body: use `query`.")


class Success(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """When an answer is a success: all of what is given.

    status: status codes, or classes of them such as `2xx`
    headers: RE2 patterns that are found in the answer's headers
    cel: an expression that is true, over `status`, `headers`, `body`, `json`
    permanent: an expression over the same: where it is true of a failure, nothing is tried again
    """

    status: Annotated[list[int | Annotated[str, Meta(pattern="^[1-5]xx$")]], Meta(min_length=1, max_length=50)] = (
        msgspec.field(default_factory=lambda: ["2xx"])
    )
    headers: Annotated[dict[str, Annotated[str, Meta(max_length=1_000)]], Meta(max_length=20)] = {}
    cel: Cel | None = None
    permanent: Cel | None = None

    def check_headers(self) -> Iterable[FieldError]:
        for name, source in self.headers.items():
            try:
                Pattern.parse(source)
            except UserCodeError as error:
                yield error.at(f"headers.{name}")

    def check_cel(self) -> Iterable[FieldError]:
        for name in ("cel", "permanent"):
            if (source := getattr(self, name)) is not None:
                yield from expression(name, source, ANSWERED)


class Saved(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where a value is in an answer: one of these.

    jsonpath: in its JSON, such as `$.ticket.id`
    cel: an expression over `status`, `headers`, `body`, `json`
    header: a header of the answer
    template: a template that sees `answer`
    """

    jsonpath: Annotated[str, Meta(max_length=500)] | None = None
    cel: Cel | None = None
    header: Name | None = None
    template: Source | None = None

    def check(self) -> Iterable[FieldError]:
        given = [name for name in self.__struct_fields__ if getattr(self, name) is not None]
        if len(given) != 1:
            detail = "Expected one of jsonpath, cel, header, template."
            yield FieldError(given[1] if given else "jsonpath", "invalid_value" if given else "required", detail)
        if self.jsonpath is not None:
            try:
                parse_path(self.jsonpath)
            except UserCodeError as error:
                yield error.at("jsonpath")
        if self.cel is not None:
            yield from expression("cel", self.cel, ANSWERED)
        if self.template is not None:
            yield from template("template", self.template, ANSWERED)


Save = Annotated[
    dict[str, Saved], Meta(max_length=50, description="Values of the answer that are kept, by their names.")
]


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A request before the destination's own. What it answered is `steps.NAME` for all that comes after it: `status`,
    `headers`, `body`, `json`, `saved`, `ok`, `skipped`.

    when: an expression; where it isn't true, the step is skipped
    auth: false sends it without the destination's auth
    on_failure: `fail` ends the attempt, `go_on` doesn't: the steps after it see `steps.NAME.ok`
    private: what it is answered is a secret, such as a login's: it is neither kept nor shown, and the step is repeated in
      each attempt
    """

    name: Word
    request: Request
    when: Cel | None = None
    success: Success = Success()
    save: Save = {}
    auth: bool = True
    on_failure: Literal["fail", "go_on"] = "fail"
    private: bool = False

    def check_when(self) -> Iterable[FieldError]:
        if self.when is not None:
            yield from expression("when", self.when, SEEN)

    def check_save(self) -> Iterable[FieldError]:
        yield from _names("save", self.save)


def _names(field: str, values: Mapping[str, object]) -> Iterable[FieldError]:
    for name in values:
        if not name.isidentifier() or not name.isascii() or len(name) > 64:
            yield FieldError(f"{field}.{name}", "invalid_value", "A name has letters, digits and _ only.")


class _Checked(msgspec.Struct, frozen=True):
    """What is checked of a destination's fields, where they are given."""

    def _given(self, name: str) -> Any:
        value = getattr(self, name)
        return None if value is UNSET else value

    def check_steps(self) -> Iterable[FieldError]:
        names = [step.name for step in self._given("steps") or ()]
        for index, name in enumerate(names):
            if name in names[:index]:
                yield FieldError(f"steps[{index}].name", "invalid_value", "Two steps have this name.")

    def check_when(self) -> Iterable[FieldError]:
        if (when := self._given("when")) is not None:
            yield from expression("when", when, SEEN)

    def check_save(self) -> Iterable[FieldError]:
        yield from _names("save", self._given("save") or {})

    def check_transform(self) -> Iterable[FieldError]:
        transform = self._given("transform") or {}
        yield from _names("transform", transform)
        yield from _structure("transform", transform)

    def check_schema(self) -> Iterable[FieldError]:
        if (schema := self._given("schema")) is not None:
            try:
                Schema.parse(schema)
            except UserCodeError as error:
                yield error.at("schema")

    def check_reply(self) -> Iterable[FieldError]:
        if (reply := self._given("reply")) is not None:
            yield from template("reply", reply, ANSWERED)

    def check_idempotency_header(self) -> Iterable[FieldError]:
        name = self._given("idempotency_header")
        if name is not None and (not name or not _TOKEN.issuperset(name) or name.lower() in _FRAMING):
            yield FieldError("idempotency_header", "invalid_value", "Expected a header's name.")

    def check_secrets(self) -> Iterable[FieldError]:
        yield from _names("params", self._given("params") or {})
        yield from _names("secrets", self._given("secrets") or {})


class Spec(_Checked, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """All that a destination does; as it is kept, but for its secrets.

    request: the request that forwards a text
    steps: requests before it: to look something up, to make what isn't there yet
    when: an expression, over `steps` too; where it isn't true, the request isn't sent, and that is no failure
    auth: how it proves who it is
    success: when the answer is a success
    save: values of the answer that are kept with the message
    transform: values for the templates of requests, made first: `{{ values.NAME }}`
    schema: a JSON Schema that the body must fit; what doesn't is kept and shown, not sent
    reply: a text to the person, made from the answer: a template that sees `answer` and `saved`
    timeout: seconds for each request
    retry_schedule: seconds after each failed attempt; the usual ones, if left out
    concurrency: how many are under way at once
    rate: attempts a second at most
    ordered: texts of one person go in their order: one that failed holds back those after it
    idempotency_header: a header with an id that is the same for every attempt at one forward; null for none
    tls: a client certificate, a private CA
    params: what the templates see as `params`
    secrets: what the templates see as `secrets`, before those of the account; never shown
    """

    request: Request
    steps: Annotated[list[Step], Meta(max_length=MOST_STEPS)] = []
    when: Cel | None = None
    auth: Auth = NoAuth()
    success: Success = Success()
    save: Save = {}
    transform: Annotated[dict[str, Any], Meta(max_length=50)] = {}
    schema: dict[str, Any] | None = None
    reply: Source | None = None
    timeout: Annotated[float, Meta(ge=1, le=60)] = 15.0
    retry_schedule: Schedule | None = None
    concurrency: Annotated[int, Meta(ge=1, le=200)] = 64
    rate: Annotated[float, Meta(gt=0, le=10_000)] | None = None
    ordered: bool = False
    idempotency_header: Annotated[str, Meta(max_length=100)] | None = "Idempotency-Key"
    tls: Tls | None = None
    params: Annotated[dict[str, Any], Meta(max_length=50)] = {}
    secrets: Annotated[dict[str, Annotated[str, Meta(max_length=20_000)]], Meta(max_length=50)] = {}


Description = Annotated[str, Meta(max_length=500)]


class DestinationChange(_Checked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be different; what is left out stays. Each field is replaced as a whole, but for `params` and `secrets`:
    of those the names that are given, and null takes one away. A secret as it was shown (`***`) stays what it is.
    """

    name: Name | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    request: Request | UnsetType = UNSET
    steps: Annotated[list[Step], Meta(max_length=MOST_STEPS)] | UnsetType = UNSET
    when: Cel | None | UnsetType = UNSET
    auth: Auth | UnsetType = UNSET
    success: Success | UnsetType = UNSET
    save: Save | UnsetType = UNSET
    transform: Annotated[dict[str, Any], Meta(max_length=50)] | UnsetType = UNSET
    schema: dict[str, Any] | None | UnsetType = UNSET
    reply: Source | None | UnsetType = UNSET
    timeout: Annotated[float, Meta(ge=1, le=60)] | UnsetType = UNSET
    retry_schedule: Schedule | None | UnsetType = UNSET
    concurrency: Annotated[int, Meta(ge=1, le=200)] | UnsetType = UNSET
    rate: Annotated[float, Meta(gt=0, le=10_000)] | None | UnsetType = UNSET
    ordered: bool | UnsetType = UNSET
    idempotency_header: Annotated[str, Meta(max_length=100)] | None | UnsetType = UNSET
    tls: Tls | None | UnsetType = UNSET
    params: Annotated[dict[str, Any], Meta(max_length=50)] | UnsetType = UNSET
    secrets: Annotated[dict[str, str | None], Meta(max_length=50)] | UnsetType = UNSET


class NewDestination(DestinationChange, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A destination: with a `request` of its own, or from a `preset` with its `params`, or from a `curl` command.

    name: the preset's or the request's host, if left out
    preset: one of GET /v1/presets; what else is given takes the place of the preset's
    params: what the preset asks for, its secrets too
    curl: a curl command that does what is to be done
    """

    preset: Annotated[str, Meta(max_length=64)] | None = None
    curl: Annotated[str, Meta(max_length=20_000)] | None = None

    def check(self) -> Iterable[FieldError]:
        given = [name for name in ("request", "preset", "curl") if getattr(self, name) not in (None, UNSET)]
        if not given:
            yield FieldError("request", "required", "Expected one of request, preset, curl.")
        elif self.curl is not None and len(given) > 1:
            yield FieldError("curl", "invalid_value", "Expected one of request, preset, curl.")
