"""What accounts have set for how a room treats their messages: one document for each room, account and mode.

Owns the table policies and its snapshot. A room says how its document is read and what holds without one; the hot path
asks memory only. What is kept is what was set and nothing else, so that what was not follows the program. A change is made
to the newest version of a document or not at all, in whatever process it is made: of two at once, neither is lost. A
document that can't be read any more is logged, and what usually holds holds. Fails with StoreUnavailable alone.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec
import structlog

from columba.core.snapshots import Snapshots
from columba.core.status import LIVE, TEST
from columba.store import Step, Store, plan, statements

SQL = statements(Path(__file__).with_name("policies.sql"))
TOPIC = "policies"

log = structlog.get_logger()
Document = TypeVar("Document")
InForce = TypeVar("InForce")
Json = dict[str, Any]
Who = tuple[int, int]  # account and mode


class Policy(Generic[Document, InForce]):
    """One room's: `document` as it was set, `of` what is in force for an account and mode."""

    def __init__(
        self, name: str, document: type[Document], compiled: Callable[[Document, int], InForce], usual: Document
    ) -> None:
        """`compiled` makes what the hot path asks from a document and a mode; `usual` is the one that holds without."""
        self.name = name
        self.usual = usual
        self._without = (compiled(usual, TEST), compiled(usual, LIVE))
        self.read = msgspec.json.Decoder(document).decode
        self._compiled = compiled
        self._documents: dict[Who, Document] = {}
        self._in_force: dict[Who, InForce] = {}

    def of(self, account_id: int, mode: int) -> InForce:
        found = self._in_force.get((account_id, mode))
        return self._without[mode] if found is None else found

    def document(self, account_id: int, mode: int) -> Document:
        return self._documents.get((account_id, mode), self.usual)

    def load(self, rows: Mapping[Who, str]) -> None:
        documents: dict[Who, Document] = {}
        in_force: dict[Who, InForce] = {}
        for who, text in rows.items():
            try:
                documents[who] = self.read(text)
                in_force[who] = self._compiled(documents[who], who[1])
            except Exception:
                log.exception("policy.not_read", room=self.name, account=who[0], mode=who[1])
                documents.pop(who, None)
        self._documents, self._in_force = documents, in_force


class Policies:
    """All rooms' policies in memory, and the changes to them."""

    def __init__(self, store: Store, snapshots: Snapshots, clock: Callable[[], int]) -> None:
        self._store = store
        self._snapshots = snapshots
        self._clock = clock
        self._rooms: dict[str, Policy[Any, Any]] = {}
        snapshots.on(TOPIC, self._load)

    def room(self, policy: Policy[Document, InForce]) -> Policy[Document, InForce]:
        """To be kept up to date from now on."""
        self._rooms[policy.name] = policy
        return policy

    async def _load(self) -> None:
        found: dict[str, dict[Who, str]] = {name: {} for name in self._rooms}
        for account_id, mode, room, data in await self._store.read(SQL["policies"]):
            if room in found:
                found[room][(account_id, mode)] = data
        for name, policy in self._rooms.items():
            policy.load(found[name])

    async def change(
        self, policy: Policy[Any, Any], account_id: int, mode: int, patch: Json, check: Callable[[bytes], object]
    ) -> None:
        """Merge `patch` into what is set (`merged`). In force here when this returns, elsewhere within a second. `check`
        raises for a document that can't be; then nothing is changed."""
        while True:
            rows = await self._store.read(SQL["policy"], account_id=account_id, mode=mode, room=policy.name)
            data, version = rows[0] if rows else ("{}", 0)
            text = msgspec.json.encode(merged(msgspec.json.decode(data), patch))
            check(text)
            row = (account_id, mode, policy.name, text.decode(), version, self._clock())
            done, _ = await self._store.commit(plan(Step(SQL["set_policy"], [row]), self._snapshots.bump(TOPIC)))
            if row[:3] in {tuple(each) for each in done}:  # else somebody was first
                break
        await self._snapshots.changed()


def merged(document: Any, patch: Any) -> Any:
    """JSON Merge Patch (RFC 7396): what is named is replaced, objects within objects too; null takes away."""
    if not isinstance(patch, dict):
        return patch
    result = dict(document) if isinstance(document, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result
