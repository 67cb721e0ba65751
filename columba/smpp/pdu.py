"""The PDUs of SMPP 3.4 §4 as frozen structs. Their annotations are the table that codec.py compiles.

A struct's fields stand in the order of the wire and carry how they are written and which command_status refuses them.
`tlvs`, which is any PDU's last part, stands first because all have it: 5.0 allows TLVs everywhere, and so do vendors.
Text fields are Latin-1, the widest reading of "ASCII" that keeps every octet. A request has no status, a response has.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, NamedTuple, TypeAlias

import msgspec

from .status import Status
from .tlv import Tlvs
from .values import INTERFACE_VERSION


class Field(NamedTuple):
    """How a field is written: SMPP 3.4 §3.1."""

    kind: Literal["octet", "text", "message", "destinations", "unsuccessful"]
    size: int = 1  # a text's longest, with its NUL
    refusal: int = Status.ESME_RINVCMDLEN
    sent: int = 0  # a text's longest when we send it, where that differs


class SmeAddress(NamedTuple):
    """A destination of submit_multi: dest_flag 1."""

    ton: int
    npi: int
    address: str


class DistributionList(NamedTuple):
    """A destination of submit_multi: dest_flag 2."""

    name: str


class Unsuccessful(NamedTuple):
    """A destination that submit_multi could not submit to: SMPP 3.4 §4.5.2.1."""

    ton: int
    npi: int
    address: str
    status: int


Octet: TypeAlias = Annotated[int, Field("octet")]
ServiceType: TypeAlias = Annotated[str, Field("text", 6, Status.ESME_RINVSERTYP)]
Source: TypeAlias = Annotated[str, Field("text", 21, Status.ESME_RINVSRCADR)]
Destination: TypeAlias = Annotated[str, Field("text", 21, Status.ESME_RINVDSTADR)]
WideSource: TypeAlias = Annotated[str, Field("text", 65, Status.ESME_RINVSRCADR)]
WideDestination: TypeAlias = Annotated[str, Field("text", 65, Status.ESME_RINVDSTADR)]
Schedule: TypeAlias = Annotated[str, Field("text", 17, Status.ESME_RINVSCHED)]
Validity: TypeAlias = Annotated[str, Field("text", 17, Status.ESME_RINVEXPIRY)]
MessageId: TypeAlias = Annotated[str, Field("text", 65, Status.ESME_RINVMSGID)]
SystemId: TypeAlias = Annotated[str, Field("text", 16, Status.ESME_RINVSYSID)]
# Some carriers give out longer passwords than the field has room for; we send what we were given.
Password: TypeAlias = Annotated[str, Field("text", 9, Status.ESME_RINVPASWD, sent=65)]
SystemType: TypeAlias = Annotated[str, Field("text", 13, Status.ESME_RINVSYSTYP)]
AddressRange: TypeAlias = Annotated[str, Field("text", 41, Status.ESME_RBINDFAIL)]
# 254 octets at most in 3.4; 255, which 5.0 allows, is taken but not sent.
ShortMessage: TypeAlias = Annotated[bytes, Field("message", 254, Status.ESME_RINVMSGLEN)]


class Pdu(msgspec.Struct, frozen=True, gc=False):
    """What all PDUs have."""

    command: ClassVar[int]
    name: ClassVar[str]
    tlvs: Tlvs = ()


class Response(Pdu, frozen=True):
    """An answer; `status` is its command_status."""

    # 3.4 leaves the body of these away when command_status is an error.
    bare_errors: ClassVar[bool] = False
    status: int = Status.ESME_ROK.value


class Request(Pdu, frozen=True):
    """A PDU that `response` answers; outbind and alert_notification have none."""

    response: ClassVar[type[Response] | None] = None


class GenericNack(Response, frozen=True):  # §4.3.1
    command: ClassVar[int] = 0x80000000
    name: ClassVar[str] = "generic_nack"


class BindResponse(Response, frozen=True):
    bare_errors: ClassVar[bool] = True
    system_id: SystemId = ""


class BindReceiverResp(BindResponse, frozen=True):  # §4.1.4
    command: ClassVar[int] = 0x80000001
    name: ClassVar[str] = "bind_receiver_resp"


class BindTransmitterResp(BindResponse, frozen=True):  # §4.1.2
    command: ClassVar[int] = 0x80000002
    name: ClassVar[str] = "bind_transmitter_resp"


class BindTransceiverResp(BindResponse, frozen=True):  # §4.1.6
    command: ClassVar[int] = 0x80000009
    name: ClassVar[str] = "bind_transceiver_resp"


class Bind(Request, frozen=True):
    """What the three binds share."""

    response: ClassVar[type[BindResponse]]
    system_id: SystemId = ""
    password: Password = ""
    system_type: SystemType = ""
    interface_version: Octet = INTERFACE_VERSION
    addr_ton: Octet = 0
    addr_npi: Octet = 0
    address_range: AddressRange = ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(system_id={self.system_id!r}, password=***)"


class BindReceiver(Bind, frozen=True):  # §4.1.3
    command: ClassVar[int] = 0x00000001
    name: ClassVar[str] = "bind_receiver"
    response: ClassVar[type[BindResponse]] = BindReceiverResp


class BindTransmitter(Bind, frozen=True):  # §4.1.1
    command: ClassVar[int] = 0x00000002
    name: ClassVar[str] = "bind_transmitter"
    response: ClassVar[type[BindResponse]] = BindTransmitterResp


class BindTransceiver(Bind, frozen=True):  # §4.1.5
    command: ClassVar[int] = 0x00000009
    name: ClassVar[str] = "bind_transceiver"
    response: ClassVar[type[BindResponse]] = BindTransceiverResp


class Outbind(Request, frozen=True):  # §4.1.7
    command: ClassVar[int] = 0x0000000B
    name: ClassVar[str] = "outbind"
    system_id: SystemId = ""
    password: Password = ""

    def __repr__(self) -> str:
        return f"Outbind(system_id={self.system_id!r}, password=***)"


class UnbindResp(Response, frozen=True):  # §4.2.2
    command: ClassVar[int] = 0x80000006
    name: ClassVar[str] = "unbind_resp"


class Unbind(Request, frozen=True):  # §4.2.1
    command: ClassVar[int] = 0x00000006
    name: ClassVar[str] = "unbind"
    response: ClassVar[type[Response] | None] = UnbindResp


class SubmitSmResp(Response, frozen=True):  # §4.4.2
    command: ClassVar[int] = 0x80000004
    name: ClassVar[str] = "submit_sm_resp"
    bare_errors: ClassVar[bool] = True
    message_id: MessageId = ""


class DeliverSmResp(Response, frozen=True):  # §4.6.2, where message_id is a lone NUL
    command: ClassVar[int] = 0x80000005
    name: ClassVar[str] = "deliver_sm_resp"
    message_id: MessageId = ""


class ShortMessagePdu(Request, frozen=True):
    """What submit_sm and deliver_sm share: all of it."""

    service_type: ServiceType = ""
    source_addr_ton: Octet = 0
    source_addr_npi: Octet = 0
    source_addr: Source = ""
    dest_addr_ton: Octet = 0
    dest_addr_npi: Octet = 0
    destination_addr: Destination = ""
    esm_class: Octet = 0
    protocol_id: Octet = 0
    priority_flag: Octet = 0
    schedule_delivery_time: Schedule = ""
    validity_period: Validity = ""
    registered_delivery: Octet = 0
    replace_if_present_flag: Octet = 0
    data_coding: Octet = 0
    sm_default_msg_id: Octet = 0
    short_message: ShortMessage = b""


class SubmitSm(ShortMessagePdu, frozen=True):  # §4.4.1
    command: ClassVar[int] = 0x00000004
    name: ClassVar[str] = "submit_sm"
    response: ClassVar[type[Response] | None] = SubmitSmResp


class DeliverSm(ShortMessagePdu, frozen=True):  # §4.6.1
    command: ClassVar[int] = 0x00000005
    name: ClassVar[str] = "deliver_sm"
    response: ClassVar[type[Response] | None] = DeliverSmResp


class SubmitMultiResp(Response, frozen=True):  # §4.5.2
    command: ClassVar[int] = 0x80000021
    name: ClassVar[str] = "submit_multi_resp"
    message_id: MessageId = ""
    unsuccessful: Annotated[tuple[Unsuccessful, ...], Field("unsuccessful")] = ()


class SubmitMulti(Request, frozen=True):  # §4.5.1
    command: ClassVar[int] = 0x00000021
    name: ClassVar[str] = "submit_multi"
    response: ClassVar[type[Response] | None] = SubmitMultiResp
    service_type: ServiceType = ""
    source_addr_ton: Octet = 0
    source_addr_npi: Octet = 0
    source_addr: Source = ""
    destinations: Annotated[
        tuple[SmeAddress | DistributionList, ...], Field("destinations", refusal=Status.ESME_RINVNUMDESTS)
    ] = ()
    esm_class: Octet = 0
    protocol_id: Octet = 0
    priority_flag: Octet = 0
    schedule_delivery_time: Schedule = ""
    validity_period: Validity = ""
    registered_delivery: Octet = 0
    replace_if_present_flag: Octet = 0
    data_coding: Octet = 0
    sm_default_msg_id: Octet = 0
    short_message: ShortMessage = b""


class DataSmResp(Response, frozen=True):  # §4.7.2
    command: ClassVar[int] = 0x80000103
    name: ClassVar[str] = "data_sm_resp"
    message_id: MessageId = ""


class DataSm(Request, frozen=True):  # §4.7.1
    command: ClassVar[int] = 0x00000103
    name: ClassVar[str] = "data_sm"
    response: ClassVar[type[Response] | None] = DataSmResp
    service_type: ServiceType = ""
    source_addr_ton: Octet = 0
    source_addr_npi: Octet = 0
    source_addr: WideSource = ""
    dest_addr_ton: Octet = 0
    dest_addr_npi: Octet = 0
    destination_addr: WideDestination = ""
    esm_class: Octet = 0
    registered_delivery: Octet = 0
    data_coding: Octet = 0


class QuerySmResp(Response, frozen=True):  # §4.8.2
    command: ClassVar[int] = 0x80000003
    name: ClassVar[str] = "query_sm_resp"
    message_id: MessageId = ""
    final_date: Annotated[str, Field("text", 17)] = ""
    message_state: Octet = 0
    error_code: Octet = 0


class QuerySm(Request, frozen=True):  # §4.8.1
    command: ClassVar[int] = 0x00000003
    name: ClassVar[str] = "query_sm"
    response: ClassVar[type[Response] | None] = QuerySmResp
    message_id: MessageId = ""
    source_addr_ton: Octet = 0
    source_addr_npi: Octet = 0
    source_addr: Source = ""


class CancelSmResp(Response, frozen=True):  # §4.9.2
    command: ClassVar[int] = 0x80000008
    name: ClassVar[str] = "cancel_sm_resp"


class CancelSm(Request, frozen=True):  # §4.9.1
    command: ClassVar[int] = 0x00000008
    name: ClassVar[str] = "cancel_sm"
    response: ClassVar[type[Response] | None] = CancelSmResp
    service_type: ServiceType = ""
    message_id: MessageId = ""
    source_addr_ton: Octet = 0
    source_addr_npi: Octet = 0
    source_addr: Source = ""
    dest_addr_ton: Octet = 0
    dest_addr_npi: Octet = 0
    destination_addr: Destination = ""


class ReplaceSmResp(Response, frozen=True):  # §4.10.2
    command: ClassVar[int] = 0x80000007
    name: ClassVar[str] = "replace_sm_resp"


class ReplaceSm(Request, frozen=True):  # §4.10.1
    command: ClassVar[int] = 0x00000007
    name: ClassVar[str] = "replace_sm"
    response: ClassVar[type[Response] | None] = ReplaceSmResp
    message_id: MessageId = ""
    source_addr_ton: Octet = 0
    source_addr_npi: Octet = 0
    source_addr: Source = ""
    schedule_delivery_time: Schedule = ""
    validity_period: Validity = ""
    registered_delivery: Octet = 0
    sm_default_msg_id: Octet = 0
    short_message: ShortMessage = b""


class EnquireLinkResp(Response, frozen=True):  # §4.11.2
    command: ClassVar[int] = 0x80000015
    name: ClassVar[str] = "enquire_link_resp"


class EnquireLink(Request, frozen=True):  # §4.11.1
    command: ClassVar[int] = 0x00000015
    name: ClassVar[str] = "enquire_link"
    response: ClassVar[type[Response] | None] = EnquireLinkResp


class AlertNotification(Request, frozen=True):  # §4.12.1
    command: ClassVar[int] = 0x00000102
    name: ClassVar[str] = "alert_notification"
    source_addr_ton: Octet = 0
    source_addr_npi: Octet = 0
    source_addr: WideSource = ""
    esme_addr_ton: Octet = 0
    esme_addr_npi: Octet = 0
    esme_addr: WideDestination = ""


REQUESTS: tuple[type[Request], ...] = (
    BindReceiver,
    BindTransmitter,
    BindTransceiver,
    Outbind,
    Unbind,
    SubmitSm,
    SubmitMulti,
    DeliverSm,
    DataSm,
    QuerySm,
    CancelSm,
    ReplaceSm,
    EnquireLink,
    AlertNotification,
)
RESPONSES: tuple[type[Response], ...] = (GenericNack, *(kind.response for kind in REQUESTS if kind.response))
PDUS: Mapping[int, type[Request] | type[Response]] = {
    **{kind.command: kind for kind in REQUESTS},
    **{kind.command: kind for kind in RESPONSES},
}
