"""`/v1/messages/advice`, `/v1/settings/content`, held messages, and what gets filtered."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, field

from columba.content import DAY_MS, SQL, Action, Class, Content, Document, OwnWords
from columba.content.advice import Category, Reason, rewritten, rules, score
from columba.content.holding import Holding
from columba.core import ids, model, status
from columba.core.model import HELD_MS, Message
from columba.errors import FieldError, Refusal
from columba.http.endpoint import Call, Endpoint, endpoint
from columba.http.paging import Page, Paging, decode_cursor, encode_cursor
from columba.keys import Key
from columba.messages import shapes as messages
from columba.policies import Policies
from columba.policies.api import endpoints as settings_endpoints
from columba.store import Store
from columba.text import check, encoding_of, segments_of

TAG: Final = "Content"
NEVER_ID: Final = (1 << 63) - 1
SAMPLE: Final = 500  # filtered texts that are looked at
AT_ONCE: Final = 1_000  # held messages that one request decides over
CLASSES = {name: number for number, name in enumerate(status.CLASSES)}


class NewAdvice(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A text that is not sent."""

    text: Annotated[str, Meta(min_length=1, max_length=5_000)]
    class_: Class = field(name="class", default="marketing")

    def check_text(self) -> Iterable[FieldError]:
        for index, reason in check(self.text, 1):
            yield FieldError("text", "invalid_text", f"character {index + 1}: {reason}")


class AdviceReason(msgspec.Struct, kw_only=True):
    """Something that speaks against it.

    code: what kind of thing
    weight: what it takes from the score
    detail: why, and what to do
    found: what it is about
    at: where that begins, from 0
    """

    code: str
    weight: int
    detail: str
    found: str
    at: int | None


class Suggestion(msgspec.Struct, kw_only=True):
    """The text, better."""

    text: str
    score: int
    segments: int
    encoding: Literal["gsm7", "ucs2"]


class Advice(msgspec.Struct, kw_only=True):
    """What a carrier's filter may think.

    score: from 0 to 100
    verdict: what would become of a message with this text, by the account's settings
    suggestion: null where nothing can be mended without knowing what is meant
    """

    score: int
    verdict: Literal["send", "hold", "refuse"]
    reasons: list[AdviceReason]
    segments: int
    encoding: Literal["gsm7", "ucs2"]
    suggestion: Suggestion | None


class WordList(msgspec.Struct, kw_only=True):
    """Words that come with the program."""

    code: str
    title: str
    weight: int
    words: list[str]
    source: str
    date: str


class ContentSettings(msgspec.Struct, kw_only=True):
    """What is in force.

    usual_words: what comes with the program, each with its source
    """

    action: Action
    classes: list[Class]
    minimum: int
    brand: str
    domains: list[str]
    words: list[OwnWords]
    ignored: list[str]
    opt_out: str
    usual_words: list[WordList]


class Held(Paging, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which held messages. batch_id: those of one batch."""

    batch_id: Annotated[str, Meta(max_length=64)] | None = None


class Decision(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which held messages: some by their ids, or the next 1,000 of a batch, or of all."""

    ids: Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(min_length=1, max_length=AT_ONCE)] | None = None
    batch_id: Annotated[str, Meta(max_length=64)] | None = None

    def check_choice(self) -> Iterable[FieldError]:
        if self.ids is not None and self.batch_id is not None:
            yield FieldError("batch_id", "invalid_value", "Expected `ids` or `batch_id`, not both.")


class Decided(msgspec.Struct, kw_only=True):
    """How many it was done to, and whether there are more."""

    count: int
    more: bool


class Days(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of which time."""

    days: Annotated[int, Meta(ge=1, le=366)] = 30


class Count(msgspec.Struct, kw_only=True):
    """How often a reason spoke against a text here."""

    action: Literal["advise", "hold", "refuse"]
    reason: str
    count: int


class Outcome(msgspec.Struct, kw_only=True):
    """How many messages ended so at a carrier.

    reasons: of those that were filtered, what speaks against their texts, by the newest 500
    """

    carrier: str | None
    status: Literal["undelivered", "failed"]
    error: str | None
    carrier_code: str | None
    count: int
    reasons: dict[str, int]


class Outcomes(msgspec.Struct, kw_only=True):
    """What was filtered.

    here: by the account's own settings
    carriers: by carriers, the most frequent first
    """

    here: list[Count]
    carriers: list[Outcome]


def endpoints(
    content: Content, holding: Holding, policies: Policies, store: Store, clock: Callable[[], int]
) -> list[Endpoint]:
    @endpoint(
        "POST", "/v1/messages/advice", body=NewAdvice, answer=Advice, scope="consent:read", tag=TAG,
        summary="Ask what a carrier's filter may think of a text", idempotency="none",
        example={"text": "HURRY!!! Free gift at bit.ly/x", "class": "marketing"},
    )  # fmt: skip
    async def advise(call: Call[NewAdvice, None]) -> Advice:
        """A score, every reason with what to do about it, and a rewrite. Nothing is sent or kept. It is advice: no filter
        tells its rules."""
        who, asked = _caller(call), call.body
        in_force = content.policy.of(who.account_id, who.mode)
        document = in_force.document
        reasons = in_force.adviser(asked.text, asked.class_)
        mark = score(reasons)
        below = mark < document.minimum and in_force.covers[CLASSES[asked.class_]]
        verdict: Literal["send", "hold", "refuse"] = "send"
        if below and document.action in ("hold", "refuse"):
            verdict = "hold" if document.action == "hold" else "refuse"
        better = rewritten(asked.text, reasons, document.brand, document.opt_out)
        suggestion = None
        if better != asked.text:
            then = score(in_force.adviser(better, asked.class_))
            suggestion = Suggestion(text=better, score=then, segments=segments_of(better), encoding=encoding_of(better))
        return Advice(
            score=mark, verdict=verdict, reasons=[_reason(each) for each in reasons], segments=segments_of(asked.text),
            encoding=encoding_of(asked.text), suggestion=suggestion,
        )  # fmt: skip

    @endpoint(
        "GET", "/v1/content/outcomes", query=Days, answer=Outcomes, scope="consent:read", tag=TAG,
        summary="See what gets filtered",
    )  # fmt: skip
    async def content_outcomes(call: Call[None, Days]) -> Outcomes:
        """What was advised against, held or refused here, by reason; and what carriers didn't deliver, by their error, with
        what speaks against the texts that they filtered."""
        who, since = _caller(call), clock() - call.query.days * DAY_MS
        place: dict[str, Any] = {"account_id": who.account_id, "mode": who.mode}
        here = await store.read(SQL["counts"], **place, since=since // DAY_MS)
        first = ids.first_at(since)
        ended = await store.read(SQL["outcomes"], **place, since=first)
        adviser = content.policy.of(who.account_id, who.mode).adviser
        found: dict[int, Counter[str]] = {}
        for _, carrier, klass, text in await store.read(SQL["filtered_texts"], **place, since=first, most=SAMPLE):
            found.setdefault(carrier, Counter()).update(reason.code for reason in adviser(text, status.CLASSES[klass]))
        return Outcomes(
            here=[Count(action=row[0], reason=row[1], count=int(row[2])) for row in here],
            carriers=[
                Outcome(
                    carrier=ids.show("car", carrier) if carrier else None, status=status.NAMES[ended_as],  # type: ignore[arg-type]
                    error=error, carrier_code=code, count=int(n),
                    reasons=dict(found.get(carrier, Counter()).most_common()) if error == "filtered" else {},
                )
                for carrier, ended_as, error, code, n in ended
            ],
        )  # fmt: skip

    # Held messages

    async def held_ids(who: Key, batch_id: str | None, before: int, most: int) -> list[int]:
        place: dict[str, Any] = {
            "account_id": who.account_id,
            "mode": who.mode,
            "held": HELD_MS,
            "before": before,
            "most": most,
        }
        if batch_id is None:
            return [row[0] for row in await store.read(SQL["held"], **place)]
        batch = ids.read("bat", batch_id)
        return [row[0] for row in await store.read(SQL["held_of_batch"], **place, batch_id=batch or 0)]

    @endpoint(
        "GET", "/v1/content/held", query=Held, answer=Page[messages.Message], scope="messages:read", tag=TAG,
        summary="List messages that wait for approval",
    )  # fmt: skip
    async def list_held(call: Call[None, Held]) -> Page[model.Json]:
        """The newest first; `advice` says what speaks against each."""
        who, query = _caller(call), call.query
        last = decode_cursor(query.cursor, tuple[int])
        those = await held_ids(who, query.batch_id, NEVER_ID if last is None else last[0], query.limit + 1)
        found = await holding.find(who.account_id, who.mode, those[: query.limit])
        found.sort(key=lambda message: -message.id)
        more = encode_cursor(those[query.limit - 1]) if len(those) > query.limit else None
        return Page([model.view(message) for message in found], more)

    async def chosen(call: Call[Decision | None, None]) -> tuple[list[Message], bool]:
        who, asked = _caller(call), call.body or Decision()
        if asked.ids is not None:
            those = [an_id for text in asked.ids if (an_id := ids.read("msg", text)) is not None]
            return await holding.find(who.account_id, who.mode, those), False
        those = await held_ids(who, asked.batch_id, NEVER_ID, AT_ONCE + 1)
        return await holding.find(who.account_id, who.mode, those[:AT_ONCE]), len(those) > AT_ONCE

    @endpoint(
        "POST", "/v1/content/held/approve", body=Decision, body_may_be_missing=True, answer=Decided,
        scope="messages:write", tag=TAG, summary="Let held messages go", example={"batch_id": "bat_0ajk7w2kn0402"},
    )  # fmt: skip
    async def approve_held(call: Call[Decision | None, None]) -> Decided:
        """Those that are not held any more are left out. Go on while there are `more`."""
        found, more = await chosen(call)
        return Decided(count=len(await holding.approve(found)), more=more)

    @endpoint(
        "POST", "/v1/content/held/reject", body=Decision, body_may_be_missing=True, answer=Decided,
        scope="messages:write", tag=TAG, summary="End held messages", example={"batch_id": "bat_0ajk7w2kn0402"},
    )  # fmt: skip
    async def reject_held(call: Call[Decision | None, None]) -> Decided:
        """They end as `failed`, `not_approved`. Go on while there are `more`."""
        found, more = await chosen(call)
        return Decided(count=len(await holding.reject(found)), more=more)

    async def one(call: Call[Any, Any]) -> list[Message]:
        who = _caller(call)
        an_id = ids.read("msg", call.path["id"])
        found = [] if an_id is None else await holding.find(who.account_id, who.mode, [an_id])
        if not found:
            raise Refusal("not_found", "There is no such message.")
        return found

    @endpoint(
        "POST", "/v1/messages/{id}/approve", answer=messages.Message, scope="messages:write", tag=TAG,
        summary="Let a held message go", refusals=("conflict",),
    )  # fmt: skip
    async def approve_message(call: Call[None, None]) -> model.Json:
        """It goes at once, or at the time that was asked for; quiet hours hold for it as for all."""
        done = await holding.approve(await one(call))
        return _decided(done)

    @endpoint(
        "POST", "/v1/messages/{id}/reject", answer=messages.Message, scope="messages:write", tag=TAG,
        summary="End a held message", refusals=("conflict",),
    )  # fmt: skip
    async def reject_message(call: Call[None, None]) -> model.Json:
        """It ends as `failed`, `not_approved`."""
        done = await holding.reject(await one(call))
        return _decided(done)

    settings = settings_endpoints(
        policies, content.policy, path="content", name="content", about="how texts are looked at", tag=TAG,
        read="consent:read", write="consent:write", answer=ContentSettings, shown=_shown, document=Document,
        example={"action": "hold", "minimum": 60, "brand": "Acme"},
    )  # fmt: skip
    return [
        advise, *settings, content_outcomes, list_held, approve_held, reject_held, approve_message, reject_message,
    ]  # fmt: skip


def _decided(done: list[Message]) -> model.Json:
    if not done:
        raise Refusal("conflict", "The message is not held.")
    return model.view(done[0])


def _reason(reason: Reason) -> AdviceReason:
    return AdviceReason(code=reason.code, weight=reason.weight, detail=reason.detail, found=reason.found, at=reason.at)


def _shown(document: Document, _mode: int) -> ContentSettings:
    return ContentSettings(
        action=document.action,
        classes=list(document.classes),
        minimum=document.minimum,
        brand=document.brand,
        domains=list(document.domains),
        words=list(document.words),
        ignored=list(document.ignored),
        opt_out=document.opt_out,
        usual_words=[_list(each) for each in rules().categories]
        + [
            WordList(
                code="shortened_link", title="Hosts that shorten links", weight=rules().shorteners.weight,
                words=sorted(rules().shorteners.hosts), source=rules().shorteners.source, date=rules().shorteners.date,
            )
        ],
    )  # fmt: skip


def _list(category: Category) -> WordList:
    return WordList(
        code=category.code, title=category.title, weight=category.weight, words=list(category.words),
        source=category.source, date=category.date,
    )  # fmt: skip


def _caller(call: Call[Any, Any]) -> Key:
    assert isinstance(call.caller, Key)
    return call.caller
