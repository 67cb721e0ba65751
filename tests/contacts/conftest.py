"""`columba` is on both stores; `house` is the one of rules, to hear what becomes of texts."""

from tests.api import columba, database
from tests.rules.conftest import clock, house, sink

__all__ = ["clock", "columba", "database", "house", "sink"]
