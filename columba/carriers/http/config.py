"""What may be set of a carrier of kind `http`. docs/carriers.md says what each setting is good for.

Reading fails with ValueError that names what is wrong: templates, paths, patterns and expressions are tried out at once.
"""

from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from columba.carriers import SECRET
from columba.carriers.over_http import Api
from columba.usercode import UserCodeError

if TYPE_CHECKING:
    from .made import Made

Words = Annotated[str, Meta(max_length=500)]
Long = Annotated[str, Meta(max_length=20_000)]
Secret = Annotated[str, Meta(min_length=1, max_length=4_000, extra_json_schema=SECRET)]
Where = Annotated[
    str,
    Meta(
        min_length=1, max_length=500,
        description="A JSONPath (`$.id`), a field of a form, query or object (`id`), `header:NAME`, or `pattern:REGEX`.",
    ),
]  # fmt: skip
Errand = Literal[
    "unknown_number", "unreachable", "filtered", "opted_out", "rejected", "expired", "throttled", "retry", "reroute",
    "account",
]  # fmt: skip
State = Literal["pending", "delivered", "undelivered", "failed", "expired", "canceled", "unknown"]


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing that isn't known, and nothing shown in a trace, for it may be secret."""

    def __repr__(self) -> str:
        return type(self).__name__

    def __rich_repr__(self) -> list[tuple[str, str]]:
        return []


class Body(Strict, frozen=True):
    """One of the three."""

    json: Any = None
    form: Annotated[dict[str, Long], Meta(max_length=100)] | None = None
    text: Long | None = None

    def __post_init__(self) -> None:
        if sum(each is not None for each in (self.json, self.form, self.text)) != 1:
            raise ValueError("A body has one of json, form and text.")


class Asking(Strict, frozen=True):
    """The request that sends a text. A `url` that begins with `/` goes on from `base_url`."""

    url: Annotated[str, Meta(min_length=1, max_length=2_000)]
    method: Literal["GET", "POST", "PUT", "PATCH"] = "POST"
    headers: Annotated[dict[str, Words], Meta(max_length=50)] = {}
    query: Annotated[dict[str, Words], Meta(max_length=50)] = {}
    body: Body | None = None


class NoAuth(Strict, frozen=True, tag_field="kind", tag="none"):
    """Nothing is added."""


class Bearer(Strict, frozen=True, tag_field="kind", tag="bearer"):
    """Authorization: Bearer."""

    token: Secret


class Basic(Strict, frozen=True, tag_field="kind", tag="basic"):
    """Authorization: Basic."""

    user: Words
    password: Secret


class Header(Strict, frozen=True, tag_field="kind", tag="header"):
    """A header of any name."""

    name: Words
    value: Secret


class Query(Strict, frozen=True, tag_field="kind", tag="query"):
    """A parameter of the address."""

    name: Words
    value: Secret


class Hmac(Strict, frozen=True, tag_field="kind", tag="hmac"):
    """The body, signed. A callback's `timestamp` header, where named, comes before the body, with a dot."""

    header: Words
    secret: Secret
    algorithm: Literal["sha1", "sha256", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    prefix: Words = ""
    timestamp: Words = ""


Auth = NoAuth | Bearer | Basic | Header | Query | Hmac


class Success(Strict, frozen=True):
    """What an answer must be: one of the statuses (any 2xx, if none is named), and whatever else is set.

    expression: CEL over status, headers, body (its JSON) and text
    """

    status: Annotated[list[Annotated[int, Meta(ge=200, le=599)]], Meta(max_length=20)] = []
    pattern: Words | None = None
    expression: Words | None = None


class Failure(Strict, frozen=True):
    """Where the code of an error is, and what codes mean."""

    code: Where | None = None
    codes: Annotated[dict[str, Errand], Meta(max_length=500)] = {}


class Statuses(Strict, frozen=True):
    """What a receipt says. `each` is a JSONPath to the receipts, where there may be several."""

    id: Where
    status: Where
    each: Where | None = None
    code: Where | None = None
    statuses: Annotated[dict[str, State], Meta(max_length=100)] = {}
    codes: Annotated[dict[str, Errand], Meta(max_length=500)] = {}


class Texts(Strict, frozen=True, rename={"sender": "from"}):
    """What a text from a person is. `ref`, `part` and `parts` join the parts of a long one."""

    sender: Where
    to: Where
    text: Where
    each: Where | None = None
    id: Where | None = None
    media: Where | None = None
    ref: Where | None = None
    part: Where | None = None
    parts: Where | None = None
    join_seconds: Annotated[float, Meta(gt=0, le=86_400)] = 120.0


class Replying(Strict, frozen=True):
    """What a callback is answered with."""

    status: Annotated[int, Meta(ge=200, le=299)] = 200
    body: Words = ""
    content_type: Annotated[str, Meta(max_length=100, pattern="^[ -~]*$")] = "text/plain"


class Callbacks(Strict, frozen=True):
    """How the provider's callbacks are proven and read. Without `check` they are refused."""

    check: Basic | Header | Query | Hmac | None = None
    status: Statuses | None = None
    inbound: Texts | None = None
    reply: Replying = Replying()


class Config(Api, frozen=True, forbid_unknown_fields=True, kw_only=True, dict=True):
    """Any provider with an HTTP API."""

    request: Asking
    auth: Auth = NoAuth()
    success: Success = Success()
    id: Annotated[Where, Meta(description="Where the answer has the message's id.")] | None = None
    failure: Failure = Failure()
    long: Annotated[
        Literal["whole", "parts"],
        Meta(description="Who cuts long texts: the provider, or we (`udh`, `part`, `parts`)."),
    ] = "whole"
    alphabet: Literal["gsm7", "ucs2"] = "gsm7"
    media: Annotated[bool, Meta(description="Whether the request carries media.")] = False
    probe: Annotated[str, Meta(max_length=500, description="An address to GET, to try the carrier out.")] | None = None
    callbacks: Callbacks = Callbacks()

    def __post_init__(self) -> None:
        try:
            self.made  # noqa: B018  what is wrong is told now
        except UserCodeError as error:
            raise ValueError(str(error)) from None

    @property
    def elsewhere(self) -> bool:
        return True

    @cached_property
    def made(self) -> "Made":
        from .made import make

        return make(self)
