"""A process that opens stores when it is told to: a line names the place, the answer what it did there."""

import asyncio
import json
import sys
from pathlib import Path

from columba.store import StoreRefused, open_store
from columba.store.postgres import migrate_postgres
from columba.store.sqlite import migrate_sqlite


async def start(place: str) -> object:
    """The migrations that this process ran, then opening as `serve` does."""
    try:
        if place.startswith("postgres"):
            ran = await migrate_postgres(place)
            store = await open_store(place)
        else:
            ran = await asyncio.to_thread(migrate_sqlite, Path(place) / "columba.db")
            store = await open_store(Path(place))
    except StoreRefused as refused:
        return str(refused)
    await store.close()
    return ran


def main() -> None:
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(asyncio.run(start(line.strip()))), flush=True)


if __name__ == "__main__":
    main()
