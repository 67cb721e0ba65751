"""Files of one kind: announced, sent, written, and how far each has come.

A file that is not UTF-8, has no numbers, or whose quotes don't end fails; one whose sender is gone, or that the store
can't take for now, is interrupted: both say so where they are looked at.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple, Protocol

import msgspec
from starlette.types import Receive, Scope, Send

from columba.core import ids, model
from columba.core.ids import Ids
from columba.errors import Refusal
from columba.http.query import decode_query
from columba.http.wire import TYPE_JSON, Disconnected, client_address, encode, send_answer
from columba.imports import AT_ONCE, SQL
from columba.imports.reading import Sheet, heading, records, row_of, simple, texts
from columba.imports.shapes import Which
from columba.keys import Key
from columba.numbers import NumberError, normalise
from columba.store import Row, Step, Store, StoreUnavailable, plan

MOST_NAMED: Final = 100_000  # refusals that are kept
STALE_MS: Final = 60_000


class Refused(Exception):
    """A row that can't be taken."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.code, self.detail = code, detail


class Taking(Protocol):
    """What becomes of a file's rows."""

    def columns(self, names: Sequence[str]) -> Sequence[str | None]:
        """What the columns under these headings are: one is `number`; None for what is not looked at. Refusal."""
        ...

    def read(self, row: Mapping[str, str]) -> Any:
        """A row by its columns, its number as we write it, as what `write` takes. Refused."""
        ...

    async def write(self, items: Sequence[Any], *more: Step) -> Sequence[bool | Refused]:
        """Of each, whether it said something new. `more` is written with the last of them. What was written before
        may come again after an interruption."""
        ...


class Announced(NamedTuple):
    """A file that is being sent. `said` is what was announced."""

    id: int
    account_id: int
    mode: int
    said: Any
    at: int


class Kind(NamedTuple):
    """`path`: where the file is sent to. `scope`: what that takes. `shape`: of what is announced."""

    name: str
    path: str
    scope: str
    shape: type[msgspec.Struct]
    taking: Callable[[Announced], Taking]


class Imports:
    """Files of a kind, and the raw route that they are sent to."""

    def __init__(
        self,
        store: Store,
        new_id: Ids,
        clock: Callable[[], int],
        kind: Kind,
        authenticate: Callable[[Any, str], Any],
        country: Callable[[int], str | None],
        new_request_id: Callable[[], str],
    ) -> None:
        """`country` gives an account's default country."""
        self.kind = kind
        self._store = store
        self._ids = new_id
        self._clock = clock
        self._authenticate = authenticate
        self._country = country
        self._new_request_id = new_request_id

    async def announce(self, who: Key, name: str, said: msgspec.Struct) -> model.Json:
        an_id = self._ids()
        text = msgspec.json.encode(said).decode()
        row = (an_id, who.account_id, who.mode, self.kind.name, name, text, self._clock())
        await self._store.commit(plan(Step(SQL["insert_import"], [row])))
        return await self.find(who, an_id)

    async def find(self, who: Key, an_id: int | None) -> model.Json:
        return self.view(await self._row(who, an_id))

    async def _row(self, who: Key, an_id: int | None) -> Row:
        rows = await self._store.read(
            SQL["import"], id=an_id or 0, account_id=who.account_id, mode=who.mode, kind=self.kind.name
        )
        if not rows:
            raise Refusal("not_found", "There is no such import.")
        return rows[0]

    async def listed(self, who: Key, before: int, most: int) -> list[Row]:
        return await self._store.read(
            SQL["imports"], account_id=who.account_id, mode=who.mode, kind=self.kind.name, before=before, most=most
        )

    async def refusals(self, who: Key, an_id: int | None, after: int, most: int) -> list[Row]:
        await self._row(who, an_id)
        return await self._store.read(SQL["import_refusals"], id=an_id or 0, after=after, most=most)

    def view(self, row: Row) -> model.Json:
        an_id, _, _, name, _, state, rows_read, recorded, unchanged, refused, error, created_at, updated_at = row
        if state == "running" and updated_at < self._clock() - STALE_MS:
            state = "interrupted"
        shown = ids.show("imp", an_id)
        return {
            "id": shown, "name": name, "state": state, "rows": rows_read, "recorded": recorded, "unchanged": unchanged,
            "refused": refused, "error": error, "upload_url": f"{self.kind.path}?import={shown}",
            "created_at": model.rfc3339(created_at), "updated_at": model.rfc3339(updated_at),
        }  # fmt: skip

    # The file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The file itself, raw: its body may be larger than memory."""
        headers = dict(scope["headers"])
        found = self._authenticate(headers, client_address(scope))
        who = await found if isinstance(found, Awaitable) else found
        assert isinstance(who, Key)
        if self.kind.scope not in who.scopes:
            raise Refusal("forbidden", f"The key lacks the scope {self.kind.scope}.")
        row = await self._row(who, ids.read("imp", decode_query(Which, scope["query_string"]).import_))
        if row[5] in ("done", "failed"):
            raise Refusal("conflict", f"The import is {row[5]}: announce another one.")
        now = self._clock()
        claimed = await self._store.commit(plan(Step(SQL["claim_import"], [(row[0], now, now - STALE_MS)])))
        if row[0] not in {each[0] for each in claimed[0]}:
            raise Refusal("conflict", "The file is being sent already.")
        said = msgspec.json.decode(row[4], type=self.kind.shape)
        taking = self.kind.taking(Announced(row[0], who.account_id, who.mode, said, row[11]))
        run = Run(self._store, self._clock, taking, row[0], self._country(who.account_id), row[6])
        if not await self._run(run, receive):
            return
        body = encode(await self.find(who, row[0]))
        await send_answer(send, 200, body, (TYPE_JSON, (b"x-request-id", self._new_request_id().encode())))

    @staticmethod
    async def _run(run: "Run", receive: Receive) -> bool:
        """False when nobody is left to be answered."""
        try:
            await run.all(texts(receive))
        except Disconnected:
            await asyncio.shield(run.end("interrupted"))
            return False
        except StoreUnavailable as refusal:
            with suppress(StoreUnavailable):
                await run.end("interrupted", refusal.detail)
            raise
        except Refusal as refusal:
            detail = f"{refusal.detail} The first {run.taken:,} rows were taken." if run.taken else refusal.detail
            with suppress(StoreUnavailable):
                await run.end("failed", detail)
            raise Refusal(refusal.code, detail, refusal.errors) from None
        except BaseException:
            with suppress(StoreUnavailable):
                await asyncio.shield(run.end("interrupted"))
            raise
        await run.end("done")
        return True


class Run:
    """One sending of a file, whose first `already` rows an earlier sending has dealt with."""

    def __init__(
        self,
        store: Store,
        clock: Callable[[], int],
        taking: Taking,
        import_id: int,
        country: str | None,
        already: int = 0,
    ) -> None:
        self._store = store
        self._clock = clock
        self._taking = taking
        self._id = import_id
        self._country = country
        self._already = already
        self._read = 0
        self._recorded = self._unchanged = self._refused = 0
        self._items: list[tuple[int, str, Any]] = []  # each with its place and its number
        self._named: list[Row] = []
        self._told = 0
        self._places: dict[str, int] | None = None

    async def all(self, pieces: AsyncIterator[str]) -> None:
        sheet = Sheet()
        async for lines in records(pieces):
            for cells in sheet.cells(lines):
                if self._places is None:
                    names = heading(cells)
                    self._places = {"number": 0} if names is None else self._columns(names)
                    if names is not None:
                        continue
                self._take(self._places, cells)
                if len(self._items) + len(self._named) >= AT_ONCE:
                    await self._write()
        await self._write()

    @property
    def taken(self) -> int:
        """Rows that are written."""
        return self._already

    def _columns(self, names: Sequence[str]) -> dict[str, int]:
        """Which column is where."""
        places: dict[str, int] = {}
        for place, name in enumerate(self._taking.columns(names)):
            if name is None:
                continue
            if places.setdefault(name, place) != place and simple(names[places[name]]) == simple(names[place]):
                raise Refusal("invalid_request", f"Two columns are called `{names[place][:64]}`.")
        if "number" not in places:
            raise Refusal("invalid_request", f"No column is called `number`; those are: {', '.join(names)[:500]}.")
        return places

    def _take(self, places: Mapping[str, int], cells: Sequence[str]) -> None:
        self._read += 1
        if self._read <= self._already:
            return
        row = row_of(places, cells)
        number = row.get("number", "")
        try:
            if any("\0" in value for value in row.values()):
                raise Refused("invalid_text", "It holds NUL.")
            try:
                row["number"] = number = normalise(number, self._country)
            except NumberError as error:
                raise Refused("invalid_number", error.detail) from None
            self._items.append((self._read, number, self._taking.read(row)))
        except Refused as refused:
            self._refuse(self._read, number, refused)

    def _refuse(self, n: int, number: str, refused: Refused) -> None:
        self._refused += 1
        self._told += 1
        if self._told <= MOST_NAMED:
            self._named.append((self._id, n, number[:64].replace("\0", ""), refused.code, refused.detail))

    async def _write(self) -> None:
        """What has gathered, with how far it has come."""
        if self._read <= self._already:
            return
        items, named = self._items, self._named
        self._items, self._named = [], []
        done = await self._taking.write(
            [item for _, _, item in items],
            Step(SQL["import_progress"], [(self._id, self._read, self._clock())]),
            Step(SQL["insert_import_refusals"], named),
        )
        for (n, number, _), came in zip(items, done, strict=True):
            if isinstance(came, Refused):
                self._refuse(n, number, came)
            elif came:
                self._recorded += 1
            else:
                self._unchanged += 1
        self._already = self._read
        await self.end("running")

    async def end(self, state: str, error: str | None = None) -> None:
        """Say how it is, with what was counted since the last time."""
        row = (self._id, state, self._recorded, self._unchanged, self._refused, error, self._clock())
        named, self._named = self._named, []
        await self._store.commit(plan(Step(SQL["import_counts"], [row]), Step(SQL["insert_import_refusals"], named)))
        self._recorded = self._unchanged = self._refused = 0
