"""The program as a whole: its overview, its help, what it loads, and what it says to what it doesn't know."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from columba import __version__
from columba.cli import COMMANDS, columba
from tests.cli.program import run


def test_without_a_command_it_says_what_there_is_and_how_to_begin() -> None:
    done = run()
    assert (done.returncode, done.stderr) == (0, "")
    for said in ("columba serve", "columba send --to", *COMMANDS):
        assert said in done.stdout
    assert run("--help").stdout == done.stdout


def test_the_version_is_the_packages() -> None:
    assert run("--version").stdout == f"columba, version {__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_there_with_the_help_that_the_overview_gives(name: str) -> None:
    context = click.Context(columba, **columba.context_settings)
    command = columba.get_command(context, name)
    assert command is not None
    assert command.help is not None
    assert command.help.split("\n\n")[0].replace("\n", " ") == COMMANDS[name].line
    assert CliRunner().invoke(columba, [name, "--help"]).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sned"], "Did you mean one of: 'send', 'spend'?"),
        (["massages"], "Did you mean 'messages'?"),
        (["messages", "lst"], "Did you mean 'list'?"),
        (["send", "--idempotence-key", "x"], "Did you mean '--idempotency-key'?"),
        (["xyzzy"], "No such command 'xyzzy'."),
    ],
)
def test_what_it_does_not_know_is_answered_with_what_may_be_meant(arguments: list[str], said: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert said in done.stderr


def test_python_m_columba_is_the_same_program() -> None:
    done = subprocess.run([sys.executable, "-m", "columba", "sned"], capture_output=True, text=True)
    assert done.returncode == 2


LIGHT = """
import sys, json
from columba.cli import columba
for arguments in ([], ["send", "-h"], ["messages", "list", "-h"], ["listen", "-h"], ["sned"]):
    try:
        columba.main(arguments, prog_name="columba", standalone_mode=False)
    except Exception:
        pass
print(json.dumps(sorted(sys.modules)))
"""


def test_the_clients_load_none_of_the_server() -> None:
    """They are run from scripts, over and over: what they load is what they cost."""
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}
    heavy = {"apsw", "asyncpg", "msgspec", "uvicorn", "starlette", "structlog", "rich", "cryptography", "phonenumbers"}
    assert loaded & (heavy | {"asyncio"}) == set()


def test_the_server_loads_nothing_for_drawing() -> None:
    """Where it is installed at all: some MB of every process, and time of every start."""
    loaded = "import columba.cli.serve, columba.app, sys; print(*({'rich', 'pygments', 'asyncpg'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize(
    ("words", "place", "expected"),
    [
        ("columba me", 1, ["plain,messages", "plain,media"]),
        ("columba messages l", 2, ["plain,list"]),
        ("columba send --cl", 2, ["plain,--class"]),
        ("columba --v", 1, ["plain,--version"]),
    ],
)
def test_a_shell_can_complete_commands_and_options(words: str, place: int, expected: list[str]) -> None:
    done = run(_COLUMBA_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=str(place))
    assert done.stdout.split() == expected


def commands(group: click.Group, context: click.Context) -> Iterator[click.Command]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield command
        if isinstance(command, click.Group):
            yield from commands(command, click.Context(command, parent=context))


def examples(text: str) -> Iterator[list[str]]:
    """The words after `columba`, to the end of the line or of what is in quotes."""
    for found in re.finditer(r"^ +(?:\w+ \| )?columba ", text, re.M):
        lines = text[found.end() :].split("\n")
        for n in range(len(lines)):
            try:
                yield shlex.split("\n".join(lines[: n + 1]), comments=True)
                break
            except ValueError:  # a quote is open
                continue


def test_examples_of_the_help_name_commands_and_options_that_there_are() -> None:
    top = click.Context(columba)
    found = [words for command in commands(columba, top) for words in examples(command.help or "")]
    assert len(found) > 40
    for words in found:
        command: click.Command = columba
        context, rest = top, words
        while isinstance(command, click.Group) and rest and (below := command.get_command(context, rest[0])):
            command, context, rest = below, click.Context(below, parent=context), rest[1:]
        assert not isinstance(command, click.Group) or not rest or rest[0].startswith("-"), words
        command.make_parser(context).parse_args([*rest])  # an option that is not there is a usage error
