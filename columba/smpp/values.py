"""The values of SMPP's small fields: address types, esm_class, registered_delivery, data_coding, message states.

Only names for numbers. The structs keep plain ints, since peers send values that no list has.
"""

from enum import IntEnum

INTERFACE_VERSION = 0x34  # SMPP 3.4 §5.2.4; up to 0x33 a peer knows no TLVs


class Ton(IntEnum):
    """Type of number: SMPP 3.4 §5.2.5."""

    UNKNOWN = 0
    INTERNATIONAL = 1
    NATIONAL = 2
    NETWORK_SPECIFIC = 3
    SUBSCRIBER_NUMBER = 4
    ALPHANUMERIC = 5
    ABBREVIATED = 6


class Npi(IntEnum):
    """Numbering plan indicator: SMPP 3.4 §5.2.6."""

    UNKNOWN = 0
    ISDN = 1  # E.163, E.164
    DATA = 3  # X.121
    TELEX = 4  # F.69
    LAND_MOBILE = 6  # E.212
    NATIONAL = 8
    PRIVATE = 9
    ERMES = 10
    INTERNET = 14
    WAP_CLIENT_ID = 18


class EsmClass(IntEnum):
    """esm_class: SMPP 3.4 §5.2.12. Bits 0-1 are the mode, 2-5 the type, 6-7 the GSM features."""

    DEFAULT = 0x00
    DATAGRAM = 0x01
    FORWARD = 0x02
    STORE_AND_FORWARD = 0x03
    MODE = 0x03  # the mask of the mode
    DELIVERY_RECEIPT = 0x04
    SME_DELIVERY_ACK = 0x08
    SME_USER_ACK = 0x10
    CONVERSATION_ABORT = 0x18
    INTERMEDIATE_NOTIFICATION = 0x20
    TYPE = 0x3C  # the mask of the type
    UDHI = 0x40  # short_message or message_payload opens with a user data header
    REPLY_PATH = 0x80


class RegisteredDelivery(IntEnum):
    """registered_delivery: SMPP 3.4 §5.2.17. Bits 0-1 ask for the receipt, 2-3 for acknowledgements, 4 for more."""

    NONE = 0x00
    FINAL = 0x01  # a receipt when delivered or failed
    FAILURE = 0x02  # a receipt when failed
    SUCCESS = 0x03  # 5.0: a receipt when delivered; reserved in 3.4
    RECEIPT = 0x03  # the mask of the receipt
    SME_DELIVERY_ACK = 0x04
    SME_USER_ACK = 0x08
    INTERMEDIATE = 0x10


class DataCoding(IntEnum):
    """data_coding: SMPP 3.4 §5.2.19. From 0xC0 on its bits are those of 3GPP 23.038 §4."""

    DEFAULT = 0x00  # the SMSC's own default alphabet
    ASCII = 0x01  # IA5
    OCTETS = 0x02
    LATIN1 = 0x03
    OCTETS_ALL = 0x04
    JIS = 0x05
    CYRILLIC = 0x06  # ISO 8859-5
    HEBREW = 0x07  # ISO 8859-8
    UCS2 = 0x08
    PICTOGRAM = 0x09
    ISO_2022_JP = 0x0A
    EXTENDED_KANJI = 0x0D
    KS_C_5601 = 0x0E


class MessageState(IntEnum):
    """message_state: SMPP 3.4 §5.2.28; SCHEDULED and SKIPPED are 5.0's (§4.7.15)."""

    SCHEDULED = 0
    ENROUTE = 1
    DELIVERED = 2
    EXPIRED = 3
    DELETED = 4
    UNDELIVERABLE = 5
    ACCEPTED = 6
    UNKNOWN = 7
    REJECTED = 8
    SKIPPED = 9
