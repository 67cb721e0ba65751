"""Contacts: what an account knows of persons, by their numbers.

Owns the tables contacts and contact_tags. A contact belongs to an account in one of its modes, and its number is that of
no other there. Changes are made to it as it was read, so that none is lost where several are made at once (`room.py`).
Rules and templates see it as `contact` (`looking.py`); files bring and take many (`rows.py`, `files.py`).
"""

from pathlib import Path
from typing import Final

from columba.store import statements

SQL = statements(Path(__file__).with_name("contacts.sql"))

MOST_TAGS: Final = 50
MOST_ATTRIBUTES: Final = 50
LARGEST: Final = 8_192  # bytes of a contact's attributes
