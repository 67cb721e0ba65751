"""Which addresses may be connected to. Pure; never fails.

An own list, for `ipaddress.is_global` says yes to multicast and to the ways of writing IPv4 inside IPv6.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import NamedTuple, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

_REFUSED_V4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network (RFC 791)
            "10.0.0.0/8",  # private (RFC 1918)
            "100.64.0.0/10",  # shared by carriers (RFC 6598); a cloud's metadata at 100.100.100.200
            "127.0.0.0/8",  # loopback (RFC 1122)
            "168.63.129.16/32",  # a public address that is a cloud's own wire server from inside it
            "169.254.0.0/16",  # link-local (RFC 3927); most clouds' metadata at 169.254.169.254
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # protocol assignments (RFC 6890)
            "192.0.2.0/24",  # documentation (RFC 5737)
            "192.88.99.0/24",  # 6to4 relays (RFC 7526)
            "192.168.0.0/16",  # private
            "198.18.0.0/15",  # benchmarks (RFC 2544)
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast (RFC 5771)
            "240.0.0.0/4",  # reserved, and broadcast
        ),
    )
)

# Everything global in IPv6 is allocated from here (RFC 4291 §2.4). Outside it are, among others, loopback,
# IPv4-compatible ::/96, NAT64 64:ff9b::/96 and 64:ff9b:1::/48, discard 100::/64, SRv6 5f00::/16, unique local fc00::/7,
# link-local fe80::/10, site-local fec0::/10 and multicast ff00::/8.
_GLOBAL_V6 = IPv6Network("2000::/3")
_REFUSED_V6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments (RFC 2928): Teredo, benchmarks, ORCHID
            "2001:db8::/32",  # documentation (RFC 3849)
            "2002::/16",  # 6to4, which carries any IPv4 address (RFC 3056)
            "3fff::/20",  # documentation (RFC 9637)
        ),
    )
)


def canonical(address: Address) -> Address:
    """The address that a connection really reaches: an IPv4-mapped one is IPv4 (RFC 4291 §2.5.5.2)."""
    return (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address


class Policy(NamedTuple):
    """Public addresses, and the networks that the operator named."""

    allow: tuple[Network, ...] = ()

    def permits(self, address: Address) -> bool:
        address = canonical(address)
        if any(address in network for network in self.allow):
            return True
        if isinstance(address, IPv4Address):
            return not any(address in network for network in _REFUSED_V4)
        return address in _GLOBAL_V6 and not any(address in network for network in _REFUSED_V6)
