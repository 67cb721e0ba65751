"""Keyed hashes of numbers: what is kept of a person who must not be texted, once all else is forgotten.

The key is random, made once for an installation, and sealed by the vault in the database, so that it stays the same when
the vault's key is replaced. Without it no opt-out could be found: it fails at the start, with StoreRefused, rather than
send to those who said no.
"""

import hashlib
import secrets
from collections.abc import Mapping

from columba.store import Statement, Step, Store, StoreRefused, plan
from columba.vault import Vault, VaultError

NAME = "numbers"


class Hashes:
    """From a number to 63 bits, which nobody turns back without the key."""

    __slots__ = ("_start",)

    def __init__(self, key: bytes) -> None:
        self._start = hashlib.blake2b(key=key, digest_size=8)

    def __call__(self, number: str) -> int:
        keyed = self._start.copy()
        keyed.update(number.encode())
        return int.from_bytes(keyed.digest(), "big") >> 1


async def open_hashes(store: Store, vault: Vault, sql: Mapping[str, Statement]) -> Hashes:
    """The installation's, made at the first start. `sql` has `hash_key` and `insert_hash_key`."""
    rows = await store.read(sql["hash_key"], name=NAME)
    if not rows:
        made = vault.seal(secrets.token_bytes(32).hex())
        await store.commit(plan(Step(sql["insert_hash_key"], [(NAME, made)])))
        rows = await store.read(sql["hash_key"], name=NAME)
    try:
        return Hashes(bytes.fromhex(vault.open(rows[0][0])))
    except VaultError as error:
        raise StoreRefused(f"Opt-outs can't be looked up: {error}.") from error
