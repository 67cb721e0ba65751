"""A PDU for a person's eyes: a dict or one line. Passwords are masked, octets are hexadecimal, nothing is endless.

With `bodies` false what people wrote is masked too: of a receipt the text that it quotes, of all else everything but how
long it is.
"""

import re

from .codec import fields_of
from .pdu import DataSm, DeliverSm, Pdu, Response
from .status import name_of as status_name
from .tlv import MESSAGE_PAYLOAD
from .tlv import name_of as tag_name
from .values import EsmClass

_LONGEST = 280  # octets or characters of one value
_MOST = 20  # entries of one list
_QUOTED = re.compile(rb"\btext:", re.IGNORECASE)


def fields(pdu: Pdu, bodies: bool = True) -> dict[str, object]:
    """All fields that differ from their default, by name, as JSON can hold them."""
    receipt = isinstance(pdu, DeliverSm | DataSm) and bool(pdu.esm_class & EsmClass.TYPE)
    shown: dict[str, object] = {}
    if isinstance(pdu, Response):
        shown["command_status"] = status_name(pdu.status)
    plain = {name: getattr(pdu, name) for name in fields_of(type(pdu))}
    for name, default in zip(pdu.__struct_fields__, pdu.__struct_defaults__, strict=True):
        if name in plain and plain[name] != default:
            value = plain[name]
            if name == "short_message" and not bodies and isinstance(value, bytes):
                value = _masked(value, receipt)
            shown[name] = "***" if name == "password" else _plain(value)
    if pdu.tlvs:
        shown["tlvs"] = [
            [tag_name(tag), _plain(_masked(value, receipt) if _is_body(tag, value) and not bodies else value)]
            for tag, value in pdu.tlvs[:_MOST]
        ]
    return shown


def _is_body(tag: int, value: object) -> bool:
    return tag == MESSAGE_PAYLOAD.number and isinstance(value, bytes)


def _masked(octets: object, receipt: bool) -> str:
    assert isinstance(octets, bytes)
    if receipt:  # SMPP 3.4 Appendix B: the text comes last
        found = _QUOTED.search(octets)
        if found is None:
            return octets.decode("latin-1")
        return octets[: found.end()].decode("latin-1") + f"*** ({len(octets) - found.end()} octets)"
    return f"*** ({len(octets)} octets)"


def describe(pdu: Pdu, sequence: int | None = None, bodies: bool = True) -> str:
    """`submit_sm seq=7 destination_addr='447700900123' short_message=68656c6c6f`."""
    parts = [pdu.name if sequence is None else f"{pdu.name} seq={sequence}"]
    for name, value in fields(pdu, bodies).items():
        if name == "tlvs" and isinstance(value, list):
            parts += [f"{tag}={_inline(each)}" for tag, each in value]
        else:
            parts.append(f"{name}={_inline(value)}")
    return " ".join(parts)


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return value[:_LONGEST].hex() + (f"... ({len(value)} octets)" if len(value) > _LONGEST else "")
    if isinstance(value, str):
        return value[:_LONGEST]
    if isinstance(value, tuple):
        return [[_plain(each) for each in entry] for entry in value[:_MOST]]
    return value


def _inline(value: object) -> str:
    """Quoted only where it has to be: no peer's text may break the line or look like a field."""
    text = str(value)
    if isinstance(value, str) and not (text.isascii() and text.isprintable() and " " not in text and text):
        return ascii(text)
    return text
