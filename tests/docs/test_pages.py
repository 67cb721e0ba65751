"""The pages as a whole: links lead somewhere, what they name is there, what is made from the program is as it makes it."""

import json
import re
import runpy
import shlex
import subprocess
import tomllib
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest

from columba.carriers.sandbox import Config
from columba.cli import columba
from columba.settings import BY_NAME, SETTINGS
from tests.docs.pages import ROOT, Page, page, pages

GENERATE: Mapping[str, Any] = runpy.run_path(str(ROOT / "docs/generate.py"))
CLIENTS = {"COLUMBA_URL", "COLUMBA_KEY", "COLUMBA_WEBHOOK_SECRET"}
EXAMPLES = {"columba/carriers/folder.py", "tests/carriers/exchanges/pigeon.json"}  # made by readers
_ALL = pytest.mark.parametrize("a_page", pages(), ids=lambda each: each.name)


@cache
def document() -> dict[str, Any]:
    found: dict[str, Any] = GENERATE["document"]()
    return found


# What is there


@_ALL
def test_links_lead_somewhere(a_page: Page) -> None:
    by_path = {each.path: each for each in pages()}
    for link in a_page.links:
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (a_page.path.parent / name).resolve() if name else a_page.path
        assert target.exists(), link
        if anchor:
            assert anchor in by_path[target].anchors, link


def test_every_page_is_linked_to() -> None:
    linked = {(each.path.parent / link.partition("#")[0]).resolve() for each in pages() for link in each.links}
    folders = {path for path in linked if path.is_dir()}
    lonely = [each.name for each in pages() if each.path not in linked and each.path.parent not in folders]
    assert lonely == ["README.md"]


def test_the_readme_leads_to_every_page() -> None:
    led = {(ROOT / link.partition("#")[0]).resolve() for link in page("README.md").links}
    assert [path.name for path in sorted((ROOT / "docs").glob("*.md")) if path not in led] == []


@_ALL
def test_files_that_are_named_exist(a_page: Page) -> None:
    for word in a_page.codes:
        if re.fullmatch(r"(columba|tests|bench|deploy|docs|locks)/[\w./-]+", word) and word not in EXAMPLES | {
            "docs/errors"
        }:
            path = ROOT / word
            assert path.exists() or "NNNN" in word, word


@_ALL
def test_no_page_names_the_machine_it_was_written_on(a_page: Page) -> None:
    assert str(ROOT) not in a_page.text
    assert not re.search(r"(?<![\w.])/(root|home|work|tmp|Users)/", a_page.text)


# What is made


@pytest.mark.parametrize("path", GENERATE["pages"](), ids=lambda path: path.name)
def test_what_is_made_from_the_program_is_as_it_makes_it(path: Path) -> None:
    filled: Callable[[str], str] = GENERATE["filled"]
    assert path.read_text() == filled(path.read_text()), "run `python docs/generate.py`"


def test_every_part_that_can_be_made_is_somewhere() -> None:
    there = {name for each in pages() for name in re.findall(r"<!-- begin ([a-z-]+): made by", each.text)}
    assert there == set(GENERATE["PARTS"])


# Settings, commands, endpoints


def test_every_setting_is_documented() -> None:
    text = page("docs/settings.md").text
    for setting in SETTINGS:
        assert f"`{setting.name}`" in text
        assert setting.flag in text
        assert setting.variable in text


@_ALL
def test_settings_that_are_named_exist(a_page: Page) -> None:
    known = CLIENTS | {setting.variable for setting in SETTINGS}
    assert set(re.findall(r"(?<!_)\bCOLUMBA_[A-Z_]+\b", a_page.text)) <= known
    for block in a_page.blocks:
        if block.language == "toml" and block.text.startswith("# columba.toml"):
            assert set(tomllib.loads(block.text)) <= set(BY_NAME)


def commands(text: str) -> Iterator[list[str]]:
    """The commands `columba ...` in a text."""
    for found in re.finditer(r"(?:^|[|`(] ?|bin/)columba ((?:[a-z]+|--[a-z]+|-h)(?: [^\n`|#)]*)?)", text, re.M):
        yield found[1].split()


@_ALL
def test_commands_that_are_named_exist(a_page: Page) -> None:
    texts = [block.text.replace("\\\n", " ") for block in a_page.blocks if block.language in ("sh", "console")]
    spans = [word for word in a_page.codes if word.startswith("columba ")]
    for words in [each for text in (*texts, *spans) for each in commands(text)]:
        command: click.Command = columba
        context = click.Context(columba, **columba.context_settings)
        for word in words:
            if not isinstance(command, click.Group) or not word.isalpha():
                break
            found = command.get_command(context, word)
            if found is None and command is not columba:
                break  # `columba messages --status` is a group with a default
            assert found is not None, " ".join(words)
            command = found
        groups = [command, *(_default(command, context))]
        options = {name for each in groups for option in each.get_params(context) for name in option.opts}
        for word in words:
            if word.startswith("--") and word != "--":
                assert word.rstrip(",.;") in options, " ".join(words)


def _default(command: click.Command, context: click.Context) -> Iterator[click.Command]:
    if isinstance(command, click.Group) and (found := command.get_command(context, "list")):
        yield found


@_ALL
def test_commands_of_the_shell_can_be_read(a_page: Page) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for block in a_page.blocks:
        if block.language in ("sh", "console"):
            read = subprocess.run(["/bin/bash", "-n", "-c", block.text], capture_output=True, text=True)
            assert read.returncode == 0, f"line {block.line}: {read.stderr}"
            for target in re.findall(r"^make ([a-z-]+)", block.text, re.M):
                assert target in targets, target


@_ALL
def test_requests_that_are_shown_can_be_made(a_page: Page) -> None:
    """Path and method of each `curl`, and of each `GET /v1/...` in the text, are the API's; bodies are JSON."""
    known = {(method.upper(), _shape(path)) for path, methods in document()["paths"].items() for method in methods}
    known |= {("GET", "/docs"), ("GET", "/docs/errors"), ("GET", "/v1/openapi.json"), ("POST", "/callbacks/{}/...")}
    named = [tuple(word.split(" ", 1)) for word in a_page.codes if re.match(r"(GET|POST|PATCH|DELETE) /", word)]
    for block in a_page.blocks:
        for words in curls(block.text):
            (url,) = [word for word in words if word.startswith("http")]
            data = [words[n + 1] for n, word in enumerate(words) if word == "-d"]
            method = words[words.index("-X") + 1] if "-X" in words else "POST" if data else "GET"
            named.append((method, "/" + url.split("/", 3)[3]))
            for body in data:
                assert body[:1] != "{" or json.loads(body.replace('\\"', '"'))
    for method, path in named:
        assert (method, _shape(path)) in known, f"{method} {path}"


def curls(text: str) -> Iterator[list[str]]:
    """The commands `curl ...` in a block, word by word."""
    for found in re.finditer(r"""^curl(?: |'[^']*'|"(?:\\\\.|[^"])*"|[^'"\n])*$""", text.replace("\\\n", " "), re.M):
        yield shlex.split(found[0], comments=True)


def _shape(path: str) -> str:
    """A path with `{}` for whatever stands for an id."""
    path = re.sub(r"\{[^}]*\}|\b[a-z]{3,4}_(\.\.\.|[0-9a-z]{13,})", "{}", path.partition("?")[0])
    return re.sub(r"/(numbers|senders/rules)/[^/]+", r"/\1/{}", path)


def test_every_endpoint_is_on_some_page() -> None:
    """Beside the list that is made."""
    written = "\n".join(_shape_all(each.by_hand) for each in pages())
    missing = [path for path in document()["paths"] if _shape(path) not in written]
    assert missing == []


def _shape_all(text: str) -> str:
    return re.sub(r"\{[^}\n]*\}|\b[a-z]{3,4}_(\.\.\.|[0-9a-z]{13,})", "{}", text)


# Operation


def test_every_metric_is_documented_and_no_other() -> None:
    text = page("docs/operation.md").text
    from columba.metrics import Metrics

    source = (ROOT / "columba/operation.py").read_text()
    counters = {f"columba_{name}_total" for name in re.findall(r'metrics\.counter\("(\w+)"', source)}
    gauges = {f"columba_{name}" for name in re.findall(r'metrics\.gauge\("(\w+)"', source)}
    own = {family.name for family in Metrics().collect()}
    assert set(re.findall(r"\bcolumba_[a-z_]+", text)) == counters | gauges | own


def test_logged_events_that_are_named_exist() -> None:
    source = "".join(path.read_text() for path in (ROOT / "columba").rglob("*.py"))
    (table,) = re.findall(r"\| event \| level \|.*?\n\n", page("docs/operation.md").text, re.S)
    for row in table.strip().splitlines()[2:]:
        for name in re.findall(r"`([a-z_.]+)`", row.split("|")[1]):
            assert f'"{name}"' in source, name


def test_the_service_outlasts_a_graceful_stop() -> None:
    unit = (ROOT / "deploy/columba.service").read_text()
    timeout = re.search(r"^TimeoutStopSec=(\d+)$", unit, re.M)
    assert timeout
    assert int(timeout[1]) >= BY_NAME["stop_timeout"].default + 15
    assert re.search(r"^ExecStart=\S*/columba serve$", unit, re.M)
    for variable in re.findall(r"\bCOLUMBA_[A-Z_]+\b", unit):
        assert variable in {setting.variable for setting in SETTINGS}


# The code


def test_what_the_architecture_names_is_in_the_code() -> None:
    files = [*(ROOT / "columba").rglob("*.py"), *(ROOT / "columba").rglob("*.sql")]
    words = set(re.findall(r"\w+", "".join(path.read_text() for path in files)))
    for code in page("docs/architecture.md").codes:
        if re.fullmatch(r"_?[A-Za-z]\w*(\.\w+)*(\(\.\.\.\))?", code) and not (ROOT / code).exists():
            for word in re.findall(r"\w+", code.removesuffix(".sql")):
                assert word in words, code


def test_the_sandbox_is_described_whole() -> None:
    text = page("docs/carriers.md").text
    for field in Config.__struct_fields__:
        assert f"`{field}`" in text, field


def test_what_keeps_it_from_starting_is_told_as_the_program_tells_it() -> None:
    source = "".join(path.read_text() for path in (ROOT / "columba").rglob("*.py"))
    source = re.sub(r"\{[^{}]*\}", "#", source)
    section = page("docs/troubleshooting.md").text.partition("## It does not start")[2].partition("\n## ")[0]
    told = [word for row in section.strip().splitlines()[2:] for word in re.findall(r"`([^`]+)`", row.split("|")[1])]
    assert len(told) > 8
    for words in told:
        plain = re.sub(r"\b(8080|N|M)\b", "#", words).strip(". ")
        assert plain in source, words
