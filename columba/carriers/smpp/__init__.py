"""Carriers that are bound to over SMPP: mobile networks, aggregators, and whatever else speaks it.

A session of `session.py` has one connection (`line.py`) or, for a pair, two. Parts become submit_sm in `outgoing.py`,
their answers outcomes in `answers.py`; receipts are read in `receipts.py` and `ids.py`, texts in `incoming.py`, and both
are kept before they are answered, in `intake.py`. What may be set stands in `config.py` and in docs/smpp.md.
"""

from columba.carriers import CarrierKind

from .config import Config, can, cut
from .session import WINDOW, SmppSession

KIND = CarrierKind(
    "smpp",
    Config,
    SmppSession,
    lanes=lambda config: int(config.binds),
    window=WINDOW,
    cut=cut,
    can=can,
    sends=lambda config: bool(config.bind != "receiver"),
)
