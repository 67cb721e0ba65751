"""What tests of verifications do again and again: begin one, read its code, enter one."""

import re
from typing import Any

from tests.api import Api, Columba

ANNA = "+447700900123"


async def start(api: Api, to: str = ANNA, **more: Any) -> Any:
    reply = await api("POST", "/v1/verifications", {"to": to, **more})
    assert reply.status == 201, reply.json
    return reply.json


async def text_of(api: Api, verification: Any) -> str:
    """What was sent last."""
    text: str = (await api("GET", f"/v1/messages/{verification['message_id']}")).json["text"]
    return text


async def code_of(api: Api, verification: Any) -> str:
    found = re.search(r"[0-9A-Z]{4,10}", await text_of(api, verification))
    assert found is not None
    return found[0]


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 10 ** len(code):0{len(code)}d}"


async def check(api: Api, verification: Any, code: str) -> tuple[str, bool]:
    reply = await api("POST", f"/v1/verifications/{verification['id']}/check", {"code": code})
    assert reply.status == 200, reply.json
    return reply.json["status"], reply.json["valid"]


async def events_of(columba: Columba, kind: str) -> list[Any]:
    reply = await columba.whole("GET", f"/v1/events?type=verification.{kind}")
    assert reply.status == 200, reply.json
    return [each["data"] for each in reply.json["data"]]
