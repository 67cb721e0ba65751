"""`columba templates`: message templates, over the API.

Exit codes: 0 done, 1 refused or failed, 2 asked wrongly.
"""

import sys
from typing import Any

import click

from columba.cli import show
from columba.cli.api import Api, Json, with_api
from columba.cli.carriers import json_or_file
from columba.cli.client import Listing
from columba.cli.show import clean, json_text, style
from columba.cli.values import read_params

MOST_LISTED = 1_000
COLUMNS = ("id", "name", "state", "revision", "languages", "params")
REVISIONS = ("revision", "created_at", "approved_at", "class", "from", "texts")
STATES = {"approved": "good", "draft": "doubt"}
CLASSES = click.Choice(("otp", "transactional", "marketing"))


@click.group(cls=Listing)
def templates() -> None:
    """Make, approve, preview and delete message templates.

    Without a command they are listed. `columba send --template NAME --param name=Ada` is `POST /v1/messages` with them.
    """


@templates.command("list")
@with_api
def list_(api: Api, as_json: bool) -> None:
    """List the templates, the newest first."""
    rows = list(api.pages("/v1/templates", (), MOST_LISTED))
    if as_json:
        click.echo(json_text(rows))
    elif not rows and sys.stdout.isatty():
        click.echo("There are none: `columba templates create --help`.", err=True)
    else:
        cells = [
            [
                row["id"], row["name"], row["state"], str(row["revision"]),
                " ".join(each["language"] for each in row["versions"]), " ".join(row["params"]),
            ]
            for row in rows
        ]  # fmt: skip
        show.table(COLUMNS, cells, coloured_column=-1)


@templates.command("show")
@with_api
@click.argument("name", metavar="NAME")
def show_(api: Api, as_json: bool, name: str) -> None:
    """Show a template, by its name or id."""
    _print(api.get(_place(name)), as_json)


@templates.command()
@with_api
@click.argument("name", metavar="NAME")
@click.option("--text", "texts", multiple=True, metavar="[LANG=]TEXT", help="A text, en if nothing else is said.")
@click.option("--params", default="{}", metavar="JSON", help="The parameters: JSON, @FILE or @-.")
@click.option("--class", "class", type=CLASSES, help="What its messages are.")
@click.option("--from", "from", metavar="SENDER", help="What its messages come from.")
@click.option("--default-language", metavar="LANG", help="For those that have no text.  [default: the first one's]")
@click.option("--description", metavar="TEXT", help="What it is for.")
@click.option("--draft", is_flag=True, help="It has to be approved before it can be sent.")
def create(
    api: Api, as_json: bool, name: str, texts: tuple[str, ...], params: str, draft: bool, **said: str | None
) -> None:
    """Make a template.

    \b
      columba templates create shipped --text 'Order {{ order }} is on its way.' --params '{"order": "integer"}'
      columba templates create hello --text 'en=Hi {{ name }}' --text 'de=Hallo {{ name }}'
    """
    if not texts:
        raise click.UsageError("Give at least one --text.")
    body: Json = {"name": name, "versions": [_version(each) for each in texts]}
    body["params"] = json_or_file(params, "--params")
    body |= {field: value for field, value in said.items() if value is not None}
    if draft:
        body["draft"] = True
    _print(api.post("/v1/templates", body), as_json)


@templates.command()
@with_api
@click.argument("name", metavar="NAME")
@click.option("--text", "texts", multiple=True, metavar="[LANG=]TEXT", help="All of its texts anew.")
@click.option("--params", metavar="JSON", help="All of its parameters anew: JSON, @FILE or @-.")
@click.option("--class", "class", type=CLASSES, help="What its messages are.")
@click.option("--from", "from", metavar="SENDER", help="What its messages come from.")
@click.option("--unbound", is_flag=True, help="Of any class and from any sender, as each message says.")
@click.option("--default-language", metavar="LANG", help="For those that have no text.")
@click.option("--name", "new_name", metavar="NAME", help="What it is called from now on.")
@click.option("--description", metavar="TEXT", help="What it is for.")
@click.option("--draft", is_flag=True, help="What is approved is sent until the change is.")
def change(
    api: Api, as_json: bool, name: str, texts: tuple[str, ...], params: str | None, unbound: bool, new_name: str | None,
    draft: bool, **said: str | None,
) -> None:  # fmt: skip
    """Change a template. What is left out stays; all but its name and description makes a new revision."""
    body: Json = {"class": None, "from": None} if unbound else {}
    body |= {field: value for field, value in {**said, "name": new_name}.items() if value is not None}
    if texts:
        body["versions"] = [_version(each) for each in texts]
    if params is not None:
        body["params"] = json_or_file(params, "--params")
    if not body:
        raise click.UsageError("Say what is to be different: `columba templates change --help`.")
    if draft:
        body["draft"] = True
    _print(api.change("PATCH", _place(name), body), as_json)


@templates.command()
@with_api
@click.argument("name", metavar="NAME")
@click.option("--revision", type=click.IntRange(1), metavar="N", help="An older one, which takes a change back.")
def approve(api: Api, as_json: bool, name: str, revision: int | None) -> None:
    """Let messages be made from the newest revision."""
    _print(api.post(f"{_place(name)}/approve", {} if revision is None else {"revision": revision}), as_json)


@templates.command()
@with_api
@click.argument("name", metavar="NAME")
def withdraw(api: Api, as_json: bool, name: str) -> None:
    """Let no messages be made until a revision is approved again."""
    _print(api.post(f"{_place(name)}/withdraw", {}), as_json)


@templates.command()
@with_api
@click.argument("name", metavar="NAME")
def revisions(api: Api, as_json: bool, name: str) -> None:
    """List a template's revisions, the newest first. `approve --revision N` takes a change back."""
    rows = list(api.pages(f"{_place(name)}/revisions", (), MOST_LISTED))
    if as_json:
        click.echo(json_text(rows))
    else:
        told = [
            row | {"texts": " / ".join(f"{each['language']}={each['text']}" for each in row["versions"])}
            for row in rows
        ]
        show.table(REVISIONS, [[show.cell(row.get(field)) for field in REVISIONS] for row in told])


@templates.command()
@with_api
@click.argument("name", metavar="NAME")
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="A value; JSON, or else a string.")
@click.option("--language", metavar="LANG", help="Which version.")
@click.option("--revision", type=click.IntRange(1), metavar="N", help="Which revision.  [default: the newest]")
@click.option("--to", metavar="NUMBER", help="Whom it would go to: with it the price is told, if one is known.")
def preview(api: Api, as_json: bool, name: str, params: tuple[str, ...], **said: str | int | None) -> None:
    """Show what a template comes to: with samples, and at its longest."""
    body: Json = {"params": read_params(params)}
    body |= {field: value for field, value in said.items() if value is not None}
    tried = api.post(f"{_place(name)}/preview", body)
    if as_json:
        click.echo(json_text(tried))
        return
    for which in ("sample", "worst"):
        each = tried[which]
        price = "" if each["price"] is None else f", {clean(each['price'])}"
        click.echo(f"{which:<7} {each['segments']} segments, {each['encoding']}, {each['units']} units{price}")
        click.echo(f"        {clean(each['text'])}")


@templates.command()
@with_api
@click.argument("name", metavar="NAME")
def delete(api: Api, as_json: bool, name: str) -> None:
    """Delete a template with all of its revisions."""
    api.delete(_place(name))
    if as_json:
        click.echo(json_text({"id": name, "deleted": True}))
    else:
        click.echo(f"{clean(name)} is deleted.", err=True)


def _version(text: str) -> Json:
    language, sign, rest = text.partition("=")
    if sign and language.replace("-", "").isalnum() and len(language) <= 16 and " " not in language:
        return {"language": language, "text": rest}
    return {"language": "en", "text": text}


def _place(name: str) -> str:
    if not name.isascii() or not name.replace("_", "").replace("-", "").replace(".", "").isalnum():
        raise click.BadParameter(f"{name!r} is no name or id of a template.", param_hint="NAME")
    return f"/v1/templates/{name}"


def _print(found: Any, as_json: bool) -> None:
    if as_json:
        click.echo(json_text(found))
        return
    state = style(clean(found["state"]), STATES.get(found["state"], "plain"))
    click.echo(f"{style(clean(found['id']), 'strong')}  {clean(found['name'])}  {state}  revision {found['revision']}")
    for each in found["versions"]:
        click.echo(f"  {clean(each['language']):<8} {clean(each['text'])}")
    for name, param in found["params"].items():
        click.echo(f"  {clean(name):<15} {clean(json_text(param, None))}")
