"""Reading a URL strictly: what we connect to is exactly what is read here, so that no second reader can differ. Pure.

Fails with EgressError("invalid_url"). Not a browser's parser: of the ways to write an IPv4 address only four decimal
numbers are taken (not 2130706433, 0x7f.1, 0177.0.0.1 or 127.1), and no user info, backslash, space, control or encoded
host.
"""

import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import NamedTuple
from urllib.parse import quote

from columba.http.egress.errors import EgressError
from columba.http.egress.policy import Address, Policy, canonical

_LONGEST = 4096
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[^\[\]/?#@:%]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?(?:#.*)?",
    re.IGNORECASE,
)
_UNWRITABLE = re.compile(r"[\x00-\x20\x7f\\]")
_USER_INFO = re.compile(r"[a-z]+://[^/?#]*@", re.IGNORECASE)
_NAME = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
# IDNA 2003 and 2008 lead these to different domains, perhaps to different owners (UTS 46 §1.3): ß, ς and the joiners.
_DEVIATIONS = frozenset("\u00df\u1e9e\u03c2\u200c\u200d")
# Remote terminals, mail and file sharing: an HTTP request to one is never meant well.
_FORBIDDEN_PORTS = frozenset({0, 20, 21, 22, 23, 25, 53, 110, 135, 139, 143, 445, 465, 587, 993, 995})
_ASCII = "".join(map(chr, range(0x21, 0x7F)))


class Target(NamedTuple):
    """Where a request goes. `address` is set when the host is written as one."""

    tls: bool
    host: str
    port: int
    address: Address | None
    head: bytes  # what follows the method in the request's head, up to and with the Host field


@lru_cache(maxsize=4096)
def parse_url(url: str) -> Target:
    """The target of an absolute http or https URL; its fragment is dropped."""
    if len(url) > _LONGEST:
        raise EgressError("invalid_url", f"The URL is longer than {_LONGEST} characters.")
    if _UNWRITABLE.search(url):
        raise EgressError("invalid_url", "The URL has a space, a control character or a backslash: percent-encode it.")
    if _USER_INFO.match(url):
        raise EgressError("invalid_url", "The URL has a user name or password: set authentication apart from it.")
    match = _URL.fullmatch(url)
    if match is None:
        raise EgressError("invalid_url", "The URL is not an absolute http or https URL.")
    tls = match["scheme"].lower() == "https"
    default = 443 if tls else 80
    port = int(match["port"] or default)
    if port > 65535 or port in _FORBIDDEN_PORTS:
        raise EgressError("invalid_url", f"Port {port} can't be used.")
    host, address = _host(match["host"])
    authority = f"[{host}]" if isinstance(address, IPv6Address) else host
    if port != default:
        authority = f"{authority}:{port}"
    try:
        resource = quote((match["path"] or "/") + (match["query"] or ""), safe=_ASCII)
    except UnicodeEncodeError:
        raise EgressError("invalid_url", "The URL has half of a surrogate pair.") from None
    return Target(tls, host, port, address, f" {resource} HTTP/1.1\r\nHost: {authority}\r\n".encode())


def check_url(url: str, policy: Policy) -> EgressError | None:
    """What is wrong with a URL, as far as can be told without looking a name up; None if nothing is."""
    try:
        target = parse_url(url)
    except EgressError as problem:
        return problem
    literal = [target.address] if target.address else []
    if target.host == "localhost" or target.host.endswith(".localhost"):  # RFC 6761 §6.3
        literal = [IPv4Address("127.0.0.1"), IPv6Address("::1")]
    if literal and not any(map(policy.permits, literal)):
        return forbidden(target.host)
    return None


def forbidden(host: str) -> EgressError:
    # The address is not told: it would show outsiders what a name means inside this network.
    return EgressError("forbidden_address", f"{host} leads to no address that is allowed.")


def _host(text: str) -> tuple[str, Address | None]:
    if text.startswith("["):
        try:
            address = canonical(IPv6Address(text[1:-1]))
        except AddressValueError:
            raise EgressError("invalid_url", "The host is not an IPv6 address.") from None
        return str(address), address
    if not text.isascii():
        text = _ascii_name(text)
    name = text.lower().removesuffix(".")
    if len(name) > 253 or not _NAME.fullmatch(name):
        raise EgressError("invalid_url", "The host is not a domain name or an address.")
    # A name whose last label is a number is an IPv4 address, well written or not (WHATWG URL §3.5).
    if not _NUMBER.fullmatch(name.rpartition(".")[2]):
        return name, None
    try:
        return name, IPv4Address(name)
    except AddressValueError:
        raise EgressError("invalid_url", "Write an IPv4 address as four decimal numbers.") from None


def _ascii_name(text: str) -> str:
    if len(text) > 253 or not _DEVIATIONS.isdisjoint(text):
        raise EgressError("invalid_url", "Write the host in its ASCII form (xn--...).")
    try:
        return text.encode("idna").decode()
    except UnicodeError:
        raise EgressError("invalid_url", "The host is not a domain name.") from None
