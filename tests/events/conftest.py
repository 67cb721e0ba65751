"""Every test here runs on both stores."""

from tests.api import columba, database

__all__ = ["columba", "database"]
