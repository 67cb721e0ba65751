"""Texts from people: recorded once, whole, with the event that tells of them.

A part of a longer text waits in the store until the others have come, in any order, and is durable while it waits; who
brings the last gets the whole recorded. After a time what has come is recorded with a mark where something is missing.
A text with an id of the carrier's that is known already, and a part that came before, are left out. Fails with
StoreUnavailable, and then nothing of what it was given counts as kept.
"""

import base64
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, Protocol, overload

import msgspec

from columba.core import events, model, status
from columba.core.contract import Carrier, Inbound
from columba.core.ids import Ids
from columba.core.model import Extra, Message
from columba.numbers import NumberError, normalise
from columba.store import Results, Row, Step, Store, plan, statements
from columba.text import Decoded, encoding_of, join, segments_of

CORE = events.SQL
SQL = statements(Path(__file__).with_name("inbound.sql"))
GAP = "[...]"  # what stands for missing parts
KEPT_MS = 900_000  # how long a part is known after the last could have come
MOST = 200  # texts that are given up at once

RECORDED = 0  # the place of the step that says which of them are recorded

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Decoded).decode


class Heard(msgspec.Struct):
    """A text as followers see it, each with what those before it noticed.

    keyword: one that stood for something (`stop`, `help`). handled: it has had its answer, rules leave it alone.
    """

    message: Message
    carrier: int
    keyword: str | None = None
    handled: bool = False
    noticed: dict[str, Any] = msgspec.field(default_factory=dict)


class Follower(Protocol):
    """Who adds to the transaction in which texts are recorded.

    `at` is the place of the first of its steps in the plan; `given=RECORDED` holds a step, whose rows begin with the
    message's id, to texts that are new. `published` is called after the commit with those that were recorded; results
    may be those of many callers.
    """

    def steps(self, heard: Sequence[Heard], at: int) -> Sequence[Step]: ...
    def published(self, results: Results, at: int, recorded: Sequence[Heard]) -> None: ...


Ask = Callable[[Sequence[Heard]], Awaitable[None] | None]
"""What has to be asked of the store before followers are: it notes what it finds, raises nothing, and gives None where
nothing is to be waited for."""


class Text(NamedTuple):
    """A text as it is recorded. `fragments` are the waiting parts that it was joined from."""

    carrier_id: int
    account_id: int
    mode: int
    said: Inbound
    segments: int
    metadata: dict[str, Any] | None = None
    fragments: tuple[int, ...] = ()


class Inbox:
    def __init__(
        self,
        store: Store,
        new_id: Ids,
        clock: Callable[[], int],
        publisher: events.Publisher,
        followers: Sequence[Follower] = (),
    ) -> None:
        self.received = 0
        self.ask: Ask | None = None
        self._store = store
        self._ids = new_id
        self._clock = clock
        self._publisher = publisher
        self._followers = followers
        self._joining: set[int] = set()  # parts that are being recorded

    async def record(self, carrier: Carrier, texts: Iterable[Inbound], account_id: int | None = None) -> list[Message]:
        """Keep texts and parts of texts; what was recorded of them, once all of it is durable."""
        account = carrier.account_id if account_id is None else account_id
        if account is None:
            raise ValueError("an inbound text needs an account")
        whole: list[Text] = []
        parts: list[Inbound] = []
        for raw in texts:
            each = raw._replace(
                sender=person(clean(raw.sender)), to=clean(raw.to), text=clean(raw.text),
                media=tuple(map(clean, raw.media)), carrier_message_id=clean(raw.carrier_message_id),
            )  # fmt: skip
            if each.fragment is not None:
                parts.append(each)
            else:
                segments = segments_of(each.text) if each.text else 1
                whole.append(Text(carrier.id, account, carrier.mode, each, segments))
        messages = await self._record(whole) if whole else []
        if parts:
            messages += await self._record(await self._keep(carrier.id, account, carrier.mode, parts))
        return messages

    async def _record(self, texts: Sequence[Text]) -> list[Message]:
        """Those that had not been recorded before."""
        texts = [text for text in texts if self._joining.isdisjoint(text.fragments)]
        if not texts:
            return []
        now = self._clock()
        messages: dict[int, Message] = {}
        rows: list[Row] = []
        bodies: list[Row] = []
        parts: list[Row] = []
        joined: list[Row] = []
        made: list[Row] = []
        happened = {}
        for text in texts:
            said = text.said
            extra = model.NO_EXTRA
            if said.media or text.metadata:
                raw = None if said.raw is None else [said.raw]
                extra = Extra(media=list(said.media) or None, metadata=text.metadata, raw=raw)
            encoding = 0 if encoding_of(said.text) == "gsm7" else 1
            if said.raw is not None:
                encoding = model.BINARY
            message = Message(
                self._ids(), text.account_id, text.mode, status.INBOUND, status.TRANSACTIONAL, text.carrier_id,
                said.to, said.sender, said.text, encoding, text.segments, status.RECEIVED, now, 0, now, extra=extra,
            )  # fmt: skip
            event = events.of_message(self._ids(), message, status.RECEIVED, now)
            messages[message.id] = message
            rows.append(
                (
                    message.id, message.id, text.account_id, text.mode, status.INBOUND, status.RECEIVED, message.klass,
                    text.carrier_id, message.to, message.sender, encoding, message.segments, now, 0, now, event.id,
                    None, None, said.carrier_message_id, text.fragments[0] if text.fragments else None,
                )
            )  # fmt: skip
            bodies.append((message.id, message.text, model.extra_text(extra)))
            if said.carrier_message_id is not None:
                parts.append(
                    (
                        message.id, message.id, 0, text.carrier_id, said.carrier_message_id, status.RECEIVED, None,
                        None, now,
                    )
                )  # fmt: skip
            joined += [(message.id, an_id) for an_id in text.fragments]
            made.append(events.row(event))
            happened[event.id] = event
        claimed = {an_id for text in texts for an_id in text.fragments}
        self._joining |= claimed
        steps = [
            Step(SQL["insert_inbound"], rows),
            Step(CORE["insert_bodies"], bodies, given=RECORDED),
            Step(CORE["insert_parts"], parts, given=RECORDED),
            *events.steps(made, 3, given=RECORDED),
            Step(SQL["join_fragments"], joined, given=RECORDED),
        ]
        heard = [
            Heard(message, message.lane, noticed={"opt_out": text.said.opt_out} if text.said.opt_out else {})
            for message, text in zip(messages.values(), texts, strict=True)
        ]
        places = []
        try:
            if self.ask is not None and (asked := self.ask(heard)) is not None:
                await asked
            for follower in self._followers:
                places.append(len(steps))
                steps += follower.steps(heard, len(steps))
            results = await self._store.commit(plan(*steps))
        finally:
            self._joining -= claimed
        there = {row[0] for row in results[RECORDED]}
        recorded = [message for message in messages.values() if message.id in there]
        self.received += len(recorded)
        self._publisher.published(results[4], happened)
        if recorded:
            new = [each for each in heard if each.message.id in there]
            for follower, at in zip(self._followers, places, strict=True):
                follower.published(results, at, new)
        return recorded

    # Parts

    async def _keep(self, carrier_id: int, account_id: int, mode: int, parts: Sequence[Inbound]) -> list[Text]:
        """Put parts to those that wait; the texts that are whole now."""
        now = self._clock()
        rows: list[Row] = []
        for each in parts:
            fragment = each.fragment
            assert fragment is not None
            key = f"{carrier_id}/{each.sender}/{each.to}/{fragment.ref}/{fragment.of}"
            body = _encode(fragment.body)
            rows.append(
                (
                    self._ids(), key, fragment.n, fragment.of, hashlib.blake2b(body, digest_size=12).hexdigest(),
                    carrier_id, account_id, mode, each.sender, each.to, body.decode(), now + fragment.wait_ms,
                )
            )  # fmt: skip
        keys = {row[1] for row in rows}
        results = await self._store.commit(
            plan(Step(SQL["insert_fragments"], rows), Step(SQL["whole_fragments"], [(key,) for key in keys]))
        )
        return [text for key, found in groupby(results[1], _key) if key in keys for text in _joined([*found])]

    async def join_due(self) -> int:
        """Record what has waited for long enough, as it is; how many texts that were."""
        rows = await self._store.read(SQL["due_fragments"], now=self._clock(), most=MOST)
        texts = [text for _, found in groupby(rows, _key) for text in _joined([*found])]
        return len(await self._record(texts))

    def sweep_step(self) -> Step:
        return Step(SQL["sweep_fragments"], [(self._clock() - KEPT_MS,)])


def _key(row: Row) -> str:
    key: str = row[0]
    return key


def _joined(rows: Sequence[Row]) -> list[Text]:
    """The text of the parts with one key, from the first of each number: a reference may have been used again already."""
    first: dict[int, Row] = {}
    for row in rows:
        first.setdefault(row[2], row)
    _, _, _, total, carrier_id, account_id, mode, sender, to, _ = rows[0]
    bodies = {n: _decode(row[9]) for n, row in first.items()}
    missing = [n for n in range(1, total + 1) if n not in bodies]
    pieces: list[str] = []
    media: list[str] = []
    for there, numbers in groupby(range(1, total + 1), bodies.__contains__):
        run = [bodies[n] for n in numbers if there]
        text = join(run) if there else GAP
        if text is None:
            media.append(data_uri(b"".join(body.data for body in run)))
        else:
            pieces.append(text)
    metadata = {"parts": total, "missing_parts": missing} if missing else None
    said = Inbound(sender, to, "".join(pieces) if not media else "", tuple(media))
    return [Text(carrier_id, account_id, mode, said, total, metadata, tuple(row[1] for row in first.values()))]


def data_uri(octets: bytes) -> str:
    """What is no text, as one."""
    return f"data:application/octet-stream;base64,{base64.b64encode(octets).decode()}"


@overload
def clean(text: str) -> str: ...
@overload
def clean(text: None) -> None: ...
def clean(text: str | None) -> str | None:
    """What came from outside, as it can be stored: without NUL and lone surrogates."""
    if text is None or (text.isascii() and "\0" not in text):
        return text
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def person(raw: str) -> str:
    """A number as we write it; what isn't one (a name, a short code) as it came."""
    try:
        return normalise(raw if raw.startswith("+") else "+" + raw)
    except NumberError:
        return raw
