"""Accounts and their API keys: made, shown once, rotated with an overlap, revoked within a second everywhere.

Owns the tables accounts and keys and the snapshot by which every request is checked. A key is a random secret of which
only the SHA-256 is kept: enough for 190 random bits, and quick. Secrets are found by that hash, so no comparison takes
longer the more of a secret is guessed. Fails with StoreUnavailable alone.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from columba.core import ids, status
from columba.core.snapshots import Snapshots
from columba.store import Step, Store, plan, statements

SQL = statements(Path(__file__).with_name("keys.sql"))
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
SECRET_LENGTH = 32
NEVER: Final = (1 << 63) - 1  # ms

# What a key may be limited to. `*` is everything; `messages:*` both of a kind.
SCOPES: Mapping[str, str] = {
    "messages:write": "Send, cancel and redact messages; simulate inbound texts in the sandbox.",
    "messages:read": "Read messages, events and the live stream.",
    "messages:metadata": "Read messages, events and the live stream without what messages say: text, media, metadata.",
    "templates:write": "Create, change and delete message templates; without `templates:approve` as drafts.",
    "templates:read": "Read and preview message templates.",
    "templates:approve": "Approve message templates for sending, and withdraw them.",
    "consent:write": "Record, import and export consent; change its settings, quiet hours and content rules.",
    "consent:read": "Read consent, suppressions, quiet hours and content rules; ask for advice.",
    "contacts:write": "Add, change, import and remove contacts.",
    "contacts:read": "Read and export contacts.",
    "verifications:write": "Send and check codes.",
    "verifications:read": "Read verifications, their settings and what the guard blocks.",
    "verifications:manage": "Change the settings of verifications; end blocks.",
    "privacy:write": "Export and erase people; set how long what is kept.",
    "privacy:read": "Read jobs of export and erasure, and how long what is kept.",
    "audit:read": "Read who saw or changed what.",
    "webhooks:write": "Create, change and delete webhooks; replay deliveries.",
    "webhooks:read": "Read webhooks and deliveries.",
    "keys:write": "Create, rotate and revoke keys.",
    "keys:read": "List keys.",
    "rules:write": "Create, change, try out and delete rules; change and replay forwards.",
    "rules:read": "Read rules, their versions, and forwards; what was sent only with `messages:read` too.",
    "destinations:write": "Create, change, test and delete destinations.",
    "destinations:read": "Read destinations and presets.",
    "secrets:write": "Add, replace and delete the secrets that destinations use; their values are never shown.",
    "secrets:read": "List the names of secrets.",
    "carriers:write": "Create, change and delete carriers.",
    "carriers:read": "Read carriers and their state.",
    "smpp:read": "List the programs that are bound.",
    "smpp:trace": "Follow the PDUs of carriers and of bound programs.",
    "routes:write": "Create, change, move and delete routes.",
    "routes:read": "Read routes; see which way a message would take.",
    "senders:write": "Register, change and delete senders and their pools.",
    "senders:read": "Read senders, pools and the rules of countries.",
    "spend:write": "Import and delete prices; set the balance and the cap.",
    "spend:read": "Read prices and what was spent.",
    "media:write": "Upload and delete media.",
    "media:read": "List and read media.",
    "alerts:write": "Create, change, test and delete alerts.",
    "alerts:read": "Read alerts, what goes wrong and what was told.",
}
ALL_SCOPES = frozenset(SCOPES)
# What lets in too where a scope is asked for, to see less of it: that is seen to by `columba.privacy.watch`.
LESSER: Mapping[str, str] = {"messages:read": "messages:metadata"}


class Settings(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is set for one key."""

    rate_limit: int | None = None  # requests a second


class Key(msgspec.Struct, frozen=True):
    """Also what endpoints know of their caller. `named` is how its scopes were asked for, `scopes` what they come to."""

    id: int
    account_id: int
    mode: int
    name: str
    secret_hash: str
    hint: str
    named: tuple[str, ...]
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

    def good_until(self, digest: str) -> int:
        """When the secret with this hash (or beginning of one) stops being good for this key, in ms; 0 if it never is."""
        if self.revoked_at is not None:
            return 0
        end = NEVER if self.expires_at is None else self.expires_at
        if self.secret_hash.startswith(digest):
            return end
        if self.previous_hash is not None and self.previous_hash.startswith(digest):
            return min(end, self.previous_until or 0)
        return 0


class Account(msgspec.Struct, frozen=True):
    id: int
    name: str
    settings: dict[str, object]
    created_at: int


def expand(scopes: Sequence[str]) -> frozenset[str]:
    """The scopes that a list stands for; none named is all. One that is not known stands for itself: it opens nothing."""
    if not scopes or "*" in scopes:
        return ALL_SCOPES
    found: set[str] = set()
    for scope in scopes:
        family = {each for each in SCOPES if scope.endswith(":*") and each.startswith(scope[:-1])}
        found |= family - {*LESSER.values()} or {scope}
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


@lru_cache(maxsize=1024)  # most keys have the scopes and settings of many others
def _scopes(text: str) -> tuple[tuple[str, ...], frozenset[str]]:
    named = msgspec.json.decode(text, type=tuple[str, ...])
    return named, expand(named)


@lru_cache(maxsize=1024)
def _settings(text: str) -> Settings:
    return msgspec.json.decode(text, type=Settings)


class Keys:
    """The keys in memory, and the changes to them."""

    def __init__(
        self,
        store: Store,
        snapshots: Snapshots,
        clock: Callable[[], int],
        usual: Mapping[str, object] | None = None,
    ) -> None:
        """`usual` are the settings of accounts that have none of their own."""
        self._usual = dict(usual or {})
        self.all: Mapping[int, Key] = {}  # replaced as a whole, whenever a key or an account has changed
        self.accounts: Mapping[int, Account] = {}
        self._by_hash: dict[str, Key] = {}
        self._store = store
        self._snapshots = snapshots
        self._clock = clock
        snapshots.on("keys", self._load)

    async def _load(self) -> None:
        found: dict[int, Key] = {}
        by_hash: dict[str, Key] = {}
        for row in await self._store.read(SQL["keys"]):
            named, scopes = _scopes(row[6])
            key = Key(row[0], row[1], row[2], row[3], row[4], row[5], named, scopes, _settings(row[7]), *row[8:])
            found[key.id] = key
            by_hash[key.secret_hash] = key
            if key.previous_hash is not None:
                by_hash[key.previous_hash] = key
        self.accounts = {
            row[0]: Account(row[0], row[1], self._usual | msgspec.json.decode(row[2]), row[3])
            for row in await self._store.read(SQL["accounts"])
        }
        self._by_hash = by_hash
        self.all = found

    def default_country(self, account_id: int) -> str | None:
        """The country of numbers that the account writes without one."""
        account = self.accounts.get(account_id)
        country = account.settings.get("default_country") if account is not None else None
        return country if isinstance(country, str) else None

    def find(self, digest: str) -> Key | None:
        """The key with the secret of this hash, good or not."""
        return self._by_hash.get(digest)

    def check(self, secret: str) -> Key | None:
        """The key with this secret, if it is good now."""
        digest = hash_of(secret)
        key = self._by_hash.get(digest)
        return key if key is not None and self._clock() < key.good_until(digest) else None

    def still(self, who: Key) -> bool:
        """Whether a key that was let in is good as it was then: for what goes on for long."""
        key = self.all.get(who.id)
        return key is not None and self._clock() < key.good_until(who.secret_hash) and who.scopes <= key.scopes

    async def first_account(self, an_id: int, name: str) -> bool:
        """Make the account of a new installation; False when there is one already."""
        # The bump goes first: its row's lock makes processes that start together take turns.
        return an_id in await self._change(
            self._snapshots.bump("keys"), Step(SQL["first_account"], [(an_id, name, self._clock())])
        )

    async def create(
        self, an_id: int, account_id: int, mode: int, name: str, scopes: Sequence[str], secret: str,
        expires_at: int | None = None, settings: Settings | None = None, beside: Sequence[Step] = (),
    ) -> Key:  # fmt: skip
        """`beside` are steps that go with the change, here and below: step 0 returns the key's id if it was made."""
        row = (
            an_id, account_id, mode, name, hash_of(secret), secret[-4:], _text(scopes),
            _text(settings or Settings()), self._clock(), expires_at,
        )  # fmt: skip
        await self._change(Step(SQL["insert_key"], [row]), self._snapshots.bump("keys"), *beside)
        return self.all[an_id]

    async def revoke(self, an_id: int, beside: Sequence[Step] = ()) -> bool:
        """End a key and both of its secrets; False when it was revoked before."""
        row = (an_id, self._clock())
        return an_id in await self._change(Step(SQL["revoke_key"], [row]), self._snapshots.bump("keys"), *beside)

    async def rotate(self, an_id: int, secret: str, overlap_s: int, beside: Sequence[Step] = ()) -> bool:
        """A new secret; the old one is good for a while longer. False when the key was revoked."""
        row = (an_id, hash_of(secret), secret[-4:], self._clock() + overlap_s * 1000)
        return an_id in await self._change(Step(SQL["rotate_key"], [row]), self._snapshots.bump("keys"), *beside)

    async def update(
        self,
        an_id: int,
        *,
        name: str | UnsetType = UNSET,
        scopes: Sequence[str] | UnsetType = UNSET,
        settings: Settings | UnsetType = UNSET,
        expires_at: int | None | UnsetType = UNSET,
    ) -> bool:
        """Change what is given and nothing else. False when the key was revoked."""
        row = (
            an_id,
            None if name is UNSET else name,
            None if scopes is UNSET else _text(scopes),
            None if settings is UNSET else _text(settings),
            int(expires_at is not UNSET),
            None if expires_at is UNSET else expires_at,
        )
        return an_id in await self._change(Step(SQL["update_key"], [row]), self._snapshots.bump("keys"))

    async def _change(self, *steps: Step) -> set[int]:
        """Commit it, and have it in force here when this returns; the ids that it returned."""
        results = await self._store.commit(plan(*steps))
        await self._snapshots.changed()
        return {row[0] for rows in results for row in rows}


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
