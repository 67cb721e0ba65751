"""OAuth 2.0 access tokens: a key for an hour, perhaps with fewer scopes.

Nothing is stored: a token is sealed with the vault's key and names its API key and the secret that it was got with, so
it ends with either of them. Opening one that is forged, altered or of another installation gives None.
"""

from typing import Final

import msgspec

from columba.vault import Vault, VaultError

PREFIX: Final = "ct_"
LIFETIME_S: Final = 3600
DIGEST: Final = 16  # hexadecimal digits of the secret's hash that a token holds: they tell two secrets of a key apart

# No text that comes from outside may hold NUL, so nothing else that was sealed can pass for a token.
_MARK: Final = "\x00token "


class Token(msgspec.Struct, frozen=True, array_like=True):
    """What a token says."""

    key_id: int
    digest: str
    until: int  # ms
    scopes: tuple[str, ...] | None  # None: all that the key has


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Token).decode


def seal(vault: Vault, token: Token) -> str:
    return PREFIX + vault.seal(_MARK + _encode(token).decode())


def open_token(vault: Vault, text: str) -> Token | None:
    try:
        opened = vault.open(text.removeprefix(PREFIX))
        return _decode(opened[len(_MARK) :]) if opened.startswith(_MARK) else None
    except (VaultError, ValueError):
        return None
