"""The guard: whom no code is sent to, and under which keys each send is counted, with their limits. Pure.

A send is counted for its number, for what the number begins with (several lengths), its country and network, and for the
address and device that asked for it. What the counts come to is decided in the store (verify.sql), where processes meet.
"""

import hashlib
import ipaddress
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from columba.errors import FieldError, Refusal
from columba.numbers import calling_code_of, country_of, network
from columba.verify.shapes import Listed, Settings

TEN_MINUTES: Final = 600_000
DAY: Final = 86_400_000
# The last digits that an attack may vary, and how many more than the narrowest spare its beginning may leave unentered:
# the narrowest beginning that holds an attack is blocked, and its neighbours go on.
BEGINNINGS: Final = ((4, 0), (6, 2), (8, 4))
LEVELS: Final = len(BEGINNINGS) + 2
KINDS: Final = {
    "to": "number",
    "pre": "prefix",
    "cty": "country",
    "net": "network",
    "adr": "address",
    "dev": "device",
    "spd": "account",
    "all": "account",
}

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Limit(NamedTuple):
    """A key under which a send is counted. `pace` and `spare` of 0 limit nothing. Those of a lower level are asked
    first, and what they refuse doesn't count at the others."""

    level: int
    key: str
    window_ms: int
    pace: int
    spare: int
    weight: int = 1  # what a send counts for


class Lists(NamedTuple):
    """Entries by what they are about."""

    exact: frozenset[tuple[str, str]]
    prefixes: tuple[str, ...]
    networks: tuple[Network, ...]
    has_networks: bool  # of phones

    def holds(self, to: str, country: str, address: str | None, device: str | None) -> bool:
        exact = self.exact
        if self.prefixes and to.startswith(self.prefixes):
            return True
        if exact and (
            ("number", to) in exact or ("country", country) in exact or (device and ("device", device) in exact)
        ):
            return True
        if self.has_networks and ("network", network(to)) in exact:
            return True
        if address is not None and self.networks:
            found = ipaddress.ip_address(address)
            return any(found in each for each in self.networks)
        return False


def lists_of(entries: Sequence[Listed]) -> Lists:
    return Lists(
        frozenset((each.kind, each.value) for each in entries if each.kind not in ("prefix", "address")),
        tuple(each.value for each in entries if each.kind == "prefix"),
        tuple(ipaddress.ip_network(each.value, strict=False) for each in entries if each.kind == "address"),
        any(each.kind == "network" for each in entries),
    )


class InForce(NamedTuple):
    """An account's settings, ready to be asked."""

    settings: Settings
    allow: Lists
    deny: Lists
    countries: frozenset[str] | None


def in_force(settings: Settings, _mode: int) -> InForce:
    countries = None if settings.countries is None else frozenset(settings.countries)
    return InForce(settings, lists_of(settings.allow), lists_of(settings.deny), countries)


def screen(
    to: str, address: str | None, device: str | None, rules: InForce, usual: frozenset[str] | None
) -> Sequence[Limit]:
    """The limits of a send; a Refusal where none is made. `usual` are the countries of an account that names none; None
    for all."""
    country = country_of(to)
    if rules.deny.holds(to, country, address, device):
        raise Refusal("blocked", "The number, address or device is on the account's list of those denied.")
    allowed = rules.allow.holds(to, country, address, device)
    countries = usual if rules.countries is None else rules.countries
    if countries is not None and country not in countries and not allowed:
        detail = f"Codes are not sent to {country or 'numbers without a country'}: add it to the settings' countries."
        raise Refusal("country_not_allowed", detail, [FieldError("to", "country_not_allowed", detail)])
    guard = rules.settings.guard
    limits = [Limit(0, f"to:{to}", TEN_MINUTES, guard.number_sends, 0)]
    if guard.daily_sends:
        limits.append(Limit(LEVELS - 1, "all:", DAY, guard.daily_sends, 0))
    if allowed:
        return limits
    code = len(calling_code_of(to)) + 1
    if guard.spare:
        limits += [
            Limit(level, f"pre:{to[:-digits]}", TEN_MINUTES, 0, guard.spare + more)
            for level, (digits, more) in enumerate(BEGINNINGS, 1)
            if len(to) - digits > code
        ]
    if guard.country_spare or guard.country_sends:
        limits.append(Limit(LEVELS - 1, f"cty:{country}", TEN_MINUTES, guard.country_sends, guard.country_spare))
    if guard.network_sends and (name := network(to)):
        limits.append(Limit(LEVELS - 1, f"net:{name}", TEN_MINUTES, guard.network_sends, 0))
    if address is not None:
        limits.append(Limit(0, f"adr:{_near(address)}", TEN_MINUTES, guard.address_sends, guard.spare))
    if device is not None:
        digest = hashlib.blake2b(device.encode(), digest_size=12).hexdigest()
        limits.append(Limit(0, f"dev:{digest}", TEN_MINUTES, guard.device_sends, guard.spare))
    return limits


def _near(address: str) -> str:
    """An IPv4 address, or the network that one household has of IPv6."""
    found = ipaddress.ip_address(address)
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)


def what(key: str) -> Mapping[str, str]:
    """What a key is about, as it is shown."""
    kind, _, value = key.partition(":")
    return {"kind": KINDS.get(kind, kind), "value": value}
