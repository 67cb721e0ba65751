"""Long texts that come in parts, by UDH or SAR: put together, and accepted as the one message that they are.

Parts that come together in one read need nothing else. One that comes alone is made durable before it is answered, since
many programs submit one part at a time and wait for each answer; all parts of a text get the same message_id, which is that
of the message once it is accepted. Where the others don't come in time, what is there is sent, with a mark for the gap. The
id makes that safe to do twice: a message is accepted once. Parts of one text have to come to one process.

A program that lost its connection sends again what was not answered. A part that has come before over another session, as
part of a text that is whole by now, is answered with the id of that text, and is no part of another.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Final, NamedTuple

import msgspec
import structlog

from columba.core.accept import Accept
from columba.core.ids import Ids
from columba.core.inbound import GAP
from columba.core.submission import Caller, Submission
from columba.doors.smpp.logins import SQL
from columba.doors.smpp.submit import Place
from columba.errors import Refusal
from columba.store import Row, Step, Store, plan
from columba.text import Decoded, join

WAIT_MS: Final = 30_000  # after the last part that came
MOST: Final = 200  # texts that are given up at once
MOST_OPEN: Final = 100_000

log = structlog.get_logger()
_encode = msgspec.json.Encoder().encode
_body = msgspec.json.Decoder(Decoded).decode
_asked = msgspec.json.Decoder(Submission).decode


class Piece(NamedTuple):
    """One part. `asked` is what is asked for with it, as if it were the whole."""

    key: str
    place: Place
    body: Decoded
    asked: Submission
    session: str


class _Text(NamedTuple):
    """A text whose parts are coming, or that was whole lately. `came`: the octets of each part, and its session."""

    id: int
    until: int
    came: dict[int, tuple[bytes, str]]
    whole: bool = False


class Parts:
    def __init__(
        self,
        store: Store,
        new_id: Ids,
        clock: Callable[[], int],
        accept: Accept,
        caller_of: Callable[[int], Caller | None],
    ) -> None:
        self._store = store
        self._ids = new_id
        self._clock = clock
        self._accept = accept
        self._caller_of = caller_of
        self._open: dict[str, _Text] = {}

    async def start(self) -> None:
        """Go on with what was there when this process began."""
        until = self._clock() + WAIT_MS
        for key, an_id in await self._store.read(SQL["open_parts"], now=self._clock()):
            self._open[key] = _Text(an_id, until, {})

    def begun(self, key: str) -> bool:
        text = self._open.get(key)
        return text is not None and not text.whole

    def came_before(self, piece: Piece) -> int | None:
        """The id of the whole text that this part belongs to, where it was sent again because its answer was lost."""
        text = self._open.get(piece.key)
        if text is None or not text.whole:
            return None
        octets, session = text.came.get(piece.place.n, (None, ""))
        return text.id if octets == piece.body.data and session != piece.session else None

    async def keep(self, login: int, pieces: Sequence[Piece]) -> list[int]:
        """Make parts durable, and accept what is whole with them. The message's id for each."""
        now = self._clock()
        rows: list[Row] = []
        for piece in pieces:
            asked = piece.asked
            rows.append(
                (
                    self._message(piece, now), piece.place.n, piece.place.of, login, piece.key,
                    _encode(piece.body).decode(), _encode(asked).decode(), now + WAIT_MS,
                )
            )  # fmt: skip
        mine = {row[0] for row in rows}
        results = await self._store.commit(
            plan(Step(SQL["put_parts"], rows), Step(SQL["whole_parts"], [(an_id,) for an_id in mine]))
        )
        found = [row for row in results[1] if row[0] in mine]
        if found:
            whole = {row[0] for row in found}
            for key in {piece.key for piece in pieces}:
                text = self._open.get(key)
                if text is not None and text.id in whole:
                    self._open[key] = text._replace(whole=True, until=now + WAIT_MS)
            await self._accept_all(found)
        return [row[0] for row in rows]

    def _message(self, piece: Piece, now: int) -> int:
        """The id of the message that a part belongs to."""
        text = self._open.get(piece.key)
        if text is None or text.whole or text.until <= now:
            if len(self._open) >= MOST_OPEN:
                self._open = {key: each for key, each in self._open.items() if each.until > now}
            text = _Text(self._ids(), 0, {})
        text.came[piece.place.n] = (piece.body.data, piece.session)
        self._open[piece.key] = text._replace(until=now + WAIT_MS)
        return text.id

    async def step(self) -> None:
        """Send what has waited for the rest of it for long enough: a chore."""
        now = self._clock()
        self._open = {key: each for key, each in self._open.items() if each.until > now}
        await self._accept_all(await self._store.read(SQL["due_parts"], now=now, most=MOST))

    async def _accept_all(self, rows: Iterable[Row]) -> None:
        """Accept texts by their parts. A refusal can't be told any more, so parts are examined when they come."""
        for (an_id, login), found in groupby(rows, lambda row: (row[0], row[3])):
            text = _joined([*found])
            text.id = an_id
            caller = self._caller_of(login)
            if caller is not None:
                (outcome,) = await self._accept(caller, [text])
                if isinstance(outcome, Refusal) and outcome.code != "internal":  # which says that it is there already
                    log.warning("smpp.text_refused", message=an_id, code=outcome.code)
            await self._store.commit(plan(Step(SQL["drop_parts"], [(an_id,)])))


def _joined(rows: Sequence[Row]) -> Submission:
    bodies = {row[1]: _body(row[4]) for row in rows}
    all_asked = [_asked(row[5]) for row in rows]
    if any(body.text is None for body in bodies.values()):
        return whole(all_asked, None)
    if len(bodies) == rows[0][2]:
        return whole(all_asked, join([bodies[n] for n in sorted(bodies)]))
    texts = []
    for there, numbers in groupby(range(1, rows[0][2] + 1), bodies.__contains__):
        texts.append(join([bodies[n] for n in numbers]) or "" if there else GAP)
    for asked in all_asked:
        asked.raw = None  # nobody would see those that are there
    return whole(all_asked, "".join(texts))


def whole(all_asked: Sequence[Submission], text: str | None) -> Submission:
    """What is asked for with all parts: what the first asks for, and a receipt if any wants one.

    They go as they came if all of them may; what is no text goes in no other way, however much of it is there.
    """
    asked = all_asked[0]
    asked.text = text or None
    raw = [part for each in all_asked for part in each.raw or ()]
    asked.raw = raw if len(raw) == len(all_asked) or text is None else None
    asked.callback = next((each.callback for each in all_asked if each.callback is not None), None)
    return asked
