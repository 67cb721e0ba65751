"""`house` runs on both stores, `small` on SQLite where the store makes no difference."""

from tests.routing.conftest import database, house, small

__all__ = ["database", "house", "small"]
