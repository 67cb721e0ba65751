"""Phone numbers: reading them into E.164, their country, kind of line and time zones; senders; masks for logs.

Pure: text in, text out, nothing of the rest of Columba. What can't be read raises `NumberError`; nothing else is
raised. The main path costs well under a microsecond a number and half a megabyte of tables; the phonenumbers library is
loaded when a number comes in another form than E.164, or when more is asked than its country.
"""

from columba.numbers.e164 import (
    COUNTRIES,
    NumberError,
    Reason,
    calling_code_of,
    country_of,
    normalise,
)
from columba.numbers.lookup import Description, LineType, describe, line_type, network, time_zones
from columba.numbers.senders import Sender, mask, sender

__all__ = [
    "COUNTRIES",
    "Description",
    "LineType",
    "NumberError",
    "Reason",
    "Sender",
    "calling_code_of",
    "country_of",
    "describe",
    "line_type",
    "mask",
    "network",
    "normalise",
    "sender",
    "time_zones",
]
