"""People of the sandbox: a text from one of them comes in as it would from a carrier."""

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Final

import msgspec
from msgspec import Meta, field

from columba.core import model, status
from columba.core.contract import Carrier, Inbound
from columba.core.receive import Receive
from columba.errors import FieldError, Refusal
from columba.http.egress import Policy
from columba.http.endpoint import Call, Endpoint, endpoint
from columba.keys import Key
from columba.messages.shapes import Media, Message
from columba.messages.urls import url_problems
from columba.numbers import NumberError, normalise, sender
from columba.sandbox import CARRIER_ID
from columba.text import check

EXAMPLE: Final = {"from": "+447700900123", "to": "+12025550100", "text": "Yes, please"}
ANYWHERE: Final = Policy()


class NewInbound(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A text from a person.

    from: the person's number
    to: your number, short code or name
    text: may be left out where there are media
    """

    from_: Annotated[str, Meta(max_length=64, examples=["+447700900123"])] = field(name="from")
    to: Annotated[str, Meta(max_length=64, examples=["+12025550100"])]
    text: Annotated[str, Meta(max_length=5_000)] = ""
    media: Media = []

    def check_from(self) -> Iterable[FieldError]:
        try:
            normalise(self.from_)
        except NumberError as error:
            yield FieldError("from", "invalid_number", error.detail)

    def check_to(self) -> Iterable[FieldError]:
        try:
            sender(self.to)
        except NumberError as error:
            yield FieldError("to", "invalid_sender", error.detail)

    def check_content(self) -> Iterable[FieldError]:
        if not self.text and not self.media:
            yield FieldError("text", "required", "a text needs characters or media")

    def check_text(self) -> Iterable[FieldError]:
        for index, reason in check(self.text, 1):
            yield FieldError("text", "invalid_text", f"character {index + 1}: {reason}")

    def check_media(self) -> Iterable[FieldError]:
        return url_problems(None, self.media, ANYWHERE)


def endpoints(receive: Receive, carriers: Callable[[], Mapping[int, Carrier]]) -> list[Endpoint]:
    """`carriers` has the simulated one."""

    @endpoint(
        "POST", "/v1/sandbox/inbound", body=NewInbound, answer=Message, status=201, scope="messages:write",
        tag="Sandbox", summary="Text in as a person would", refusals=("wrong_mode", "invalid_number", "invalid_sender"),
        example=EXAMPLE,
    )  # fmt: skip
    async def simulate_inbound(call: Call[NewInbound, None]) -> model.Json:
        """Records a text as if it had come from a phone: it is listed, makes `message.received`, and goes wherever real
        ones go. For test keys only."""
        who, asked = call.caller, call.body
        assert isinstance(who, Key)
        if who.mode != status.TEST:
            raise Refusal("wrong_mode", "Only a test key has a sandbox.")
        text = Inbound(normalise(asked.from_), sender(asked.to).value, asked.text, tuple(asked.media))
        (message,) = await receive.inbound(carriers()[CARRIER_ID], [text], who.account_id)
        return model.view(message)

    return [simulate_inbound]
