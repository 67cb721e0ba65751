"""docs/cli.md and docs/settings.md, made from what the program itself says: `python -m columba.cli.reference`.

A test compares them. Run it again after any change to a command or a setting.
"""

from collections.abc import Iterator
from pathlib import Path

import click

from columba.cli import GROUPS, columba
from columba.settings import FILE, SETTINGS, Setting

DOCS = Path(__file__).parents[2] / "docs"
WIDTH = 100
MADE = "<!-- Made by `python -m columba.cli.reference`: change the program, then run it. -->\n"

ABOUT_CLI = """\
# The command line

One program, `columba`. The commands that run the platform take [settings](settings.md) as flags, variables and keys of
`columba.toml`. The commands that use it are clients of the API: they find it by `COLUMBA_URL` (`http://127.0.0.1:8080`
when it is not set) and ask with the key in `COLUMBA_KEY`.

```sh
columba serve                                   # its first start prints a live and a test key
export COLUMBA_KEY=ck_test_...                  # in another terminal
columba send --to +447700900123 --text "Hello" --wait
columba listen --forward-to http://localhost:3000/hook
```

Answers go to standard output, all that is said about them to standard error. `--json` gives what a program would read,
for problems of the API too. Colours are for terminals only, and not with `NO_COLOR`. Proxies of the environment
(`HTTPS_PROXY`, `NO_PROXY`) are used for servers elsewhere, never for this machine itself.

| exit code | meaning |
| --- | --- |
| 0 | done; `send`: delivered, or on its way |
| 1 | refused or failed; `doctor`: something is to be mended; `migrate --check`: something is to be run |
| 2 | asked wrongly |
| 3 | nobody knows (yet): no answer came, or `send --wait` ran out of time |
| 130 | interrupted by Ctrl-C (`listen` ends with 0: it has no other end) |

## Shell completion

Add a line to your shell's start-up file:

| shell | file | line |
| --- | --- | --- |
| bash | `~/.bashrc` | `eval "$(_COLUMBA_COMPLETE=bash_source columba)"` |
| zsh | `~/.zshrc` | `eval "$(_COLUMBA_COMPLETE=zsh_source columba)"` |
| fish | `~/.config/fish/completions/columba.fish` | `_COLUMBA_COMPLETE=fish_source columba \\| source` |
"""

ABOUT_SETTINGS = f"""\
# Settings

Each setting is a flag of `columba serve`, an environment variable and a key of `{FILE}` in the folder where the
program is started. Flags win over variables, those over the file. A setting that is not valid, or a key of the file
that is none, keeps the program from starting; it says which. `columba doctor` shows each with where it came from.

A setting that may be given again is a list in the file; in a variable its parts stand apart by commas:

```toml
# {FILE}
port = 8080
allow_network = ["10.0.0.0/8", "192.168.0.0/16"]
```

```sh
COLUMBA_ALLOW_NETWORK=10.0.0.0/8,192.168.0.0/16 columba serve
columba serve --allow-network 10.0.0.0/8 --allow-network 192.168.0.0/16
```

| flag | variable | in the file | default | meaning |
| --- | --- | --- | --- | --- |
"""


def cli() -> str:
    """docs/cli.md"""
    context = click.Context(columba, info_name="columba", **columba.context_settings)
    parts = [MADE, ABOUT_CLI]
    for title, commands in GROUPS.items():
        parts.append(f"## {title}\n")
        for name in commands:
            command = columba.get_command(context, name)
            assert command is not None
            parts += _command(context, name, command)
    return "\n".join(parts)


def _command(parent: click.Context, name: str, command: click.Command, level: int = 3) -> Iterator[str]:
    context = click.Context(command, info_name=name, parent=parent, terminal_width=WIDTH, max_content_width=WIDTH)
    yield f"{'#' * level} {context.command_path}\n\n```text\n{command.get_help(context).strip()}\n```\n"
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            below = command.get_command(context, each)
            assert below is not None
            yield from _command(context, each, below, level + 1)


def settings() -> str:
    """docs/settings.md"""
    return f"{MADE}\n{ABOUT_SETTINGS}" + "".join(map(_row, SETTINGS))


def _row(setting: Setting) -> str:
    default = ", ".join(setting.default) if setting.many else str(setting.default)
    shown = f"`{default}`" if default else ""
    return (
        f"| `{setting.flag} {setting.metavar}` | `{setting.variable}` | `{setting.name}` | {shown} "
        f"| {setting.help.replace('|', chr(92) + '|')} |\n"
    )


PAGES = {"cli.md": cli, "settings.md": settings}


def main() -> None:
    for name, text in PAGES.items():
        (DOCS / name).write_text(text())
        click.echo(DOCS / name)


if __name__ == "__main__":
    main()
