"""Every list is led by an index, on both engines: no statement reads a table or sorts one."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import apsw
import asyncpg
import pytest
import pytest_asyncio

from columba.messages.cancel import SQL
from columba.store import Statement, open_store

INDEXES = {
    "newest": "messages_by_account",
    "newest_of_batch": "messages_by_batch",
    "newest_tagged": "tags",
    "newest_to": "messages_by_number",
    "newest_from": "messages_by_sender",
    "newest_in_trouble": "messages_in_trouble",
}
VALUES = {"value": 51, "account_id": 1, "mode": 0, "after": 0, "before": 1 << 60, "most": 50, "tag": "t"}
VALUES |= {"status": 0, "direction": -1, "to_addr": "", "from_addr": "", "batch_id": 0, "id": 1}


def values(statement: Statement) -> dict[str, Any]:
    found: dict[str, Any] = {name: VALUES[name] for name in statement.params}
    if statement.name in ("newest_tagged", "newest_to", "newest_from"):
        found["value"] = "x"
    return found


class Plans:
    """How an engine would run a statement."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url

    async def of(self, statement: Statement) -> str:
        given = values(statement)
        if not self.url:
            connection = apsw.Connection(str(self.folder / "columba.db"))
            bindings = {**given, **({"batch": "[[1]]"} if statement.columns else {})}
            plan = "\n".join(
                str(row[3]) for row in connection.execute(f"explain query plan {statement.sqlite}", bindings)
            )
            connection.close()
            return plan
        connection = await asyncpg.connect(self.url)
        await connection.execute("set enable_seqscan = off; set enable_bitmapscan = off")
        arguments = [*(["[[1]]"] if statement.columns else []), *given.values()]
        plan = "\n".join(row[0] for row in await connection.fetch(f"explain {statement.postgres}", *arguments))
        await connection.close()
        return plan


@pytest_asyncio.fixture
async def plans(tmp_path: Path, database: str) -> AsyncIterator[Plans]:
    store = await open_store(database or tmp_path)
    await store.close()
    yield Plans(tmp_path, database)


async def test_lists_go_down_an_index(plans: Plans) -> None:
    for name, index in INDEXES.items():
        plan = await plans.of(SQL[name])
        assert index in plan or (name == "newest_tagged" and "PRIMARY KEY" in plan), f"{name}:\n{plan}"
        assert not any(word in plan for word in ("Seq Scan", "SCAN m", "SCAN t", "TEMP B-TREE", "Sort")), (
            f"{name}:\n{plan}"
        )


@pytest.mark.parametrize("name", ["sift", "message", "parts", "timeline"])
async def test_what_is_shown_is_found_by_its_id(plans: Plans, name: str) -> None:
    plan = await plans.of(SQL[name])
    assert not any(word in plan for word in ("Seq Scan", "SCAN m", "SCAN b", "SCAN p", "SCAN e")), plan
    assert "json_each" not in plan or plan.startswith("SCAN json_each"), f"the rows are read for each message:\n{plan}"
