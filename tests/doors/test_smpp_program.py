"""The real program: `columba keys smpp`, a bind with what it says, and what was answered before a kill -9."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import smpplib.client
import smpplib.exceptions

from tests.program import Program, ProgramError


def submit_until_cut(client: Any, cut: Callable[[], object]) -> None:
    for n in range(2_000):
        client.send_message(
            source_addr="12345", dest_addr_ton=1, dest_addr_npi=1, destination_addr="447700900123",
            short_message=b"n=%d" % n, schedule_delivery_time="000001000000000R",
        )  # fmt: skip
        client.read_once()
        cut()


def test_what_was_answered_survives_kill_9() -> None:
    with Program(smpp=True) as columba:
        (key,) = (each["id"] for each in json.loads(columba.run("keys", "list", "--json")) if each["mode"] == "test")
        login = json.loads(columba.run("keys", "smpp", key, "--json"))
        assert set(login) == {"system_id", "password", "port"}
        assert len(login["system_id"]) <= 15
        assert len(login["password"]) == 8
        assert login["port"] == columba.smpp_port
        assert json.loads(columba.run("keys", "smpp", key, "--json"))["password"] != login["password"]
        login = json.loads(columba.run("keys", "smpp", key, "--binds", "3", "--json"))

        answered: list[Any] = []
        client = smpplib.client.Client("127.0.0.1", login["port"], timeout=60, allow_unknown_opt_params=True)
        client.set_message_sent_handler(lambda pdu: answered.append(pdu))
        client.connect()
        client.bind_transceiver(system_id=login["system_id"], password=login["password"])
        with pytest.raises((smpplib.exceptions.ConnectionError, OSError)):
            submit_until_cut(client, lambda: columba.kill9() if len(answered) == 100 else None)
        client._socket.close()
        columba.start()
        ids = [pdu.message_id.decode() for pdu in answered]
        assert len(set(ids)) >= 100
        for shown in ids:
            assert columba.request("GET", f"/v1/messages/{shown}").json["status"] == "scheduled"


def test_no_login_for_a_key_that_is_not_there_or_revoked() -> None:
    with Program() as columba:
        with pytest.raises(ProgramError, match="there is no key"):
            columba.run("keys", "smpp", "key_0000000000000")
        key = json.loads(columba.run("keys", "create", "--mode", "test", "--json"))["id"]
        assert json.loads(columba.run("keys", "smpp", key, "--json"))["port"] is None
        columba.run("keys", "revoke", key)
        with pytest.raises(ProgramError, match="was revoked"):
            columba.run("keys", "smpp", key)


def test_a_trace_of_the_command_line() -> None:
    with Program(smpp=True) as columba:
        (key,) = (each["id"] for each in json.loads(columba.run("keys", "list", "--json")) if each["mode"] == "test")
        login = json.loads(columba.run("keys", "smpp", key, "--json"))
        client = smpplib.client.Client("127.0.0.1", login["port"], timeout=60, allow_unknown_opt_params=True)
        client.set_message_sent_handler(lambda pdu: None)
        client.connect()
        client.bind_transceiver(system_id=login["system_id"], password=login["password"])
        asked = ("--url", columba.url, "--key", columba.test_key)
        (shown,) = json.loads(columba.run("smpp", "list", *asked, "--json"))
        assert (shown["system_id"], shown["key_id"]) == (login["system_id"], key)
        with ThreadPoolExecutor(1) as pool:
            trace = pool.submit(columba.run, "smpp", "trace", login["system_id"], *asked, "--bodies", "--count", "2")
            while not trace.done():  # until it has been there for two of them
                client.send_message(
                    source_addr="12345", dest_addr_ton=1, dest_addr_npi=1, destination_addr="447700900123",
                    short_message=b"Hello",
                )  # fmt: skip
                client.read_once()
            lines = trace.result().splitlines()
        assert len(lines) == 2
        (asked_line,) = [line for line in lines if " < submit_sm " in line]
        assert "short_message=48656c6c6f" in asked_line
        client.unbind()
        client.disconnect()
