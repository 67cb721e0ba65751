"""`/v1/keys`: a program makes, changes, rotates and revokes the keys of its account.

What a key can do to others is bounded by what it is: its own account; its own mode (a live key manages test keys too);
and no scope that it lacks, so it can neither make nor take over a key that is stronger than itself.
"""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from columba.core import ids, status
from columba.core.ids import Ids
from columba.errors import FieldError, Refusal
from columba.http.endpoint import Call, Endpoint, endpoint
from columba.http.paging import Page, Paging, decode_cursor, page
from columba.http.times import Moment, Timestamp, milliseconds, rfc3339
from columba.keys import Key, Keys, Settings, expand, new_secret, unknown_scopes

MOST_KEYS = 10_000  # of an account that are not revoked
MOST_OVERLAP_S = 30 * 86_400
LONGEST_S = 10 * 366 * 86_400  # of `expires_in`

Mode = Literal["test", "live"]
Name = Annotated[str, Meta(min_length=1, max_length=100)]
Scopes = Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(max_length=100, examples=[["messages:write"]])]
RateLimit = Annotated[int, Meta(ge=1, le=1_000_000, description="Requests a second, counted by each server process.")]
Seconds = Annotated[int, Meta(ge=1, le=LONGEST_S, description="Seconds from now, instead of `expires_at`.")]
Overlap = Annotated[int, Meta(ge=0, le=MOST_OVERLAP_S, description="For how long the old secret stays good.")]


class NewKey(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A key to be made.

    mode: the mode of the key that asks, if it is left out
    scopes: what it may do; everything, if none is named
    """

    name: Name
    mode: Mode | None = None
    scopes: Scopes = []
    expires_at: Moment | None = None
    expires_in: Seconds | None = None
    rate_limit: RateLimit | None = None

    def check_scopes(self) -> Iterable[FieldError]:
        return _check_scopes(self.scopes)

    def check_expiry(self) -> Iterable[FieldError]:
        if self.expires_at is not None and self.expires_in is not None:
            yield FieldError("expires_in", "invalid_value", "Expected one of expires_at and expires_in.")


class KeyChange(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is to be different; what is left out stays.

    scopes: all of the new ones; `["*"]` for everything
    rate_limit: null for none
    expires_at: null for never
    """

    name: Name | UnsetType = UNSET
    scopes: Annotated[Scopes, Meta(min_length=1)] | UnsetType = UNSET
    rate_limit: RateLimit | None | UnsetType = UNSET
    expires_at: Moment | None | UnsetType = UNSET

    def check_scopes(self) -> Iterable[FieldError]:
        return () if self.scopes is UNSET else _check_scopes(self.scopes)


class Rotation(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How the secret is to be replaced."""

    overlap_seconds: Overlap = 86_400


class KeyList(Paging, frozen=True, kw_only=True, forbid_unknown_fields=True):
    mode: Annotated[Mode, Meta(description="Only the keys of this mode.")] | None = None


class KeyView(msgspec.Struct, kw_only=True):
    """An API key, without its secret."""

    id: str
    name: str
    mode: Mode
    scopes: Annotated[list[str], Meta(description='As they were named; `["*"]` is everything.')]
    hint: Annotated[str, Meta(description="How its secret begins and ends.")]
    status: Literal["active", "expired", "revoked"]
    rate_limit: int | None
    created_at: Timestamp
    expires_at: Timestamp | None
    revoked_at: Timestamp | None
    previous_until: Annotated[Timestamp | None, Meta(description="Until when the secret before this one is good.")]


class KeyWithSecret(KeyView, kw_only=True):
    """An API key as it is made or rotated.

    secret: shown this once; nobody can read it again
    """

    secret: str


def endpoints(keys: Keys, new_id: Ids, clock: Callable[[], int], random: Callable[[int], bytes]) -> list[Endpoint]:
    """The endpoints under /v1/keys. `random` gives so many random bytes."""

    def find(call: Call[Any, Any]) -> Key:
        who = _caller(call)
        an_id = ids.read("key", call.path["id"])
        key = None if an_id is None else keys.all.get(an_id)
        if key is None or not _manages(who, key):
            raise Refusal("not_found", "There is no such key.")
        return key

    def not_stronger(who: Key, scopes: frozenset[str]) -> None:
        if missing := scopes - who.scopes:
            raise Refusal("forbidden", f"The key in use lacks {', '.join(sorted(missing))} itself.")

    def revoked() -> Refusal:
        return Refusal("conflict", "The key was revoked.")

    @endpoint(
        "POST", "/v1/keys", body=NewKey, answer=KeyWithSecret, status=201, scope="keys:write", tag="Keys",
        summary="Make a key", refusals=("wrong_mode", "too_many"),
        example={"name": "shop", "scopes": ["messages:write", "messages:read"]},
    )  # fmt: skip
    async def create_key(call: Call[NewKey, None]) -> KeyWithSecret:
        """The answer holds the secret: it is shown this once. A test key makes test keys, a live key both. No key can be
        given a scope that the key in use lacks."""
        who, asked = _caller(call), call.body
        mode = who.mode if asked.mode is None else status.MODES.index(asked.mode)
        if mode == status.LIVE and who.mode != status.LIVE:
            raise Refusal("wrong_mode", "A test key can't make live keys.")
        not_stronger(who, expand(asked.scopes))
        there = sum(each.account_id == who.account_id and each.revoked_at is None for each in keys.all.values())
        if there >= MOST_KEYS:  # every process has all of them in memory
            raise Refusal("too_many", f"There are {MOST_KEYS} keys already: revoke those that nobody uses.")
        expires_at = None if asked.expires_at is None else _future(asked.expires_at, clock())
        if asked.expires_in is not None:
            expires_at = clock() + asked.expires_in * 1000
        secret = new_secret(mode, random)
        key = await keys.create(
            new_id(), who.account_id, mode, asked.name, _named(asked.scopes), secret, expires_at,
            Settings(asked.rate_limit),
        )  # fmt: skip
        return KeyWithSecret(secret=secret, **fields(key, clock()))

    @endpoint(
        "GET", "/v1/keys", query=KeyList, answer=Page[KeyView], scope="keys:read", tag="Keys", summary="List keys"
    )
    async def list_keys(call: Call[None, KeyList]) -> Page[KeyView]:
        """The newest first, revoked ones too. A test key sees the test keys, a live key all of the account."""
        who, query, now = _caller(call), call.query, clock()
        last = decode_cursor(query.cursor, tuple[int])
        wanted = (
            key
            for key in reversed(list(keys.all.values()))
            if _manages(who, key)
            and (last is None or key.id < last[0])
            and (query.mode is None or status.MODES[key.mode] == query.mode)
        )
        found = list(islice(wanted, query.limit + 1))
        return page(found, query.limit, lambda key: KeyView(**fields(key, now)), lambda key: (key.id,))

    @endpoint("GET", "/v1/keys/{id}", answer=KeyView, scope="keys:read", tag="Keys", summary="Read a key")
    async def get_key(call: Call[None, None]) -> KeyView:
        return KeyView(**fields(find(call), clock()))

    @endpoint(
        "PATCH", "/v1/keys/{id}", body=KeyChange, answer=KeyView, scope="keys:write", tag="Keys",
        summary="Change a key", refusals=("conflict",), example={"scopes": ["messages:read"]},
    )  # fmt: skip
    async def update_key(call: Call[KeyChange, None]) -> KeyView:
        """In force within a second everywhere. A key that has more scopes than the one in use can't be changed by it."""
        who, key, asked = _caller(call), find(call), call.body
        not_stronger(who, key.scopes if asked.scopes is UNSET else key.scopes | expand(asked.scopes))
        expires_at = asked.expires_at
        done = await keys.update(
            key.id,
            name=asked.name,
            scopes=UNSET if asked.scopes is UNSET else _named(asked.scopes),
            settings=UNSET if asked.rate_limit is UNSET else Settings(asked.rate_limit),
            expires_at=expires_at if expires_at is UNSET or expires_at is None else _future(expires_at, clock()),
        )
        if not done:
            raise revoked()
        return KeyView(**fields(keys.all[key.id], clock()))

    @endpoint("DELETE", "/v1/keys/{id}", scope="keys:write", tag="Keys", summary="Revoke a key")
    async def revoke_key(call: Call[None, None]) -> None:
        """For good, and within a second everywhere: both of its secrets and all of its access tokens. A key may revoke
        itself: this is then the last thing it did."""
        await keys.revoke(find(call).id)

    @endpoint(
        "POST", "/v1/keys/{id}/rotate", body=Rotation, body_may_be_missing=True, answer=KeyWithSecret,
        scope="keys:write", tag="Keys", summary="Replace a key's secret", refusals=("conflict",),
        example={"overlap_seconds": 3600},
    )  # fmt: skip
    async def rotate_key(call: Call[Rotation | None, None]) -> KeyWithSecret:
        """A new secret, shown this once. The one before stays good for the overlap, a day if none is given; the one
        before that ends now. A key that has more scopes than the one in use can't be rotated by it."""
        who, key = _caller(call), find(call)
        not_stronger(who, key.scopes)
        if key.expires_at is not None and key.expires_at <= clock():
            raise Refusal("conflict", "The key has expired: give it a new expires_at first, or make another.")
        secret = new_secret(key.mode, random)
        if not await keys.rotate(key.id, secret, (call.body or Rotation()).overlap_seconds):
            raise revoked()
        return KeyWithSecret(secret=secret, **fields(keys.all[key.id], clock()))

    return [create_key, list_keys, get_key, update_key, revoke_key, rotate_key]


def fields(key: Key, now: int) -> dict[str, Any]:
    """What may be seen of a key, as its view has it."""
    state = "active"
    if key.revoked_at is not None:
        state = "revoked"
    elif key.expires_at is not None and key.expires_at <= now:
        state = "expired"
    overlap = key.previous_until if key.previous_hash is not None and (key.previous_until or 0) > now else None
    return {
        "id": key.key_id,
        "name": key.name,
        "mode": status.MODES[key.mode],
        "scopes": list(key.named) or ["*"],
        "hint": f"ck_{status.MODES[key.mode]}_...{key.hint}",
        "status": state,
        "rate_limit": key.settings.rate_limit,
        "created_at": rfc3339(key.created_at),
        "expires_at": _time(key.expires_at),
        "revoked_at": _time(key.revoked_at),
        "previous_until": _time(overlap),
    }


def _caller(call: Call[Any, Any]) -> Key:
    assert isinstance(call.caller, Key)
    return call.caller


def _manages(who: Key, key: Key) -> bool:
    return key.account_id == who.account_id and who.mode in (key.mode, status.LIVE)


def _named(scopes: list[str]) -> list[str]:
    return [] if "*" in scopes else list(dict.fromkeys(scopes))


def _check_scopes(scopes: list[str]) -> Iterable[FieldError]:
    unknown = set(unknown_scopes(scopes))
    for index, scope in enumerate(scopes):
        if scope in unknown:
            yield FieldError(f"scopes[{index}]", "invalid_value", "There is no such scope.")


def _future(moment: Any, now: int) -> int:
    at = milliseconds(moment)
    if at <= now:
        detail = "Expected a time in the future."
        raise Refusal("invalid_request", f"expires_at: {detail}", [FieldError("expires_at", "invalid_time", detail)])
    return at


def _time(ms: int | None) -> str | None:
    return None if ms is None else rfc3339(ms)
