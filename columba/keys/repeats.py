"""First answers, kept for a day: what makes a POST with an Idempotency-Key safe to repeat.

Owns the table idempotency, together with `core.accept`, which takes a message's key in the transaction of the message.
Here the key is taken before the work and its answer added after: a process that dies in between leaves a claim without
an answer, which another request may take over after a minute. Answers are sealed, since some hold a secret that is shown
once; those of messages hold none and are plain. Fails with Refusals alone, StoreUnavailable among them.
"""

import hashlib
from collections.abc import Callable
from contextvars import ContextVar
from typing import Final

from columba.core import submission
from columba.core.ids import Ids
from columba.errors import Refusal
from columba.http.dispatch import Stored
from columba.http.endpoint import Caller
from columba.keys import ALL_SCOPES, SQL, Key
from columba.store import Step, Store, plan
from columba.vault import Vault, VaultError

KEPT_MS: Final = 24 * 3_600_000
SWEPT_AT_ONCE: Final = 1_000

_claim: ContextVar[int] = ContextVar("claim")  # of the request that this task answers


class Repeats:
    """The toolbox's hook (`begin`, `finish`, `abandon`), and the hot path's first answers."""

    def __init__(self, store: Store, vault: Vault, new_id: Ids, clock: Callable[[], int]) -> None:
        self._store = store
        self._vault = vault
        self._new_id = new_id
        self._clock = clock

    async def begin(self, caller: Caller, key: str, fingerprint: bytes) -> Stored | Refusal | None:
        account_id, mode = _owner(caller)
        body_hash = _hash(caller, fingerprint)
        ref = self._new_id()
        row = (ref, account_id, mode, key, body_hash, self._clock())
        results = await self._store.commit(plan(Step(SQL["claim_repeat"], [row])))
        if any(found[0] == ref for found in results[0]):
            _claim.set(ref)
            return None
        return await self._first(account_id, mode, key, body_hash)

    async def finish(self, caller: Caller, key: str, status: int, body: bytes) -> None:
        row = (_claim.get(), *_owner(caller), key, status, self._vault.seal(body.decode()))
        await self._store.commit(plan(Step(SQL["finish_repeat"], [row])))

    async def abandon(self, caller: Caller, key: str) -> None:
        await self._store.commit(plan(Step(SQL["abandon_repeat"], [(_claim.get(), *_owner(caller), key)])))

    async def first_answer(self, caller: submission.Caller, key: str, body_hash: str) -> tuple[int, bytes]:
        """What the first message with this key was answered. Raises the Refusal that there is instead."""
        first = await self._first(caller.account_id, caller.mode, key, body_hash)
        if isinstance(first, Refusal):
            raise first
        return first

    async def _first(self, account_id: int, mode: int, key: str, body_hash: str) -> Stored | Refusal:
        rows = await self._store.read(
            SQL["find_repeat"], account_id=account_id, mode=mode, key=key, since=self._clock() - KEPT_MS
        )
        if rows and rows[0][0] != body_hash:
            return Refusal("idempotency_mismatch")
        if not rows or rows[0][1] is None:  # none: it was given up, or grew too old, just now
            return Refusal("idempotency_in_progress", retry_after=1)
        _, status, answer = rows[0]
        if not answer.startswith("v1."):
            return Stored(status, answer.encode())
        try:
            return Stored(status, self._vault.open(answer).encode())
        except VaultError:
            return Refusal("conflict", "It was done, but its answer can't be read since the secret key was replaced.")

    async def sweep(self) -> int:
        """Forget the answers of more than a day ago, a few in each transaction; how many that were."""
        swept, before = 0, self._clock() - KEPT_MS
        while True:
            step = Step(SQL["sweep_repeats"], [(before, SWEPT_AT_ONCE)])
            gone = len((await self._store.commit(plan(step)))[0])
            swept += gone
            if gone < SWEPT_AT_ONCE:
                return swept


def _owner(caller: Caller) -> tuple[int, int]:
    assert isinstance(caller, Key)
    return caller.account_id, caller.mode


def _hash(caller: Caller, fingerprint: bytes) -> str:
    """Of the request and of what its key may do: no other key may be shown what this one was."""
    powers = "*" if set(caller.scopes) >= ALL_SCOPES else " ".join(sorted(caller.scopes))
    return hashlib.sha256(fingerprint + powers.encode()).hexdigest()
