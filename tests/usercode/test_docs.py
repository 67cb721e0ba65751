"""The page on templates names every filter, test and name that there is."""

import re
from pathlib import Path

import pytest

from columba.forwarding.destinations_shapes import ANSWERED, SEEN
from columba.usercode.filters import FILTERS, TESTS

PAGE = (Path(__file__).parents[2] / "docs" / "templating.md").read_text()
WORDS = set(re.findall(r"[a-z_0-9]+", " ".join(re.findall(r"`([^`]+)`", PAGE))))


@pytest.mark.parametrize("name", sorted({*FILTERS, *TESTS, *SEEN, "answer", "saved"}))
def test_it_is_on_the_page(name: str) -> None:
    assert name in WORDS
    assert {"answer", "saved"} <= ANSWERED
