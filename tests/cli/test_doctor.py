"""`columba doctor`: what is broken is found, with how to mend it; what is well is left alone."""

import asyncio
import json
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import apsw
import pytest
from click.testing import CliRunner, Result

from columba.cli import columba as program
from columba.cli import stores
from columba.cli.admin import vault
from columba.cli.doctor.clock import clock_against_ids, clocks
from columba.cli.doctor.finding import Finding
from columba.cli.doctor.machine import files
from columba.cli.doctor.store import fsync_time
from columba.core import ids
from columba.settings import Settings
from columba.vault import key_file
from tests import engines
from tests.api import Columba
from tests.doors.conftest import sqlite_house
from tests.doors.house import House
from tests.keeper import free_port
from tests.program import Reply, Request, Sink

__all__ = ["sqlite_house"]
NOW = 1_790_000_000_000


def examine(*arguments: str, **env: str) -> tuple[Result, dict[str, Finding]]:
    """The command's result, and its findings by name."""
    mine = {name: "" for name in os.environ if name.startswith("COLUMBA_")}
    result = CliRunner().invoke(program, ["doctor", *arguments, "--json"], env={**mine, **env})
    told = json.loads(result.stdout)
    found = {each["name"]: Finding(**each) for each in told["findings"]}
    assert told["ok"] is all(each.state != "fail" for each in found.values())
    assert result.exit_code == (0 if told["ok"] else 1)
    return result, found


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Arguments that name a new installation, on a free port, with nothing wrong."""
    monkeypatch.chdir(tmp_path)
    settings = Settings(data=str(tmp_path / "data"))
    stores.wait(stores.bring_up(settings))
    key_file(tmp_path / "data" / "secret.key")
    return ["--data", settings.data, "--port", str(free_port())]


def test_a_good_installation_is_all_well(place: list[str]) -> None:
    _, found = examine(*place)
    assert {name for name, each in found.items() if each.state != "ok"} <= {"space", "files", "fsync"}
    assert {"sqlite", "fsync", "space", "version", "wal", "sealed", "system", "key", "http", "python", "uvloop"} <= set(
        found
    )
    result = CliRunner().invoke(program, ["doctor", *place])
    assert "Store\n  ok" in result.stdout


def test_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _, found = examine("--data", str(tmp_path / "none"), "--port", str(free_port()))
    assert (found["database"].state, found["key"].state) == ("warn", "warn")
    assert not list(tmp_path.iterdir())


async def test_beside_a_running_server_on_either_store(
    columba: Columba, tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    await columba.send()
    arguments = ["--data", str(tmp_path), *(["--database", database] if database else []), "--port", str(free_port())]
    _, found = await asyncio.to_thread(examine, *arguments)
    assert [each for each in found.values() if each.state == "fail"] == []
    wanted = {"postgres", "fsync", "synchronous_commit", "latency", "commit", "connections", "clock"}
    assert wanted <= set(found) if database else "wal" in found
    assert "version 1" in found["version"].text


Break = Callable[[Path], Sequence[str]]


def readable_key(data: Path) -> Sequence[str]:
    (data / "secret.key").chmod(0o644)
    return ()


def broken_key(data: Path) -> Sequence[str]:
    (data / "secret.key").write_text("not a key")
    return ()


def replaced_key(data: Path) -> Sequence[str]:
    seal(data)
    (data / "secret.key").unlink()
    key_file(data / "secret.key")
    return ()


def lost_key(data: Path) -> Sequence[str]:
    seal(data)
    (data / "secret.key").unlink()
    return ()


def altered_secret(data: Path) -> Sequence[str]:
    seal(data, lambda sealed: sealed[:-8] + "AAAAAAA=")
    return ()


def seal(data: Path, alter: Callable[[str], str] = str) -> None:
    sealed = alter(vault(Settings(data=str(data))).seal("whsec_x"))
    connection = apsw.Connection(str(data / "columba.db"))
    columns = "id, account_id, mode, url, events, secret, created_at, updated_at"
    connection.execute(f"insert into webhooks ({columns}) values (1, 1, 0, 'https://x', '[]', ?, 0, 0)", (sealed,))
    connection.close()


def newer_database(data: Path) -> Sequence[str]:
    connection = apsw.Connection(str(data / "columba.db"))
    connection.execute("insert into migrations (number, at) values (9999, 0)")
    connection.close()
    return ()


def older_database(data: Path) -> Sequence[str]:
    connection = apsw.Connection(str(data / "columba.db"))
    connection.execute("delete from migrations")
    connection.close()
    return ()


def no_database(data: Path) -> Sequence[str]:
    (data / "columba.db").write_bytes(b"x" * 10_000)
    return ()


def file_as_folder(data: Path) -> Sequence[str]:
    (data.parent / "file").write_text("")
    return ("--data", str(data.parent / "file" / "data"))


def wrong_setting(data: Path) -> Sequence[str]:
    return ("--log-format", "xml")


def no_host(data: Path) -> Sequence[str]:
    return ("--host", "203.0.113.1")


def all_networks(data: Path) -> Sequence[str]:
    return ("--allow-network", "0.0.0.0/0")


def no_postgres(data: Path) -> Sequence[str]:
    return ("--database", "postgresql://me:hidden@127.0.0.1:1/sms")


@pytest.mark.parametrize(
    ("break_it", "name", "state", "said"),
    [
        (readable_key, "key", "fail", "chmod 600"),
        (broken_key, "key", "fail", "64 hexadecimal digits"),
        (replaced_key, "sealed", "fail", "1 of 1 sealed secrets can't be opened"),
        (lost_key, "sealed", "fail", "the secret key is missing"),
        (altered_secret, "sealed", "fail", "was altered"),
        (newer_database, "version", "fail", "9999"),
        (older_database, "version", "warn", "columba migrate"),
        (no_database, "reachable", "fail", "can't be read"),
        (file_as_folder, "fsync", "fail", "choose a folder"),
        (wrong_setting, "settings", "fail", "text, json"),
        (no_host, "http", "fail", "can't be had"),
        (all_networks, "allow_network", "warn", "every private network"),
        (no_postgres, "reachable", "fail", "PostgreSQL can't be reached at postgresql://me:***@127.0.0.1:1/sms"),
    ],
)
def test_what_is_broken_is_found(
    place: list[str], tmp_path: Path, break_it: Break, name: str, state: str, said: str
) -> None:
    result, found = examine(*place, *break_it(tmp_path / "data"))
    assert found[name].state == state, found
    assert said in found[name].text + found[name].mend
    assert found[name].mend
    assert "hidden" not in result.stdout


def test_settings_come_with_their_source_and_without_secrets(place: list[str], tmp_path: Path) -> None:
    (tmp_path / "columba.toml").write_text('log_level = "debug"')
    result, found = examine(*place, COLUMBA_SECRET_KEY="ab" * 32, COLUMBA_LOG_FORMAT="json", COLUMBA_PROT="1")
    assert found["log_level"].text == "debug  (columba.toml: log_level)"
    assert found["log_format"].text == "json  (COLUMBA_LOG_FORMAT)"
    assert found["secret_key"].text == "***  (COLUMBA_SECRET_KEY)"
    assert "abab" not in result.stdout
    assert found["COLUMBA_PROT"].state == "warn"
    assert "COLUMBA_LOG_FORMAT" not in found


def is_columba(ready: int) -> Callable[[Request], Reply]:
    def answer(request: Request) -> Reply:
        if request.path == "/healthz":
            return Reply(200, b'{"status":"ok"}')
        return Reply(ready, b'{"status":"the store has not been written for some seconds"}')

    return answer


@pytest.mark.parametrize(
    ("reply", "state", "said"),
    [
        (is_columba(200), "ok", "Columba answers"),
        (is_columba(503), "warn", "the store has not been written"),
        (lambda _: Reply(200, b"<html>"), "fail", "choose another"),
    ],
)
def test_a_port_that_is_taken_is_columbas_or_a_strangers(
    place: list[str], reply: Callable[[Request], Reply], state: str, said: str
) -> None:
    with Sink(reply) as sink:
        _, found = examine(*place, "--port", str(sink.port))
    assert found["http"].state == state
    assert said in found["http"].text + found["http"].mend


def test_a_port_taken_by_what_speaks_no_http(place: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        taken.settimeout(0)
        _, found = examine(*place, "--port", str(taken.getsockname()[1]))
    assert found["http"].state == "fail"


def test_a_postgres_that_is_set_so_that_it_forgets(
    place: list[str], postgres_url: str, postgres_server: engines.Postgres
) -> None:
    name = postgres_url.rpartition("/")[2]
    postgres_server.query(f'alter database "{name}" set synchronous_commit = off')
    _, found = examine(*place, "--database", postgres_url)
    assert found["synchronous_commit"].state == "fail"
    assert "synchronous_commit = on" in found["synchronous_commit"].mend
    assert (found["version"].state, found["shared"].state) == ("warn", "warn")


@pytest.mark.parametrize(("apart", "state"), [(0.0, "ok"), (0.9, "ok"), (5.0, "warn"), (60.0, "fail")])
def test_two_clocks(apart: float, state: str) -> None:
    assert [each.state for each in clocks(apart)] == [state]


@pytest.mark.parametrize(
    ("newest", "states"),
    [(None, []), (ids.first_at(NOW - 1000), []), (ids.first_at(NOW + 60_000), ["warn"])],
)
def test_an_id_from_the_future(newest: int | None, states: list[str]) -> None:
    assert [each.state for each in clock_against_ids(newest, NOW)] == states


def test_the_limit_of_open_files_is_told() -> None:
    (found,) = files(Settings())
    assert found.name == "files"


def test_an_fsync_leaves_nothing_behind(tmp_path: Path) -> None:
    assert fsync_time(tmp_path) > 0
    assert not list(tmp_path.iterdir())


def test_the_smpp_ports(place: list[str], tmp_path: Path) -> None:
    silent = Sink()  # answers HTTP, and no PDU
    try:
        with_tls = ["--smpp-tls-port", str(free_port()), "--smpp-tls-cert", str(tmp_path / "none.pem")]
        _, found = examine(*place, "--smpp-port", str(silent.port), *with_tls)
    finally:
        silent.close()
    assert found["smpp"].state == "fail"
    assert "--smpp-port" in found["smpp"].mend
    assert (found["smpp_tls"].state, found["smpp_tls_cert"].state) == ("ok", "fail")
    assert "smpp" not in examine(*place)[1]
    assert examine(*place, "--smpp-port", str(free_port()))[1]["smpp"].state == "ok"


async def test_an_smpp_server_that_runs(place: list[str], sqlite_house: House) -> None:
    _, found = await asyncio.to_thread(examine, *place, "--smpp-port", str(sqlite_house.port))
    assert found["smpp"].state == "ok"
    assert "answers" in found["smpp"].text
