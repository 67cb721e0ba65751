"""What stands around every endpoint: who saw or changed something is noted, and texts are hidden from whom they are not for.

`watched` wraps the handlers, so that no endpoint has to think of it. A key without the scope `messages:read` (it has
`messages:metadata`, `webhooks:read` or `rules:read` alone) is shown messages, events, deliveries and forwards without texts,
media and what was posted of them.
"""

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from columba.errors import Refusal
from columba.http.endpoint import Answer, Call, Endpoint
from columba.http.sse import EventStream, StreamEvent
from columba.privacy.audit import Audit, Entry, entry

# What is personal, and so who saw it.
PERSONAL: Final = frozenset(
    (
        "messages",
        "verifications",
        "consents",
        "suppressions",
        "privacy",
        "media",
        "forwards",
        "runs",
        "webhooks",
        "audit",
        "contacts",
        "inbox",
    )
)
READ: Final = "messages:read"
TRACE: Final = "smpp:trace"  # with what people wrote, if that is asked for
REVEALING: Final = frozenset(("webhooks", "forwards"))
# What changes nothing of what is kept, or is told by messages and events themselves.
NO_CHANGES: Final = ("preview_", "check_", "test_", "try_", "start_verification", "simulate_", "send_")
# Fields that hold what people wrote, or what was posted of it, and what stands in their place.
HIDDEN: Final[dict[str, Any]] = {
    "text": None, "media": [], "metadata": {}, "body": None, "answer": None, "raw": None, "words": None, "noticed": None,
}  # fmt: skip
# A forward's request is written by templates: the text may be in any part of it.
HIDDEN_IN: Final[dict[str, dict[str, Any]]] = {"forwards": HIDDEN | {"request": None, "exchanges": [], "values": {}}}

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def watched(endpoints: Iterable[Endpoint], audit: Audit, clock: Callable[[], int]) -> list[Endpoint]:
    """The same endpoints, watched."""
    return [_watched(each, audit, clock) if each.handler and not each.public else each for each in endpoints]


def _watched(endpoint: Endpoint, audit: Audit, clock: Callable[[], int]) -> Endpoint:
    inner = endpoint.handler
    assert inner is not None
    family = (endpoint.scope or "").partition(":")[0]
    room = endpoint.path.split("/")[2]  # of several rooms under one scope
    changes = endpoint.method != "GET" and not endpoint.name.startswith(NO_CHANGES)
    shows = endpoint.method == "GET" and (family in PERSONAL or room in PERSONAL or endpoint.scope == TRACE)
    revealing = family in REVEALING or room in REVEALING
    reveals = endpoint.scope == READ or revealing or endpoint.path.startswith("/v1/messages/{id}/")
    if not (changes or shows or reveals):
        return endpoint

    def of(call: Call[Any, Any], answered: int, made: str = "") -> Entry:
        caller = call.caller
        key_id = caller.key_id
        return entry(
            caller.account_id, caller.mode, clock(), key_id, call.client, endpoint.name, endpoint.method,
            {**call.path, "id": made} if made else call.path, answered, call.request_id,
        )  # fmt: skip

    async def handler(call: Call[Any, Any]) -> Any:
        if audit.is_full:
            raise Refusal("overloaded", "Who sees what can't be noted at this moment.", retry_after=2)
        try:
            result = await inner(call)
        except Refusal as refusal:
            audit.seen(of(call, refusal.kind.http))
            raise
        if changes:
            await audit.changed(of(call, endpoint.status, _made(result) if endpoint.status == 201 else ""))
        elif shows:
            audit.seen(of(call, endpoint.status))
        if reveals and READ not in call.caller.scopes:
            return _hidden_in(result, HIDDEN_IN.get(room, HIDDEN))
        return result

    return msgspec.structs.replace(endpoint, handler=handler)


def _made(result: Any) -> str:
    """The id of what was made."""
    value = result.value if isinstance(result, Answer) else result
    made = value.get("id") if isinstance(value, dict) else getattr(value, "id", "")
    return made if isinstance(made, str) else ""


def _hidden_in(result: Any, fields: Mapping[str, Any]) -> Any:
    """An answer without what people wrote."""
    if isinstance(result, Answer):
        return result._replace(value=_hidden_in(result.value, fields))
    if isinstance(result, EventStream):
        result.events = _hidden_stream(result.events)
        return result
    if isinstance(result, msgspec.Struct | dict | list | tuple):
        return hidden(_decode(_encode(result)), fields)
    if hasattr(result, "body_iterator") or isinstance(getattr(result, "body", None), bytes):
        raise Refusal("forbidden", "The key may not read what messages say: it lacks the scope messages:read.")
    return result


async def _hidden_stream(events: AsyncGenerator[StreamEvent, None]) -> AsyncGenerator[StreamEvent, None]:
    try:
        async for each in events:
            yield each._replace(data=_encode(hidden(_decode(each.data))))
    finally:
        await events.aclose()


def hidden(value: Any, fields: Mapping[str, Any] = HIDDEN) -> Any:
    """JSON without what people wrote: the fields that hold it, with what stands in their place."""
    if isinstance(value, dict):
        return {name: fields[name] if name in fields else hidden(each, fields) for name, each in value.items()}
    if isinstance(value, list):
        return [hidden(each, fields) for each in value]
    return value
