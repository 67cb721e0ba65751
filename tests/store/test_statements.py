"""Every named statement of the program, on both engines: it can be prepared, and the main path's use indexes."""

import json
import re
from pathlib import Path
from typing import Any

import apsw
import asyncpg
import pytest

import columba
from columba.store import Statement, statements
from columba.store.postgres import PLANNER
from columba.store.sqlite import migrate_sqlite
from tests.store import places

FILES = sorted(file for file in Path(columba.__file__).parent.rglob("*.sql") if file.parent.name != "migrations")
ALL = {f"{file.parent.name}/{name}": each for file in FILES for name, each in statements(file).items()}
# Tables that grow with the traffic: nothing on the main path may read one from end to end.
GROWING = ("messages", "bodies", "tags", "parts", "parked_receipts", "events", "deliveries", "attempts", "idempotency")
# What reads much on purpose, and seldom. Receipts are parked for hours at most.
SWEEPS = ("webhooks/sweep_deliveries", "webhooks/sweep_attempts", "smpp/sweep_stale", "privacy/erase_parked_codes")
ROWS = 20_000


def test_there_are_statements() -> None:
    assert len(ALL) > 30


@pytest.fixture
def sqlite(tmp_path: Path) -> Any:
    migrate_sqlite(tmp_path / "columba.db")
    connection = apsw.Connection(str(tmp_path / "columba.db"))
    yield connection
    connection.close()


def bound(statement: Statement) -> dict[str, Any]:
    """Values for a statement's parameters; no rows."""
    return {"batch": "[]"} | dict.fromkeys(statement.params, 1)


def test_every_statement_prepares_on_sqlite(sqlite: apsw.Connection) -> None:
    wrong = {}
    for name, statement in ALL.items():
        for text in (statement.sqlite, statement.whole, statement.blind):
            if text:
                try:
                    sqlite.execute("explain " + text, bound(statement)).fetchall()
                except apsw.Error as error:
                    wrong[name] = str(error)
    assert not wrong


async def test_every_statement_prepares_on_postgres(postgres_url: str) -> None:
    wrong = {}
    async with places.opened(postgres_url), places.connected(postgres_url) as connection:
        for name, statement in ALL.items():
            if not statement.postgres:
                continue
            try:
                prepared = await connection.prepare(statement.postgres)
                assert len(prepared.get_parameters()) == len(statement.params) + bool(statement.columns)
            except asyncpg.PostgresError as error:
                wrong[name] = str(error)
    assert not wrong


def test_sqlite_reads_no_growing_table_from_end_to_end(sqlite: apsw.Connection) -> None:
    """Also with statistics of a filled database: they may change the planner's mind.

    An index of some rows only may be read whole: that of what is pending, for one.
    """
    wrong = {}
    rows = sqlite.execute("select name from sqlite_master where type = 'index' and sql like '% where %'")
    partial = "|".join(str(row[0]) for row in rows)
    for filled in (False, True):
        if filled:
            fill(sqlite)
        for name, statement in ALL.items():
            for text in (statement.sqlite, statement.whole, statement.blind):
                if not text or name in SWEEPS:
                    continue
                steps = [row[3] for row in sqlite.execute("explain query plan " + text, bound(statement))]
                scan = rf"SCAN ({aliases(text)})\b(?! USING (COVERING )?INDEX ({partial})$)"
                bad = [step for step in steps if re.match(rf"{scan}|SEARCH ({aliases(text)}) USING AUTOMATIC", step)]
                if bad:
                    wrong[name, filled] = bad
    assert not wrong


def aliases(text: str) -> str:
    """The growing tables and what a statement calls them, and nothing else: not what comes of a select in brackets."""
    called = {alias for _, alias in re.findall(rf"\b({'|'.join(GROWING)})\s+(?:as\s+)?(\w\w?)\b", text)}
    return "|".join({*GROWING, *(called - set(re.findall(r"\)\s+(\w\w?)\b", text)))})


def fill(connection: apsw.Connection) -> None:
    connection.execute(FILLING + "analyze")


async def test_postgres_reads_no_growing_table_from_end_to_end(postgres_url: str) -> None:
    wrong = {}
    settings = PLANNER | {"plan_cache_mode": "force_generic_plan"}
    async with places.opened(postgres_url), places.connected(postgres_url, settings) as connection:
        for filled in (False, True):
            if filled:
                await connection.execute(FILLING + "analyze")
            for number, (name, statement) in enumerate(ALL.items()):
                if name in SWEEPS or not statement.postgres:
                    continue
                plan = await plan_of(connection, f"s{filled:d}_{number}", statement)
                bad = [
                    f"{node['Node Type']} on {node['Relation Name']}"
                    for node in nodes(plan)
                    if node["Node Type"] == "Seq Scan" and node["Relation Name"] in GROWING
                ]
                if bad:
                    wrong[name, filled] = bad
    assert not wrong


async def plan_of(connection: asyncpg.Connection, name: str, statement: Statement) -> dict[str, Any]:
    """As it would run: prepared, with a plan for any parameters."""
    await connection.execute(f"prepare {name} as {statement.postgres}")
    values = ["'[]'"] * bool(statement.columns) + ["null"] * len(statement.params)
    call = f"execute {name}({', '.join(values)})" if values else f"execute {name}"
    (row,) = await connection.fetch(f"explain (format json) {call}")
    found: dict[str, Any] = json.loads(row[0])[0]["Plan"]
    return found


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for each in plan.get("Plans", ()) for node in nodes(each))]


_COUNTING = f"with recursive r(n) as (select 1 union all select n + 1 from r where n < {ROWS})"
FILLING = f"""
insert into accounts (id, name, created_at) values (1, 'one', 0), (2, 'two', 0);
{_COUNTING} insert into messages (id, account_id, mode, direction, status, class, lane, to_addr, from_addr, encoding,
  segments, due_at, expires_at, updated_at, batch_id)
  select n, 1 + n % 2, 1, 0, case when n % 20 = 0 then 20 when n % 20 = 1 then 30 else 50 end, n % 3, 64 + n % 2,
  '+4477009' || (n % 5000), '', 0, 1, n, n + 1000, n, case when n % 4 = 0 then n / 100 end from r;
{_COUNTING} insert into bodies (message_id, text) select n, 'text' from r;
{_COUNTING} insert into tags (account_id, mode, tag, message_id) select 1 + n % 2, 1, 'tag' || (n % 50), n from r;
{_COUNTING} insert into parts (message_id, n, carrier_id, carrier_message_id, status, sent_at)
  select n, 1, 64, 'id' || n, case when n % 20 < 2 then 30 else 50 end, n from r;
{_COUNTING} insert into parked_receipts (event_id, carrier_id, carrier_message_id, status, at)
  select n, 64, 'other' || n, 50, n from r;
{_COUNTING} insert into events (id, account_id, mode, type, subject, at) select n, 1 + n % 2, 1, 20, n, n from r;
{_COUNTING} insert into deliveries (endpoint_id, event_id, status, due_at, updated_at)
  select 500 + n % 3, n, case when n % 20 = 0 then 0 else 1 end, n, n from r;
{_COUNTING} insert into attempts (endpoint_id, event_id, n, at) select 500 + n % 3, n, 1, n from r;
{_COUNTING} insert into idempotency (account_id, mode, key, ref, body_hash, created_at)
  select 1 + n % 2, 1, 'key' || n, n, '', n from r;
"""


# Two callers may want one of their rows in one batch, and each be told that it was theirs.
SHARED = {
    "contacts/update_contacts": "what comes back is the revision, which each try draws for itself",
    "core/settle_messages": "a lane settles one batch after another, and so does each chore",
    "forwarding/settle_runs": "a lane settles one batch after another",
    "core/beat": "a process has one number",
    "privacy/hold_job": "its token tells who holds it",
    "privacy/note_job": "its token tells who holds it",
    "forwarding/edit_run": "the last edit stays, whoever made it",
    "media/media_ready": "it is ready for both",
    "media/abandon": "it is gone for both",
    "routing/delete_route": "it is gone for both",
    "routing/send_again": "take_seconds goes before it",
    "spend/top_up": "its sums are of all callers",
    "privacy/erase_messages": "they are gone for both, and counted by one job",
    "privacy/erase_events": "they are gone for both, and counted by one job",
    "verify/erase_verifications": "they are gone for both, and counted by one job",
}


def test_what_is_changed_as_it_was_read_is_taken_once() -> None:
    """Statements that tell their caller that a row was theirs."""
    tells = {name for name, each in ALL.items() if each.returned and not each.sqlite.startswith("insert")}
    assert {name for name in tells if ALL[name].once is None} == set(SHARED)
