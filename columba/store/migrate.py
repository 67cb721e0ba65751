"""The numbered migrations, in order, for either engine.

Owns `migrations/NNNN_name.sql`. A database newer than this program is refused: NewerDatabase.
"""

import re
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import NamedTuple

from .sql import Engine, for_engine

FOLDER = Path(__file__).parent / "migrations"


class NewerDatabase(Exception):
    """The database was made by a later version."""


class Migration(NamedTuple):
    number: int
    name: str
    source: str

    def text(self, engine: Engine) -> str:
        return for_engine(engine, self.source)


@cache
def all_migrations() -> tuple[Migration, ...]:
    found = []
    for file in sorted(FOLDER.glob("*.sql")):
        match = re.fullmatch(r"(\d{4})_(\w+)\.sql", file.name)
        if match:
            found.append(Migration(int(match[1]), match[2], file.read_text()))
    return tuple(found)


def latest() -> int:
    return all_migrations()[-1].number


def missing(have: Collection[int], upto: int | None = None) -> list[Migration]:
    """What is still to run, given the numbers that have run."""
    newer = max(have, default=0)
    if newer > latest():
        raise NewerDatabase(
            f"The database is at version {newer}, and this Columba knows versions up to {latest()}. "
            "Start the newer Columba that made it, or restore a backup from before the upgrade."
        )
    return [each for each in all_migrations() if each.number not in have and (upto is None or each.number <= upto)]
