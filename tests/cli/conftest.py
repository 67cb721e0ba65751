"""An installation on either store, in this process."""

from tests.api import columba, database

__all__ = ["columba", "database"]
