"""The reference page shows the document without help from elsewhere."""

import json
import re

import pytest

from columba.errors import CATALOGUE
from tests.http.client import ask
from tests.http.sample import document

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_the_reference_page_needs_nothing_from_elsewhere(port: int) -> None:
    page = await ask(port, "GET", "/docs", key=None)
    text = page.body.decode()
    named = re.findall(r'(?:src|href)="([^"#]+)', text)
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in page.headers["content-security-policy"]
    assert "/docs/assets/reference.js" in named
    assert not re.search(r"<script(?! src)|<style|\son\w+=|\sstyle=", text)
    for address in named:
        answer = await ask(port, "GET", address, key=None)
        assert answer.status == 200, address
        outside = {url for url in re.findall(rb"https?://[^\s'\"]+", answer.body) if b"www.w3.org/2000/svg" not in url}
        assert not outside or address == "/v1/openapi.json"


async def test_the_document_is_served_packed_and_remembered(port: int) -> None:
    plain = await ask(port, "GET", "/v1/openapi.json", key=None)
    assert plain.json == json.loads(json.dumps(document()))
    packed = await ask(port, "GET", "/v1/openapi.json", key=None, headers={"accept-encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert len(packed.body) < len(plain.body) / 3
    again = await ask(port, "GET", "/v1/openapi.json", key=None, headers={"if-none-match": plain.headers["etag"]})
    assert (again.status, again.body) == (304, b"")


async def test_each_code_has_its_place_on_the_page_of_errors(port: int) -> None:
    text = (await ask(port, "GET", "/docs/errors", key=None)).body.decode()
    for code in CATALOGUE:
        assert f'id="{code}"' in text
