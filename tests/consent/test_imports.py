"""Files of consent: every shape that people have, refused rows by name, and going on after an interruption."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from columba.consent import IF_NEW, SQL
from columba.consent.files import _ledger
from columba.consent.imports import Rows, Usual
from columba.consent.shapes import NewImport
from columba.core import status
from columba.errors import Refusal
from columba.http.wire import Disconnected
from columba.imports import AT_ONCE
from columba.imports import SQL as FILES
from columba.imports.reading import records
from columba.imports.reading import texts as decoded
from columba.imports.room import Run
from columba.store import Step, plan
from tests.consent.house import OURS, SOMEBODY, House

OTHER = "+447700900124"


async def texts(text: str, size: int = 7, then: BaseException | None = None) -> AsyncIterator[str]:
    """A body, cut anywhere."""
    for at in range(0, len(text), size):
        yield text[at : at + size]
    if then is not None:
        raise then


async def run(
    house: House, text: str, already: int = 0, an_id: int = 7, then: BaseException | None = None, **asked: Any
) -> Run:
    usual = Usual(an_id, 1, status.LIVE, NewImport(name="a file", **asked), house.clock(), "")
    one = Run(house.store, house.clock, Rows(house.consent.ledger, house.clock, usual), an_id, "GB", already)
    try:
        await one.all(texts(text, then=then))
    except Disconnected:
        pass
    return one


async def refusals(house: House, an_id: int = 7) -> list[tuple[int, str]]:
    return [(row[0], row[2]) for row in await house.store.read(FILES["import_refusals"], id=an_id, after=0, most=100)]


@pytest.mark.parametrize(
    "text",
    [
        f"number\n{SOMEBODY}\n{OTHER}\n", f"{SOMEBODY}\n{OTHER}", f"\ufeffPhone Number\r\n{SOMEBODY}\r\n{OTHER}\r\n",
        f"name;phone\nAnn;{SOMEBODY}\nBob;{OTHER}", f"to\taction\n{SOMEBODY}\topt_out\n\n{OTHER}\tUnsubscribed\n",
        f'number,words\n{SOMEBODY},"stop,\nplease ""now"""\n{OTHER},\n', "07700900123\n07700 900124\n",
    ],
)  # fmt: skip
async def test_shapes_of_files(laptop: House, text: str) -> None:
    await run(laptop, text.removeprefix("\ufeff"))
    for number in (SOMEBODY, OTHER):
        assert await laptop.code(number) == "opted_out"
    assert await laptop.code("+447700900125") is None


async def test_rows_say_more_than_the_file(house: House) -> None:
    rows = (
        "number,action,class,sender,source,at,words,proof\n"
        f"{SOMEBODY},opt_in,marketing,{OURS},web form,2026-01-31 09:30,yes please,page 3\n"
        f"{OTHER},,,,,2026-01-31,,\n"
    )
    await run(house, rows)
    assert await house.ledger() == [(1, OURS, status.MARKETING, "web form")]
    assert await house.ledger(OTHER) == [(0, "", -1, "import")]
    (row,) = await house.store.read(
        SQL["ledger_of"], account_id=1, mode=1, hash=house.consent.ledger.hashes(SOMEBODY), before=1 << 62, most=9
    )
    assert row[7] == 1_769_851_800_000
    assert (row[8], row[10]) == ("yes please", '"page 3"')


async def test_bad_rows_are_named_and_hurt_nobody_else(house: House) -> None:
    one = await run(
        house,
        "number,action,class,sender,at\n"
        f"abc,,,,\n{SOMEBODY},,,,\n+447700900125,maybe,,,\n+447700900126,,sms,,\n+447700900127,,,???,\n"
        "+447700900128,,,,2099-01-01\n+447700900129,,,,soon\n,,,,x\n",
    )  # fmt: skip
    await one.end("done")
    assert await refusals(house) == [
        (1, "invalid_number"), (3, "invalid_value"), (4, "invalid_value"), (5, "invalid_sender"), (6, "invalid_time"),
        (7, "invalid_time"), (8, "invalid_number"),
    ]  # fmt: skip
    assert await house.code() == "opted_out"


async def test_a_file_without_numbers_is_refused(laptop: House) -> None:
    with pytest.raises(Refusal, match="No column is called `number`"):
        await run(laptop, "name,city\nAnn,Leeds\n")
    with pytest.raises(Refusal, match="a quote missing"):
        await run(laptop, 'number,words\n+447700900123,"' + "stop\n" * 20_000)


@pytest.mark.parametrize(
    ("file", "why"),
    [
        ("number\n+447700900123\n+4477009\xe9\n".encode("latin-1"), r"Line 3 is not UTF-8 .*0xe9"),
        ("number\n+447700900123\n".encode("utf-16"), r"Line 1 is not UTF-8"),
        (b'number,words\n+447700900123,"stop\n+447700900124,x\n', r"quote that begins in line 2 does not end"),
        (b"number,words\n+447700900123," + b"x" * 100_000, r"row that begins in line 2 .*65,536"),
        (b"Number,words,number\n+447700900123,a,b\n", r"Two columns are called `number`"),
    ],
)
@pytest.mark.parametrize("size", [5, 1 << 20])
async def test_what_is_wrong_with_a_file_is_said_with_its_line(laptop: House, file: bytes, why: str, size: int) -> None:
    pieces = [file[start : start + size] for start in range(0, len(file), size)]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    usual = Usual(7, 1, status.LIVE, NewImport(name="a file"), laptop.clock(), "")
    one = Run(laptop.store, laptop.clock, Rows(laptop.consent.ledger, laptop.clock, usual), 7, "GB")
    with pytest.raises(Refusal, match=why):
        await one.all(decoded(receive))


async def test_it_goes_on_where_it_stopped(house: House) -> None:
    numbers = [f"+4477009{n:05d}" for n in range(30_000, 30_000 + 3 * AT_ONCE)]
    body = "number\n" + "\n".join(numbers)
    await house.store.commit(plan(Step(FILES["insert_import"], [(7, 1, 1, "consents", "a file", "{}", house.clock())])))
    cut = body.index(numbers[2 * AT_ONCE - 100])
    await run(house, body[:cut], then=Disconnected())
    (row,) = await house.store.read(FILES["import"], id=7, account_id=1, mode=1, kind="consents")
    assert row[6] == AT_ONCE
    assert row[7] == AT_ONCE
    await run(house, body, already=row[6])
    (row,) = await house.store.read(FILES["import"], id=7, account_id=1, mode=1, kind="consents")
    assert (row[6], row[7], row[8]) == (3 * AT_ONCE, 3 * AT_ONCE, 0)
    assert len(await house.ledger(numbers[0])) == 1
    assert await house.code(numbers[-1]) == "opted_out"


async def test_what_waits_for_those_in_a_file_is_stopped(house: House) -> None:
    house.pause()
    waiting = await house.say()
    later = await house.say(OTHER, send_at=house.clock() + 86_400_000)
    await run(house, f"{SOMEBODY}\n{OTHER}\n+447700900125\n")
    await house.reaches(waiting, "failed")
    await house.reaches(later, "failed")
    assert len(await house.store.read(SQL["stopping"])) == 2  # not one for each row of the file
    house.pause(False)
    await house.past("+447700900126")
    assert house.network.to(SOMEBODY) == []


async def test_records_are_cut_anywhere() -> None:
    body = 'a,"1\n2"\nb,"say ""x"""\n\nc'
    for size in range(1, len(body) + 1):
        lines = [line async for found in records(texts(body, size)) for line in found]
        assert [line for line in lines if line] == ['a,"1\n2"', 'b,"say ""x"""', "c"]


def test_only_what_is_new_is_recorded_of_opt_outs() -> None:
    assert IF_NEW == 2  # the number that `record` in consent.sql knows


async def test_two_files_at_once(house: House) -> None:
    body = "\n".join(f"+4477009{n:05d}" for n in range(40_000, 40_300))
    await asyncio.gather(run(house, body, an_id=7), run(house, body, an_id=8))
    assert len(await house.ledger("+447700940005")) == 1


async def test_no_spreadsheet_takes_words_for_a_formula(laptop: House) -> None:
    await run(laptop, f'number,words\n{SOMEBODY},"=1+1"\n')
    text = "".join([line async for line in _ledger(laptop.store, 1, status.LIVE)])
    assert "'=1+1" in text
    await run(laptop, text.replace(SOMEBODY, OTHER))
    assert await laptop.code(OTHER) == "opted_out"
    again = "".join([line async for line in _ledger(laptop.store, 1, status.LIVE)])
    assert again.count("'=1+1") == 2
    assert "''" not in again
