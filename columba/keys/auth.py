"""Who asks: a key as `Bearer`, a key's id and secret as `Basic`, or an OAuth token as `Bearer`.

Owns the cache of headers that were found good, which is thrown away with the snapshot of the keys, and the count of
failures by address. A key that is revoked is refused as soon as the snapshot knows it: within a second in every process.
Fails with the Refusals `unauthorized`, `forbidden` and, for an address that keeps failing, `rate_limited`.
"""

import binascii
from base64 import b64decode
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import msgspec

from columba.core.submission import Caller
from columba.errors import Refusal
from columba.http.dispatch import Allowance
from columba.http.wire import Headers
from columba.keys import Key, Keys, expand, hash_of
from columba.keys.limits import Failures, Limits
from columba.keys.tokens import PREFIX, open_token
from columba.vault import Vault

SCOPE: Final = "messages:write"  # what the hot path asks for
MOST_HEADERS: Final = 10_000
LONGEST: Final = 512  # bytes of a header that is worth keeping


class Proof(NamedTuple):
    """What an Authorization header came to: a key, the hash of the secret shown, and the limits of a token."""

    key: Key
    digest: str
    until: int  # ms
    scopes: frozenset[str]


class _Known(msgspec.Struct, frozen=True, gc=False):
    key: Key  # with the scopes that this header has
    caller: Caller | None  # None where it may not send
    until: int


class Auth:
    def __init__(self, keys: Keys, vault: Vault, clock: Callable[[], int], limits: Limits) -> None:
        self._keys = keys
        self._vault = vault
        self._clock = clock
        self._limits = limits
        self._failures = Failures(clock)
        self._known: dict[bytes, _Known] = {}
        self._snapshot: Mapping[int, Key] = keys.all

    def key(self, headers: Headers, client: str) -> Key:
        """The toolbox's hook: the key, with the scopes that it has by this header."""
        return self._find(headers.get(b"authorization"), client).key

    def caller(
        self, headers: Headers, authorization: bytes | None, client: str = ""
    ) -> tuple[Caller, Allowance | None]:
        """The hot path: for whom to send, and what is left of the key's rate."""
        known = self._find(authorization, client)
        if known.caller is None:
            raise Refusal("forbidden", f"The key lacks the scope {SCOPE}.")
        return known.caller, self._limits.take(known.key)

    def _find(self, authorization: bytes | None, client: str) -> _Known:
        if authorization is None:
            raise Refusal("unauthorized", "There is no Authorization header.")
        if self._keys.all is not self._snapshot:
            self._snapshot = self._keys.all
            self._known = {}
        known = self._known.get(authorization)
        if known is not None and self._clock() < known.until:
            return known
        return self._learn(authorization, self._read(authorization, client))

    def _learn(self, authorization: bytes, proof: Proof) -> _Known:
        key = proof.key
        if proof.scopes != key.scopes:
            key = msgspec.structs.replace(key, scopes=proof.scopes)
        caller = None
        if SCOPE in proof.scopes:
            country = self._keys.default_country(key.account_id)
            caller = Caller(key.account_id, key.mode, key.id, proof.scopes, country)
        known = _Known(key, caller, proof.until)
        if len(authorization) <= LONGEST:
            if len(self._known) >= MOST_HEADERS:
                self._known = {}
            self._known[authorization] = known
        return known

    def _read(self, authorization: bytes, client: str) -> Proof:
        scheme, _, rest = authorization.partition(b" ")
        rest = rest.strip()
        match scheme.lower():  # RFC 9110 §11.1: in any case
            case b"bearer":
                text = rest.decode("latin-1")
                return self._token(text, client) if text.startswith(PREFIX) else self.secret(text, client)
            case b"basic":
                pair = basic(rest)
                if pair is None:
                    raise self._refused("Expected Basic with the Base64 of a key's id, a colon and its secret.", client)
                return self.secret(pair[1], client, pair[0])
        raise self._refused("Expected `Authorization: Bearer <key>`, or Basic with a key's id and secret.", client)

    def secret(self, secret: str, client: str, key_id: str | None = None) -> Proof:
        """The key with this secret (and this id, where one was named), if it is good."""
        digest = hash_of(secret)
        key = self._keys.find(digest)
        if key is None or (key_id is not None and key_id != key.key_id):
            raise self._refused("There is no such key.", client)
        return self._good(key, digest, key.scopes, key.good_until(digest), client)

    def _token(self, text: str, client: str) -> Proof:
        token = open_token(self._vault, text)
        key = None if token is None else self._keys.all.get(token.key_id)
        if token is None or key is None:
            raise self._refused("There is no such token.", client)
        if self._clock() >= token.until:
            raise self._refused("The token has expired.", client)
        scopes = key.scopes if token.scopes is None else expand(token.scopes) & key.scopes
        if not scopes:
            raise self._refused("The token's scopes are no longer those of its key.", client)
        return self._good(key, token.digest, scopes, min(token.until, key.good_until(token.digest)), client)

    def _good(self, key: Key, digest: str, scopes: frozenset[str], until: int, client: str) -> Proof:
        """Whoever knows the secret may know what became of it."""
        now = self._clock()
        if key.revoked_at is not None:
            raise self._refused(f"The key {key.key_id} was revoked.", client)
        if key.expires_at is not None and now >= key.expires_at:
            raise self._refused(f"The key {key.key_id} has expired.", client)
        if now >= until:
            raise self._refused(f"The key {key.key_id} was rotated, and this was its old secret.", client)
        return Proof(key, digest, until, scopes)

    def _refused(self, why: str, client: str) -> Refusal:
        wait = self._failures.wait(client)
        if wait:
            return Refusal("rate_limited", "Too many requests from this address had no good key.", retry_after=wait)
        return Refusal("unauthorized", why)


def basic(text: bytes) -> tuple[str, str] | None:
    """Name and password of Basic credentials (RFC 7617 §2)."""
    try:
        name, colon, password = b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (name, password) if colon else None
