"""`columba media`: pictures and other files of messages, over the API.

Exit codes: 0 done, 1 refused or failed, 2 asked wrongly, 3 nobody knows.
"""

import mimetypes
import sys
from pathlib import Path
from typing import Any

import click

from columba.cli import show
from columba.cli.api import Api, Failure, Json, with_api
from columba.cli.client import Listing
from columba.cli.show import clean, json_text

MOST_LISTED = 1_000
COLUMNS = ("id", "name", "content_type", "size", "state", "origin", "created_at")


@click.group(cls=Listing)
def media() -> None:
    """Upload, list, fetch and delete pictures and other files.

    Without a command they are listed. What is uploaded has an id, which a message names in its media.
    """


@media.command("list")
@with_api
@click.option("--message", metavar="ID", help="Those of one message.")
@click.option("--origin", type=click.Choice(("upload", "url", "received")), help="How they came.")
def list_(api: Api, as_json: bool, message: str | None, origin: str | None) -> None:
    """List what is kept, the newest first."""
    query = [(name, value) for name, value in (("message_id", message), ("origin", origin)) if value is not None]
    rows = list(api.pages("/v1/media", query, MOST_LISTED))
    if as_json:
        click.echo(json_text(rows))
    elif not rows and sys.stdout.isatty():
        click.echo("There is nothing: `columba media upload --help`.", err=True)
    else:
        show.table(COLUMNS, [[show.cell(row.get(name)) for name in COLUMNS] for row in rows])


@media.command("show")
@with_api
@click.argument("media_id", metavar="ID")
def show_(api: Api, as_json: bool, media_id: str) -> None:
    """Show a file's record, with a fresh link to it."""
    _print(api.get(_place(media_id)), as_json)


@media.command()
@with_api
@click.argument("what", metavar="FILE|URL")
@click.option("--name", metavar="NAME", help="What to call it.")
def upload(api: Api, as_json: bool, what: str, name: str | None) -> None:
    """Keep a file of this machine, or one that the server fetches from a URL.

    \b
      columba media upload menu.jpg
      columba send --to +447700900123 --text "Today" --media med_...
    """
    _print(put(api, what, name), as_json)


def put(api: Api, what: str, name: str | None = None) -> Json:
    """A file or URL, kept; its record."""
    if what.startswith(("http://", "https://")):
        made: Json = api.post("/v1/media", {"url": what, **({"name": name} if name else {})})
    else:
        path = Path(what)
        try:
            body = path.read_bytes()
        except OSError as error:
            raise click.BadParameter(f"{clean(what)} can't be read: {error.strerror}.", param_hint="FILE") from error
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        if kind == "application/json":  # as a body it would be taken for a request
            kind = "text/plain"
        made = api.upload("/v1/media", body, kind, [("name", name or path.name)])
    return made


@media.command()
@with_api
@click.argument("media_id", metavar="ID")
@click.option("-o", "--output", metavar="FILE", help="Where to; - is standard output. By default its own name, here.")
def get(api: Api, as_json: bool, media_id: str, output: str | None) -> None:
    """Download a file. One that is there already is not written over."""
    record = api.get(_place(media_id))
    body = api.download(f"{_place(media_id)}/content")
    if output == "-":
        sys.stdout.buffer.write(body)
        return
    path = Path(output or Path(clean(record["name"])).name)
    try:
        with path.open("wb" if output else "xb") as file:
            file.write(body)
    except OSError as error:
        raise Failure(f"{path} can't be written: {error.strerror}", "failed", "Name another with --output.") from error
    click.echo(json_text({"file": str(path), "size": len(body)}) if as_json else str(path))


@media.command()
@with_api
@click.argument("media_id", metavar="ID")
def fetch(api: Api, as_json: bool, media_id: str) -> None:
    """Fetch again what came with a text and could not be had."""
    _print(api.post(f"{_place(media_id)}/fetch", {}), as_json)


@media.command()
@with_api
@click.argument("media_id", metavar="ID")
def delete(api: Api, as_json: bool, media_id: str) -> None:
    """Delete a file. Refused while a message that has not left needs it."""
    api.delete(_place(media_id))
    if as_json:
        click.echo(json_text({"id": media_id, "deleted": True}))
    else:
        click.echo(f"{media_id} is deleted.", err=True)


@media.command()
@with_api
def usage(api: Api, as_json: bool) -> None:
    """Show how much the account keeps, and may keep."""
    told = api.get("/v1/media/usage")
    if as_json:
        click.echo(json_text(told))
        return
    quota = "no end" if told["quota"] is None else show.size(told["quota"])
    click.echo(f"{told['files']} files, {show.size(told['bytes'])} of {quota}")


def _place(media_id: str) -> str:
    if not media_id.isascii() or not media_id.replace("_", "").isalnum():
        raise click.BadParameter(f"{media_id!r} is no id: they look like med_01j9...", param_hint="ID")
    return f"/v1/media/{media_id}"


def _print(record: Any, as_json: bool) -> None:
    if as_json:
        click.echo(json_text(record))
        return
    width = max(map(len, record))
    for name, value in record.items():
        if value is not None:
            click.echo(f"{name.ljust(width)}  {clean(value)}")
