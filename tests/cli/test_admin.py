"""`columba keys` and `columba migrate` on real stores, beside a running server and alone."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest
from click.testing import CliRunner, Result

from columba.cli import columba as program
from columba.cli import stores
from columba.cli.admin import node_number, vault, visit
from columba.core import ids, lanes
from columba.settings import Settings
from columba.store import open_store
from columba.vault import VaultError, key_file
from tests import engines
from tests.api import Columba, eventually

Run = Callable[..., Result]


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> str:
    """An empty one, which is not migrated."""
    return request.getfixturevalue("postgres_url") if request.param == "postgres" else ""


@pytest.fixture
def run(tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A command on the store in the test's folder, or on its PostgreSQL database."""
    monkeypatch.chdir(tmp_path)  # no columba.toml but the test's own

    def invoke(*names: str) -> Result:
        words = next((at for at, name in enumerate(names) if name.startswith("-")), len(names))
        store = ["--data", str(tmp_path), *(["--database", database] if database else [])]
        return CliRunner().invoke(program, [*names[:words], *store, *names[words:]])

    return invoke


async def test_a_running_server_knows_a_new_key_within_a_second_and_a_revoked_one_no_more(
    columba: Columba, run: Run
) -> None:
    result = await asyncio.to_thread(run, "keys", "create", "--mode", "test", "--json")
    assert result.exit_code == 0, result.output
    made = json.loads(result.stdout)

    async def known() -> bool:
        return columba.app.keys.check(made["secret"]) is not None

    async def unknown() -> bool:
        return not await known()

    await eventually(known)
    assert (await asyncio.to_thread(run, "keys", "revoke", made["id"])).exit_code == 0
    await eventually(unknown)


async def test_a_visit_draws_ids_of_its_own_and_is_no_peer_that_lanes_could_go_to(
    columba: Columba, tmp_path: Path, database: str
) -> None:
    app = columba.app
    async with visit(Settings(data=str(tmp_path), database=database)) as opened:
        assert opened.account_id == columba.account_id
        assert opened.new_id.node != app.ids.node
        peers = await app.store.read(lanes.SQL["peers"], [(25_000,)])  # ms, longer than any lease
        assert len(peers) == 1
        another = await node_number(app.store)
        assert another not in (opened.new_id.node, app.ids.node)
        assert ids.time_of(opened.new_id()) <= opened.clock()


def test_without_an_installation_it_says_what_to_do_and_makes_none(run: Run, tmp_path: Path, database: str) -> None:
    result = run("keys", "list")
    assert result.exit_code == 1
    assert "run `columba serve` once first" in result.output
    assert not (tmp_path / "columba.db").exists()
    assert run("migrate").exit_code == 0
    result = run("keys", "create", "--mode", "test")
    assert result.exit_code == 1
    assert "there is no account" in result.output


def test_migrate_says_what_it_would_run_what_it_runs_and_then_nothing(run: Run) -> None:
    result = run("migrate", "--check")
    assert (result.exit_code, "0001_main_path is to be run." in result.output) == (1, True)
    result = run("migrate")
    assert (result.exit_code, "0001_main_path was run." in result.output) == (0, True)
    for more in ([], ["--check"]):
        result = run("migrate", *more)
        assert (result.exit_code, result.output.startswith("Nothing to run")) == (0, True)
    told = json.loads(run("migrate", "--json").output)
    assert told == {"version": told["latest"], "latest": told["latest"], "ran": [], "missing": []}


async def test_a_store_of_a_later_version_is_left_alone(
    run: Run, tmp_path: Path, database: str, postgres_server: engines.Postgres
) -> None:
    await asyncio.to_thread(run, "migrate")
    statement = "insert into migrations (number, at) values (9999, 0)"
    if database:
        postgres_server.query(statement, database.rpartition("/")[2])
    else:
        connection = apsw.Connection(str(tmp_path / "columba.db"))
        connection.execute(statement)
        connection.close()
    for more in ([], ["--check"]):
        result = await asyncio.to_thread(run, "migrate", *more)
        assert (result.exit_code, "version 9999" in result.output) == (1, True)
    result = await asyncio.to_thread(run, "keys", "list")
    assert (result.exit_code, "version 9999" in result.output) == (1, True)


@pytest.mark.parametrize("names", [["keys", "list"], ["migrate"]])
def test_a_store_that_cannot_be_opened_is_one_line(names: list[str], tmp_path: Path) -> None:
    (tmp_path / "columba.db").write_text("no database" * 1000)
    unreachable = "postgresql://someone:secret@127.0.0.1:1/columba"
    for store in (["--data", str(tmp_path)], ["--database", unreachable]):
        result = CliRunner().invoke(program, [*names, *store])
        assert result.exit_code == 1
        assert result.output.startswith("columba: ")
        assert "secret" not in result.output


def test_looking_makes_and_changes_nothing(tmp_path: Path) -> None:
    settings = Settings(data=str(tmp_path / "none"))
    assert stores.wait(stores.applied(settings)) == set()
    assert not list(tmp_path.iterdir())


async def test_a_look_sees_what_a_server_has_just_written(tmp_path: Path) -> None:
    store = await open_store(tmp_path)
    try:
        assert 1 in await stores.applied(Settings(data=str(tmp_path)))
    finally:
        await store.close()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:pw@db:5433/sms", "postgresql://me:***@db:5433/sms"),
        ("postgresql://me@db/sms", "postgresql://me@db/sms"),
        ("postgresql:///sms?host=/run&password=pw", "postgresql:///sms?host=/run&password=***"),
        ("postgresql://me:p@w@db/sms", "postgresql://me:***@db/sms"),
        ("postgresql://[broken", "postgresql://***"),
    ],
)
def test_no_password_is_shown(url: str, shown: str) -> None:
    assert stores.masked(url) == shown


def test_the_vault_is_opened_and_never_made(tmp_path: Path) -> None:
    settings = Settings(data=str(tmp_path))
    with pytest.raises(VaultError, match="missing"):
        vault(settings)
    assert not list(tmp_path.iterdir())
    key = key_file(tmp_path / "secret.key")
    sealed = vault(settings).seal("x")
    assert vault(Settings(secret_key=key.hex())).open(sealed) == "x"
    (tmp_path / "secret.key").write_bytes(b"\xff")
    with pytest.raises(VaultError):
        vault(settings)
