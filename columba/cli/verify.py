"""`columba verify`: two-factor codes, over the API.

Exit codes: 0 done (`check`: the code was right), 1 refused or failed (`check`: it was not), 2 asked wrongly.
"""

import sys

import click

from columba.cli import show
from columba.cli.api import Api, Json, with_api
from columba.cli.carriers import json_or_file
from columba.cli.policies import settings_of
from columba.cli.show import clean, json_text, style
from columba.cli.values import read_params

MOST_LISTED = 1_000
COLUMNS = ("id", "status", "to", "sends", "checks", "created_at", "expires_at")
BLOCKS = ("id", "kind", "value", "sent", "unentered", "until")
STATES = {"approved": "good", "pending": "doubt", "expired": "bad", "canceled": "bad"}


@click.group()
def verify() -> None:
    """Send two-factor codes, check them, see what the guard blocks."""


@verify.command()
@with_api
@click.argument("to", metavar="NUMBER")
@click.option("--length", type=click.IntRange(4, 10), metavar="N", help="How long the code is.")
@click.option("--alphabet", type=click.Choice(("digits", "letters", "alphanumeric")), help="What it is made of.")
@click.option("--expires-in", type=click.IntRange(30, 86_400), metavar="SECONDS", help="How long it is good.")
@click.option("--template", metavar="NAME", help="A template with a parameter `code`.")
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="A value of the template's.")
@click.option("--language", metavar="LANG", help="The language of its text.")
@click.option("--brand", metavar="NAME", help="Who sends it.")
@click.option("--from", "from", metavar="SENDER", help="What it comes from.")
@click.option("--domain", metavar="DOMAIN", help="The site on whose pages phones may fill it in.")
@click.option("--address", metavar="IP", help="Of whoever asks for the code: the guard counts by it.")
@click.option("--device", metavar="ID", help="Of whoever asks for the code: the guard counts by it.")
@click.option("--metadata", metavar="JSON", help="What you want back with it: JSON, @FILE or @-.")
def start(
    api: Api, as_json: bool, to: str, params: tuple[str, ...], metadata: str | None, **given: str | int | None
) -> None:
    """Send a code to a number."""
    asked: Json = {"to": to, **{name: value for name, value in given.items() if value is not None}}
    if params:
        asked["params"] = read_params(params)
    if metadata is not None:
        asked["metadata"] = json_or_file(metadata, "--metadata")
    _print(api.post("/v1/verifications", asked), as_json)


@verify.command()
@with_api
@click.argument("verification", metavar="ID|NUMBER")
@click.argument("code", metavar="CODE")
@click.pass_context
def check(ctx: click.Context, api: Api, as_json: bool, verification: str, code: str) -> None:
    """Check a code, by the verification's id or by number."""
    if verification.startswith("ver_"):
        checked = api.post(f"{_place(verification)}/check", {"code": code})
    else:
        checked = api.post("/v1/verifications/check", {"to": verification, "code": code})
    if as_json:
        click.echo(json_text(checked))
    else:
        click.echo(style("right", "good") if checked["valid"] else f"{style('not right', 'bad')}  {checked['status']}")
    ctx.exit(0 if checked["valid"] else 1)


@verify.command()
@with_api
@click.argument("verification", metavar="ID")
def resend(api: Api, as_json: bool, verification: str) -> None:
    """Send the same code again."""
    _print(api.post(f"{_place(verification)}/resend", {}), as_json)


@verify.command()
@with_api
@click.argument("verification", metavar="ID")
def cancel(api: Api, as_json: bool, verification: str) -> None:
    """End a verification: its code is not right any more."""
    _print(api.post(f"{_place(verification)}/cancel", {}), as_json)


@verify.command("show")
@with_api
@click.argument("verification", metavar="ID")
def show_(api: Api, as_json: bool, verification: str) -> None:
    """Show a verification. The code is nowhere but in the text."""
    _print(api.get(_place(verification)), as_json)


@verify.command("list")
@with_api
@click.option("--to", metavar="NUMBER", help="Only those of this number.")
@click.option("--status", type=click.Choice(tuple(STATES)), help="Only those with this status.")
@click.option(
    "--limit", type=click.IntRange(1, MOST_LISTED), default=20, show_default=True, metavar="N", help="How many at most."
)
def list_(api: Api, as_json: bool, to: str | None, status: str | None, limit: int) -> None:
    """List verifications, the newest first."""
    query = [(name, value) for name, value in (("to", to), ("status", status)) if value]
    _table(list(api.pages("/v1/verifications", query, limit)), COLUMNS, as_json)


@verify.command()
@with_api
def blocks(api: Api, as_json: bool) -> None:
    """List what the guard blocks: too many codes were sent there that nobody entered."""
    _table(list(api.pages("/v1/verifications/blocks", (), MOST_LISTED)), BLOCKS, as_json)


@verify.command()
@with_api
@click.argument("block", metavar="BLOCK")
def unblock(api: Api, as_json: bool, block: str) -> None:
    """End a block."""
    if not block.isascii() or not block.replace("_", "").replace("-", "").isalnum():
        raise click.BadParameter(f"{block!r} is no id: they look like blk_...", param_hint="BLOCK")
    api.delete(f"/v1/verifications/blocks/{block}")
    click.echo(json_text({"id": block, "deleted": True}) if as_json else f"{block} is ended.", err=not as_json)


@verify.command()
@with_api
@click.option("--set", "change", metavar="JSON", help="What is to be different: JSON, @FILE or @- for standard input.")
def settings(api: Api, as_json: bool, change: str | None) -> None:
    """Show or change the settings: length, limits, countries, lists of those allowed and denied."""
    settings_of(api, "verifications", change)


def _place(an_id: str) -> str:
    if not an_id.isascii() or not an_id.replace("_", "").isalnum():
        raise click.BadParameter(f"{an_id!r} is no id: they look like ver_01j9...", param_hint="ID")
    return f"/v1/verifications/{an_id}"


def _print(found: Json, as_json: bool) -> None:
    if as_json:
        click.echo(json_text(found))
        return
    click.echo(f"{style(clean(found['id']), 'strong')}  {style(found['status'], STATES.get(found['status'], 'plain'))}")
    for name, value in found.items():
        if name not in ("id", "status") and value not in (None, "", {}):
            click.echo(f"  {name:<15} {clean(value if isinstance(value, str) else json_text(value, None))}")


def _table(rows: list[Json], columns: tuple[str, ...], as_json: bool) -> None:
    if as_json:
        click.echo(json_text(rows))
    elif not rows and sys.stdout.isatty():
        click.echo("There are none.", err=True)
    else:
        show.table(columns, [[show.cell(row.get(name)) for name in columns] for row in rows])
