"""Files of consent, of any size: read as they come, written in small transactions, gone on with after an interruption.

A file is announced first, with what its rows don't say themselves; then it is sent, as CSV, in one request whose body is
never held whole. How many rows are dealt with is written with them, so that the same file sent again goes on where it
stopped. A row that can't be read is refused by itself, and named. A heading names the columns, in any order; without
one the first column is the number.
"""

import asyncio
import codecs
import csv
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

import msgspec
import structlog
from starlette.types import Receive, Scope, Send

from columba.consent import (
    EVERY_CLASS,
    IF_NEW,
    IF_NEWER,
    IF_NOT_OUT,
    OPT_IN,
    OPT_OUT,
    REQUESTED,
    SQL,
)
from columba.consent.ledger import Ledger, Said, proof_text
from columba.consent.pools import written
from columba.consent.settings import Document, InForce
from columba.consent.shapes import CLASSES, NewImport
from columba.core import ids, model
from columba.core.ids import Ids
from columba.errors import Refusal
from columba.http.query import decode_query
from columba.http.times import milliseconds, parse_time
from columba.http.wire import TYPE_JSON, Disconnected, client_address, encode, send_answer
from columba.keys import Key
from columba.numbers import NumberError, normalise
from columba.policies import Policy
from columba.store import Row, Step, Store, StoreUnavailable, plan

AT_ONCE: Final = 500  # rows a transaction
LONGEST_ROW: Final = 65_536  # characters
MOST_NAMED: Final = 100_000  # refusals that are kept
STALE_MS: Final = 60_000
PATH: Final = "/v1/consents/imports/data"
FORMULA: Final = ("=", "+", "-", "@", "\t")  # how spreadsheets know one

COLUMNS: Final[Mapping[str, str]] = {
    "number": "number", "phone": "number", "phone_number": "number", "to": "number", "msisdn": "number",
    "mobile": "number", "action": "action", "status": "action", "class": "class", "sender": "sender", "from": "sender",
    "purpose": "purpose", "source": "source", "at": "at", "date": "at", "timestamp": "at", "words": "words",
    "proof": "proof",
}  # fmt: skip
ACTIONS: Final[Mapping[str, int]] = {
    "opt_in": OPT_IN, "opted_in": OPT_IN, "subscribed": OPT_IN, "in": OPT_IN, "yes": OPT_IN, "opt_out": OPT_OUT,
    "opted_out": OPT_OUT, "unsubscribed": OPT_OUT, "suppressed": OPT_OUT, "out": OPT_OUT, "no": OPT_OUT,
}  # fmt: skip

log = structlog.get_logger()


class Which(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file that is sent."""

    import_: str = msgspec.field(name="import")


class Refused(Exception):
    """A row that can't be read."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.code, self.detail = code, detail


class Usual(NamedTuple):
    """What the rows of a file don't say."""

    import_id: int
    account_id: int
    mode: int
    country: str | None
    asked: NewImport
    at: int
    confirm: str  # what those who are asked to confirm are told; '' asks nobody


class Imports:
    def __init__(
        self,
        store: Store,
        new_id: Ids,
        clock: Callable[[], int],
        ledger: Ledger,
        policy: Policy[Document, InForce],
        authenticate: Callable[[Any, str], Any],
        country: Callable[[int], str | None],
        new_request_id: Callable[[], str],
    ) -> None:
        self._store = store
        self._ids = new_id
        self._clock = clock
        self._ledger = ledger
        self._policy = policy
        self._authenticate = authenticate
        self._country = country
        self._new_request_id = new_request_id

    async def announce(self, who: Key, asked: NewImport) -> model.Json:
        an_id = self._ids()
        row = (an_id, who.account_id, who.mode, asked.name, msgspec.json.encode(asked).decode(), self._clock())
        await self._store.commit(plan(Step(SQL["insert_import"], [row])))
        return await self.find(who, an_id)

    async def find(self, who: Key, an_id: int | None) -> model.Json:
        rows = await self._rows(who, an_id)
        return self.view(rows[0])

    async def _rows(self, who: Key, an_id: int | None) -> list[Row]:
        rows = await self._store.read(SQL["import"], id=an_id or 0, account_id=who.account_id, mode=who.mode)
        if not rows:
            raise Refusal("not_found", "There is no such import.")
        return rows

    def view(self, row: Row) -> model.Json:
        an_id, _, _, name, _, state, rows_read, recorded, unchanged, refused, error, created_at, updated_at = row
        if state == "running" and updated_at < self._clock() - STALE_MS:
            state = "interrupted"
        shown = ids.show("imp", an_id)
        return {
            "id": shown, "name": name, "state": state, "rows": rows_read, "recorded": recorded, "unchanged": unchanged,
            "refused": refused, "error": error, "upload_url": f"{PATH}?import={shown}",
            "created_at": model.rfc3339(created_at), "updated_at": model.rfc3339(updated_at),
        }  # fmt: skip

    # The file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """POST /v1/consents/imports/data, raw: its body may be larger than memory."""
        headers = dict(scope["headers"])
        found = self._authenticate(headers, client_address(scope))
        who = await found if isinstance(found, Awaitable) else found
        assert isinstance(who, Key)
        if "consent:write" not in who.scopes:
            raise Refusal("forbidden", "The key lacks the scope consent:write.")
        an_id = ids.read("imp", decode_query(Which, scope["query_string"]).import_)
        (row,) = await self._rows(who, an_id)
        if row[5] in ("done", "failed"):
            raise Refusal("conflict", f"The import is {row[5]}: announce another one.")
        now = self._clock()
        claimed = await self._store.commit(plan(Step(SQL["claim_import"], [(row[0], now, now - STALE_MS)])))
        if row[0] not in {each[0] for each in claimed[0]}:
            raise Refusal("conflict", "The file is being sent already.")
        asked = msgspec.json.decode(row[4], type=NewImport)
        in_force = self._policy.of(who.account_id, who.mode)
        document = in_force.document
        usual = Usual(
            row[0], who.account_id, who.mode, self._country(who.account_id), asked,
            row[11] if asked.at is None else milliseconds(asked.at),
            in_force.answer("confirm", document.language) if document.double_opt_in else "",
        )  # fmt: skip
        run = Run(self._store, self._clock, self._ledger, usual, row[6])
        try:
            await run.all(_texts(receive))
        except Disconnected:
            await asyncio.shield(run.end("interrupted"))
            return
        except Refusal as refusal:
            with suppress(StoreUnavailable):
                await run.end("interrupted" if isinstance(refusal, StoreUnavailable) else "failed", refusal.detail)
            raise
        except UnicodeDecodeError:
            detail = "The file is not UTF-8."
            await run.end("failed", detail)
            raise Refusal("invalid_request", detail) from None
        except BaseException:
            with suppress(StoreUnavailable):
                await asyncio.shield(run.end("interrupted"))
            raise
        await run.end("done")
        body = encode(await self.find(who, row[0]))
        await send_answer(send, 200, body, (TYPE_JSON, (b"x-request-id", self._new_request_id().encode())))


async def _texts(receive: Receive) -> AsyncIterator[str]:
    """The body as text, as it comes."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise Disconnected
        more = message.get("more_body", False)
        text = decoder.decode(message.get("body", b""), not more)
        if text:
            yield text


async def _records(texts: AsyncIterator[str]) -> AsyncIterator[list[str]]:
    """The lines of a CSV file, some at a time; one that goes on in the next, within quotes, is whole."""
    tail: list[str] = []  # of a line whose end has not come
    within: list[str] = []  # lines since a quote that has not ended
    size = 0  # of both
    async for text in texts:
        size += len(text)
        found: list[str] = []
        if "\n" in text:
            lines = ("".join(tail) + text).split("\n")
            tail = [lines.pop()]
            for line in lines:
                odd = line.count('"') % 2 == 1
                if within or odd:
                    within.append(line)
                    if odd != (len(within) > 1):  # the quote goes on
                        continue
                    line = "\n".join(within)
                    within = []
                found.append(line.rstrip("\r"))
            if found:
                size = sum(map(len, tail)) + sum(map(len, within))
        else:
            tail.append(text)
        if size > LONGEST_ROW:
            raise Refusal("invalid_request", f"A row has more than {LONGEST_ROW:,} characters: is a quote missing?")
        if found:
            yield found
    rest = "\n".join((*within, "".join(tail)))
    if rest.strip():
        yield [rest.rstrip("\r")]


class Run:
    """One sending of a file."""

    def __init__(self, store: Store, clock: Callable[[], int], ledger: Ledger, usual: Usual, already: int) -> None:
        self._store = store
        self._clock = clock
        self._ledger = ledger
        self._usual = usual
        self._already = already  # rows that an earlier sending has dealt with
        self._read = 0
        self._recorded = self._unchanged = self._refused = 0
        self._said: list[Said] = []
        self._named: list[Row] = []
        self._told = 0
        self._places: dict[str, int] | None = None
        self._dialect = ","

    async def all(self, texts: AsyncIterator[str]) -> None:
        async for lines in _records(texts):
            for cells in self._cells(lines):
                if self._places is None:
                    self._places = self._heading(cells)
                    if self._places is not None:
                        continue
                    self._places = {"number": 0}
                self._take(cells)
                if len(self._said) + len(self._named) >= AT_ONCE:
                    await self._write()
        await self._write()

    def _cells(self, lines: Sequence[str]) -> Iterator[list[str]]:
        if self._places is None and lines:
            first = lines[0]
            self._dialect = max(",;\t", key=first.count)
        for cells in csv.reader(lines, delimiter=self._dialect):
            if any(cell.strip() for cell in cells):
                yield cells

    @staticmethod
    def _heading(cells: Sequence[str]) -> dict[str, int] | None:
        """Which column is where; None for a first row that is no heading."""
        names = [cell.strip().lower().replace(" ", "_") for cell in cells]
        if any(name and name[0] in "+0123456789(" for name in names[:1]):
            return None
        places: dict[str, int] = {}
        for place, name in enumerate(names):
            if name in COLUMNS:
                places.setdefault(COLUMNS[name], place)
        if "number" not in places:
            raise Refusal(
                "invalid_request", f"No column is called `number`; those are: {', '.join(names)[:500]}.",
            )  # fmt: skip
        return places

    def _take(self, cells: Sequence[str]) -> None:
        self._read += 1
        if self._read <= self._already:
            return
        assert self._places is not None
        row = {name: _cell(cells[place]) for name, place in self._places.items() if place < len(cells)}
        try:
            self._said.append(self._of(row))
        except Refused as refused:
            self._refused += 1
            self._told += 1
            if self._told > MOST_NAMED:
                return
            self._named.append(
                (self._usual.import_id, self._read, _shown(row.get("number", "")), refused.code, refused.detail)
            )

    def _of(self, row: Mapping[str, str]) -> Said:
        """A row as what somebody said."""
        usual = self._usual
        asked = usual.asked
        if any("\0" in value for value in row.values()):
            raise Refused("invalid_text", "It holds NUL.")
        try:
            number = normalise(row.get("number", ""), usual.country)
        except NumberError as error:
            raise Refused("invalid_number", error.detail) from None
        action = ACTIONS.get((row.get("action") or asked.action).lower().replace("-", "_").replace(" ", "_"))
        if action is None:
            raise Refused("invalid_value", "action: expected opt_in or opt_out.")
        klass = row.get("class") or asked.class_
        if klass and klass not in CLASSES:
            raise Refused("invalid_value", f"class: expected one of {', '.join(CLASSES)}.")
        sender = row.get("sender") or asked.sender or ""
        try:
            sender = written(sender)
        except NumberError as error:
            raise Refused("invalid_sender", error.detail) from None
        at, dated = usual.at, asked.at is not None
        if row.get("at"):
            try:
                at, dated = parse_time(_whole_time(row["at"])), True
            except ValueError:
                raise Refused("invalid_time", "at: expected a date or time such as 2026-01-31T09:30:00Z.") from None
        if at > self._clock():
            raise Refused("invalid_time", "at: expected a time that has been.")
        only_if = IF_NEW if action == OPT_OUT else IF_NEWER if dated or asked.overrule else IF_NOT_OUT
        reply = None
        if action == OPT_IN and usual.confirm:
            action, only_if, reply = REQUESTED, IF_NOT_OUT, (sender, "confirm", usual.confirm)
        return Said(
            usual.account_id, usual.mode, number, action, (row.get("source") or asked.source)[:64], at, sender,
            CLASSES[klass] if klass else EVERY_CLASS, (row.get("purpose") or asked.purpose or "")[:200] or None,
            row.get("words", "")[:2_000] or None, None, _proof((row.get("proof") or asked.proof or "")[:4_000]),
            import_id=usual.import_id, only_if=only_if, reply=reply, quiet=True,
        )  # fmt: skip

    async def _write(self) -> None:
        """What has gathered, with how far it has come."""
        if self._read <= self._already:
            return
        said, named = self._said, self._named
        self._said, self._named = [], []
        more = (
            Step(SQL["import_progress"], [(self._usual.import_id, self._read, self._clock())]),
            Step(SQL["insert_import_refusals"], named),
        )
        recorded = await self._ledger.record(said, *more)
        kept = sum(an_id is not None for an_id in recorded)
        self._recorded += kept
        self._unchanged += len(said) - kept
        self._already = self._read
        await self.end("running")

    async def end(self, state: str, error: str | None = None) -> None:
        """Say how it is, with what was counted since the last time."""
        row = (
            self._usual.import_id, state, self._recorded, self._unchanged, self._refused, error, self._clock(),
        )  # fmt: skip
        await self._store.commit(plan(Step(SQL["import_counts"], [row])))
        self._recorded = self._unchanged = self._refused = 0


def _whole_time(text: str) -> str:
    """A date is its first moment, and a time without a zone is UTC."""
    text = text.strip().replace(" ", "T", 1)
    if len(text) == 10:
        return f"{text}T00:00:00Z"
    if len(text) == 16:
        text += ":00"
    return text if text[-1] in "Zz" or "+" in text[10:] or "-" in text[10:] else f"{text}Z"


def _proof(text: str) -> str | None:
    """As JSON: what was exported is so already."""
    with suppress(ValueError):
        if text[:1] in ("{", '"') and isinstance(json.loads(text), dict | str):
            return text
    return proof_text(text or None)


def _cell(text: str) -> str:
    """Without the mark that keeps a spreadsheet from taking it for a formula."""
    text = text.strip()
    return text[1:] if text[:1] == "'" and text[1:2] in FORMULA else text


def _shown(number: str) -> str:
    return number[:64].replace("\0", "")
