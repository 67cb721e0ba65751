"""Who may bind: a login of its own for each key that should, in the table smpp_logins.

A bind's password has 8 characters at most (SMPP 3.4 §4.1.1), 47 random bits here: of it only a salted scrypt hash is
kept, and `Lockout` bounds the guesses. The system_id is the key's id without its prefix. Logins are in the snapshot of
the keys, so a change of either is known everywhere within a second. Fails with StoreUnavailable alone.
"""

import asyncio
import contextlib
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec

from columba.core import ids
from columba.core.snapshots import Snapshots
from columba.keys import ALPHABET, Key
from columba.store import Step, Store, StoreUnavailable, plan, statements

SQL = statements(Path(__file__).with_name("doors.sql"))
PASSWORD_LENGTH: Final = 8
KEPT_MS: Final = 7 * 86_400_000  # what nobody came for
FOREVER: Final = (1 << 63) - 1
SWEEP: Final = 2_000

GUESSES: Final = 5  # that an address has with one system_id, in each WINDOW_MS
WINDOW_MS: Final = 60_000
MOST_GUESSERS: Final = 10_000

# 16 MiB and some 50 ms a guess.
_COST: Final = {"n": 1 << 14, "r": 8, "p": 1, "dklen": 32}


class Limits(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is set for one login. `alphabet` is what its data_coding 0 stands for."""

    binds: int = 10
    window: int = 1_000  # requests of one session that await our response
    alphabet: Literal["gsm7", "latin1", "ascii", "utf8"] = "gsm7"


class Login(msgspec.Struct, frozen=True):
    key_id: int
    password_hash: str
    limits: Limits

    @property
    def lane(self) -> int:
        return lane_of(self.key_id)


def lane_of(key_id: int) -> int:
    """The lane of what is to be handed to a login, and the number of its deliveries: no endpoint has one like it."""
    return -key_id


def system_id(key_id: int) -> str:
    return ids.show("key", key_id)[4:]


def new_password(random: Callable[[int], bytes]) -> str:
    letters = ""
    while len(letters) < PASSWORD_LENGTH:
        letters += "".join(ALPHABET[byte & 63] for byte in random(16) if byte & 63 < 62)
    return letters[:PASSWORD_LENGTH]


def hash_of(password: str, salt: bytes) -> str:
    digest = hashlib.scrypt(password.encode(), salt=salt, **_COST)
    return f"scrypt${salt.hex()}${digest.hex()}"


def matches(password: str, kept: str) -> bool:
    """Slow by intent: not for the event loop."""
    salt = bytes.fromhex(kept.split("$")[1])
    return hmac.compare_digest(hash_of(password, salt), kept)


class Logins:
    def __init__(self, store: Store, snapshots: Snapshots, clock: Callable[[], int]) -> None:
        """After Keys: the logins are read when the keys have been."""
        self.all: Mapping[int, Login] = {}  # by the key's id; replaced as a whole
        self.on_change: list[Callable[[], None]] = []
        self._by_name: Mapping[str, Login] = {}
        self._store = store
        self._snapshots = snapshots
        self._clock = clock
        snapshots.on("keys", self._load)

    async def _load(self) -> None:
        found = {}
        for key_id, password_hash, limits in await self._store.read(SQL["logins"]):
            found[key_id] = Login(key_id, password_hash, msgspec.json.decode(limits, type=Limits))
        self.all = found
        self._by_name = {system_id(key_id): login for key_id, login in found.items()}
        for tell in self.on_change:
            tell()

    def find(self, name: str) -> Login | None:
        """The login with this system_id."""
        return self._by_name.get(name)

    async def fresh(self, name: str) -> Login | None:
        """The same as the store has it now."""
        with contextlib.suppress(StoreUnavailable):
            await self._snapshots.refresh()
        return self.find(name)

    async def put(self, key: Key, password: str, salt: bytes, limits: Limits, beside: Sequence[Step] = ()) -> None:
        """Make a key's login, or give it another password. `beside` are steps that go with it: step 0 returns the key."""
        password_hash = await asyncio.to_thread(hash_of, password, salt)
        row = (key.id, password_hash, msgspec.json.encode(limits).decode(), self._clock())
        await self._store.commit(
            plan(
                Step(SQL["put_login"], [row]),
                Step(SQL["subscribe_login"], [(key.id, lane_of(key.id), key.account_id, key.mode)], given=0),
                self._snapshots.bump("keys"),
                *beside,
            )
        )
        await self._snapshots.changed()

    async def sweep(self, keys: Mapping[int, Key]) -> None:
        """Forget what nobody came for in a week, and all that waits for keys that are gone: a chore."""
        gone = [an_id for an_id in self.all if an_id not in keys or keys[an_id].revoked_at is not None]
        if gone:
            await self._store.commit(plan(Step(SQL["unsubscribe_logins"], [(lane_of(an_id),) for an_id in gone])))
        for an_id in self.all:
            before = FOREVER if an_id in gone else ids.first_at(self._clock() - KEPT_MS)
            while True:
                lane = lane_of(an_id)
                ((upto,),) = await self._store.read(SQL["last_stale"], lane=lane, before=before, most=SWEEP)
                if upto is None:
                    break
                await self._store.commit(plan(Step(SQL["sweep_stale"], [(lane, upto)])))


class Lockout:
    """Who guesses at a password. In memory, bounded: each process counts by itself."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._counts: dict[tuple[str, str], tuple[int, int]] = {}  # when the window began, and how many in it

    def locked(self, who: tuple[str, str]) -> bool:
        began, count = self._counts.get(who, (0, 0))
        return count >= GUESSES and 0 <= self._clock() - began < WINDOW_MS

    def failed(self, who: tuple[str, str]) -> None:
        now = self._clock()
        began, count = self._counts.get(who, (now, 0))
        if not 0 <= now - began < WINDOW_MS:
            began, count = now, 0
        if who not in self._counts and len(self._counts) >= MOST_GUESSERS:
            kept = [(each, of) for each, of in self._counts.items() if 0 <= now - of[0] < WINDOW_MS]
            self._counts = dict(kept[-MOST_GUESSERS // 2 :])
        self._counts[who] = (began, count + 1)
