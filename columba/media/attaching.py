"""Media and messages: what a message names is looked up, noted in its transaction, and shown as a link.

Out: `Attaching.resolve` finds what `med_...` ids stand for, `problems` refuses those that stand for nothing, `Uses` notes
in the accepting transaction which message uses what, and `linked` puts links into the text where the carrier takes no
media. In: `Receiving` gives what carriers bring an id at once, in the transaction that records the text; it is fetched
afterwards. Nothing here fails but with Refusals.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from columba.core import model
from columba.core.contract import Carrier
from columba.core.ids import Ids
from columba.core.inbound import RECORDED, Heard
from columba.core.model import NO_EXTRA, Message
from columba.core.submission import MOST_SEGMENTS, Caller, Submission
from columba.errors import FieldError, Refusal
from columba.media.links import Links, id_in, word_of
from columba.media.room import SQL
from columba.media.sniff import url_name
from columba.messages.urls import missing
from columba.store import Results, Row, Statement, Step, Store
from columba.text import encoding_of, segments_of

LANES: Final = 64  # ids that a carrier leaves free for its lanes
_encode = msgspec.json.Encoder().encode


class Attaching:
    def __init__(self, store: Store) -> None:
        self._store = store

    def resolve(self, caller: Caller, asked: Sequence[Submission]) -> Awaitable[None] | None:
        """Turn ids that submissions name into words; None where there is nothing to look up."""
        wanted = {an_id for each in asked for word in each.media or () if (an_id := id_in(word)) is not None}
        return self._resolve(caller, asked, wanted) if wanted else None

    async def _resolve(self, caller: Caller, asked: Sequence[Submission], wanted: Iterable[int]) -> None:
        rows: list[Row] = [(an_id, caller.account_id, caller.mode) for an_id in wanted]
        words = {row[0]: word_of(row[0], row[1]) for row in await self._store.read(SQL["names"], rows)}
        for each in asked:
            if each.media:
                each.media = [word if (n := id_in(word)) is None else words.get(n, word[:17]) for word in each.media]


def problems(message: Message) -> Refusal | None:
    """A gate: ids that stand for nothing."""
    if message.extra is NO_EXTRA or message.extra.media is None:
        return None
    wrong = missing(message.extra.media)
    return Refusal("invalid_request", errors=wrong) if wrong else None


class Uses:
    """The gate in the store: what was deleted in this very moment, and who uses what."""

    refuses: Statement = SQL["refuse_missing"]
    keeps: Statement | None = SQL["use_media"]

    def row(self, ref: int, message: Message) -> Row | None:
        named = _ids(message)
        return (ref, message.id, message.account_id, message.mode, named) if named else None

    def kept(self, message: Message) -> Row | None:
        named = _ids(message)
        return (message.id, named) if named else None

    def refusal(self, message: Message, code: str) -> Refusal:
        return Refusal(code, errors=[FieldError("media", "not_found", "It was deleted just now.")])


def _ids(message: Message) -> str:
    media = message.extra.media
    if media is None:
        return ""
    found = [an_id for word in media if (an_id := id_in(word)) is not None]
    return _encode(found).decode() if found else ""


def with_links(text: str | None, media: Sequence[str], links: Links, at: int) -> str:
    """A text that says where to look, for those whose phone or carrier takes no media."""
    return "\n".join([*([text] if text else []), *(links.short(word, at) for word in media)])


def attach(links: Links) -> Callable[[Message, bool], tuple[str, tuple[str, ...]]]:
    """What a message with media is at the moment that it leaves: it may go another way than it was accepted for."""

    def fit(message: Message, takes_media: bool) -> tuple[str, tuple[str, ...]]:
        text, media = message.text or "", message.extra.media or ()
        if message.extra.linked:
            return text, ()
        if takes_media:
            return text, tuple(map(links.of, media))
        return with_links(text, media, links, 0), ()

    return fit


Route = Callable[[Message], int | Refusal]


def linked(route: Route, carriers: Callable[[], Mapping[int, Carrier]], links: Links) -> Route:
    """`route`, with links in the text of messages whose carrier takes no media: before anything is counted on."""

    def choose(message: Message) -> int | Refusal:
        lane = route(message)
        extra = message.extra
        if extra is NO_EXTRA or extra.media is None or extra.linked or isinstance(lane, Refusal):
            return lane
        carrier = carriers().get(lane & ~(LANES - 1))
        if carrier is None or carrier.can.media:
            return lane
        text = with_links(message.text, extra.media, links, message.due_at)
        segments = segments_of(text)
        if segments > MOST_SEGMENTS:
            wrong = f"the carrier takes no media, and with links in its place the text takes {segments} parts"
            return Refusal("invalid_request", errors=[FieldError("text", "too_long", wrong)])
        message.text, message.segments = text, segments
        message.encoding = 0 if encoding_of(text) == "gsm7" else 1
        message.extra = msgspec.structs.replace(extra, linked=True)
        return lane

    return choose


class Receiving:
    """The follower of texts from people: each of their media gets an id, and is fetched by `fetch` once it is recorded."""

    def __init__(self, new_id: Ids, seal: Callable[[str], str], wake: Callable[[], None]) -> None:
        self._ids = new_id
        self._seal = seal
        self._wake = wake

    def steps(self, heard: Sequence[Heard], at: int) -> Sequence[Step]:
        media: list[Any] = []
        uses: list[Any] = []
        extras: list[Any] = []
        for each in heard:
            message = each.message
            if not message.extra.media:
                continue
            words = []
            for source in message.extra.media:
                an_id, name = self._ids(), url_name(source)
                media.append(
                    (
                        message.id, an_id, message.account_id, message.mode, name, self._seal(source), each.carrier,
                        message.updated_at,
                    )
                )  # fmt: skip
                uses.append((message.id, an_id))
                words.append(word_of(an_id, name))
            message.extra = msgspec.structs.replace(message.extra, media=words)
            extras.append((message.id, model.extra_text(message.extra)))
        return (
            Step(SQL["insert_received"], media, given=RECORDED),
            Step(SQL["insert_uses"], uses, given=RECORDED),
            Step(SQL["set_extra"], extras, given=RECORDED),
        )

    def published(self, results: Results, at: int, recorded: Sequence[Heard]) -> None:
        if any(each.message.extra.media for each in recorded):
            self._wake()
