"""HTTP Digest access authentication (RFC 7616): the answer to a server's challenge. Pure.

A challenge is kept and used again, with its counter going up, until the server gives another. `challenge` is None for
what isn't a Digest challenge that can be answered.
"""

import hashlib
import re
from typing import NamedTuple
from urllib.parse import urlsplit

_ALGORITHMS = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}
_BEST = ("SHA-512-256", "SHA-256", "MD5")
_FIELD = re.compile(r'([A-Za-z*-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*+)"|([^\s,"]+))')


class Challenge(NamedTuple):
    realm: str
    nonce: str
    algorithm: str
    session: bool  # a -sess algorithm
    qop: str
    opaque: str | None
    utf8: bool


def challenge(header: str | None) -> Challenge | None:
    """The strongest of the challenges in a WWW-Authenticate field."""
    found = []
    for part in re.split(r"(?:^|,)\s*(?=[A-Za-z]+\s+[A-Za-z-]+\s*=)", header or ""):
        scheme, _, rest = part.strip().partition(" ")
        if scheme.lower() == "digest" and (read := _read(rest)) is not None:
            found.append(read)
    return min(found, key=lambda each: _BEST.index(each.algorithm), default=None)


def _read(text: str) -> Challenge | None:
    fields = {name.lower(): re.sub(r"\\(.)", r"\1", quoted) or bare for name, quoted, bare in _FIELD.findall(text)}
    name = fields.get("algorithm", "MD5").upper()
    session = name.endswith("-SESS")
    name = name.removesuffix("-SESS")
    offered = [each.strip() for each in fields.get("qop", "").split(",") if each.strip()]
    qop = "auth" if "auth" in offered else "auth-int" if "auth-int" in offered else ""
    if name not in _ALGORITHMS or "nonce" not in fields or (offered and not qop):
        return None
    return Challenge(
        fields.get("realm", ""), fields["nonce"], name, session, qop, fields.get("opaque"),
        fields.get("charset", "").upper() == "UTF-8",
    )  # fmt: skip


def authorization(
    found: Challenge, username: str, password: str, method: str, url: str, body: bytes, count: int, cnonce: str
) -> str:
    """The Authorization field. `count` is how often the challenge has been answered, this time included."""
    encoding = "utf-8" if found.utf8 or not (username + password).isascii() else "latin-1"

    def digest(text: str | bytes) -> str:
        raw = text if isinstance(text, bytes) else text.encode(encoding)
        algorithm = _ALGORITHMS[found.algorithm]
        return hashlib.new(algorithm, raw, usedforsecurity=False).hexdigest()

    parts = urlsplit(url)
    uri = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    nc = f"{count:08x}"
    a1 = digest(f"{username}:{found.realm}:{password}")
    if found.session:
        a1 = digest(f"{a1}:{found.nonce}:{cnonce}")
    a2 = f"{method}:{uri}" if found.qop != "auth-int" else f"{method}:{uri}:{digest(body)}"
    middle = f"{found.nonce}:{nc}:{cnonce}:{found.qop}" if found.qop else found.nonce
    response = digest(f"{a1}:{middle}:{digest(a2)}")
    algorithm = found.algorithm + ("-sess" if found.session else "")
    fields = [
        f'username="{_quoted(username)}"', f'realm="{_quoted(found.realm)}"', f'nonce="{_quoted(found.nonce)}"',
        f'uri="{uri}"', f"algorithm={algorithm}", f'response="{response}"',
    ]  # fmt: skip
    if found.qop:
        fields += [f"qop={found.qop}", f"nc={nc}", f'cnonce="{cnonce}"']
    if found.opaque is not None:
        fields.append(f'opaque="{_quoted(found.opaque)}"')
    return "Digest " + ", ".join(fields)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
