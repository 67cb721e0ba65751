"""`columba destinations`: where texts are forwarded to, over the API.

Exit codes: 0 done, 1 refused or failed (`test`: it would not count as forwarded), 2 asked wrongly, 3 nobody knows.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from columba.cli import show
from columba.cli.api import Api, Failure, Json, with_api
from columba.cli.carriers import json_or_file
from columba.cli.client import Listing
from columba.cli.show import clean, json_text, style

MOST_LISTED = 10_000
LARGEST_FILE = 1_000_000  # bytes
COLUMNS = ("id", "state", "name", "method", "url", "auth")


@click.group(cls=Listing)
def destinations() -> None:
    """Set up and try out where texts are forwarded to.

    Without a command they are listed. Rules forward to them: `columba rules --help`.
    """


@destinations.command("list")
@with_api
def list_(api: Api, as_json: bool) -> None:
    """List the destinations, the newest first.

    A table on a terminal, lines of tab-separated fields elsewhere; with --json an array.
    """
    rows = list(api.pages("/v1/destinations", (), MOST_LISTED))
    if as_json:
        click.echo(json_text(rows))
    elif not rows and sys.stdout.isatty():
        click.echo("There are none: `columba destinations create --help`.", err=True)
    else:
        show.table(COLUMNS, [_row(row) for row in rows])


@destinations.command("show")
@with_api
@click.argument("destination_id", metavar="ID")
def show_(api: Api, as_json: bool, destination_id: str) -> None:
    """Show a destination, `***` for its secrets."""
    click.echo(json_text(api.get(_place(destination_id))))


@destinations.command()
@with_api
@click.argument("file", metavar="[FILE]", required=False)
@click.option("--preset", metavar="NAME", help="Make it for a system: `columba destinations presets`.")
@click.option(
    "--param",
    "params",
    multiple=True,
    metavar="NAME=VALUE",
    help="What the preset asks for; NAME=@FILE and NAME=@- read it. Secrets that are left out are asked for.",
)
@click.option("--curl", metavar="COMMAND", help="A curl command that does it; @FILE and @- read it.")
@click.option("--name", metavar="NAME", help="What you call it.")
def create(
    api: Api,
    as_json: bool,
    file: str | None,
    preset: str | None,
    params: Sequence[str],
    curl: str | None,
    name: str | None,
) -> None:
    """Add a destination: from a JSON file (`-` is standard input), JSON itself, a preset, or a curl command.

    \b
      columba destinations create crm.json
      columba destinations create --preset zendesk --param subdomain=acme --param email=me@acme.example
      columba destinations create --curl 'curl https://example.org/sms -d "text={{ text }}"'
    """
    if sum(given is not None for given in (file, preset, curl)) != 1:
        raise click.UsageError("Expected one of FILE, --preset, --curl.")
    if params and preset is None:
        raise click.UsageError("--param goes with --preset.")
    body: Json
    if file is not None:
        body = _object(file if file.lstrip()[:1] == "{" else _content(f"@{file.removeprefix('@')}", "FILE"))
    elif preset is not None:
        body = {"preset": preset, "params": _asked(api, preset, pairs(params))}
    else:
        body = {"curl": _content(curl or "", "--curl")}
    if name is not None:
        body["name"] = name
    made = api.post("/v1/destinations", body)
    if as_json:
        click.echo(json_text(made))
    else:
        click.echo(f"{clean(made['id'])}  {clean(made['name'])}")
        click.echo(f"Try it: columba destinations test {clean(made['id'])}", err=True)


@destinations.command()
@with_api
@click.argument("destination_id", metavar="ID")
@click.argument("changes", metavar="JSON")
def change(api: Api, as_json: bool, destination_id: str, changes: str) -> None:
    """Change a destination: its fields as JSON, @FILE or @-. What is left out stays.

    \b
      columba destinations change dst_01j9... '{"timeout": 30, "params": {"tags": "sms,vip"}}'
    """
    _told(api.change("PATCH", _place(destination_id), json_or_file(changes, "JSON")), as_json)


@destinations.command()
@with_api
@click.argument("destination_id", metavar="ID")
def enable(api: Api, as_json: bool, destination_id: str) -> None:
    """Forward to it again: what has waited goes now."""
    _told(api.change("PATCH", _place(destination_id), {"enabled": True}), as_json)


@destinations.command()
@with_api
@click.argument("destination_id", metavar="ID")
def disable(api: Api, as_json: bool, destination_id: str) -> None:
    """Forward nothing to it; what comes for it waits."""
    _told(api.change("PATCH", _place(destination_id), {"enabled": False}), as_json)


@destinations.command()
@with_api
@click.argument("destination_id", metavar="ID")
@click.option("--from", "sender", metavar="NUMBER", help="Who texts.")
@click.option("--to", metavar="NUMBER", help="Which of your numbers.")
@click.option("--text", metavar="TEXT", help="What.")
@click.option("--media", multiple=True, metavar="URL", help="A picture or the like; may be given again.")
@click.option("--group", "groups", multiple=True, metavar="NAME=VALUE", help="What a rule's pattern captured.")
@click.option("--dry-run", is_flag=True, help="Only show what would be sent.")
@click.pass_context
def test(
    ctx: click.Context,
    api: Api,
    as_json: bool,
    destination_id: str,
    sender: str | None,
    to: str | None,
    text: str | None,
    media: Sequence[str],
    groups: Sequence[str],
    dry_run: bool,
) -> None:
    """Send a text to it as if it had come in, and show what was sent and what came back."""
    said: Json = {"from": sender, "to": to, "text": text, "media": list(media), "groups": pairs(groups, "--group")}
    message = {name: value for name, value in said.items() if value is not None}
    tried = api.post(f"{_place(destination_id)}/test", {"message": message, "send": not dry_run})
    if not isinstance(tried, dict) or not isinstance(tried.get("ok"), bool):
        _foreign()
    if as_json:
        click.echo(json_text(tried))
    else:
        for exchange in tried.get("exchanges", ()):
            _print_exchange(exchange)
        if tried.get("error") and not tried.get("exchanges"):
            click.echo(clean(tried["error"]))
        if tried.get("saved"):
            click.echo(f"saved  {clean(json_text(tried['saved'], None))}")
        if tried.get("reply"):
            click.echo(f"reply  {clean(tried['reply'])}")
        if not dry_run:
            click.echo(style("ok", "good") if tried["ok"] else style("failed", "bad"))
    ctx.exit(0 if tried["ok"] else 1)


@destinations.command()
@with_api
@click.argument("destination_id", metavar="ID")
def export(api: Api, as_json: bool, destination_id: str) -> None:
    """Write its requests as curl commands. Secrets are variables of the shell, to be set before."""
    told = api.get(f"{_place(destination_id)}/curl")
    if as_json:
        click.echo(json_text(told))
    else:
        for command in told.get("curl", ()):
            click.echo(command)


@destinations.command()
@with_api
@click.argument("destination_id", metavar="ID")
def delete(api: Api, as_json: bool, destination_id: str) -> None:
    """Delete a destination. Refused while a rule forwards to it."""
    api.delete(_place(destination_id))
    if as_json:
        click.echo(json_text({"id": destination_id, "deleted": True}))
    else:
        click.echo(f"{destination_id} is deleted.", err=True)


@destinations.command()
@with_api
@click.argument("name", metavar="[NAME]", required=False)
def presets(api: Api, as_json: bool, name: str | None) -> None:
    """List the systems that destinations can be made for; or show what one asks for."""
    if name is None:
        rows = api.get("/v1/presets")["data"]
        if as_json:
            click.echo(json_text(rows))
        else:
            show.table(("name", "title", "about"), [[row["name"], row["title"], row["about"]] for row in rows])
        return
    preset = _preset(api, name)
    if as_json:
        click.echo(json_text(preset))
        return
    click.echo(f"{style(clean(preset['title']), 'strong')}  {clean(preset['about'])}")
    if preset.get("setup"):
        click.echo(f"  {clean(preset['setup'])}")
    for key, param in preset["params"].items():
        notes = ["secret"] if param.get("secret") else []
        if not _needed(param):
            default = param.get("default")
            notes.append("optional" if default is None else f"default {default}")
        told = param["title"] + (f" ({', '.join(notes)})" if notes else "")
        click.echo(f"  {key:<18} {clean(told)}")


@destinations.group(cls=Listing)
def secrets() -> None:
    """Keep the secrets that several destinations use. Without a command their names are listed."""


@secrets.command("list")
@with_api
def list_secrets(api: Api, as_json: bool) -> None:
    """List the names of secrets; what they are is never shown."""
    rows = api.get("/v1/secrets")["data"]
    if as_json:
        click.echo(json_text(rows))
    elif rows or not sys.stdout.isatty():
        show.table(("name", "updated_at"), [[row["name"], row["updated_at"]] for row in rows])


@secrets.command("set")
@with_api
@click.argument("name", metavar="NAME")
def set_secret(api: Api, as_json: bool, name: str) -> None:
    """Add a secret, or replace it: it is read from standard input, and asked for at a terminal."""
    place = _secret(name)
    if sys.stdin.isatty():
        value = click.prompt(name, hide_input=True, err=True)
    else:
        value = _content("-", "standard input").rstrip("\r\n")
    known = {row["name"] for row in api.get("/v1/secrets")["data"]}
    if name in known:
        told = api.change("PATCH", place, {"value": value})
    else:
        told = api.post("/v1/secrets", {"name": name, "value": value})
    if as_json:
        click.echo(json_text(told))
    else:
        click.echo(f"{clean(name)} is kept.", err=True)


@secrets.command("delete")
@with_api
@click.argument("name", metavar="NAME")
def delete_secret(api: Api, as_json: bool, name: str) -> None:
    """Delete a secret. Refused while a destination names it."""
    api.delete(_secret(name))
    if as_json:
        click.echo(json_text({"name": name, "deleted": True}))
    else:
        click.echo(f"{clean(name)} is deleted.", err=True)


def _secret(name: str) -> str:
    if not name.isascii() or not name.replace("_", "").isalnum():
        raise click.BadParameter(f"{name!r} is no name: letters, digits and _.", param_hint="NAME")
    return f"/v1/secrets/{name}"


def _told(row: Json, as_json: bool) -> None:
    if as_json:
        click.echo(json_text(row))
    else:
        click.echo(f"{clean(row['id'])}  {clean(row['name'])}  {'on' if row.get('enabled') else 'off'}")


def _preset(api: Api, name: str) -> Json:
    if not name.isascii() or not name.replace("_", "").isalnum():
        raise click.BadParameter(f"{name!r} is no preset: see `columba destinations presets`.", param_hint="NAME")
    found: Json = api.get(f"/v1/presets/{name}")
    return found


def _needed(param: Json) -> bool:
    return param.get("required", True) and param.get("default") is None


def _asked(api: Api, preset: str, given: dict[str, Any]) -> dict[str, Any]:
    """What is given, and at a terminal what is needed and isn't."""
    if sys.stdin.isatty():
        for name, param in _preset(api, preset)["params"].items():
            if name not in given and _needed(param):
                asked = f"{name} ({param['title']})"
                given[name] = click.prompt(asked, hide_input=bool(param.get("secret")), err=True)
    return given


def pairs(params: Sequence[str], hint: str = "--param") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in params:
        name, equals, value = each.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{each[:60]!r} is not NAME=VALUE.", param_hint=hint)
        content = _content(value, hint)
        found[name] = content.rstrip("\r\n") if value.startswith("@") else content
    return found


def _content(text: str, hint: str) -> str:
    """A text as it stands, or what `@FILE`, `@-` or `-` hold."""
    if not text.startswith("@") and text != "-":
        return text
    name = text.removeprefix("@")
    try:
        raw = sys.stdin.buffer.read(LARGEST_FILE + 1) if name == "-" else Path(name).read_bytes()
        if len(raw) > LARGEST_FILE:
            raise click.BadParameter(f"{name!r} is larger than {LARGEST_FILE:,} bytes.", param_hint=hint)
        return raw.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise click.BadParameter(f"{name!r} can't be read: {error}.", param_hint=hint) from error


def _object(text: str) -> Json:
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:  # its words don't quote the text: it may hold secrets
        raise click.BadParameter(f"That is not JSON: {error}.", param_hint="FILE") from None
    if not isinstance(body, dict):
        raise click.BadParameter('Expected an object such as {"request": {"url": ...}}.', param_hint="FILE")
    return body


def _place(destination_id: str) -> str:
    if not destination_id.isascii() or not destination_id.replace("_", "").isalnum():
        raise click.BadParameter(f"{destination_id!r} is no id: they look like dst_01j9...", param_hint="ID")
    return f"/v1/destinations/{destination_id}"


def _row(row: Json) -> list[str]:
    state = "broken" if row.get("problem") else "on" if row.get("enabled") else "off"
    request = row.get("request") or {}
    auth = (row.get("auth") or {}).get("kind")
    cells = (row.get("id"), state, row.get("name"), request.get("method", "POST"), request.get("url"), auth)
    return [clean(str(cell or "")) for cell in cells]


def _print_exchange(exchange: Json) -> None:
    request, response = exchange.get("request"), exchange.get("response")
    click.echo(style(clean(exchange.get("step") or ""), "strong") + ("  skipped" if exchange.get("skipped") else ""))
    if request:
        click.echo(f"> {clean(request['method'])} {clean(request['url'])}")
        for name, value in request["headers"].items():
            click.echo(f"> {clean(name)}: {clean(value)}")
        if request.get("body") is not None:
            click.echo(f"  {show.body(request)}")
    if response:
        click.echo(f"< {response['status']}  ({response['latency_ms']} ms)")
        if response.get("body"):
            click.echo(f"  {clean(response['body'][:2_000])}")
    if exchange.get("error"):
        click.echo(style(clean(exchange["error"]), "bad"))


def _foreign() -> NoReturn:
    raise Failure("the answer is not one of Columba's", "foreign")
