"""What programs are told of destinations, presets and secrets, and how they try a destination out."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from columba.forwarding.destinations_shapes import Request, Saved, Step, Success, Word
from columba.http.times import Timestamp


class Destination(msgspec.Struct, kw_only=True):
    """A destination, without its secrets: `***` stands for each.

    preset: what it was made from
    problem: why it can't be used, if it can't
    """

    id: str
    name: str
    description: str
    enabled: bool
    preset: str | None
    problem: str | None
    request: Request
    steps: list[Step]
    when: str | None
    auth: dict[str, Any]
    success: Success
    save: dict[str, Saved]
    transform: dict[str, Any]
    schema: dict[str, Any] | None
    reply: str | None
    timeout: float
    retry_schedule: list[int] | None
    concurrency: int
    rate: float | None
    ordered: bool
    idempotency_header: str | None
    tls: dict[str, Any] | None
    params: dict[str, Any]
    secrets: dict[str, str]
    created_at: Timestamp
    updated_at: Timestamp


class TriedMessage(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A text as if it had come in."""

    from_: Annotated[str, Meta(max_length=64)] = msgspec.field(name="from", default="+447700900123")
    to: Annotated[str, Meta(max_length=64)] = "+12025550100"
    text: Annotated[str, Meta(max_length=10_000)] = "Hello from Columba"
    media: Annotated[list[Annotated[str, Meta(max_length=2_000)]], Meta(max_length=10)] = []
    keyword: str | None = None
    groups: dict[str, str] = {}
    metadata: dict[str, Any] = {}


class Try(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a destination is to be tried with.

    message: a text; one of ours, if left out
    send: false only renders
    """

    message: TriedMessage = msgspec.field(default_factory=TriedMessage)
    send: bool = True


class SentRequest(msgspec.Struct, kw_only=True):
    """A request as it is sent, `***` for its secrets.

    step: which of the destination's steps it is; `request` for its own
    when: where it has a condition that is only known when it is sent
    body: as it is on the wire; `base64` says that it is no text, and so encoded
    """

    step: str
    method: str
    url: str
    headers: dict[str, str]
    body: str | None
    base64: bool = False
    when: str | None = None


class GotResponse(msgspec.Struct, kw_only=True):
    """What came back, at most 20,000 bytes of it."""

    status: int
    headers: dict[str, str]
    body: str
    truncated: bool
    latency_ms: int


class TriedExchange(msgspec.Struct, kw_only=True):
    """One request of a destination, and what came back.

    skipped: its condition was not true
    error: `code: what happened`
    """

    step: str
    request: SentRequest | None
    response: GotResponse | None
    error: str | None
    skipped: bool


class Tried(msgspec.Struct, kw_only=True):
    """What came of it.

    ok: whether it would count as forwarded
    request: the last request, as it was sent
    response: what came back
    error: why it failed, and what to do about it
    permanent: whether it would not be tried again
    retry_after: seconds that the other side asks for
    exchanges: all requests, the steps' too
    """

    ok: bool
    request: SentRequest | None
    response: GotResponse | None
    error: str | None
    permanent: bool
    retry_after: float | None
    saved: dict[str, Any]
    reply: str | None
    exchanges: list[TriedExchange]


class Exported(msgspec.Struct):
    """curl: a command for each request, with a variable of the shell for each secret"""

    curl: list[str]


class PresetParam(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a preset asks for.

    secret: kept in the vault, never shown
    """

    title: str
    about: str = ""
    secret: bool = False
    required: bool = True
    default: Any = None
    example: Any = None
    choices: list[Any] | None = None


class Preset(msgspec.Struct, kw_only=True, frozen=True):
    """A system that a destination can be made for.

    destination: what is made: a destination's fields
    """

    name: str
    title: str
    about: str
    params: dict[str, PresetParam]
    destination: dict[str, Any]
    setup: str = ""


class Presets(msgspec.Struct):
    data: list[Preset]


class NewSecret(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A secret of the account: `{{ secrets.NAME }}` in the templates of destinations, `{"secret": "NAME"}` in their auth."""

    name: Word
    value: Annotated[str, Meta(min_length=1, max_length=20_000)]


class SecretChange(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    value: Annotated[str, Meta(min_length=1, max_length=20_000)]


class SecretView(msgspec.Struct, kw_only=True):
    """A secret, without what it is."""

    name: str
    created_at: Timestamp
    updated_at: Timestamp


class Secrets(msgspec.Struct):
    data: list[SecretView]
