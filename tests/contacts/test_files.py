"""Files of contacts: every shape that people have, refused rows by name, out and in again without a loss."""

from typing import Any

import pytest

from columba.contacts.files import lines
from columba.contacts.rows import cell_of, value_of
from columba.core import status
from tests.api import Columba

ADA, BOB = "+447700900123", "+447700900124"


async def sent(columba: Columba, text: str, **announced: Any) -> Any:
    made = await columba.whole("POST", "/v1/contacts/imports", {"name": "a file", **announced})
    assert made.status == 201, made.json
    reply = await columba.whole("POST", made.json["upload_url"], text.encode(), headers={"content-type": "text/csv"})
    assert reply.status == 200, reply.json
    return reply.json


async def contacts(columba: Columba) -> dict[str, Any]:
    data = (await columba.whole("GET", "/v1/contacts?limit=1000")).json["data"]
    return {each["number"]: each for each in data}


async def exported(columba: Columba) -> str:
    return "".join([line async for line in lines(columba.app.store, (columba.account_id, status.TEST))])


def told(done: Any) -> tuple[int, int, int, int]:
    return done["rows"], done["recorded"], done["unchanged"], done["refused"]


async def test_a_file_makes_and_changes(columba: Columba) -> None:
    text = (
        "\ufeffMobile no.;Full Name;E-Mail;Labels;Plan type;attributes.seats;Shoe\r\n"
        f'{ADA};"Lovelace; Ada";ada@example.org;vip, two words;gold;12;44\r\n{BOB};;;;;;\r\n'
    )
    announced = {"columns": {"Mobile no.": "number", "Shoe": None}, "tags": ["members"]}
    assert told(await sent(columba, text, **announced)) == (2, 2, 0, 0)
    there = await contacts(columba)
    assert there[ADA]["name"] == "Lovelace; Ada"
    assert there[ADA]["tags"] == ["vip", "two words", "members"]
    assert there[ADA]["attributes"] == {"plan_type": "gold", "seats": 12}
    assert there[BOB]["tags"] == ["members"]
    assert told(await sent(columba, text, **announced)) == (2, 0, 2, 0)
    # What a row leaves empty stays; a number may come twice.
    rows = f"number,email,plan_type\n{ADA},,silver\n{ADA},ada@example.com,\n{BOB},,\n"
    assert told(await sent(columba, rows)) == (3, 2, 1, 0)
    there = await contacts(columba)
    assert (there[ADA]["email"], there[ADA]["attributes"]["plan_type"]) == ("ada@example.com", "silver")
    new = "+447700900125"
    assert told(await sent(columba, f"number,name\n{ADA},X\n{new},Y\n{new},Z\n", known="skip")) == (3, 1, 2, 0)
    there = await contacts(columba)
    assert (there[ADA]["name"], there[new]["name"]) == ("Lovelace; Ada", "Y")


async def test_bad_rows_are_named_and_hurt_nobody_else(columba: Columba) -> None:
    many = ",".join(f"t{n}" for n in range(51))
    text = f'number,email,tags\n{ADA},not an address,\n07,,\n{BOB},bob@example.org,\n+447700900125,,"{many}"\n'
    done = await sent(columba, text)
    assert told(done) == (4, 1, 0, 3)
    refused = (await columba.whole("GET", f"/v1/contacts/imports/{done['id']}/refusals")).json["data"]
    assert [(each["row"], each["number"], each["code"]) for each in refused] == [
        (1, ADA, "invalid_value"), (2, "07", "invalid_number"), (4, "+447700900125", "invalid_value"),
    ]  # fmt: skip
    assert refused[0]["detail"].startswith("email: ")
    assert [*await contacts(columba)] == [BOB]
    assert (await columba.whole("GET", f"/v1/consents/imports/{done['id']}")).status == 404
    assert (await columba.whole("GET", "/v1/contacts/imports", key=columba.live_key)).json["data"] == []


@pytest.mark.parametrize("database", [""])
async def test_which_columns_become_attributes(columba: Columba) -> None:
    header = "phone," + ",".join(f"column {n}" for n in range(60))
    row = f"{ADA}," + ",".join(str(n) for n in range(60))
    made = (await columba.whole("POST", "/v1/contacts/imports", {"name": "wide"})).json
    reply = await columba.whole("POST", made["upload_url"], f"{header}\n{row}\n".encode())
    assert (reply.status, "60 columns" in reply.json["detail"]) == (422, True)
    assert (await columba.whole("GET", f"/v1/contacts/imports/{made['id']}")).json["state"] == "failed"
    await sent(columba, f"{header}\n{row}\n", attributes=["column_7"])
    assert (await contacts(columba))[ADA]["attributes"] == {"column_7": 7}
    reply = await columba.whole(
        "POST", "/v1/contacts/imports", {"name": "x", "columns": {"A": "nonsense", "B": "name"}}
    )
    assert [each["field"] for each in reply.json["errors"]] == ["columns.A"]
    made = (await columba.whole("POST", "/v1/contacts/imports", {"name": "no numbers"})).json
    assert "No column is called" in (await columba.whole("POST", made["upload_url"], b"a,b\n1,2\n")).json["detail"]


async def test_what_is_exported_can_be_imported(columba: Columba) -> None:
    values: dict[str, Any] = {
        "whole": 12, "least": -(1 << 53), "part": 0.1, "tiny": 1e-07, "huge": 1.5e300,
        "yes": True, "no": False, "text": "gold",
        "digits": "007", "number": "12", "word": "true", "formula": "=1+1", "minus": -3, "empty": "", "blank": " x ",
        "quoted": '"x"', "lines": "a\nb", "mark": "'x", "größe": "M",
    }  # fmt: skip
    api = columba.whole
    body = {"number": ADA, "name": "=cmd()", "email": "a@example.org", "language": "pt-BR", "tags": ["a b", "-c"]}
    assert (await api("POST", "/v1/contacts", body | {"attributes": values})).status == 201
    assert (await api("POST", "/v1/contacts", {"number": BOB, "attributes": {"other": 1}})).status == 201
    text = await exported(columba)
    assert "'=cmd()" in text
    before = await contacts(columba)
    assert told(await sent(columba, text)) == (2, 0, 2, 0)
    for each in before.values():
        assert (await api("DELETE", f"/v1/contacts/{each['id']}")).status == 204
    assert told(await sent(columba, text)) == (2, 2, 0, 0)
    for number, was in before.items():
        now = (await contacts(columba))[number]
        assert {name: now[name] for name in body if name in now} == {name: was[name] for name in body if name in was}
        assert now["attributes"] == was["attributes"]
        assert [type(now["attributes"][name]) for name in was["attributes"]] == [
            type(value) for value in was["attributes"].values()
        ]


@pytest.mark.parametrize("database", [""])
async def test_more_attributes_than_columns(columba: Columba, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("columba.contacts.files.MOST_COLUMNS", 2)
    api = columba.whole
    assert (await api("POST", "/v1/contacts", {"number": ADA, "attributes": {"a": 1, "b": 2, "c": 3}})).status == 201
    text = await exported(columba)
    assert text.startswith("number,name,email,language,tags,attributes.a,attributes.b,attributes,id,")
    assert told(await sent(columba, text)) == (1, 0, 1, 0)


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("12", 12), ("-3", -3), ("0", 0), ("1.50", 1.5), ("007", "007"), ("+44", "+44"), ("1e5", "1e5"),
        ("1e+999", "1e+999"), ("2e-07", 2e-07), ("true", True),
        ("TRUE", "TRUE"), ('"12"', "12"), ('"', '"'), ('"x" y', '"x" y'), ("12345678901234567", "12345678901234567"),
        ("9007199254740993", "9007199254740993"), ("1 000", "1 000"),
    ],
)  # fmt: skip
def test_what_a_cell_is(cell: str, value: Any) -> None:
    assert (value_of(cell), type(value_of(cell))) == (value, type(value))
    assert value_of(cell_of(value)) == value
