"""Every command_status, with its name and what it means, in one table.

Owns the names; fails never: `name_of` has a word for any number. The names are those of 3.4, where 5.0 renamed a code
(0xC0 to 0xC4) 3.4's stay.
"""

from enum import IntEnum


class Status(IntEnum):
    """command_status: SMPP 3.4 §5.1.3, and from 0x100 on SMPP 5.0 §4.7.6."""

    meaning: str

    def __new__(cls, value: int, meaning: str) -> "Status":
        status = int.__new__(cls, value)
        status._value_ = value
        status.meaning = meaning
        return status

    ESME_ROK = 0x00, "no error"
    ESME_RINVMSGLEN = 0x01, "the message's length is not valid"
    ESME_RINVCMDLEN = 0x02, "command_length is not valid"
    ESME_RINVCMDID = 0x03, "command_id is not known or not supported"
    ESME_RINVBNDSTS = 0x04, "not allowed in the session's bind state"
    ESME_RALYBND = 0x05, "already bound"
    ESME_RINVPRTFLG = 0x06, "priority_flag is not valid"
    ESME_RINVREGDLVFLG = 0x07, "registered_delivery is not valid"
    ESME_RSYSERR = 0x08, "system error"
    ESME_RINVSRCADR = 0x0A, "the source address is not valid"
    ESME_RINVDSTADR = 0x0B, "the destination address is not valid"
    ESME_RINVMSGID = 0x0C, "message_id is not valid"
    ESME_RBINDFAIL = 0x0D, "the bind failed"
    ESME_RINVPASWD = 0x0E, "the password is not valid"
    ESME_RINVSYSID = 0x0F, "system_id is not valid"
    ESME_RCANCELFAIL = 0x11, "cancel_sm failed"
    ESME_RREPLACEFAIL = 0x13, "replace_sm failed"
    ESME_RMSGQFUL = 0x14, "the message queue is full"
    ESME_RINVSERTYP = 0x15, "service_type is not valid"
    ESME_RINVNUMDESTS = 0x33, "the number of destinations is not valid"
    ESME_RINVDLNAME = 0x34, "the distribution list's name is not valid"
    ESME_RINVDESTFLAG = 0x40, "dest_flag is not valid"
    ESME_RINVSUBREP = 0x42, "submit with replace is not valid here"
    ESME_RINVESMCLASS = 0x43, "esm_class is not valid"
    ESME_RCNTSUBDL = 0x44, "can't submit to the distribution list"
    ESME_RSUBMITFAIL = 0x45, "the submission failed"
    ESME_RINVSRCTON = 0x48, "the source's type of number is not valid"
    ESME_RINVSRCNPI = 0x49, "the source's numbering plan is not valid"
    ESME_RINVDSTTON = 0x50, "the destination's type of number is not valid"
    ESME_RINVDSTNPI = 0x51, "the destination's numbering plan is not valid"
    ESME_RINVSYSTYP = 0x53, "system_type is not valid"
    ESME_RINVREPFLAG = 0x54, "replace_if_present_flag is not valid"
    ESME_RINVNUMMSGS = 0x55, "the number of messages is not valid"
    ESME_RTHROTTLED = 0x58, "throttled: more than the allowed rate"
    ESME_RINVSCHED = 0x61, "schedule_delivery_time is not valid"
    ESME_RINVEXPIRY = 0x62, "validity_period is not valid"
    ESME_RINVDFTMSGID = 0x63, "sm_default_msg_id is not valid or not found"
    ESME_RX_T_APPN = 0x64, "the receiver can't take it for now: send it again"
    ESME_RX_P_APPN = 0x65, "the receiver will never take it"
    ESME_RX_R_APPN = 0x66, "the receiver rejects this message"
    ESME_RQUERYFAIL = 0x67, "query_sm failed"
    ESME_RINVOPTPARSTREAM = 0xC0, "the optional parameters can't be read"
    ESME_ROPTPARNOTALLWD = 0xC1, "an optional parameter is not allowed here"
    ESME_RINVPARLEN = 0xC2, "a parameter's length is not valid"
    ESME_RMISSINGOPTPARAM = 0xC3, "an optional parameter that is needed is missing"
    ESME_RINVOPTPARAMVAL = 0xC4, "an optional parameter's value is not valid"
    ESME_RDELIVERYFAILURE = 0xFE, "the delivery failed (data_sm_resp)"
    ESME_RUNKNOWNERR = 0xFF, "unknown error"
    ESME_RSERTYPUNAUTH = 0x100, "not authorised to use this service_type"
    ESME_RPROHIBITED = 0x101, "not allowed to use this operation"
    ESME_RSERTYPUNAVAIL = 0x102, "the service_type is not available"
    ESME_RSERTYPDENIED = 0x103, "the service_type refuses this message"
    ESME_RINVDCS = 0x104, "data_coding is not valid"
    ESME_RINVSRCADDRSUBUNIT = 0x105, "the source address's subunit is not valid"
    ESME_RINVDSTADDRSUBUNIT = 0x106, "the destination address's subunit is not valid"
    ESME_RINVBCASTFREQINT = 0x107, "the broadcast's interval is not valid"
    ESME_RINVBCASTALIAS_NAME = 0x108, "the broadcast's alias is not valid"
    ESME_RINVBCASTAREAFMT = 0x109, "the broadcast area's format is not valid"
    ESME_RINVNUMBCAST_AREAS = 0x10A, "the number of broadcast areas is not valid"
    ESME_RINVBCASTCNTTYPE = 0x10B, "the broadcast's content type is not valid"
    ESME_RINVBCASTMSGCLASS = 0x10C, "the broadcast's message class is not valid"
    ESME_RBCASTFAIL = 0x10D, "the broadcast failed"
    ESME_RBCASTQUERYFAIL = 0x10E, "query_broadcast_sm failed"
    ESME_RBCASTCANCELFAIL = 0x10F, "cancel_broadcast_sm failed"
    ESME_RINVBCAST_REP = 0x110, "the broadcast's number of repeats is not valid"
    ESME_RINVBCASTSRVGRP = 0x111, "the broadcast's service group is not valid"
    ESME_RINVBCASTCHANIND = 0x112, "the broadcast's channel is not valid"


# SMPP 3.4 §5.1.3: these are each vendor's own; anything else that is not in the table is reserved.
VENDOR = range(0x400, 0x500)

_BY_NUMBER = {int(status): status for status in Status}


def name_of(status: int) -> str:
    """`ESME_RTHROTTLED`, `vendor 0x00000401` or `reserved 0x00000150`."""
    if (known := _BY_NUMBER.get(status)) is not None:
        return known.name
    return f"{'vendor' if status in VENDOR else 'reserved'} 0x{status:08x}"


def meaning_of(status: int) -> str:
    """One line on what it means."""
    if (known := _BY_NUMBER.get(status)) is not None:
        return known.meaning
    return "an error of this vendor's own" if status in VENDOR else "a reserved code"
