"""docs/smpp.md says all that there is to say of a carrier, and nothing else."""

import re
from pathlib import Path

import msgspec

from columba.carriers.smpp.answers import TABLE
from columba.carriers.smpp.config import Config
from columba.smpp.status import name_of

PAGE = (Path(__file__).parents[2] / "docs" / "smpp.md").read_text()


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_every_option_is_there_with_its_default() -> None:
    rows = {}
    for line in section("Every option").splitlines():
        if line.startswith("| `"):
            names, default, meaning = (cell.strip() for cell in re.split(r" \| ", line.strip("| "), maxsplit=2))
            defaults = default.split(", ") if names.count("`") > 2 else [default]
            for name, each in zip(re.findall(r"`(\w+)`", names), defaults * 3, strict=False):
                rows[name] = each.strip("`")
            assert meaning
    fields = {field.name: field.default for field in msgspec.structs.fields(Config)}
    assert set(rows) == set(fields)
    for name, default in fields.items():
        if isinstance(default, int | float | str) and not isinstance(default, bool) and default != "":
            assert rows[name] == str(default).removesuffix(".0"), name


def test_every_answer_is_there_with_what_it_comes_to() -> None:
    rows = {}
    for line in section("What answers mean").splitlines():
        if line.startswith("| `"):
            names, action, failure = (cell.strip(" `") for cell in line.strip("| ").split(" | "))
            for name in re.findall(r"ESME_\w+", names):
                rows[name] = (action, failure)
    assert rows == {name_of(status): meaning for status, meaning in TABLE.items()}
