"""What may be set of an SMPP carrier. `docs/smpp.md` says what each setting is good for.

Reading fails with ValueError (msgspec.ValidationError) that names the setting and never quotes a secret.
"""

import ssl
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from columba.carriers import SECRET
from columba.core.contract import Can, Cut
from columba.core.model import FAILURES
from columba.errors import FieldError
from columba.smpp.status import Status
from columba.smpp.values import DataCoding

Port = Annotated[int, Meta(ge=1, le=65535)]
Octet = Annotated[int, Meta(ge=0, le=255)]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Host = Annotated[str, Meta(min_length=1, max_length=253)]
SystemId = Annotated[str, Meta(max_length=15, pattern="^[ -~]*$")]
# The field has room for 8; some carriers give out longer ones, and want them.
Password = Annotated[str, Meta(max_length=64, pattern="^[ -~]*$", extra_json_schema=SECRET)]
Type = tuple[Octet, Octet]  # type of number, numbering plan indicator

Action = Literal["retry", "fail", "throttle", "reroute"]
IdForm = Literal["auto", "hex", "dec", "as-is"]
InboundAlphabet = Literal["gsm7", "gsm7-packed", "latin1", "ascii", "ucs2", "utf8"]
State = Literal["delivered", "undelivered", "expired", "unknown", "not-final"]

_NAMES: Final = {status.name: int(status) for status in Status}
_HARMLESS_TAGS: Final = frozenset({0x020C, 0x020E, 0x020F, 0x0424})  # those that the long texts' own TLVs have


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """What a traceback may show: what is set, but no secret."""
        shown = []
        for field in msgspec.structs.fields(type(self)):
            value = getattr(self, field.name)
            if value != field.default:
                shown.append((field.name, "***" if field.name == "password" else value))
        return shown

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"


class AddressTypes(Strict, frozen=True):
    """Type of number and numbering plan indicator, by what an address is.

    number: an international number
    short_code: digits that are no international number
    name: letters
    destination: the recipient's number
    """

    number: Type = (1, 1)
    short_code: Type = (3, 0)
    name: Type = (5, 0)
    destination: Type = (1, 1)


class Priorities(Strict, frozen=True):
    """priority_flag by the class of a message."""

    otp: Octet = 0
    transactional: Octet = 0
    marketing: Octet = 0


class CustomTlv(Strict, frozen=True):
    """The value of a TLV: one of the three.

    hex: its octets
    ascii: its characters, without a NUL
    number: a number of so many `octets`
    """

    hex: Annotated[str, Meta(max_length=1024, pattern="^([0-9A-Fa-f]{2})*$")] | None = None
    ascii: Annotated[str, Meta(max_length=512, pattern="^[ -~]*$")] | None = None
    number: Annotated[int, Meta(ge=0)] | None = msgspec.field(name="int", default=None)
    octets: Literal[1, 2, 4, 8] = 1

    def __post_init__(self) -> None:
        if sum(value is not None for value in (self.hex, self.ascii, self.number)) != 1:
            raise ValueError("A TLV has one of hex, ascii and int.")
        if self.number is not None and self.number >> 8 * self.octets:
            raise ValueError(f"{self.number} does not fit {self.octets} octets.")

    @property
    def value(self) -> bytes:
        if self.hex is not None:
            return bytes.fromhex(self.hex)
        if self.ascii is not None:
            return self.ascii.encode("ascii")
        assert self.number is not None
        return self.number.to_bytes(self.octets, "big")


class Outbind(Strict, frozen=True):
    """Where the carrier's outbind is waited for; what it has to say, if that is set.

    host: our address to listen at
    """

    port: Port
    host: Host = "0.0.0.0"  # noqa: S104  it is the carrier that connects
    system_id: SystemId = ""
    password: Password = ""


class Config(Strict, frozen=True, kw_only=True):
    """A bind to a mobile network or an aggregator.

    host: the carrier's address; not needed with `outbind`
    bind: `pair` opens a transmitter and a receiver side by side
    receive_port: where the receiver of a `pair` binds, if that is another port
    binds: how many, side by side
    tls: `unverified` takes any certificate
    ca: who may have signed the carrier's certificate (PEM), instead of the system's authorities
    server_name: the name in the carrier's certificate, where it isn't `host`
    address_range: which numbers' texts a receiver wants, as the carrier reads it; `address_range_type` goes with it
    enquire_link: seconds of silence after which the carrier is asked whether it is there; 0 is never
    response_timeout: seconds that a response may take
    bind_timeout: seconds that connecting and binding may take
    reconnect: seconds before the first new attempt; each further one waits twice as long, up to `reconnect_most`
    outbind: wait for the carrier to connect to us
    types: type of number and numbering plan, by what an address is
    plus: whether numbers have a `+` on the wire
    sender: what a message comes from that names no sender
    alphabet: the carrier's default alphabet; `ucs2` sends every text as UCS-2
    inbound_alphabet: the same for texts from the carrier, where it differs
    inbound_data_codings: what data_coding means in texts from the carrier, where it isn't what SMPP says (`{"1": "gsm7"}`)
    data_coding: what goes with texts in the default alphabet
    ucs2_data_coding: what goes with texts in UCS-2
    long: how the parts of a long text are joined: a header with an 8-bit or 16-bit reference, SAR TLVs, or not cut at all
    validity: how the end of a message's validity is told, if at all
    validity_most: at most so many seconds of it
    priority: priority_flag by class
    registered_delivery: which receipts are asked for; 0 is none, and messages end as sent
    tlvs: more TLVs for each submit_sm, by tag (`0x1401`)
    registration_tlvs: where a sender's registration goes, by what it is: India's `dlt_entity_id` and `dlt_template_id`
    message_id: how submit_sm_resp writes ids
    receipt_id: how receipts write ids
    receipt_states: what the words of receipts mean, where they don't mean what they should (`{"ACCEPTD": "delivered"}`)
    receipt_errors: the failure that an error number of receipts means (`{"069": "filtered"}`)
    unmarked_receipts: take texts that look like receipts for receipts, though esm_class doesn't say so
    command_status: what to do about an answer (`{"0x0000000B": "fail", "ESME_RSYSERR": "reroute"}`)
    unavailable: what receipts and texts are answered that can't be kept at the moment, so that they are sent again
    join_seconds: how long the parts of a text from a person wait for those that are missing
    """

    host: Host | None = None
    port: Port = 2775
    system_id: SystemId = ""
    password: Password = ""
    system_type: Annotated[str, Meta(max_length=12, pattern="^[ -~]*$")] = ""
    bind: Literal["transceiver", "transmitter", "receiver", "pair"] = "transceiver"
    receive_port: Port | None = None
    binds: Annotated[int, Meta(ge=1, le=64)] = 1
    interface_version: Literal["3.3", "3.4", "5.0"] = "3.4"
    address_range: Annotated[str, Meta(max_length=40, pattern="^[ -~]*$")] = ""
    address_range_type: Type = (0, 0)
    tls: bool | Literal["unverified"] = False
    ca: Annotated[str, Meta(max_length=200_000)] | None = None
    server_name: Host | None = None
    enquire_link: Annotated[float, Meta(ge=0, le=86_400)] = 30.0
    response_timeout: Seconds = 30.0
    bind_timeout: Seconds = 10.0
    reconnect: Seconds = 0.5
    reconnect_most: Seconds = 60.0
    outbind: Outbind | None = None

    types: AddressTypes = AddressTypes()
    plus: bool = False
    sender: Annotated[str, Meta(max_length=20, pattern="^[ -~]*$")] = ""
    alphabet: Literal["gsm7", "gsm7-packed", "latin1", "ascii", "ucs2"] = "gsm7"
    inbound_alphabet: InboundAlphabet | None = None
    inbound_data_codings: Annotated[dict[str, InboundAlphabet], Meta(max_length=256)] = {}
    data_coding: Octet = 0
    ucs2_data_coding: Octet = 8
    long: Literal["udh8", "udh16", "sar", "payload"] = "udh8"
    protocol_id: Octet = 0
    service_type: Annotated[str, Meta(max_length=5, pattern="^[ -~]*$")] = ""
    validity: Literal["off", "relative", "absolute"] = "relative"
    validity_most: Annotated[int, Meta(ge=60, le=2_592_000)] = 604_800
    priority: Priorities = Priorities()
    registered_delivery: Octet = 1
    tlvs: Annotated[dict[str, CustomTlv], Meta(max_length=50)] = {}
    registration_tlvs: Annotated[dict[str, str], Meta(max_length=10)] = msgspec.field(
        default_factory=lambda: {"dlt_entity_id": "0x1400", "dlt_template_id": "0x1401"}
    )

    message_id: IdForm = "auto"
    receipt_id: IdForm = "auto"
    receipt_states: Annotated[dict[str, State], Meta(max_length=50)] = {}
    receipt_errors: Annotated[dict[str, str], Meta(max_length=500)] = {}
    unmarked_receipts: bool = False
    command_status: Annotated[dict[str, Action], Meta(max_length=500)] = {}
    unavailable: Literal["ESME_RX_T_APPN", "ESME_RSYSERR", "ESME_RMSGQFUL"] = "ESME_RX_T_APPN"
    join_seconds: Seconds = 300.0

    def __post_init__(self) -> None:
        if self.host is None and self.outbind is None:
            raise ValueError("It needs a host, or outbind.")
        if self.outbind is not None and (self.binds > 1 or self.bind == "pair"):
            raise ValueError("With outbind there is one bind.")
        if self.bind == "receiver" and self.tlvs:
            raise ValueError("A receiver sends nothing that could have tlvs.")
        if self.reconnect > self.reconnect_most:
            raise ValueError("reconnect is at most reconnect_most.")
        if self.interface_version == "3.3" and (self.tlvs or self.long in ("sar", "payload")):
            raise ValueError("SMPP 3.3 has no TLVs: no tlvs, no long texts by sar or payload.")
        if self.alphabet == "gsm7-packed" and self.long == "payload":
            raise ValueError("Nobody knows where packed septets begin in a message_payload: choose another alphabet.")
        if self.ca is not None:
            try:
                ssl.create_default_context().load_verify_locations(cadata=self.ca)
            except (ssl.SSLError, ValueError):
                raise ValueError("ca is not a certificate in PEM.") from None
        for tag in self.tlvs:
            if tag_of(tag) in _HARMLESS_TAGS:
                raise ValueError(f"The TLV {tag} is set where a long text needs it.")
        for tag in self.registration_tlvs.values():
            tag_of(tag)
        for coding in self.inbound_data_codings:
            coding_of(coding)
        for status in self.command_status:
            status_of(status)
        for error in self.receipt_errors.values():
            if error not in FAILURES:
                raise ValueError(f"receipt_errors: {error!r:.40} is none of {', '.join(FAILURES)}.")


def tag_of(text: str) -> int:
    return _number(text, 0xFFFF, "TLV's tag")


def coding_of(text: str) -> int:
    return _number(text, 0xFF, "data_coding")


def status_of(text: str) -> int:
    """A command_status by its name or its number."""
    known = _NAMES.get(text)
    return known if known is not None else _number(text, 0xFFFFFFFF, "command_status")


def _number(text: str, most: int, what: str) -> int:
    try:
        number = int(text, 0) if len(text) <= 12 else -1
    except ValueError:
        number = -1
    if not 0 <= number <= most:
        raise ValueError(f"{text!r:.40} is no {what}: write it like 0x{0x1401:04x}.")
    return number


def cut(config: Config) -> Cut:
    """How texts have to be cut for this carrier."""
    repertoire: Any = "gsm7" if config.alphabet.startswith("gsm7") else config.alphabet
    return Cut(whole=config.long == "payload", wide=config.long == "udh16", alphabet=repertoire)


def can(config: Config) -> Can:
    """What is beyond a text: parts of programs pass as they are, if their alphabet is the carrier's and it takes headers."""
    passing: tuple[str, ...] = ()
    if config.long in ("udh8", "udh16"):
        own = (config.alphabet,) if config.data_coding == 0 else ()
        passing = ("", *own) if config.ucs2_data_coding == DataCoding.UCS2 else own
    return Can(raw=passing)


def outbinding(ports: Sequence[str]) -> Callable[[Config], Iterable[FieldError]]:
    """Where a carrier may be waited for: who may set up carriers may not open ports of this machine by that."""
    permitted = [(int(low), int(high or low)) for low, _, high in (each.partition("-") for each in ports)]

    def check(config: Config) -> Iterable[FieldError]:
        if config.outbind is not None:
            port = config.outbind.port
            if not any(low <= port <= high for low, high in permitted):
                detail = f"The operator permits no outbind at port {port}: `columba serve --smpp-outbind {port}` does."
                yield FieldError("config.outbind.port", "invalid_value", detail)

    return check


def context(config: Config) -> ssl.SSLContext:
    """How a connection over TLS is checked."""
    made = ssl.create_default_context(cadata=config.ca)
    if config.tls == "unverified":
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made
