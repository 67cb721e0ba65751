"""Secrets at rest: AES-256-GCM with a key that is not in the database.

Owns the key file (0600; made at the first start) or takes the key from the settings. Sealed texts carry the key's id, so
that a key can be replaced. Fails with VaultError when a text was sealed with a key that is not here.
"""

import base64
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


class VaultError(Exception):
    """A secret that can't be opened with the keys that are here."""


class Vault:
    def __init__(self, *keys: bytes) -> None:
        """The first key seals; all of them open."""
        self._keys = {key_id(key): AESGCM(key) for key in keys}
        self._raw = keys
        self.current = key_id(keys[0])

    def derived(self, purpose: str) -> tuple[bytes, ...]:
        """Keys for another use, one from each of ours, the current one's first: they say nothing about them."""
        return tuple(hmac.digest(key, f"columba {purpose}".encode(), "sha256") for key in self._raw)

    def seal(self, text: str) -> str:
        nonce = secrets.token_bytes(12)
        sealed = self._keys[self.current].encrypt(nonce, text.encode(), self.current.encode())
        return f"v1.{self.current}.{base64.urlsafe_b64encode(nonce + sealed).decode()}"

    def open(self, sealed: str) -> str:
        version, _, rest = sealed.partition(".")
        an_id, _, data = rest.partition(".")
        key = self._keys.get(an_id)
        if version != "v1" or key is None:
            raise VaultError(f"a secret was sealed with the key {an_id!r}, which is not here: set COLUMBA_SECRET_KEY")
        raw = base64.urlsafe_b64decode(data)
        try:
            return key.decrypt(raw[:12], raw[12:], an_id.encode()).decode()
        except InvalidTag as error:
            raise VaultError("a sealed secret was altered") from error


def key_id(key: bytes) -> str:
    return hashlib.sha256(b"columba key id" + key).hexdigest()[:8]


def key_file(path: Path) -> bytes:
    """The key in a file of 64 hexadecimal digits, made when it isn't there."""
    try:
        return parse_key(path.read_text())
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        key = secrets.token_bytes(32)
        try:
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(key.hex() + "\n")
                file.flush()
                os.fsync(file.fileno())
        except FileExistsError:  # another process was first
            return key_file(path)
        return key


def parse_key(text: str) -> bytes:
    try:
        key = bytes.fromhex(text.strip())
    except ValueError as error:
        raise VaultError("the secret key must be 64 hexadecimal digits") from error
    if len(key) != 32:
        raise VaultError("the secret key must be 64 hexadecimal digits")
    return key
