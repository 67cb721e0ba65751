"""Consent: who allowed what, kept as a promise by itself.

The ledger (`ledger.py`) is what people said, in the order in which it came to be known. Where a person stands follows
from it in the same transaction: the newest word that covers sender and class decides. `gate.py` asks that in the
accepting transaction; `stopping.py` keeps what was accepted before an opt-out from leaving; `keywords.py` and
`follower.py` hear it in what people write. Numbers are found by a keyed hash (`hashes.py`), which outlives them.
"""

from pathlib import Path
from typing import Final

from columba.store import statements

SQL = statements(Path(__file__).with_name("consent.sql"))

OPT_OUT, OPT_IN, REQUESTED = 0, 1, 2
ACTIONS: Final = ("opt_out", "opt_in", "opt_in_requested")
EVERY_CLASS: Final = -1

# `only_if` of `record` in consent.sql
ALWAYS, IF_IN_QUESTION, IF_NEW, IF_NEWER, IF_NOT_OUT = 0, 1, 2, 3, 4
