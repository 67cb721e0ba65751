"""The command line: `columba COMMAND`. Each command is a file in this folder, loaded when it is called."""

import importlib
from typing import Any

import click

from columba import __version__

COMMANDS = {
    "serve": "columba.cli.serve:serve",
    "keys": "columba.cli.admin:keys",
    "migrate": "columba.cli.admin:migrate",
    "doctor": "columba.cli.doctor:doctor",
    "send": "columba.cli.client:send",
    "messages": "columba.cli.client:messages",
    "listen": "columba.cli.listen:listen",
}


class Lazy(click.Group):
    """Imports a command's module only when it is asked for: `columba send` doesn't load the server."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        place = COMMANDS.get(name)
        if place is None:
            return None
        module, _, attribute = place.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="columba")
def columba() -> None:
    """Columba, a self-hosted SMS platform."""


def main(arguments: list[str] | None = None) -> Any:
    return columba.main(args=arguments, prog_name="columba")
