"""Accounts and their API keys: made, shown once, rotated with an overlap, revoked within a second everywhere.

Owns the tables accounts and keys and the snapshot by which every request is checked. A key is a random secret of which
only the SHA-256 is kept: enough for 190 random bits, and quick.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from columba.core import ids, status
from columba.core.snapshots import Snapshots
from columba.store import Step, Store, plan, statements

SQL = statements(Path(__file__).with_name("keys.sql"))
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
SECRET_LENGTH = 32

# What a key may be limited to. `*` is everything; `messages:*` both of a kind.
SCOPES: Mapping[str, str] = {
    "messages:write": "Send, cancel and redact messages; simulate inbound texts in the sandbox.",
    "messages:read": "Read messages, events and the live stream.",
    "webhooks:write": "Create, change and delete webhooks; replay deliveries.",
    "webhooks:read": "Read webhooks and deliveries.",
    "keys:write": "Create, rotate and revoke keys.",
    "keys:read": "List keys.",
    "carriers:write": "Create, change and delete carriers.",
    "carriers:read": "Read carriers and their state.",
}
ALL_SCOPES = frozenset(SCOPES)


class Settings(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is set for one key."""

    rate_limit: int | None = None  # requests a second


class Key(msgspec.Struct, frozen=True):
    """Also what endpoints know of their caller."""

    id: int
    account_id: int
    mode: int
    name: str
    secret_hash: str
    hint: str
    scopes: frozenset[str]
    settings: Settings
    created_at: int
    expires_at: int | None
    revoked_at: int | None
    previous_hash: str | None
    previous_until: int | None

    @property
    def key_id(self) -> str:
        return ids.show("key", self.id)


class Account(msgspec.Struct, frozen=True):
    id: int
    name: str
    settings: dict[str, object]
    created_at: int


def expand(scopes: Sequence[str]) -> frozenset[str]:
    """The scopes that a list stands for; none named is all."""
    if not scopes or "*" in scopes:
        return ALL_SCOPES
    found = {scope for scope in scopes if scope in SCOPES}
    for scope in scopes:
        if scope.endswith(":*"):
            found |= {each for each in SCOPES if each.startswith(scope[:-1])}
    return frozenset(found)


def unknown_scopes(scopes: Sequence[str]) -> list[str]:
    families = {scope.split(":")[0] + ":*" for scope in SCOPES}
    return [scope for scope in scopes if scope not in SCOPES and scope not in families and scope != "*"]


def new_secret(mode: int, random: Callable[[int], bytes]) -> str:
    """`ck_live_...`: 32 letters and digits."""
    letters = ""
    while len(letters) < SECRET_LENGTH:
        letters += "".join(ALPHABET[byte] for byte in random(64) if byte < 62)
    return f"ck_{status.MODES[mode]}_{letters[:SECRET_LENGTH]}"


def hash_of(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


class Keys:
    """The keys in memory, and the changes to them."""

    def __init__(self, store: Store, snapshots: Snapshots, clock: Callable[[], int]) -> None:
        self.all: Mapping[int, Key] = {}
        self.accounts: Mapping[int, Account] = {}
        self._by_hash: dict[str, Key] = {}
        self._by_header: dict[bytes, Key] = {}
        self._store = store
        self._snapshots = snapshots
        self._clock = clock
        snapshots.on("keys", self._load)

    async def _load(self) -> None:
        found: dict[int, Key] = {}
        by_hash: dict[str, Key] = {}
        for row in await self._store.read(SQL["keys"]):
            key = Key(
                row[0], row[1], row[2], row[3], row[4], row[5], expand(msgspec.json.decode(row[6])),
                msgspec.json.decode(row[7], type=Settings), *row[8:],
            )  # fmt: skip
            found[key.id] = key
            by_hash[key.secret_hash] = key
            if key.previous_hash is not None:
                by_hash[key.previous_hash] = key
        self.accounts = {
            row[0]: Account(row[0], row[1], msgspec.json.decode(row[2]), row[3])
            for row in await self._store.read(SQL["accounts"])
        }
        self.all = found
        self._by_hash = by_hash
        self._by_header = {}

    def check(self, secret: str) -> Key | None:
        """The key with this secret, if it is good now."""
        digest = hash_of(secret)
        key = self._by_hash.get(digest)
        return key if key is not None and self.is_good(key, digest) else None

    def bearer(self, header: bytes) -> Key | None:
        """The key of an Authorization header that is exactly `Bearer ck_...`: the hot path's short cut."""
        key = self._by_header.get(header)
        if key is not None:
            now = self._clock()
            if (key.expires_at is None or now < key.expires_at) and key.previous_hash is None:
                return key
        if not header.startswith(b"Bearer ck_"):
            return None
        key = self.check(header[7:].decode("latin-1"))
        if key is not None and len(self._by_header) < 10_000:
            self._by_header[header] = key
        return key

    def is_good(self, key: Key, digest: str) -> bool:
        now = self._clock()
        if key.revoked_at is not None or (key.expires_at is not None and now >= key.expires_at):
            return False
        return digest == key.secret_hash or (digest == key.previous_hash and now < (key.previous_until or 0))

    async def first_account(self, an_id: int, name: str) -> bool:
        """Make the account of a new installation; False when there is one already."""
        results = await self._store.commit(
            plan(Step(SQL["first_account"], [(an_id, name, self._clock())]), self._snapshots.bump("keys"))
        )
        await self._snapshots.changed()
        return bool(results[0])

    async def create(
        self, an_id: int, account_id: int, mode: int, name: str, scopes: Sequence[str], secret: str,
        expires_at: int | None = None, settings: Settings | None = None,
    ) -> Key:  # fmt: skip
        row = (
            an_id, account_id, mode, name, hash_of(secret), secret[-4:], _text(list(scopes)),
            _text(settings or Settings()), self._clock(), expires_at,
        )  # fmt: skip
        await self._store.commit(plan(Step(SQL["insert_key"], [row]), self._snapshots.bump("keys")))
        await self._snapshots.changed()
        return self.all[an_id]

    async def revoke(self, an_id: int) -> bool:
        results = await self._store.commit(
            plan(Step(SQL["revoke_key"], [(an_id, self._clock())]), self._snapshots.bump("keys"))
        )
        await self._snapshots.changed()
        return bool(results[0])

    async def rotate(self, an_id: int, secret: str, overlap_s: int) -> bool:
        """A new secret; the old one is good for a while longer."""
        row = (an_id, hash_of(secret), secret[-4:], self._clock() + overlap_s * 1000)
        results = await self._store.commit(plan(Step(SQL["rotate_key"], [row]), self._snapshots.bump("keys")))
        await self._snapshots.changed()
        return bool(results[0])


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
