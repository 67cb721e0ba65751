"""docs/cli.md and docs/settings.md say what the program says."""

import subprocess
import sys

import pytest

from columba.cli.reference import DOCS, PAGES
from columba.settings import SETTINGS


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_as_the_program_makes_it(name: str) -> None:
    # In a process of its own: click keeps the help option of a command as it was when somebody first asked for it.
    made = subprocess.run(
        [sys.executable, "-c", f"from columba.cli.reference import PAGES; print(PAGES[{name!r}](), end='')"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert (DOCS / name).read_text() == made, "run `python -m columba.cli.reference`"


def test_each_setting_is_on_its_page() -> None:
    text = PAGES["settings.md"]()
    for setting in SETTINGS:
        for word in (setting.flag, setting.variable, f"`{setting.name}`", setting.help):
            assert word in text
