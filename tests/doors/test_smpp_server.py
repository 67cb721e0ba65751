"""What a program relies on that binds to us."""

import asyncio
from datetime import UTC
from typing import Any

import pytest

from columba.doors.smpp.handing import WINDOW
from columba.doors.smpp.logins import Limits
from columba.doors.smpp.parts import WAIT_MS
from columba.keys import Settings
from columba.smpp.pdu import (
    BindReceiver,
    BindTransceiver,
    BindTransmitter,
    CancelSm,
    DataSm,
    DeliverSmResp,
    DistributionList,
    QuerySm,
    ReplaceSm,
    SmeAddress,
    SubmitMulti,
    SubmitSm,
    Unbind,
)
from columba.smpp.receipt import read_receipt
from columba.smpp.status import Status
from columba.smpp.tlv import (
    MESSAGE_PAYLOAD,
    MESSAGE_STATE,
    RECEIPTED_MESSAGE_ID,
    SAR_MSG_REF_NUM,
    SAR_SEGMENT_SEQNUM,
    SAR_TOTAL_SEGMENTS,
    find,
)
from columba.smpp.values import MessageState
from columba.store.sql import Statement
from columba.text import Concat, Header, decode, encode_part, plan
from tests.api import eventually
from tests.doors.house import LIVE, TEXTS, House, submit, true

# Binding


@pytest.mark.parametrize("kind", [BindTransmitter, BindReceiver, BindTransceiver])
async def test_bind_and_unbind(sqlite_house: House, kind: type[Any]) -> None:
    program, resp = await sqlite_house.bind(await sqlite_house.login(), kind)
    assert (resp.status, resp.system_id) == (Status.ESME_ROK, "Columba")
    assert (await program.ask(Unbind())).status == Status.ESME_ROK
    await asyncio.wait_for(program.closed.wait(), 30)


async def test_a_wrong_password_and_the_lock_out(sqlite_house: House) -> None:
    login = await sqlite_house.login()
    other = await sqlite_house.login()
    for _ in range(5):
        program, resp = await sqlite_house.bind(login, password="wrong")
        assert resp.status == Status.ESME_RINVPASWD
        await asyncio.wait_for(program.closed.wait(), 30)
    _, resp = await sqlite_house.bind(login)  # the right one, but too late
    assert resp.status == Status.ESME_RBINDFAIL
    await sqlite_house.bound(other)


async def test_a_system_id_that_nobody_has(sqlite_house: House) -> None:
    login = (await sqlite_house.login())._replace(system_id="nobody")
    _, resp = await sqlite_house.bind(login)
    assert resp.status == Status.ESME_RINVPASWD


async def test_the_number_of_binds(sqlite_house: House) -> None:
    login = await sqlite_house.login(Limits(binds=2))
    first = await sqlite_house.bound(login)
    await sqlite_house.bound(login)
    assert (await sqlite_house.bind(login))[1].status == Status.ESME_RBINDFAIL
    await first.ask(Unbind())
    await true(lambda: sqlite_house.app.smpp.binds == 1)
    await sqlite_house.bound(login)


@pytest.mark.parametrize(
    ("scope", "kind", "status"),
    [
        ("messages:write", BindTransmitter, Status.ESME_ROK),
        ("messages:write", BindReceiver, Status.ESME_RBINDFAIL),
        ("messages:read", BindReceiver, Status.ESME_ROK),
        ("messages:read", BindTransceiver, Status.ESME_RBINDFAIL),
    ],
)
async def test_scopes(sqlite_house: House, scope: str, kind: type[Any], status: int) -> None:
    login = await sqlite_house.login(scopes=[scope])
    assert (await sqlite_house.bind(login, kind))[1].status == status


async def test_a_revoked_key_ends_its_sessions(house: House) -> None:
    login, other = await house.login(), await house.login()
    program, stays = await house.bound(login), await house.bound(other)
    await house.app.keys.revoke(login.key.id)
    async with asyncio.timeout(30.0):
        await program.closed.wait()
    assert any(isinstance(each, Unbind) for each in program.requests)
    assert (await house.bind(login))[1].status == Status.ESME_RBINDFAIL
    assert (await stays.ask(submit())).status == Status.ESME_ROK


async def test_a_key_that_lost_its_scope_ends_its_sessions(sqlite_house: House) -> None:
    login = await sqlite_house.login()
    sender, receiver = [await sqlite_house.bound(login, kind) for kind in (BindTransmitter, BindReceiver)]
    await sqlite_house.app.keys.update(login.key.id, scopes=["messages:write"])
    async with asyncio.timeout(30.0):
        await receiver.closed.wait()
    assert (await sender.ask(submit())).status == Status.ESME_ROK
    assert (await sender.ask(QuerySm(message_id="msg_0000000000000"))).status == Status.ESME_RQUERYFAIL


async def test_another_password_replaces_the_first(house: House) -> None:
    login = await house.login()
    program = await house.bound(login)
    again = await house.give(login.key)
    await asyncio.wait_for(program.closed.wait(), 30)
    assert (await house.bind(login))[1].status == Status.ESME_RINVPASWD
    await house.bound(again)


# Submitting


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("how", ["udh", "sar", "payload", "one by one", "backwards"])
async def test_texts(sqlite_house: House, name: str, how: str) -> None:
    text = TEXTS[name]
    program = await sqlite_house.bound()
    planned = plan(text)
    coding = 0 if planned.encoding == "gsm7" else 8
    pdus: list[SubmitSm] = []
    payload = b""
    for n, part in enumerate(planned.parts, 1):
        if how == "payload":
            payload += encode_part(part, planned.encoding).octets
            continue
        sar = how == "sar" and planned.segments > 1
        header = planned.header(n, 77)
        wire = encode_part(part, planned.encoding) if sar else encode_part(part, planned.encoding, header)
        tlvs = (SAR_MSG_REF_NUM(77), SAR_TOTAL_SEGMENTS(planned.segments), SAR_SEGMENT_SEQNUM(n)) if sar else ()
        pdus.append(submit(wire.octets, data_coding=coding, esm_class=wire.esm_class, tlvs=tlvs))
    if how == "payload":
        pdus = [submit(b"", data_coding=coding, tlvs=(MESSAGE_PAYLOAD(payload),))]
    if how == "backwards":
        pdus.reverse()
    if how in ("one by one", "backwards"):
        answers = [await program.ask(pdu) for pdu in pdus]
    else:
        answers = await asyncio.gather(*map(program.begin, pdus))
    assert {each.status for each in answers} == {0}
    (shown,) = {each.message_id for each in answers}
    there = await sqlite_house.message(shown)
    assert there["text"] == text
    assert (there["to"], there["from"], there["segments"]) == ("+447700900123", "12345", planned.segments)
    assert len(await sqlite_house.messages()) == 1


async def test_parts_that_never_come(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    program = await house.bound()
    planned = plan("word " * 80)
    wires = [encode_part(part, "gsm7", planned.header(n, 5)) for n, part in enumerate(planned.parts, 1)]
    answers = [await program.ask(submit(w.octets, esm_class=w.esm_class)) for w in (wires[0], wires[2])]
    (shown,) = {each.message_id for each in answers}
    monkeypatch.setattr(house.app.smpp.parts, "_clock", lambda: house.app.smpp.clock() + WAIT_MS + 1)
    for _ in range(2):  # as after a crash in the middle
        await house.app.smpp.step()
    assert (await house.message(shown))["text"] == planned.parts[0] + "[...]" + planned.parts[2]
    assert len(await house.messages()) == 1


async def test_a_last_part_that_is_sent_again_is_no_part_of_another_text(house: House) -> None:
    """Its answer was lost with the connection: the text that it made whole is what it belongs to."""
    login = await house.login()
    planned = plan("one two three " * 30)
    wires = [
        encode_part(part, planned.encoding, Header(Concat(5, planned.segments, n)))
        for n, part in enumerate(planned.parts, 1)
    ]
    pdus = [submit(wire.octets, data_coding=wire.data_coding, esm_class=wire.esm_class) for wire in wires]
    first = await house.bound(login)
    before = {(await first.ask(pdu)).message_id for pdu in pdus}
    shown = {(await first.ask(pdu)).message_id for pdu in pdus}  # the same text once more, as it is asked for
    assert len(before) == len(shown) == len(before - shown) == 1
    first.link.abort()
    second = await house.bound(login)
    assert {(await second.ask(pdus[-1])).message_id} == shown
    assert len(await house.messages()) == 2
    ((kept,),) = await house.app.store.read(Statement("parts", (), (), "select count(*) from smpp_parts"))
    assert kept == 0


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"to": "12"}, Status.ESME_RINVDSTADR),
        ({"source_addr": "much too long a name", "source_addr_ton": 5}, Status.ESME_RINVSRCADR),
        ({"text": b""}, Status.ESME_RINVMSGLEN),
        ({"priority_flag": 9}, Status.ESME_RINVPRTFLG),
        ({"schedule_delivery_time": "tomorrow"}, Status.ESME_RINVSCHED),
        ({"schedule_delivery_time": "000101000000000+"}, Status.ESME_RINVSCHED),
        ({"validity_period": "000101000000000+"}, Status.ESME_RINVEXPIRY),
        ({"to": "447700900001"}, Status.ESME_RINVDSTADR),
    ],
)
async def test_refusals(sqlite_house: House, fields: dict[str, Any], status: int) -> None:
    program = await sqlite_house.bound()
    assert (await program.ask(submit(**fields))).status == status
    assert (await program.ask(submit())).status == Status.ESME_ROK  # it is a matter of that one alone


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"priority_flag": 3}, {"class": "otp"}),
        ({"service_type": "OTP"}, {"class": "otp"}),
        ({"service_type": "MKT"}, {"class": "marketing"}),
        ({"priority_flag": 1}, {"class": "transactional"}),
        ({"source_addr": "12025550100", "source_addr_ton": 1}, {"from": "+12025550100"}),
        ({"source_addr": "Columba", "source_addr_ton": 5}, {"from": "Columba"}),
        ({"source_addr": ""}, {"from": None}),
        ({"dest_addr_ton": 0}, {"to": "+447700900123"}),
        ({"to": "00447700900123", "dest_addr_ton": 0}, {"to": "+447700900123"}),
        ({"text": "Grüße".encode("latin-1"), "data_coding": 3}, {"text": "Grüße"}),
        ({"text": b"plain", "data_coding": 1}, {"text": "plain"}),
        ({"schedule_delivery_time": "000001000000000R"}, {"status": "scheduled"}),
    ],
)
async def test_fields(sqlite_house: House, fields: dict[str, Any], wanted: dict[str, Any]) -> None:
    program = await sqlite_house.bound()
    resp = await program.ask(submit(**fields))
    assert resp.status == Status.ESME_ROK
    there = await sqlite_house.message(resp.message_id)
    assert {name: there[name] for name in wanted} == wanted


async def test_the_alphabet_of_data_coding_0(sqlite_house: House) -> None:
    program = await sqlite_house.bound(await sqlite_house.login(Limits(alphabet="latin1")))
    resp = await program.ask(submit("$ £ @ é".encode("latin-1")))
    assert (await sqlite_house.message(resp.message_id))["text"] == "$ £ @ é"


async def test_validity(sqlite_house: House) -> None:
    program = await sqlite_house.bound()
    resp = await program.ask(submit(validity_period="000000001000000R"))
    there = await sqlite_house.message(resp.message_id)
    assert there["expires_at"][:16] > there["created_at"][:16]
    data = await program.ask(DataSm(source_addr="12345", dest_addr_ton=1, destination_addr="447700900123",
                                    tlvs=(MESSAGE_PAYLOAD(b"data"),)))  # fmt: skip
    assert (await sqlite_house.message(data.message_id))["text"] == "data"


async def test_many_in_one_read(house: House) -> None:
    program = await house.bound()
    pdus = [submit(b"n=%d" % n, to="12" if n % 10 == 3 else f"447700{901000 + n}") for n in range(300)]
    answers = await asyncio.gather(*map(program.begin, pdus))
    assert [each.status != 0 for each in answers] == [n % 10 == 3 for n in range(300)]
    there = {each["id"]: each["text"] for each in await house.messages()}
    assert there == {each.message_id: f"n={n}" for n, each in enumerate(answers) if not each.status}


async def test_submit_multi(sqlite_house: House) -> None:
    program = await sqlite_house.bound()
    people = (
        SmeAddress(1, 1, "447700900123"),
        DistributionList("all"),
        SmeAddress(1, 1, "12"),
        SmeAddress(1, 1, "447700900124"),
    )
    resp = await program.ask(SubmitMulti(source_addr="12345", destinations=people, short_message=b"Hello all"))
    assert resp.status == Status.ESME_ROK
    assert [(each.address, each.status) for each in resp.unsuccessful] == [
        ("all", Status.ESME_RINVDLNAME),
        ("12", Status.ESME_RINVDSTADR),
    ]
    there = await sqlite_house.messages()
    assert {each["to"] for each in there} == {"+447700900123", "+447700900124"}
    assert resp.message_id in {each["id"] for each in there}


async def test_the_window_and_the_rate(sqlite_house: House) -> None:
    login = await sqlite_house.login(Limits(window=20))
    program = await sqlite_house.bound(login)
    answers = await asyncio.gather(*(program.begin(submit()) for _ in range(50)))
    assert [each.status for each in answers].count(Status.ESME_RTHROTTLED) == 30
    await sqlite_house.app.keys.update(login.key.id, settings=Settings(rate_limit=5))
    await true(lambda: sqlite_house.app.keys.all[login.key.id].settings.rate_limit == 5)
    sqlite_house.app.smpp._look()
    codes = [(await program.ask(submit())).status for _ in range(10)]
    assert codes.count(Status.ESME_ROK) in range(5, 7)
    assert set(codes) == {Status.ESME_ROK, Status.ESME_RTHROTTLED}


# Asking


async def test_query_cancel_and_replace(house: House) -> None:
    program = await house.bound()
    shown = (await program.ask(submit(schedule_delivery_time="000001000000000R"))).message_id
    assert (await program.ask(QuerySm(message_id=shown))).message_state == MessageState.SCHEDULED
    assert (await program.ask(ReplaceSm(message_id=shown))).status == Status.ESME_RREPLACEFAIL
    assert (await program.ask(CancelSm(message_id=shown))).status == Status.ESME_ROK
    told = await program.ask(QuerySm(message_id=shown))
    assert told.message_state == MessageState.DELETED
    assert len(told.final_date) == 16
    assert (await program.ask(CancelSm(message_id=shown))).status == Status.ESME_RCANCELFAIL
    assert (await program.ask(QuerySm(message_id="msg_nope"))).status == Status.ESME_RINVMSGID


async def test_a_message_of_another_account_or_mode_is_not_there(sqlite_house: House) -> None:
    mine = (await (await sqlite_house.bound()).ask(submit())).message_id
    elsewhere = await sqlite_house.columba.another_account()
    for login in (await sqlite_house.login(account_id=elsewhere), await sqlite_house.login(mode=LIVE)):
        program = await sqlite_house.bound(login)
        assert (await program.ask(QuerySm(message_id=mine))).status == Status.ESME_RINVMSGID
        assert (await program.ask(CancelSm(message_id=mine))).status == Status.ESME_RINVMSGID


# Being told


@pytest.mark.parametrize(
    ("to", "stat", "state"),
    [
        ("447700900123", "DELIVRD", MessageState.DELIVERED),
        ("447700900002", "UNDELIV", MessageState.UNDELIVERABLE),
        ("447700900003", "EXPIRED", MessageState.EXPIRED),
    ],
)
async def test_receipts(house: House, to: str, stat: str, state: int) -> None:
    program = await house.bound()
    silent = (await program.ask(submit(to="447700900124"))).message_id
    shown = (await program.ask(submit(to=to, registered_delivery=1))).message_id
    (receipt,) = await program.got()
    told = read_receipt(receipt, UTC)
    assert told is not None
    assert (told.id, told.stat, told.state) == (shown, stat, state)
    assert find(receipt.tlvs, RECEIPTED_MESSAGE_ID) == shown
    assert find(receipt.tlvs, MESSAGE_STATE) == state
    assert (receipt.source_addr, receipt.destination_addr, receipt.esm_class) == (to, "12345", 4)
    assert silent != shown


@pytest.mark.parametrize(("wanted", "to"), [(2, "447700900002"), (3, "447700900123")])
async def test_receipts_for_failures_or_successes_alone(sqlite_house: House, wanted: int, to: str) -> None:
    program = await sqlite_house.bound()
    numbers = ("447700900123", "447700900002")
    answers = [await program.ask(submit(to=each, registered_delivery=wanted)) for each in numbers]
    (receipt,) = await program.got()
    assert receipt.source_addr == to
    for each in answers:

        async def ended(shown: str = each.message_id) -> bool:
            return (await sqlite_house.message(shown))["status"] in ("delivered", "undelivered")

        await eventually(ended)
    assert len(program.delivered) == 1


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("version", [0x33, 0x34])
async def test_texts_from_people(house: House, name: str, version: int) -> None:
    program = await house.bound(interface_version=version)
    await house.texts_in(TEXTS[name])
    pieces = plan(TEXTS[name]).segments if version < 0x34 and "long" in name else 1
    pdus = await program.got(pieces)
    assert len(pdus) == pieces
    octets = [each.short_message or find(each.tlvs, MESSAGE_PAYLOAD) or b"" for each in pdus]
    bodies = [decode(each.data_coding, o, bool(each.esm_class & 0x40)) for each, o in zip(pdus, octets, strict=True)]
    assert "".join(body.text or "" for body in bodies) == TEXTS[name]
    assert (pdus[0].source_addr_ton, pdus[0].source_addr, pdus[0].destination_addr) == (1, "447700900123", "12345")
    assert version > 0x33 or not any(each.tlvs for each in pdus)


async def test_what_comes_while_nobody_is_bound_is_kept(house: House) -> None:
    login = await house.login()
    sender = await house.bound(login, BindTransmitter)
    await house.texts_in("first", "second")
    shown = (await sender.ask(submit(registered_delivery=1))).message_id

    async def kept() -> bool:
        return await house.kept(login) == 3

    await eventually(kept)
    receiver = await house.bound(login, BindReceiver)
    pdus = await receiver.got(3)
    assert {each.short_message for each in pdus if not each.esm_class} == {b"first", b"second"}
    assert shown in {find(each.tlvs, RECEIPTED_MESSAGE_ID) for each in pdus}

    async def gone() -> bool:
        return await house.kept(login) == 0

    await eventually(gone)


async def test_a_redacted_text_that_waits_is_not_handed_over(sqlite_house: House) -> None:
    """Not even to a session whose window was full when it was redacted."""
    login = await sqlite_house.login()
    program = await sqlite_house.bound(login)
    program.answers = False
    await sqlite_house.texts_in(*(f"n={n}" for n in range(WINDOW)), "a secret", "the last")
    await program.got(WINDOW)
    waiting = next(each for each in await sqlite_house.messages() if each["text"] == "a secret")
    reply = await sqlite_house.columba.whole("POST", f"/v1/messages/{waiting['id']}/redact")
    assert reply.status == 200, reply.body
    for sequence in program.sequences[:]:
        program.link.respond(sequence, DeliverSmResp())
    await program.got(WINDOW + 1)
    assert {each.short_message for each in program.delivered[WINDOW:]} == {b"the last"}


async def test_what_is_not_answered_goes_to_another_session(house: House) -> None:
    login = await house.login()
    deaf = await house.bound(login)
    deaf.answers = False
    await house.texts_in("hear me")
    await deaf.got()
    deaf.link.abort()
    other = await house.bound(login)
    (pdu,) = await other.got()
    assert pdu.short_message == b"hear me"


async def test_sessions_of_a_login_share_and_logins_do_not(house: House) -> None:
    login, other = await house.login(), await house.login()
    one, two = await house.bound(login), await house.bound(login)
    all_of_it = await house.bound(other)
    await house.texts_in(*map(str, range(20)))
    await true(lambda: len(one.delivered) + len(two.delivered) == 20)
    assert {len(one.delivered), len(two.delivered)} == {10}
    await all_of_it.got(20)
    assert sorted(each.short_message for each in (*one.delivered, *two.delivered)) == sorted(
        each.short_message for each in all_of_it.delivered
    )


async def test_a_live_login_gets_nothing_of_the_sandbox(sqlite_house: House) -> None:
    live = await sqlite_house.bound(await sqlite_house.login(mode=LIVE))
    test = await sqlite_house.bound()
    await sqlite_house.texts_in("for the test key")
    await test.got()
    assert not live.delivered


async def test_stopping_unbinds(sqlite_house: House) -> None:
    program = await sqlite_house.bound()
    pending = [program.begin(submit()) for _ in range(20)]
    await pending[0]
    await sqlite_house.app.smpp.stop()
    statuses = [(await each).status for each in pending]
    assert {*statuses} <= {Status.ESME_ROK, Status.ESME_RINVBNDSTS}  # what comes after the unbind is not taken
    assert len(await sqlite_house.messages()) == statuses.count(Status.ESME_ROK)
    await asyncio.wait_for(program.closed.wait(), 30)
