"""`columba contacts`: what is known of persons, over the API.

Exit codes: 0 done, 1 refused or failed (`import`: rows were refused), 2 asked wrongly, 3 nobody knows.
"""

import json
import sys
from collections.abc import Sequence
from typing import Any, BinaryIO

import click

from columba.cli import show
from columba.cli.api import Api, Failure, Json, with_api
from columba.cli.client import Listing
from columba.cli.files import add_files, send_file
from columba.cli.show import clean, json_text
from columba.cli.values import place, read_params

MOST_LISTED = 10_000
PREFIX = "cnt_"
COLUMNS = ("number", "name", "email", "language", "tags", "attributes")
Words = tuple[str, ...]


@click.group(cls=Listing)
def contacts() -> None:
    """Add, find, change, remove, import and export contacts.

    Without a command they are listed. Rules and templates see who texts as `contact`.
    """


@contacts.command("list")
@with_api
@click.option("--name", metavar="TEXT", help="Whose name begins so.")
@click.option("--tag", metavar="TAG", help="Who has this tag.")
@click.option("--number", metavar="NUMBER", help="Whose number this is.")
@click.option(
    "--limit", type=click.IntRange(1, MOST_LISTED), default=20, show_default=True, metavar="N", help="How many at most."
)
def list_(api: Api, as_json: bool, limit: int, **which: str | None) -> None:
    """List contacts: the newest first, with --name by their names."""
    query = [(name, value) for name, value in which.items() if value]
    rows: Sequence[Json] = [*api.pages("/v1/contacts", query, limit)]
    if as_json:
        click.echo(json_text(rows))
    elif not rows and sys.stdout.isatty():
        click.echo("There are none: `columba contacts add --help`.", err=True)
    else:
        show.table(COLUMNS, [[_cell(row[name]) for name in COLUMNS] for row in rows])


_SAID = (
    click.option("--name", metavar="TEXT", help="The person's name."),
    click.option("--email", metavar="ADDRESS", help="An e-mail address."),
    click.option("--language", metavar="TAG", help="The language, such as en or pt-BR."),
    click.option("--tag", "tags", multiple=True, metavar="TAG", help="A group that they are in; may be repeated."),
    click.option("--set", "attributes", multiple=True, metavar="NAME=VALUE", help="An attribute; may be repeated."),
)


def _saying(command: Any) -> Any:
    for option in reversed(_SAID):
        command = option(command)
    return command


@contacts.command()
@with_api
@click.argument("number")
@_saying
def add(api: Api, as_json: bool, number: str, tags: Words, attributes: Words, **said: str | None) -> None:
    """Add a contact.

    \b
      columba contacts add +447700900123 --name "Ada Lovelace" --tag vip --set plan=gold --set seats=12
    """
    body: Json = {name: value for name, value in said.items() if value is not None}
    body |= {"number": number, "tags": list(tags), "attributes": read_params(attributes)}
    _print(api.post("/v1/contacts", body), as_json)


@contacts.command("show")
@with_api
@click.argument("contact", metavar="NUMBER|ID")
def show_(api: Api, as_json: bool, contact: str) -> None:
    """Show a contact."""
    _print(api.get(_place(api, contact)), as_json)


@contacts.command()
@with_api
@click.argument("contact", metavar="NUMBER|ID")
@_saying
@click.option("--untag", "untags", multiple=True, metavar="TAG", help="A group to take them out of; may be repeated.")
@click.option("--unset", multiple=True, metavar="NAME", help="An attribute to take away; may be repeated.")
@click.option("--number", metavar="NUMBER", help="Another number.")
def edit(
    api: Api,
    as_json: bool,
    contact: str,
    tags: Words,
    untags: Words,
    attributes: Words,
    unset: Words,
    **said: str | None,
) -> None:
    """Change a contact: what is named, and nothing else. An empty text takes it away.

    \b
      columba contacts edit +447700900123 --tag newsletter --untag trial --set plan=silver --unset seats
    """
    body: Json = {name: value or None for name, value in said.items() if value is not None}
    body |= {"add_tags": list(tags)} if tags else {}
    body |= {"remove_tags": list(untags)} if untags else {}
    if attributes or unset:
        body["attributes"] = read_params(attributes) | dict.fromkeys(unset)
    if not body:
        raise click.UsageError("Nothing is to be different: see --help.")
    _print(api.change("PATCH", _place(api, contact), body), as_json)


@contacts.command()
@with_api
@click.argument("contact", metavar="NUMBER|ID")
def remove(api: Api, as_json: bool, contact: str) -> None:
    """Remove a contact. Messages and all else that is kept of the person stay: `columba privacy erase` erases those too."""
    where = _place(api, contact)
    api.delete(where)
    click.echo(json_text({"removed": where.rpartition("/")[2]}) if as_json else f"removed {clean(contact)}")


@contacts.command("import")
@with_api
@click.argument("file", type=click.File("rb"))
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="A group for everybody in it; may be repeated.")
@click.option(
    "--column", "columns", multiple=True, metavar="HEADING=FIELD",
    help="What a column is: number, name, email, language, tags, attributes.NAME; nothing leaves it out.",
)  # fmt: skip
@click.option(
    "--attribute", "attributes", multiple=True, metavar="NAME",
    help="Of the other columns keep this one; may be repeated.  [default: all]",
)  # fmt: skip
@click.option("--skip-known", is_flag=True, help="Leave those alone that are contacts already.")
@click.option("--resume", metavar="ID", help="Go on with an import that was interrupted, with the same file.")
@click.pass_context
def import_(
    ctx: click.Context, /, api: Api, as_json: bool, file: BinaryIO, resume: str | None, tags: Words, columns: Words,
    attributes: Words, skip_known: bool,
) -> None:  # fmt: skip
    """Add and change contacts from a CSV file, of any size.

    The heading names the columns: number, name, email, language, tags; others become attributes. Who is in it is found
    by the number, and an empty cell leaves what is known. Ends with 1 if rows were refused; they are listed.

    \b
      columba contacts import members.csv --tag members
      columba contacts import crm.csv --column "Mobile no.=number" --column "Shoe size=" --skip-known
    """
    said: Json = {"tags": list(tags), "columns": dict(map(_column, columns)), "attributes": list(attributes)}
    said["known"] = "skip" if skip_known else ""
    send_file(ctx, api, as_json, "contacts", file, resume, said)


add_files(contacts, "contacts", "all contacts")


def _column(given: str) -> tuple[str, str | None]:
    heading, sign, field = given.rpartition("=")
    if not sign:
        raise click.BadParameter(f"{given!r} is not HEADING=FIELD.", param_hint="--column")
    return heading, field or None


def _place(api: Api, contact: str) -> str:
    """Where it is, by its id or its number."""
    if contact.startswith(PREFIX):
        return place("contacts", contact)
    found = api.get("/v1/contacts", [("number", contact)])["data"]
    if not found:
        raise Failure(f"{clean(contact)} is no contact's number", "not_found", "See `columba contacts list`.")
    return f"/v1/contacts/{found[0]['id']}"


def _print(found: Json, as_json: bool) -> None:
    if as_json:
        click.echo(json_text(found))
        return
    for name in ("id", *COLUMNS, "created_at", "updated_at"):
        click.echo(f"{name:<12}{_cell(found[name])}".rstrip())


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{clean(name)}={_value(each)}" for name, each in value.items())
    return ", ".join(map(clean, value)) if isinstance(value, list) else clean("" if value is None else value)


def _value(value: Any) -> str:
    return clean(value if isinstance(value, str) else json.dumps(value))
