"""Exporting and erasing as durable jobs: begun once, carried on by whichever process is there, until they are done.

A job holds its number sealed, and an erasing one only until it is done. Progress is noted after each batch, with the lease
by which one process at a time works on it; what a process that died left half-done is begun again, which does no harm.
"""

import asyncio
import hmac
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import structlog

from columba.core import events, ids
from columba.core.ids import Ids
from columba.core.model import PRIVACY_ERASED, Event, Json, rfc3339
from columba.privacy.holding import Holding, Person
from columba.privacy.people import SQL
from columba.store import Step, Store, StoreUnavailable, plan
from columba.vault import Vault, VaultError

LEASE_MS: Final = 30_000
EXPORT_KEPT_MS: Final = 7 * 86_400_000
AT_ONCE: Final = 4
PATIENCE_S: Final = 1.0  # for a job that may be done at once

log = structlog.get_logger()


class Job(NamedTuple):
    """A row of `job`."""

    id: int
    kind: str
    hash: str
    sealed: str | None
    state: str
    counts: str
    created_by: int
    created_at: int
    updated_at: int
    done_at: int | None


class Jobs:
    def __init__(
        self,
        store: Store,
        new_id: Ids,
        clock: Callable[[], int],
        vault: Vault,
        publisher: events.Publisher,
        token: str,
        holdings: Callable[[], Sequence[Holding]],
    ) -> None:
        """`holdings` in the order in which they are erased; what they hold is asked again until nothing is left."""
        self._store = store
        self._ids = new_id
        self._clock = clock
        self._vault = vault
        self._key = vault.derived("privacy")[0]
        self._publisher = publisher
        self._token = token
        self._holdings = holdings
        self._running: dict[int, asyncio.Task[None]] = {}

    def hash_of(self, number: str) -> str:
        return hmac.digest(self._key, number.encode(), "sha256").hex()[:32]

    # Beginning

    async def export(self, person: Person, key_id: int) -> int:
        """Note that a person's data may be taken from now on; the job's id."""
        an_id, now = self._ids(), self._clock()
        row = (
            an_id, person.account_id, person.mode, "export", self.hash_of(person.number), self._vault.seal(person.number),
            "done", "{}", key_id, now, now,
        )  # fmt: skip
        await self._store.commit(plan(Step(SQL["insert_job"], [row])))
        return an_id

    async def erase(self, person: Person, key_id: int) -> int:
        """Begin to erase a person; the job's id. It may be done when this returns."""
        an_id = self._ids()
        row = (
            an_id, person.account_id, person.mode, "erase", self.hash_of(person.number), self._vault.seal(person.number),
            "running", "{}", key_id, self._clock(), None,
        )  # fmt: skip
        await self._store.commit(plan(Step(SQL["insert_job"], [row])))
        task = self._begin(an_id, person, {}, key_id)
        await asyncio.wait([task], timeout=PATIENCE_S)
        return an_id

    def _begin(self, an_id: int, person: Person, counts: dict[str, int], key_id: int) -> "asyncio.Task[None]":
        task = self._running.get(an_id)
        if task is None:
            task = self._running[an_id] = asyncio.get_running_loop().create_task(
                self._run(an_id, person, counts, key_id)
            )
            task.add_done_callback(lambda _: self._running.pop(an_id, None))
        return task

    async def step(self) -> None:
        """Carry on what nobody works on: a chore."""
        for an_id, account_id, mode, kind, sealed, counts, key_id in await self._store.read(
            SQL["open_jobs"], now=self._clock(), most=AT_ONCE
        ):
            if kind != "erase" or an_id in self._running:
                continue
            try:
                person = Person(account_id, mode, self._vault.open(sealed))
            except VaultError as error:
                log.error("privacy.number_not_opened", job=ids.show("prv", an_id), error=str(error))
                continue
            self._begin(an_id, person, msgspec.json.decode(counts), key_id)

    async def sweep(self) -> None:
        """Forget whom exports of a week ago were of: a chore."""
        before = self._clock() - EXPORT_KEPT_MS
        await self._store.commit(plan(Step(SQL["forget_exports"], [(before,)])))

    async def stop(self) -> None:
        """What is not done is carried on by the next process."""
        tasks = [*self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # Running

    async def _run(self, an_id: int, person: Person, counts: dict[str, int], key_id: int) -> None:
        now = self._clock()
        try:
            held = await self._store.commit(plan(Step(SQL["hold_job"], [(an_id, self._token, now, now + LEASE_MS)])))
            if not any(row[0] == an_id for row in held[0]):
                return
            for holding in self._holdings():
                while holding.erase is not None and (gone := await holding.erase(person)) is not None:
                    counts[holding.name] = counts.get(holding.name, 0) + gone
                    if not await self._note(an_id, "running", counts):
                        return
            await self._store.scrub()
            await self._finish(an_id, person, counts)
        except StoreUnavailable:
            return  # the chore carries on
        except Exception:
            log.exception("privacy.job_failed", job=ids.show("prv", an_id))

    async def _note(self, an_id: int, state: str, counts: dict[str, int]) -> bool:
        """How far it is; False when it is another process's by now."""
        now = self._clock()
        row = (
            an_id, self._token, state, msgspec.json.encode(counts).decode(), now, now if state == "done" else None,
            now + LEASE_MS,
        )  # fmt: skip
        results = await self._store.commit(plan(Step(SQL["note_job"], [row])))
        return any(found[0] == an_id for found in results[0])

    async def _finish(self, an_id: int, person: Person, counts: dict[str, int]) -> None:
        now = self._clock()
        row = (an_id, self._token, "done", msgspec.json.encode(counts).decode(), now, now, now)
        data: Json = {"id": ids.show("prv", an_id), "erased": counts}
        event = Event(self._ids(), person.account_id, person.mode, PRIVACY_ERASED, an_id, now, data)
        results = await self._store.commit(
            plan(
                Step(SQL["note_job"], [row]),
                *events.steps([events.row(event)], 1, given=0),
                Step(SQL["forget_exports_of"], [(self.hash_of(person.number), person.account_id, person.mode)]),
            )
        )
        if any(found[0] == an_id for found in results[0]):
            self._publisher.published(results[2], {event.id: event})

    # Reading

    async def find(self, account_id: int, mode: int, an_id: int) -> Job | None:
        rows = await self._store.read(SQL["job"], id=an_id, account_id=account_id, mode=mode)
        return Job(*rows[0]) if rows else None

    def number_of(self, job: Job) -> str | None:
        """Whom a job is about, as long as it is known."""
        if job.sealed is None:
            return None
        try:
            return self._vault.open(job.sealed)
        except VaultError:
            return None

    async def show(self, person: Person) -> AsyncIterator[tuple[str, Json]]:
        """All that is held of a person, each thing with the name of what holds it."""
        for holding in self._holdings():
            if holding.show is not None:
                async for each in holding.show(person):
                    yield holding.name, each


def view(job: Job, number: str | None) -> Json:
    counts: dict[str, Any] = msgspec.json.decode(job.counts)
    return {
        "id": ids.show("prv", job.id),
        "kind": job.kind,
        "status": job.state,
        "number": number,
        "counts": counts,
        "created_by": ids.show("key", job.created_by),
        "created_at": rfc3339(job.created_at),
        "updated_at": rfc3339(job.updated_at),
        "done_at": None if job.done_at is None else rfc3339(job.done_at),
    }
