"""What is kept for messages: put in, looked up, read, given up.

The row comes first and the bytes after it, so that nothing is ever in the store of bytes that no row knows; bytes go
before their row. What was given up half-way is swept. Fails with Refusals: `unsupported_media_type`, `payload_too_large`,
`quota_exceeded`, `store_unavailable` when the bytes can't be written.
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl

import structlog

from columba.core import ids
from columba.core.ids import Ids
from columba.core.model import Json, rfc3339
from columba.errors import Refusal
from columba.media.kept import Kept, key_of
from columba.media.links import PREFIX, Links, id_in, word_of
from columba.media.sniff import Kind, agrees, file_name, kind_of
from columba.store import Row, Step, Store, StoreUnavailable, plan, statements

SQL = statements(Path(__file__).with_name("media.sql"))
log = structlog.get_logger()

WRITING, READY, FETCHING, FAILED, GONE = range(5)
UPLOADED, BY_URL, RECEIVED = range(3)
STATES = ("pending", "ready", "pending", "failed", "deleted")
ORIGINS = ("upload", "url", "received")
GIVEN_UP_MS = 3_600_000  # after which what was never written to its end is deleted
TRY_AGAIN_MS = 300_000
MOST = 500  # swept at once


class Limits(NamedTuple):
    """Bytes of one file; bytes of an account, 0 for no end; seconds for which what nobody uses is kept."""

    size: int
    quota: int
    unused_s: int


class Medium(NamedTuple):
    """One file, as its row has it."""

    id: int
    account_id: int
    mode: int
    origin: int
    state: int
    name: str
    content_type: str
    size: int
    digest: str
    message_id: int | None
    attempts: int
    due_at: int
    error: str | None
    updated_at: int

    @property
    def word(self) -> str:
        return word_of(self.id, self.name)

    @property
    def key(self) -> str:
        return key_of(self.account_id, self.id)


class Found(NamedTuple):
    """A file with its bytes."""

    name: str
    content_type: str
    digest: str
    body: bytes


class Media:
    def __init__(
        self, store: Store, new_id: Ids, clock: Callable[[], int], kept: Kept, links: Links, limits: Limits
    ) -> None:
        self._store = store
        self._ids = new_id
        self._clock = clock
        self._kept = kept
        self._purging: asyncio.Task[None] | None = None
        self.links = links
        self.limits = limits

    # In

    def check(self, body: bytes, declared: str) -> Kind:
        """What it is, if we take it."""
        if len(body) > self.limits.size:
            raise Refusal("payload_too_large", f"A file may have at most {self.limits.size} bytes.")
        if not body:
            raise Refusal("invalid_request", "The file is empty.")
        kind = kind_of(body)
        if kind is None:
            raise Refusal(
                "unsupported_media_type", "The file is none of the pictures, sounds, films and documents that we know."
            )
        if not agrees(kind, declared):
            raise Refusal(
                "unsupported_media_type", f"The file is {kind.type}, and its type was given as {declared[:100]}."
            )
        return kind

    async def add(
        self, account_id: int, mode: int, body: bytes, declared: str, name: str | None, origin: int = UPLOADED
    ) -> Medium:
        """Keep a file; it is on the disk when this returns."""
        # In a thread: a film takes its time, and all else would stand still.
        kind, digest = await asyncio.to_thread(lambda: (self.check(body, declared), hashlib.sha256(body).hexdigest()))
        now, an_id = self._clock(), self._ids()
        named = file_name(name, kind)
        row = (
            an_id, account_id, mode, origin, WRITING, named, kind.type, len(body), digest, now + GIVEN_UP_MS, now,
            self.limits.quota,
        )  # fmt: skip
        results = await self._store.commit(
            plan(
                Step(SQL["insert_media"], [row]),
                Step(SQL["count_media"], [(an_id, account_id, len(body))], given=0),
            )
        )
        if an_id not in {found[0] for found in results[0]}:
            raise Refusal("quota_exceeded", f"An account may keep {self.limits.quota} bytes of media.")
        try:
            await self._kept.put(key_of(account_id, an_id), body, kind.type)
        except BaseException:
            await self._give_up([an_id])
            raise
        await self._store.commit(plan(Step(SQL["media_ready"], [(an_id, now)])))
        return Medium(
            an_id, account_id, mode, origin, READY, named, kind.type, len(body), digest, None, 0, now, None, now
        )

    async def _give_up(self, media: Sequence[int]) -> None:
        now = self._clock()
        try:
            await self._store.commit(plan(Step(SQL["abandon"], [(an_id, now) for an_id in media])))
        except StoreUnavailable:
            pass  # the sweep finds them in an hour

    # Out

    async def find(self, account_id: int, mode: int, an_id: int | None) -> Medium:
        rows = [] if an_id is None else await self._store.read(SQL["media"], id=an_id)
        for row in rows:
            medium = Medium(*row)
            if (medium.account_id, medium.mode) == (account_id, mode) and medium.state != WRITING:
                return medium
        raise Refusal("not_found", "There is no such media.")

    async def by_link(self, an_id: int) -> Medium | None:
        """For whoever has a good link."""
        rows = await self._store.read(SQL["media"], id=an_id)
        return Medium(*rows[0]) if rows else None

    async def read(self, medium: Medium) -> Found:
        """Its bytes."""
        if medium.state in (WRITING, FETCHING):
            raise Refusal("media_pending", "It is still being fetched.", retry_after=2)
        body = await self._kept.get(medium.key) if medium.state == READY else None
        if body is None:
            raise Refusal("not_found", medium.error or "There is no such media.")
        return Found(medium.name, medium.content_type, medium.digest, body)

    async def of_word(self, account_id: int, mode: int, word: str) -> Found | None:
        """What a message's word stands for, for those who send it on; None for a URL."""
        an_id = id_in(word)
        return None if an_id is None else await self.read(await self.find(account_id, mode, an_id))

    async def of_link(self, url: str, patience_s: float) -> Found | None:
        """What a link of ours leads to, once it is fetched; None for another URL, or a link that isn't good."""
        path, _, query = url.removeprefix(f"{self.links.base}/media/").partition("?")
        if path == url:
            return None
        asked = dict(parse_qsl(query))
        an_id = self.links.check(path.partition("/")[0], asked.get("expires", ""), asked.get("sig", ""))
        deadline = asyncio.get_running_loop().time() + patience_s
        while an_id and (medium := await self.by_link(an_id)) is not None:
            if medium.state == FETCHING and asyncio.get_running_loop().time() < deadline:
                await asyncio.sleep(0.1)
                continue
            return await self.read(medium)
        return None

    async def list(
        self, account_id: int, mode: int, before: int, most: int, message_id: int | None = None, origin: int = -1
    ) -> Sequence[Medium]:
        """The newest first, of ids below `before`."""
        if message_id is not None:
            rows = await self._store.read(
                SQL["media_of_message"], message_id=message_id, account_id=account_id, mode=mode, before=before,
                most=most,
            )  # fmt: skip
        else:
            rows = await self._store.read(
                SQL["list_media"], account_id=account_id, mode=mode, before=before, most=most, origin=origin
            )
        return [Medium(*row) for row in rows]

    async def usage(self, account_id: int) -> tuple[int, int]:
        """Bytes and files."""
        rows = await self._store.read(SQL["usage"], account_id=account_id)
        return (int(rows[0][0]), int(rows[0][1])) if rows else (0, 0)

    def view(self, medium: Medium) -> Json:
        return {
            "id": ids.show(PREFIX, medium.id),
            "url": self.links.of(medium.word),
            "name": medium.name,
            "content_type": medium.content_type or None,
            "size": medium.size,
            "sha256": medium.digest or None,
            "state": STATES[medium.state],
            "origin": ORIGINS[medium.origin],
            "message_id": None if medium.message_id is None else ids.show("msg", medium.message_id),
            "error": medium.error,
            "created_at": rfc3339(ids.time_of(medium.id)),
            "url_expires_at": rfc3339(self.links.until()),
        }

    # Away

    async def discard(self, medium: Medium) -> None:
        """Delete it, unless a message that has not left needs it."""
        results = await self._store.commit(plan(Step(SQL["discard"], [(medium.id, self._clock())])))
        if medium.id not in {row[0] for row in results[0]}:
            if await self.by_link(medium.id) is None:  # another request was first
                raise Refusal("not_found", "There is no such media.")
            raise Refusal("conflict", "A message that has not left yet needs it: cancel that first.")
        await self.purge()

    def steps_without(self, message_ids: Iterable[int]) -> Sequence[Step]:
        """For the plan that redacts or deletes messages: what none but they use goes with them, by the next `purge`; what
        was told of it, with its name and a link, at once."""
        now = self._clock()
        rows: list[Row] = [(an_id, now) for an_id in message_ids]
        names = ("discard_of_messages", "discard_attempts", "discard_deliveries", "discard_events", "delete_uses")
        return [Step(SQL[name], rows) for name in names]

    def forget(self, _message_id: int) -> None:
        """A message was redacted: its media go now, not when the chore comes."""
        if self._purging is None:
            self._purging = asyncio.get_running_loop().create_task(self._purge_soon())

    async def _purge_soon(self) -> None:
        try:
            await self.purge()
        except Refusal:
            pass  # the chore does it
        finally:
            self._purging = None

    async def purge(self) -> int:
        """Delete what was given up: bytes, then rows. What can't be deleted now is tried again in a while."""
        deleted = 0
        while True:
            now = self._clock()
            rows = await self._store.read(SQL["to_delete"], now=now, most=MOST)
            if not rows:
                return deleted
            claimed = await self._store.commit(
                plan(Step(SQL["claim_deletes"], [(row[0], now, now + TRY_AGAIN_MS) for row in rows]))
            )
            mine = {row[0] for row in claimed[0]}
            rows = [row for row in rows if row[0] in mine]
            try:
                await self._kept.delete([key_of(row[1], row[0]) for row in rows])
            except Refusal:
                return deleted
            gone: list[Row] = [(row[0],) for row in rows]
            await self._store.commit(
                plan(
                    Step(SQL["delete_media"], gone),
                    Step(SQL["uncount_media"], feed=0),
                    Step(SQL["delete_media_uses"], gone),
                )
            )
            deleted += len(gone)

    async def sweep(self) -> None:
        """A chore: what was never written to its end, and what no message has used for long."""
        now = self._clock()
        while rows := await self._store.read(SQL["abandoned"], now=now, most=MOST):
            await self._give_up([row[0] for row in rows])
        before = ids.first_at(now - self.limits.unused_s * 1000)
        await self._store.commit(plan(Step(SQL["note_used"], [(before,)])))
        while rows := await self._store.read(SQL["unused"], before=before, most=MOST):
            await self._give_up([row[0] for row in rows])
        await self.purge()
