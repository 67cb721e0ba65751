"""The user data header: what joins parts, addresses a port and names national tables (3GPP 23.040 §9.2.3.24).

`Header.build` raises TextError when a number doesn't fit its element or the elements don't fit a header. `parse` raises
it when the octets can't hold the header that their first octet promises, and is tolerant otherwise: an element that
runs past the header's end ends it, one with a length or values that the standard does not allow counts for nothing, and
of two of a kind the later counts.
"""

import msgspec

from .errors import TextError

# §9.2.3.24, information element identifiers
CONCAT, CONCAT_WIDE = 0x00, 0x08
PORTS, PORTS_WIDE = 0x04, 0x05
SINGLE_SHIFT, LOCKING_SHIFT = 0x24, 0x25


class Concat(msgspec.Struct, frozen=True):
    """This part is the `number`th, from 1, of the `total` parts with this `reference`, of 16 bits if `wide`."""

    reference: int
    total: int
    number: int
    wide: bool = False


class Ports(msgspec.Struct, frozen=True):
    """The application ports that the message goes to and comes from. Both below 256 take the short element."""

    destination: int
    source: int = 0


class Header(msgspec.Struct, frozen=True):
    """What a header says. `others` are the elements that this room does not read, as (identifier, data)."""

    concat: Concat | None = None
    ports: Ports | None = None
    locking: int = 0
    single: int = 0
    others: tuple[tuple[int, bytes], ...] = ()

    def build(self) -> bytes:
        """The header's octets, its length octet first; nothing at all if it says nothing."""
        elements = b""
        if self.concat:
            elements += _concat_element(self.concat)
        if self.ports:
            elements += _ports_element(self.ports)
        if self.single:
            elements += _element(SINGLE_SHIFT, _number(self.single, 1))
        if self.locking:
            elements += _element(LOCKING_SHIFT, _number(self.locking, 1))
        for identifier, data in self.others:
            elements += _element(identifier, data)
        if len(elements) > 139:
            raise TextError(f"the elements take {len(elements)} octets; a header holds 139")
        return bytes((len(elements), *elements)) if elements else b""


NONE = Header()


def parse(octets: bytes) -> tuple[Header, int]:
    """The header at the start of the octets, and how many octets it takes with its length octet."""
    if not octets or octets[0] >= len(octets):
        raise TextError("the octets are fewer than their header says")
    end = 1 + octets[0]
    concat: Concat | None = None
    ports: Ports | None = None
    locking = single = 0
    others: list[tuple[int, bytes]] = []
    at = 1
    while at + 2 <= end:
        identifier, length = octets[at], octets[at + 1]
        data = octets[at + 2 : at + 2 + length]
        at += 2 + length
        if at > end:
            break
        if (identifier, length) in ((CONCAT, 3), (CONCAT_WIDE, 4)):
            *reference, total, number = data
            if 1 <= number <= total:  # else the element is to be ignored, §9.2.3.24.1
                concat = Concat(int.from_bytes(reference, "big"), total, number, identifier == CONCAT_WIDE)
        elif (identifier, length) in ((PORTS, 2), (PORTS_WIDE, 4)):
            half = length // 2
            ports = Ports(int.from_bytes(data[:half], "big"), int.from_bytes(data[half:], "big"))
        elif (identifier, length) == (SINGLE_SHIFT, 1):
            single = data[0]
        elif (identifier, length) == (LOCKING_SHIFT, 1):
            locking = data[0]
        elif identifier not in (CONCAT, CONCAT_WIDE, PORTS, PORTS_WIDE, SINGLE_SHIFT, LOCKING_SHIFT):
            others.append((identifier, data))
    return Header(concat, ports, locking, single, tuple(others)), end


def _concat_element(concat: Concat) -> bytes:
    if not 1 <= concat.number <= concat.total <= 255:
        raise TextError(f"there is no part {concat.number} of {concat.total}: parts number 1 to 255")
    place = bytes((concat.total, concat.number))
    # A reference only has to differ from those of the texts just before it, so a counter may simply run on.
    if concat.wide:
        return _element(CONCAT_WIDE, (concat.reference & 0xFFFF).to_bytes(2, "big") + place)
    return _element(CONCAT, bytes((concat.reference & 0xFF,)) + place)


def _ports_element(ports: Ports) -> bytes:
    if 0 <= ports.destination < 256 and 0 <= ports.source < 256:
        return _element(PORTS, bytes((ports.destination, ports.source)))
    return _element(PORTS_WIDE, _number(ports.destination, 2) + _number(ports.source, 2))


def _element(identifier: int, data: bytes) -> bytes:
    return _number(identifier, 1) + _number(len(data), 1) + data


def _number(value: int, octets: int) -> bytes:
    if not 0 <= value < 1 << 8 * octets:
        raise TextError(f"{value} does not fit {octets} octets")
    return value.to_bytes(octets, "big")
