"""`columba consents` and `columba suppressions`: who allowed what, over the API.

Exit codes: 0 done, 1 refused or failed (`check`: the person may not be texted), 2 asked wrongly, 3 nobody knows.
"""

import sys
from collections.abc import Sequence
from typing import Any, BinaryIO

import click

from columba.cli import show
from columba.cli.api import Api, Json, with_api
from columba.cli.client import CLASSES, Listing
from columba.cli.files import add_files, send_file, write_file
from columba.cli.policies import settings_of
from columba.cli.show import clean, json_text, style
from columba.cli.values import Moment, place

MOST_LISTED = 10_000
Rows = Sequence[Json]
LEDGER = ("at", "number", "action", "class", "sender", "source", "words")
SUPPRESSED = ("since", "number", "class", "sender", "source")


@click.group(cls=Listing)
def consents() -> None:
    """Record, read, import and export who allowed what.

    Without a command the ledger is listed.
    """


@consents.command("list")
@with_api
@click.option("--number", metavar="NUMBER", help="Of one person.")
@click.option(
    "--limit", type=click.IntRange(1, MOST_LISTED), default=20, show_default=True, metavar="N", help="How many at most."
)
def list_(api: Api, as_json: bool, number: str | None, limit: int) -> None:
    """List the ledger, the newest first."""
    _list(api, as_json, "/v1/consents", number, limit, LEDGER)


def _list(api: Api, as_json: bool, path: str, number: str | None, limit: int, columns: tuple[str, ...]) -> None:
    query = [("number", number)] if number else []
    rows: Rows = [*api.pages(path, query, limit)]
    if as_json:
        click.echo(json_text(rows))
    elif not rows and sys.stdout.isatty():
        click.echo("There are none.", err=True)
    else:
        show.table(columns, [[show.cell(row.get(name)) for name in columns] for row in rows])


_SCOPE = (
    click.option("--class", "klass", type=click.Choice(CLASSES), help="The class it is about.  [default: all]"),
    click.option("--sender", metavar="SENDER", help="Your number or name it is about.  [default: all]"),
    click.option("--source", default="command line", show_default=True, metavar="TEXT", help="Where it comes from."),
    click.option("--at", type=Moment(-1), metavar="TIME", help="When they said so: a time, or 2d for two days ago."),
    click.option("--words", metavar="TEXT", help="What they said, or agreed to."),
    click.option("--proof", metavar="TEXT", help="What shows it."),
    click.option("--purpose", metavar="TEXT", help="What it is for."),
)


def _scoped(command: Any) -> Any:
    for option in reversed(_SCOPE):
        command = option(command)
    return command


@consents.command("optin")
@with_api
@click.argument("number")
@_scoped
@click.option("--confirm", is_flag=True, help="Ask the person first.")
def opt_in(api: Api, as_json: bool, number: str, **said: Any) -> None:
    """Record that a person wants to be texted."""
    _record(api, as_json, number, "opt_in", said)


@consents.command("optout")
@with_api
@click.argument("number")
@_scoped
def opt_out(api: Api, as_json: bool, number: str, **said: Any) -> None:
    """Record that a person doesn't. Nothing that waits for them leaves any more."""
    _record(api, as_json, number, "opt_out", said)


def _record(api: Api, as_json: bool, number: str, action: str, said: Json) -> None:
    said["class"] = said.pop("klass")
    made = api.post("/v1/consents", {"number": number, "action": action} | {k: v for k, v in said.items() if v})
    click.echo(json_text(made) if as_json else f"{clean(made['id'])}  {clean(made['number'])}  {clean(made['action'])}")


@consents.command()
@with_api
@click.argument("number")
@click.option(
    "--class", "klass", type=click.Choice(CLASSES), default="transactional", show_default=True, help="A message of it."
)
@click.option("--sender", metavar="SENDER", help="From which of yours.")
@click.pass_context
def check(ctx: click.Context, api: Api, as_json: bool, number: str, klass: str, sender: str | None) -> None:
    """Say whether a person may be texted, and why. Ends with 1 if not."""
    query = [("number", number), ("class", klass), *([("sender", sender)] if sender else [])]
    told = api.get("/v1/consents/check", query)
    if as_json:
        click.echo(json_text(told))
    else:
        word = style("yes", "good") if told["allowed"] else style(clean(told["code"]), "bad")
        click.echo(f"{word}  {clean(told['detail'])}")
    ctx.exit(0 if told["allowed"] else 1)


@consents.command("show")
@with_api
@click.argument("consent_id", metavar="ID")
def show_(api: Api, as_json: bool, consent_id: str) -> None:
    """Show a row of the ledger, with its proof."""
    found = api.get(place("consents", consent_id))
    if as_json:
        click.echo(json_text(found))
        return
    for name, value in found.items():
        if value is not None:
            click.echo(f"{name:<12} {clean(value if isinstance(value, str) else json_text(value, None))}")


@consents.command("try")
@with_api
@click.argument("text")
def try_(api: Api, as_json: bool, text: str) -> None:
    """Say what a text from a person would mean, and how it would be answered. Nothing is recorded."""
    told = api.post("/v1/consents/try", {"text": text})
    if as_json:
        click.echo(json_text(told))
    elif told["meaning"] is None:
        click.echo("a text like any other")
    else:
        click.echo(f"{style(clean(told['meaning']), 'strong')}  {clean(told['language'])}")
        if told["reply"]:
            click.echo(f"  {clean(told['reply'])}")


@consents.command()
@with_api
@click.option("--set", "changes", metavar="JSON", help="What is to be different: JSON, @FILE or @- for standard input.")
def settings(api: Api, as_json: bool, changes: str | None) -> None:
    """Show what classes need, the words and the answers; change them.

    \b
      columba consents settings --set '{"brand": "Columba Coffee", "marketing": "opt_in"}'
    """
    settings_of(api, "consent", changes)


@consents.command("import")
@with_api
@click.argument("file", type=click.File("rb"))
@click.option(
    "--action", type=click.Choice(("opt_in", "opt_out")), default="opt_out", show_default=True,
    help="What rows mean that don't say.",
)  # fmt: skip
@click.option("--class", "klass", type=click.Choice(CLASSES), help="The class it is about.  [default: all]")
@click.option("--sender", metavar="SENDER", help="Your number or name it is about.  [default: all]")
@click.option("--source", default="import", show_default=True, metavar="TEXT", help="Where it comes from.")
@click.option("--at", type=Moment(-1), metavar="TIME", help="When those without a time of their own said so.")
@click.option("--overrule", is_flag=True, help="Opt-ins without a time count against opt-outs that are known.")
@click.option("--resume", metavar="ID", help="Go on with an import that was interrupted, with the same file.")
@click.pass_context
def import_(ctx: click.Context, /, api: Api, as_json: bool, file: BinaryIO, resume: str | None, **said: Any) -> None:
    """Record a CSV file, of any size. What its rows say themselves goes before what is said here.

    The heading names the columns: number, action, class, sender, purpose, source, at, words, proof. Ends with 1 if rows
    were refused; they are listed.

    \b
      columba consents import suppressions.csv
      columba consents import newsletter.csv --action opt_in --class marketing --source "newsletter form"
    """
    said["class"] = said.pop("klass")
    send_file(ctx, api, as_json, "consents", file, resume, said)


add_files(consents, "consents", "the whole ledger")


@click.group(cls=Listing)
def suppressions() -> None:
    """List and export who must not be texted.

    Without a command they are listed. `columba consents optin` takes somebody off, with their consent.
    """


@suppressions.command("list")
@with_api
@click.option("--number", metavar="NUMBER", help="Of one person.")
@click.option(
    "--limit", type=click.IntRange(1, MOST_LISTED), default=20, show_default=True, metavar="N", help="How many at most."
)
def list_suppressions(api: Api, as_json: bool, number: str | None, limit: int) -> None:
    """List who has opted out and not in again, the newest first."""
    _list(api, as_json, "/v1/suppressions", number, limit, SUPPRESSED)


@suppressions.command("export")
@with_api
@click.option("-o", "--output", default="-", metavar="FILE", help="Where to; - is standard output.")
def export_suppressions(api: Api, as_json: bool, output: str) -> None:
    """Write all of them as CSV."""
    write_file(api, as_json, "/v1/suppressions/export", output)
