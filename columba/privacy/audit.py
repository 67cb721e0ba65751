"""Who saw or changed what: a chain of entries for each account, in which nothing can be altered unnoticed.

Each request that changes something, and each that shows what is personal, becomes an entry: the key, the address, what was
done to what, and what it was answered. It holds no text and no number. Changes are written before they are answered; what
was seen is gathered for a moment. Each hash is of the entry and of the hash before, with a key derived from the vault's:
who can write to the database alone can't make the chain anew, and what is cut off at its end is seen by comparing its head
with one that was noted elsewhere (`columba audit verify`). Fails by waiting while the store can't be written.
"""

import asyncio
import hmac
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import structlog

from columba.core.model import Json
from columba.store import Row, Step, Store, StoreUnavailable, plan, statements

SQL = statements(Path(__file__).with_name("audit.sql"))
GATHER_S: Final = 0.2
AT_ONCE: Final = 500
MOST_WAITING: Final = 20_000  # entries; beyond them requests are refused
PAGE: Final = 5_000
AGAIN_S: Final = 0.5
AN_ID: Final = re.compile(r"[a-z]{3}_[0-9a-zA-Z_-]{1,64}")

log = structlog.get_logger()
_encode = msgspec.json.Encoder().encode


class Entry(NamedTuple):
    """One request. `said` is what is kept of it, as JSON."""

    account_id: int
    mode: int
    at: int
    said: str


class Head(NamedTuple):
    """Where a chain has come to."""

    n: int
    hash: str


class Verdict(NamedTuple):
    """What verifying a chain came to. `broken` is the first entry that is not as it was written, or is missing."""

    entries: int
    head: str
    broken: int | None
    why: str


def entry(
    account_id: int, mode: int, at: int, key_id: str, client: str, action: str, method: str,
    named: dict[str, str], answered: int, request_id: str,
) -> Entry:  # fmt: skip
    """`named` are the things named in the path: ids are kept, all else (a phone number) is not."""
    about = {name: value if AN_ID.fullmatch(value) else "" for name, value in named.items()}
    said = {
        "key": key_id,
        "address": client,
        "action": action,
        "method": method,
        "about": about,
        "answered": answered,
        "request_id": request_id,
    }
    return Entry(account_id, mode, at, _encode(said).decode())


class Audit:
    def __init__(self, store: Store, key: bytes) -> None:
        self._store = store
        self._key = key
        self._waiting: list[Entry] = []
        self._told: asyncio.Future[None] | None = None
        self._heads: dict[int, Head] = {}
        self._due: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()

    # Writing

    def seen(self, an_entry: Entry) -> None:
        """Somebody was shown something."""
        self._waiting.append(an_entry)
        if len(self._waiting) >= AT_ONCE:
            self._go()
        elif self._due is None and self._task is None:
            self._due = self._loop.call_later(GATHER_S, self._go)

    async def changed(self, an_entry: Entry) -> None:
        """Somebody changed something: durable when it returns."""
        self._waiting.append(an_entry)
        if self._told is None:
            self._told = self._loop.create_future()
        told = self._told
        self._go()
        await asyncio.shield(told)

    @property
    def is_full(self) -> bool:
        return len(self._waiting) >= MOST_WAITING

    def _go(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
        if self._task is None:
            self._task = self._loop.create_task(self._run(), name="audit")

    async def _run(self) -> None:
        try:
            while self._waiting:
                entries, self._waiting = self._waiting[:AT_ONCE], self._waiting[AT_ONCE:]
                told = None
                if not self._waiting:
                    told, self._told = self._told, None
                await self._write(entries)
                if told is not None:
                    told.set_result(None)
        finally:
            self._task = None

    async def _write(self, entries: Sequence[Entry]) -> None:
        left = list(entries)
        while left:
            try:
                left = await self._append(left)
            except StoreUnavailable:
                await asyncio.sleep(AGAIN_S)
            except Exception:
                log.exception("audit.failed", entries=len(left))
                await asyncio.sleep(AGAIN_S)

    async def _append(self, entries: Sequence[Entry]) -> list[Entry]:
        """Put entries at the ends of their chains; those of accounts that another process has gone on with are left."""
        accounts = sorted({each.account_id for each in entries})
        unknown = [(each,) for each in accounts if each not in self._heads]
        if unknown:
            await self._store.commit(plan(Step(SQL["begin_heads"], unknown)))
            for account_id, n, hashed in await self._store.read(SQL["audit_heads"], unknown):
                self._heads[account_id] = Head(n, hashed)
        moved: list[Row] = []
        rows: list[Row] = []
        heads: dict[int, Head] = {}
        for account_id in accounts:
            was = head = self._heads[account_id]
            for each in entries:
                if each.account_id == account_id:
                    n = head.n + 1
                    head = Head(n, self._hash(head.hash, account_id, n, each.mode, each.at, each.said))
                    rows.append((account_id, n, each.mode, each.at, each.said, head.hash))
            moved.append((account_id, was.n, was.hash, head.n, head.hash))
            heads[account_id] = head
            del self._heads[account_id]  # until it is known what became of it
        results = await self._store.commit(
            plan(Step(SQL["advance_heads"], moved), Step(SQL["insert_audit"], rows, given=0))
        )
        done = {row[0] for row in results[0]}
        self._heads |= {account_id: head for account_id, head in heads.items() if account_id in done}
        return [each for each in entries if each.account_id not in done]

    def _hash(self, before: str, account_id: int, n: int, mode: int, at: int, said: str) -> str:
        return hmac.digest(self._key, f"{before}\n{account_id} {n} {mode} {at}\n{said}".encode(), "sha256").hex()

    async def stop(self) -> None:
        """Write what waits, if the store can be written."""
        self._go()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=2.0)
        if self._task is not None:
            self._task.cancel()

    # Verifying

    async def verify(self, account_id: int, expected: Head | None = None) -> Verdict:
        """Go through a chain from its beginning. `expected` is a head that was noted before: it must be on the way."""
        before, n = "", 0
        met = expected is None or expected.n == 0
        while rows := await self._store.read(SQL["audit_chain"], account_id=account_id, after=n, most=PAGE):
            for number, mode, at, said, hashed in rows:
                if number != n + 1:
                    return Verdict(n, before, n + 1, f"Entry {n + 1} is missing.")
                before = self._hash(before, account_id, number, mode, at, said)
                if before != hashed:
                    return Verdict(n, before, number, f"Entry {number} is not as it was written.")
                n = number
                if expected is not None and expected.n == n:
                    if expected.hash != before:
                        return Verdict(n, before, n, f"Entry {n} is not the one that was noted.")
                    met = True
        for _, head_n, head_hash in await self._store.read(SQL["audit_heads"], [(account_id,)]):
            if (head_n, head_hash) != (n, before) and head_n > n:
                return Verdict(n, before, n + 1, f"The entries after {n} are missing: there were {head_n}.")
        if not met:
            return Verdict(n, before, n + 1, f"The entries after {n} are missing: one more was noted.")
        return Verdict(n, before, None, "")


def shown(row: Row) -> Json:
    """From a row of `audit_page`."""
    from columba.core.model import rfc3339

    n, at, said, hashed = row
    return {"n": n, "at": rfc3339(at), **msgspec.json.decode(said), "hash": hashed}
