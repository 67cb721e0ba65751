"""The command line: `columba COMMAND`. Each command is a file in this folder, loaded when it is called.

Exit codes: 0 done, 1 refused or failed, 2 asked wrongly, 3 nobody knows (yet), 130 interrupted. Answers go to standard
output, all that is said about them to standard error. No command ends with a traceback because of what it was asked,
because of Ctrl-C or because its reader has gone.
"""

import importlib
import os
import sys
from typing import TYPE_CHECKING, NamedTuple

import click

from columba import __version__

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class Place(NamedTuple):
    """Where a command is, and its line in the overview, so that the overview loads none."""

    where: str
    line: str


RUN: dict[str, Place] = {
    "serve": Place("columba.cli.serve:serve", "Serve the API, the lanes and the webhooks."),
    "keys": Place("columba.cli.admin:keys", "Make, list, rotate and revoke API keys, in the store itself."),
    "migrate": Place("columba.cli.admin:migrate", "Bring the database to this version."),
    "doctor": Place("columba.cli.doctor:doctor", "Look for what is wrong, and say how to mend it."),
    "alerts": Place(
        "columba.cli.alerts:alerts", "Be told when something goes wrong: by mail, to a webhook, in Slack or by text."
    ),
}
SEND: dict[str, Place] = {
    "send": Place("columba.cli.client:send", "Send a text."),
    "messages": Place(
        "columba.cli.client:messages", "List messages, show one with its parts and timeline, cancel or redact one."
    ),
    "templates": Place("columba.cli.templates:templates", "Make, approve, preview and delete message templates."),
    "verify": Place("columba.cli.verify:verify", "Send two-factor codes, check them, see what the guard blocks."),
    "media": Place("columba.cli.media:media", "Upload, list, fetch and delete pictures and other files."),
}
RECEIVE: dict[str, Place] = {
    "listen": Place("columba.cli.listen:listen", "Follow what happens, and post each event to a local address."),
    "webhooks": Place(
        "columba.cli.webhooks:webhooks", "Have events posted to you; see what came of it, and have it again."
    ),
    "contacts": Place("columba.cli.contacts:contacts", "Add, find, change, remove, import and export contacts."),
    "rules": Place("columba.cli.rules:rules", "Say what is done with texts from people: forward, reply, tag."),
    "forward": Place("columba.cli.rules:forward", "Try out what is done with a text from a person."),
    "forwards": Place("columba.cli.rules:forwards", "See what rules did with texts; try again what failed."),
    "destinations": Place("columba.cli.destinations:destinations", "Set up and try out where texts are forwarded to."),
}
RIGHT: dict[str, Place] = {
    "consents": Place("columba.cli.consents:consents", "Record, read, import and export who allowed what."),
    "suppressions": Place("columba.cli.consents:suppressions", "List and export who must not be texted."),
    "quiet": Place("columba.cli.quiet:quiet", "Show, change and try quiet hours and sending windows."),
    "advice": Place(
        "columba.cli.content:advice", "Ask what carriers' filters may think of a text; see what is filtered."
    ),
    "held": Place("columba.cli.content:held", "List, approve and reject messages whose text is held."),
    "privacy": Place("columba.cli.privacy:privacy", "Export and erase people by number; set how long what is kept."),
    "audit": Place("columba.cli.audit:audit", "See who saw or changed what, and whether the log of it is whole."),
}
NETWORKS: dict[str, Place] = {
    "carriers": Place("columba.cli.carriers:carriers", "Set up, look after and try out the ways to the networks."),
    "routes": Place(
        "columba.cli.routes:routes", "Say which carrier takes which message; ask which way one would take."
    ),
    "senders": Place("columba.cli.senders:senders", "Register numbers, short codes and names, and make pools of them."),
    "prices": Place("columba.cli.spend:prices", "Import and list what parts cost."),
    "spend": Place("columba.cli.spend:spend", "See what was spent, and bound it."),
    "smpp": Place("columba.cli.smpp:smpp", "List programs that are bound; follow the PDUs of a session."),
}
GROUPS = {"Run it": RUN, "Send": SEND, "Receive": RECEIVE, "Do it right": RIGHT, "Reach the networks": NETWORKS}
COMMANDS = {name: place for commands in GROUPS.values() for name, place in commands.items()}

FIRST_STEPS = """\
A first text, over the simulated network:

  columba serve                                   # its first start prints a live and a test key
  export COLUMBA_KEY=ck_test_...                  # in another terminal
  columba send --to +447700900123 --text "Hello" --wait"""


class Lazy(click.Group):
    """Imports a command's module only when it is asked for: `columba send` doesn't load the server."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        place = COMMANDS.get(name)
        if place is None:
            return None
        module, _, attribute = place.where.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            raise click.exceptions.NoSuchCommand(name, possibilities=COMMANDS, ctx=ctx)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        if incomplete.startswith("-"):
            return click.Command.shell_complete(self, ctx, incomplete)
        from click.shell_completion import CompletionItem

        return [CompletionItem(name, help=each.line) for name, each in COMMANDS.items() if name.startswith(incomplete)]

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write(f"Columba {__version__}, a self-hosted SMS platform.\n\n{FIRST_STEPS}\n")
        for title, commands in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name, place.line) for name, place in commands.items()], col_max=12)
        self.format_options(ctx, formatter)
        formatter.write("\n`columba COMMAND --help` says more about each.\n")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        click.Command.format_options(self, ctx, formatter)


@click.group(
    cls=Lazy,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="columba")
@click.pass_context
def columba(ctx: click.Context) -> None:
    """Columba, a self-hosted SMS platform."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        ctx.color = False
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main(arguments: list[str] | None = None) -> None:
    """Run a command and leave with its exit code."""
    code: object
    try:
        code = columba.main(args=arguments, prog_name="columba", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = 130
    sys.exit(code if isinstance(code, int) else 0)
