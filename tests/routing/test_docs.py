"""docs/carriers.md names all that can be set, and nothing else."""

import re
from pathlib import Path

import msgspec
import pytest

from columba.carriers.sandbox import Config
from columba.routing.shapes import CarrierChange, NewCarrier

TEXT = (Path(__file__).parents[2] / "docs" / "carriers.md").read_text()


@pytest.mark.parametrize(("heading", "struct"), [("What every carrier has", NewCarrier), ("Kind `sandbox`", Config)])
def test_every_option_is_documented_with_its_default(heading: str, struct: type[msgspec.Struct]) -> None:
    section = TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", section, re.M))
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    assert rows.keys() == fields.keys()
    for name, shown in rows.items():
        default = fields[name].default
        if isinstance(default, int | float) and not isinstance(default, bool):
            assert float(shown) == default, name


def test_what_can_be_changed_can_be_set() -> None:
    assert {*CarrierChange.__struct_fields__} == {*NewCarrier.__struct_fields__} - {"kind"}


def test_the_contents_lead_somewhere() -> None:
    headings = {
        re.sub(r"[^a-z -]", "", heading.lower()).replace(" ", "-") for heading in re.findall(r"^## (.*)$", TEXT, re.M)
    }
    assert set(re.findall(r"\]\(#([\w-]+)\)", TEXT)) == headings
