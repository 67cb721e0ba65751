"""Files of rows, of any size: read as they come, written in small transactions, gone on with after an interruption.

A file is announced first, with what its rows don't say themselves; then it is sent, as CSV, in one request whose body is
never held whole. How many rows are dealt with is kept, so that the same file sent again goes on where it stopped. A row
that can't be taken is refused by itself, and named. Rows are about persons: each has a number.

Owns the tables imports and import_refusals. What a row means is its room's: a `Kind` of `room.py`, which consent and
contacts have. `reading.py` reads CSV, `writing.py` makes it, `api.py` has the endpoints that all files share.
"""

from pathlib import Path
from typing import Final

from columba.store import statements

SQL = statements(Path(__file__).with_name("imports.sql"))
AT_ONCE: Final = 500  # rows a transaction
