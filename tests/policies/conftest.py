from tests.api import columba, database

__all__ = ["columba", "database"]
