"""What an operator sees of SMPP: who is bound, what passes, and the measures."""

import json
from typing import Any

import pytest

from columba.core.status import LIVE
from columba.doors.smpp.following import MOST_KEPT
from columba.doors.smpp.logins import Limits
from columba.smpp.pdu import BindTransmitter
from tests.api import Stream
from tests.doors.house import House, submit, true
from tests.doors.test_smpp_through import Way, way

__all__ = ["way"]


async def until(stream: Stream, kind: str, look: Any = lambda data: True) -> Any:
    """The data of the next event of this kind that looks so."""
    while True:
        heard = await stream.next()
        if heard.event == kind and look(heard.data):
            return heard.data


async def test_who_is_bound(sqlite_house: House) -> None:
    whole = sqlite_house.columba.whole
    login = await sqlite_house.login(Limits(window=5))
    program = await sqlite_house.bound(login, BindTransmitter)
    await program.ask(submit())
    (shown,) = (await whole("GET", "/v1/smpp/sessions")).json["data"]
    assert (shown["system_id"], shown["bind"], shown["address"]) == (login.system_id, "bind_transmitter", "127.0.0.1")
    assert (shown["window"], shown["received"], shown["sent"], shown["refused"]) == (5, 2, 2, 0)
    other = await sqlite_house.columba.key(account_id=await sqlite_house.columba.another_account())
    for key in (sqlite_house.columba.live_key, other):
        assert (await whole("GET", "/v1/smpp/sessions", key=key)).json["data"] == []
    program.link.close()
    await true(lambda: not sqlite_house.app.smpp.sessions)
    assert (await whole("GET", "/v1/smpp/sessions")).json["data"] == []


async def test_a_programs_pdus_as_they_pass(sqlite_house: House) -> None:
    login = await sqlite_house.login()
    async with sqlite_house.columba.whole.follow(f"/v1/smpp/trace?system_id={login.system_id}") as stream:
        assert (await until(stream, "sessions"))["sessions"] == []
        await sqlite_house.bound()  # somebody else
        program = await sqlite_house.bound(login)
        (name,) = (await until(stream, "sessions", lambda data: data["sessions"]))["sessions"]
        await program.ask(submit(b"a secret"))
        asked, answered = await until(stream, "pdu"), await until(stream, "pdu")
        assert (asked["session"], asked["way"], asked["pdu"]) == (name, "in", "submit_sm")
        assert asked["fields"]["short_message"] == "*** (8 octets)"
        assert "secret" not in json.dumps(asked)
        assert (answered["way"], answered["pdu"], answered["sequence"]) == ("out", "submit_sm_resp", asked["sequence"])
        session = next(each for each in sqlite_house.app.smpp.sessions if each.id == name)
    assert session.watch.session is not None
    assert session.watch.session.tap is None  # it costs nothing once nobody looks


async def test_a_carriers_pdus_with_its_bind_and_with_bodies(way: Way) -> None:
    columba = way.house.columba
    an_id = await way.carrier(password="hushhush")
    async with columba.whole.follow(f"/v1/carriers/{an_id}/trace?bodies=true", key=columba.live_key) as stream:
        assert (await until(stream, "sessions"))["sessions"] == ["0"]
        program = await way.house.bound(way.login)
        await program.ask(submit(b"Hello"))
        sent = await until(stream, "pdu", lambda data: data["pdu"] == "submit_sm")
        assert sent["way"] == "out"
        assert f"short_message={b'Hello'.hex()}" in sent["line"]
        way.smsc.peers[-1].cut()
        bind = await until(stream, "pdu", lambda data: data["pdu"] == "bind_transceiver")
        assert bind["fields"]["password"] == "***"
        assert "hushhush" not in stream.body.decode()


async def test_one_who_is_too_slow_is_told_what_he_missed(sqlite_house: House) -> None:
    login = await sqlite_house.login(Limits(window=10_000))
    program = await sqlite_house.bound(login)
    async with sqlite_house.columba.whole.follow("/v1/smpp/trace") as stream:
        await until(stream, "sessions")
        (session,) = sqlite_house.app.smpp.sessions
        wire = session.watch.session
        assert wire is not None
        assert wire.tap is not None
        pdu = submit()
        for n in range(MOST_KEPT + 500):
            wire.tap("in", pdu, n + 1)
        assert (await until(stream, "missed"))["count"] == 500
    assert program.link.room


@pytest.mark.parametrize(
    ("path", "mode", "status"),
    [
        ("/v1/carriers/car_0000000000000/trace", "live", 404),
        ("/v1/carriers/{id}/trace", "test", 404),
        ("/v1/smpp/trace?system_id=much-too-long-a-name", "live", 422),
    ],
)
async def test_what_is_not_to_be_followed(way: Way, path: str, mode: str, status: int) -> None:
    an_id = await way.carrier()
    key = getattr(way.house.columba, f"{mode}_key")
    assert (await way.house.columba.whole("GET", path.format(id=an_id), key=key)).status == status


async def test_a_key_that_reads_no_texts_follows_none(way: Way) -> None:
    whole, an_id = way.house.columba.whole, await way.carrier()
    key = await way.house.columba.key(LIVE, scopes=["smpp:trace", "messages:metadata"])
    for path in ("/v1/smpp/trace", f"/v1/carriers/{an_id}/trace"):
        reply = await whole("GET", f"{path}?bodies=true", key=key)
        assert (reply.status, "messages:read" in reply.json["detail"]) == (403, True)
        async with whole.follow(path, key=key) as stream:
            assert "sessions" in await until(stream, "sessions")


async def test_a_key_without_the_scope_follows_nothing(sqlite_house: House) -> None:
    key = await sqlite_house.columba.key(scopes=["messages:read", "smpp:read"])
    whole = sqlite_house.columba.whole
    assert (await whole("GET", "/v1/smpp/trace", key=key)).status == 403
    assert (await whole("GET", "/v1/smpp/sessions", key=key)).status == 200


async def test_the_measures(way: Way) -> None:
    columba = way.house.columba
    an_id = await way.carrier()
    program = await way.house.bound(way.login)
    await program.ask(submit())
    await program.ask(submit(to="1"))
    await true(lambda: way.came)

    def measure(name: str) -> float:
        (found,) = [line for line in columba.app.metrics.text().decode().splitlines() if line.startswith(name + " ")]
        return float(found.rpartition(" ")[2])

    await true(lambda: measure(f'columba_smpp_bind_response_seconds_count{{bind="0",carrier="{an_id}"}}') == 1)
    assert measure(f'columba_smpp_bind_up{{bind="0",carrier="{an_id}"}}') == 1
    assert measure(f'columba_smpp_bind_window_used{{bind="0",carrier="{an_id}"}}') == 0
    assert measure(f'columba_smpp_bind_pdus_total{{bind="0",carrier="{an_id}",way="out"}}') == 2
    name = way.login.system_id
    assert measure(f'columba_smpp_sessions{{system_id="{name}"}}') == 1
    assert measure(f'columba_smpp_session_errors_total{{status="ESME_RINVDSTADR",system_id="{name}"}}') == 1
    program.link.close()
    await true(lambda: not columba.app.smpp.sessions)
    assert measure(f'columba_smpp_session_pdus_total{{system_id="{name}",way="in"}}') == 3  # what was, is counted
