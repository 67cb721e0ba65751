"""PDUs to octets and back: one function per PDU, compiled at import from the structs' annotations.

Each is straight-line code, the way dataclasses makes `__init__`: walking the table for every PDU would cost many times
as much, writing the functions by hand would be the table a second time. A request is read strictly: what breaks a rule
is MalformedPdu, with the command_status that answers it. A response is read as far as it goes and never fails, for
nobody can be answered about it, and its command_status has said what matters. Encoding fails with Unsendable.
"""

from collections.abc import Callable, Mapping
from struct import Struct
from struct import error as StructError
from typing import Any, Final, TypeAlias, get_type_hints

from .errors import MalformedPdu, Unsendable
from .pdu import PDUS, DistributionList, Field, Pdu, Request, Response, SmeAddress, Unsuccessful
from .status import Status
from .tlv import decode_tlvs, encode_tlvs

HEADER: Final = Struct(">4I")  # SMPP 3.4 §3.2: command_length, command_id, command_status, sequence_number

Decode: TypeAlias = Callable[[bytes, int, int, int], Any]  # data, from, to, command_status -> the PDU
Encode: TypeAlias = Callable[[Pdu, int], bytes]  # the PDU, its sequence_number -> octets


def fields_of(kind: type[Pdu]) -> Mapping[str, Field]:
    """A PDU's fields in the order of the wire."""
    hints = get_type_hints(kind, include_extras=True)
    own = ((name, getattr(hints[name], "__metadata__", ())) for name in kind.__struct_fields__)
    return {name: marks[0] for name, marks in own if marks}


def encode(pdu: Pdu, sequence: int) -> bytes:
    """The octets of one PDU."""
    try:
        return ENCODERS[type(pdu)](pdu, sequence)
    except (TypeError, ValueError, LookupError, AttributeError, OverflowError, StructError):
        pass
    raise _reason(pdu)  # outside of the handler, so that no value is dragged along as __context__


def decode(data: bytes) -> tuple[Request | Response, int]:
    """The one PDU that `data` is, and its sequence_number."""
    if len(data) < HEADER.size:
        raise MalformedPdu(Status.ESME_RINVCMDLEN, "shorter than a header")
    length, command, status, sequence = HEADER.unpack_from(data)
    if length != len(data):
        raise MalformedPdu(Status.ESME_RINVCMDLEN, "command_length is not the PDU's length")
    if command not in DECODERS:
        raise MalformedPdu(Status.ESME_RINVCMDID, "command_id is not known")
    return DECODERS[command](data, HEADER.size, length, status), sequence


def _reason(pdu: Pdu) -> Unsendable:
    """Name the field that can't be encoded; the fast path only noticed that there is one."""
    kind = type(pdu)
    if kind not in ENCODERS:
        return Unsendable(f"{kind.__name__} is no PDU")
    for name, field in fields_of(kind).items():
        value = getattr(pdu, name)
        size = field.sent or field.size
        if field.kind == "octet" and not (isinstance(value, int) and 0 <= value <= 255):
            return Unsendable(f"{kind.name}.{name}: not an octet")
        if field.kind == "text":
            if not isinstance(value, str) or "\0" in value or any(character > "\xff" for character in value):
                return Unsendable(f"{kind.name}.{name}: not a text of Latin-1 characters without NUL")
            if len(value) >= size:
                return Unsendable(f"{kind.name}.{name}: longer than {size - 1} octets")
        if field.kind == "message" and (not isinstance(value, bytes) or len(value) > size):
            return Unsendable(f"{kind.name}.{name}: not bytes of at most {size} octets")
    return Unsendable(f"{kind.name}: its status, sequence_number, lists or TLVs don't fit")


def _bad_text(name: str, field: Field, pos: int, end: int) -> MalformedPdu:
    if end - pos < field.size:
        return _ends_in(name)
    return MalformedPdu(field.refusal, f"{name} is longer than {field.size - 1} octets")


def _ends_in(name: str, status: int = Status.ESME_RINVCMDLEN) -> MalformedPdu:
    return MalformedPdu(status, f"the PDU ends within {name}")


def _text(data: bytes, pos: int, end: int, size: int, refusal: int) -> tuple[str, int]:
    stop = data.find(0, pos, min(pos + size, end))
    if stop < 0:
        raise MalformedPdu(Status.ESME_RINVCMDLEN if end - pos < size else refusal, "an address or name has no end")
    return data[pos:stop].decode("latin-1"), stop + 1


def _octets(text: str, size: int) -> bytes:
    octets = text.encode("latin-1")
    if len(octets) >= size or 0 in octets:
        raise ValueError
    return octets + b"\0"


def decode_destinations(data: bytes, pos: int, end: int) -> tuple[tuple[SmeAddress | DistributionList, ...], int]:
    """number_of_dests and its dest_address(es): SMPP 3.4 §4.5.1.1. A count takes no memory before its entries do."""
    if pos >= end:
        raise _ends_in("destinations")
    if data[pos] == 0:
        raise MalformedPdu(Status.ESME_RINVNUMDESTS, "number_of_dests is 0")
    found: list[SmeAddress | DistributionList] = []
    count, pos = data[pos], pos + 1
    for _ in range(count):
        if pos + 3 > end:
            raise _ends_in("destinations", Status.ESME_RINVNUMDESTS)
        if data[pos] == 1:
            address, after = _text(data, pos + 3, end, 21, Status.ESME_RINVDSTADR)
            found.append(SmeAddress(data[pos + 1], data[pos + 2], address))
        elif data[pos] == 2:
            name, after = _text(data, pos + 1, end, 21, Status.ESME_RINVDLNAME)
            found.append(DistributionList(name))
        else:
            raise MalformedPdu(Status.ESME_RINVDESTFLAG, "dest_flag is neither 1 nor 2")
        pos = after
    return tuple(found), pos


def encode_destinations(destinations: tuple[SmeAddress | DistributionList, ...]) -> bytes:
    if not 1 <= len(destinations) <= 254:  # §4.5.1
        raise ValueError
    parts = [bytes((len(destinations),))]
    for each in destinations:
        if isinstance(each, SmeAddress):
            parts += (bytes((1, each.ton, each.npi)), _octets(each.address, 21))
        else:
            parts += (b"\2", _octets(each.name, 21))
    return b"".join(parts)


def decode_unsuccessful(data: bytes, pos: int, end: int) -> tuple[tuple[Unsuccessful, ...], int]:
    """no_unsuccess and its unsuccess_sme(s): SMPP 3.4 §4.5.2.1. Like all of a response, as far as they go."""
    found: list[Unsuccessful] = []
    if pos >= end:
        return (), end
    count, pos = data[pos], pos + 1
    for _ in range(count):
        stop = data.find(0, pos + 2, end)
        if stop < 0 or stop + 5 > end:
            return tuple(found), end
        status = int.from_bytes(data[stop + 1 : stop + 5], "big")
        found.append(Unsuccessful(data[pos], data[pos + 1], data[pos + 2 : stop].decode("latin-1"), status))
        pos = stop + 5
    return tuple(found), pos


def encode_unsuccessful(unsuccessful: tuple[Unsuccessful, ...]) -> bytes:
    parts = [bytes((len(unsuccessful),))]
    for each in unsuccessful:
        parts += (bytes((each.ton, each.npi)), _octets(each.address, 21), each.status.to_bytes(4, "big"))
    return b"".join(parts)


def _compile_encoder(kind: type[Request] | type[Response]) -> Encode:
    """
    For query_sm: check the lengths and that no text holds a NUL, format all texts and octets into one string, turn it
    into octets once, put the header before it.
    """
    fields = fields_of(kind)
    texts = [name for name, field in fields.items() if field.kind == "text"]
    checks = [f"len({name}) >= {fields[name].sent or fields[name].size}" for name in texts]
    if texts:
        checks.append(f'"\\0" in {" + ".join(texts)}')
    lines = [f"{name} = pdu.{name}" for name in fields] + ["tlvs = pdu.tlvs"]
    lines.append(f"status = {'pdu.status' if issubclass(kind, Response) else '0'}")
    form = ""  # the part that is being formatted, its values, and the parts before it
    values: list[str] = []
    parts: list[str] = []

    def close() -> None:
        nonlocal form
        if form:
            parts.append(f'("{form}" % ({", ".join(values)},)).encode("latin-1")')
        form = ""
        values.clear()

    for name, field in fields.items():
        if field.kind in ("octet", "text"):
            form += "%c" if field.kind == "octet" else "%s\\0"
            values.append(name)
        elif field.kind == "message":
            checks.append(f"len({name}) > {field.size}")
            form += "%c"
            values.append(f"len({name})")
            close()
            parts.append(name)
        else:
            close()
            parts.append(f"encode_{field.kind}({name})")
    close()
    if checks:
        lines += [f"if {' or '.join(checks)}:", "    raise ValueError"]
    if issubclass(kind, Response) and kind.bare_errors:
        lines += [
            f"if status and not ({' or '.join(fields)} or tlvs):",
            "    return pack(16, command, status, sequence)",
        ]
    lines.append(f"body = {' + '.join(parts) or 'bytes()'}")
    lines += ["if tlvs:", "    body += encode_tlvs(tlvs)"]
    lines.append("return pack(16 + len(body), command, status, sequence) + body")
    encoder: Encode = _compile(kind, "pdu, sequence", lines)
    return encoder


def _compile_decoder(kind: type[Request] | type[Response]) -> Decode:
    """For query_sm: find each text's NUL, take runs of octets at once, make the struct; check every end on the way."""
    fields = fields_of(kind)
    strict = issubclass(kind, Request)
    lines: list[str] = []
    run: list[str] = []  # octets side by side

    def close() -> None:
        if run:
            lines.append(f"if pos + {len(run)} > end:")
            lines.append(f"    raise ends_in({run[0]!r})")
            lines.append(f"{', '.join(run)}, = data[pos:pos + {len(run)}]")
            lines.append(f"pos += {len(run)}")
            run.clear()

    for name, field in fields.items():
        if field.kind == "octet":
            run.append(name)
            continue
        if field.kind == "message":
            run.append("length")
            close()
            lines += [f"{name} = data[pos:pos + length]", "pos += length"]
            lines += ["if pos > end:", f"    raise ends_in({name!r}, {int(field.refusal)})"]
            continue
        close()
        if field.kind == "text" and strict:
            lines.append(f"stop = data.find(0, pos, pos + {field.size})")
            lines.append("if not pos <= stop < end:")
            lines.append(f"    raise bad_text({name!r}, fields[{name!r}], pos, end)")
        elif field.kind == "text":
            lines += ["stop = data.find(0, pos, end)", "if stop < 0:", "    stop = end"]
        if field.kind == "text":
            lines += [f'{name} = data[pos:stop].decode("latin-1")', "pos = stop + 1"]
        else:
            lines.append(f"{name}, pos = decode_{field.kind}(data, pos, end)")
    close()
    lines += ["if pos < end:", f"    tlvs = decode_tlvs(data, pos, end, {strict})"]
    head = ["tlvs = ()"]
    if not strict:
        defaults = kind()
        head += [f"{name} = {getattr(defaults, name)!r}" for name in fields]
        lines = ["try:", *(f"    {line}" for line in lines), "except MalformedPdu:", "    pass"]
    made = ["tlvs", *([] if strict else ["status"]), *fields]
    assert made == list(kind.__struct_fields__)
    decoder: Decode = _compile(kind, "data, pos, end, status", [*head, *lines, f"return kind({', '.join(made)})"])
    return decoder


def _compile(kind: type[Request] | type[Response], arguments: str, lines: list[str]) -> Any:
    source = f"def {kind.name}({arguments}):\n" + "".join(f"    {line}\n" for line in lines)
    names: dict[str, Any] = {
        "MalformedPdu": MalformedPdu,
        "command": kind.command,
        "decode_destinations": decode_destinations,
        "decode_tlvs": decode_tlvs,
        "decode_unsuccessful": decode_unsuccessful,
        "encode_destinations": encode_destinations,
        "encode_tlvs": encode_tlvs,
        "encode_unsuccessful": encode_unsuccessful,
        "fields": fields_of(kind),
        "kind": kind,
        "pack": HEADER.pack,
        "ends_in": _ends_in,
        "bad_text": _bad_text,
    }
    exec(compile(source, f"<smpp {kind.name}>", "exec"), names)  # noqa: S102  the source is made of our own table
    return names[kind.name]


DECODERS: Final[Mapping[int, Decode]] = {command: _compile_decoder(kind) for command, kind in PDUS.items()}
ENCODERS: Final[Mapping[type[Pdu], Encode]] = {kind: _compile_encoder(kind) for kind in PDUS.values()}
