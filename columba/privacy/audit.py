"""Who saw or changed what: a chain of entries for each account, in which nothing can be altered unnoticed.

Each request that changes something, and each that shows what is personal, becomes an entry: the key, the address, what was
done to what, and what it was answered; and so does each change that an operator makes in the store itself. It holds no text
and no number. Changes are written before they are answered; what was seen is gathered for a moment. Each hash is of the
entry and of the hash before, with a key derived from the vault's: who can write to the database alone can't make the chain
anew, and what is cut off at its end is seen by comparing its head with one that was noted elsewhere (`columba audit
verify`). What is too old is let go from the chain's beginning, and where it begins since is sealed with the same key. Fails
by waiting while the store can't be written.
"""

import asyncio
import hmac
import re
from collections.abc import Iterable, Sequence
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
REST: Final = 4  # times what letting some go took
LEFT: Final = "audit"  # the topic of what commands left
AN_ID: Final = re.compile(r"[a-z]{3}_[0-9a-zA-Z_-]{1,64}")

# What an entry does not say, because no key asked for it over HTTP, or one did.
UNSAID: Final[Json] = {"key": None, "operator": None, "answered": None, "request_id": None}

log = structlog.get_logger()
_encode = msgspec.json.Encoder().encode


class Entry(NamedTuple):
    """One request, or one change on the command line. `said` is what is kept of it, as JSON."""

    account_id: int
    mode: int
    at: int
    said: str


class Head(NamedTuple):
    """Where a chain has come to."""

    n: int
    hash: str


class Verdict(NamedTuple):
    """What verifying a chain came to. `broken` is the first entry that is not as it was written, or is missing;
    `waiting` is how many changes of the command line are not in the chain yet, `let_go` how many of the entries were too
    old to be kept."""

    entries: int
    head: str
    broken: int | None
    why: str
    waiting: int = 0
    let_go: int = 0


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
        self._turn = asyncio.Lock()  # one at a time goes on from where a chain is known to be
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
                async with self._turn:
                    left = await self._append(left)
            except StoreUnavailable:
                await asyncio.sleep(AGAIN_S)
            except Exception:
                log.exception("audit.failed", entries=len(left))
                await asyncio.sleep(AGAIN_S)

    async def take_up(self) -> None:
        """Go on with what commands have left in the store (`columba.privacy.commands`).

        The end of a chain is known before it is read what was left for it, and moves with all that is taken up: of
        processes that take up the same, one moves it, and the others look again.
        """
        while rows := await self._store.read(SQL["audit_left"], most=AT_ONCE):
            async with self._turn:
                await self._know({row[0] for row in rows})
                some = [row for row in await self._store.read(SQL["audit_left"], most=AT_ONCE) if row[0] in self._heads]
                await self._append([Entry(row[0], *row[2:]) for row in some], [(row[0], row[1]) for row in some])

    async def _know(self, accounts: Iterable[int]) -> None:
        """Where the accounts' chains have come to."""
        unknown = [(each,) for each in sorted(accounts) if each not in self._heads]
        if unknown:
            await self._store.commit(plan(Step(SQL["begin_heads"], unknown)))
            for account_id, n, hashed in await self._store.read(SQL["audit_heads"], unknown):
                self._heads[account_id] = Head(n, hashed)

    async def _append(self, entries: Sequence[Entry], taken: Sequence[Row] = ()) -> list[Entry]:
        """Put entries at the ends of their chains, and let go what they were taken from; those of accounts that another
        process has gone on with are left."""
        accounts = sorted({each.account_id for each in entries})
        await self._know(accounts)
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
            plan(
                Step(SQL["advance_heads"], moved),
                Step(SQL["insert_audit"], rows, given=0),
                Step(SQL["drop_left"], taken, given=0),
            )
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

    # Letting go

    async def sweep(self, before: int) -> int:
        """Let go of what is older than a time, from the beginnings of the chains; how many entries those were.

        They are verified as they go: nothing goes from a chain that somebody has tampered with.
        """
        gone = 0
        for account_id, _, _ in await self._store.read(SQL["audit_accounts"]):
            while (was := await self._begin(account_id)) is not None:
                began = self._loop.time()
                rows = await self._store.read(SQL["audit_chain"], account_id=account_id, after=was.n, most=AT_ONCE)
                n, hashed = was
                for number, mode, at, said, its_hash in rows:
                    if at >= before:
                        break
                    if (number, its_hash) != (n + 1, self._hash(hashed, account_id, number, mode, at, said)):
                        log.error("audit.broken", account=account_id, entry=n + 1)
                        break
                    n, hashed = number, its_hash
                if n == was.n:
                    break
                row = (account_id, was.n, n, hashed, self._seal(account_id, n, hashed))
                await self._store.commit(plan(Step(SQL["move_begin"], [row]), Step(SQL["sweep_audit"], [row], given=0)))
                gone += n - was.n
                await asyncio.sleep(min(1.0, REST * (self._loop.time() - began)))
        return gone

    def _seal(self, account_id: int, n: int, hashed: str) -> str:
        return hmac.digest(self._key, f"begins after\n{account_id} {n} {hashed}".encode(), "sha256").hex()

    async def _begin(self, account_id: int) -> Head | None:
        """After which entry a chain begins; None when that is not what was sealed."""
        for n, hashed, seal in await self._store.read(SQL["audit_begin"], account_id=account_id):
            return Head(n, hashed) if hmac.compare_digest(seal, self._seal(account_id, n, hashed)) else None
        return Head(0, "")

    # Verifying

    async def verify(self, account_id: int, expected: Head | None = None) -> Verdict:
        """Go through a chain from its beginning. `expected` is a head that was noted before: it must be on the way."""
        while True:
            begin = await self._begin(account_id)
            if begin is None:
                found = Verdict(0, "", 1, "Where the log begins was changed: what was let go is not known.")
                break
            found = (await self._verify(account_id, begin, expected))._replace(let_go=begin.n)
            if found.broken is None or await self._begin(account_id) == begin:
                break  # else some were let go meanwhile
        ((waiting,),) = await self._store.read(SQL["count_left"], account_id=account_id)
        return found._replace(waiting=waiting)

    async def _verify(self, account_id: int, begin: Head, expected: Head | None) -> Verdict:
        n, before = begin
        if expected is not None and expected.n == n > 0 and expected.hash != before:
            return Verdict(n, before, n, f"Entry {n} is not the one that was noted.")
        met = expected is None or expected.n <= n
        # Before the entries: more are written meanwhile.
        heads = await self._store.read(SQL["audit_heads"], [(account_id,)])
        head = Head(*heads[0][1:]) if heads else Head(0, "")
        while rows := await self._store.read(SQL["audit_chain"], account_id=account_id, after=n, most=PAGE):
            for number, mode, at, said, hashed in rows:
                if number != n + 1:
                    return Verdict(n, before, n + 1, f"Entry {n + 1} is missing.")
                before = self._hash(before, account_id, number, mode, at, said)
                if before != hashed:
                    return Verdict(n, before, number, f"Entry {number} is not as it was written.")
                n = number
                if head.n == n and head.hash != before:
                    return Verdict(n, before, n, f"Entry {n} is not the one that was the newest.")
                if expected is not None and expected.n == n:
                    if expected.hash != before:
                        return Verdict(n, before, n, f"Entry {n} is not the one that was noted.")
                    met = True
        if head.n > n:
            return Verdict(n, before, n + 1, f"The entries after {n} are missing: there were {head.n}.")
        if not met:
            return Verdict(n, before, n + 1, f"The entries after {n} are missing: one more was noted.")
        return Verdict(n, before, None, "")


def shown(row: Row) -> Json:
    """From a row of `audit_page`."""
    from columba.core.model import rfc3339

    n, at, said, hashed = row
    return {"n": n, "created_at": rfc3339(at), **UNSAID, **msgspec.json.decode(said), "hash": hashed}
