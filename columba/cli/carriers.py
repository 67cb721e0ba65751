"""`columba carriers`: the account's ways to the networks, over the API.

Exit codes: 0 done, 1 refused or failed (`test`: the network did not let us in), 2 asked wrongly, 3 nobody knows.
"""

import json
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from columba.cli import show
from columba.cli.api import Api, Failure, Json, with_api
from columba.cli.client import Listing
from columba.cli.show import clean, json_text, style

MOST_LISTED = 1_000
LONGEST_CONFIG = 1_000_000  # bytes
STATES = {"up": "good", "connecting": "doubt", "paused": "doubt", "down": "bad"}
COLUMNS = ("id", "name", "kind", "state", "waiting", "rate", "why")
KINDS = ("kind", "needs")
OPTIONS = ("option", "default", "meaning")


@click.group(cls=Listing)
def carriers() -> None:
    """Set up, look after and try out the ways to the networks.

    Without a command they are listed. They belong to live keys; with a test key the simulated carrier is shown.
    """


@carriers.command("list")
@with_api
def list_(api: Api, as_json: bool) -> None:
    """List the carriers, the newest first.

    A table on a terminal, lines of tab-separated fields elsewhere; with --json an array.
    """
    rows = list(api.pages("/v1/carriers", (), MOST_LISTED))
    if as_json:
        click.echo(json_text(rows))
    elif not rows and sys.stdout.isatty():
        click.echo("There are none: `columba carriers create --help`.", err=True)
    else:
        show.table(COLUMNS, [[_cell(row.get(name)) for name in COLUMNS] for row in rows])


@carriers.command("show")
@with_api
@click.argument("carrier_id", metavar="ID")
def show_(api: Api, as_json: bool, carrier_id: str) -> None:
    """Show a carrier: its configuration, and how each of its sessions is."""
    _print(api.get(_place(carrier_id)), as_json)


@carriers.command()
@with_api
@click.argument("kind", metavar="KIND", required=False)
def kinds(api: Api, as_json: bool, kind: str | None) -> None:
    """List the kinds of carriers, or what the configuration of one takes."""
    found = [row for row in api.get("/v1/carriers/kinds")["data"] if kind in (None, row["kind"])]
    if not found:
        raise click.BadParameter(f"There is no kind {kind!r}: `columba carriers kinds` lists them.", param_hint="KIND")
    if as_json:
        click.echo(json_text(found if kind is None else found[0]))
    elif kind is None:
        show.table(KINDS, [[clean(row["kind"]), " ".join(_config(row).get("required", ()))] for row in found])
    else:
        config = _config(found[0])
        needed = config.get("required", ())
        show.table(
            OPTIONS,
            [
                [clean(name), "needed" if name in needed else _usual(each), clean(each.get("description", ""))]
                for name, each in config["properties"].items()
            ],
        )


def _config(row: Json) -> Json:
    schema: Json = row["config"]
    named = schema.get("$ref", "").rpartition("/")[2]
    return schema["$defs"][named] if named else schema


def _usual(option: Json) -> str:
    return show.cell(option.get("default"))


@carriers.command()
@with_api
@click.option("--kind", required=True, metavar="KIND", help="smpp, sandbox, ...: `columba carriers kinds` lists them.")
@click.option("--name", required=True, metavar="NAME", help="What you call it.")
@click.option(
    "--config",
    default="{}",
    metavar="JSON",
    help="How it is configured: JSON, @FILE or @- for standard input. Keep secrets out of the command line.",
)
@click.option("--rate", type=click.FloatRange(0, min_open=True), metavar="N", help="Parts a second at most.")
@click.option("--window", type=click.IntRange(1), metavar="N", help="Parts that wait for their answer at once.")
@click.option("--lanes", type=click.IntRange(1, 64), metavar="N", help="Sessions that share its traffic.")
@click.option("--on-unknown", type=click.Choice(("resend", "unknown")), help="What becomes of what is never answered.")
@click.option("--disabled", is_flag=True, help="Write it down only.")
def create(
    api: Api,
    as_json: bool,
    kind: str,
    name: str,
    config: str,
    rate: float | None,
    window: int | None,
    lanes: int | None,
    on_unknown: str | None,
    disabled: bool,
) -> None:
    """Set up a carrier. Live messages take it from now on, if it is the only one.

    \b
      columba carriers create --kind sandbox --name try-out --config '{"latency_ms": 20}'
      columba carriers create --kind smpp --name mno --config @mno.json --rate 100
    """
    body: Json = {"kind": kind, "name": name, "config": json_or_file(config, "--config")}
    more = {"rate": rate, "window": window, "lanes": lanes, "on_unknown": on_unknown}
    body |= {field: value for field, value in more.items() if value is not None}
    if disabled:
        body["enabled"] = False
    made = api.post("/v1/carriers", body)
    if as_json:
        click.echo(json_text(made))
    else:
        click.echo(f"{clean(made['id'])}  {_state(made)}")


@carriers.command()
@with_api
@click.argument("carrier_id", metavar="ID")
@click.argument("changes", metavar="JSON")
def change(api: Api, as_json: bool, carrier_id: str, changes: str) -> None:
    """Change a carrier: its fields as JSON, @FILE or @-. What is left out stays.

    \b
      columba carriers change car_01j9... '{"rate": 50, "enabled": true}'
    """
    _told(api.change("PATCH", _place(carrier_id), json_or_file(changes, "JSON")), as_json)


@carriers.command()
@with_api
@click.argument("carrier_id", metavar="ID")
def pause(api: Api, as_json: bool, carrier_id: str) -> None:
    """Send nothing through it until it is resumed. What comes for it waits."""
    _told(api.post(f"{_place(carrier_id)}/pause", {}), as_json)


@carriers.command()
@with_api
@click.argument("carrier_id", metavar="ID")
def resume(api: Api, as_json: bool, carrier_id: str) -> None:
    """Go on sending."""
    _told(api.post(f"{_place(carrier_id)}/resume", {}), as_json)


@carriers.command()
@with_api
@click.argument("carrier_id", metavar="ID")
def rebind(api: Api, as_json: bool, carrier_id: str) -> None:
    """Close its sessions, once what is on the wire is answered, and open them anew."""
    _told(api.post(f"{_place(carrier_id)}/rebind", {}), as_json)


@carriers.command()
@with_api
@click.argument("carrier_id", metavar="ID")
@click.pass_context
def test(ctx: click.Context, api: Api, as_json: bool, carrier_id: str) -> None:
    """Open one more session with the network and close it. Nothing is sent."""
    tried = api.post(f"{_place(carrier_id)}/test", {})
    if not isinstance(tried, dict) or not isinstance(tried.get("ok"), bool):
        _foreign()
    if as_json:
        click.echo(json_text(tried))
    else:
        word = style("ok", "good") if tried["ok"] else style("failed", "bad")
        click.echo(f"{word}  {clean(tried.get('detail'))} ({clean(tried.get('took_ms'))} ms)")
    ctx.exit(0 if tried["ok"] else 1)


@carriers.command()
@with_api
@click.argument("carrier_id", metavar="ID")
@click.option("--force", is_flag=True, help="Let the messages that wait for it fail.")
def delete(api: Api, as_json: bool, carrier_id: str, force: bool) -> None:
    """Delete a carrier. Refused while messages wait for it, unless with --force."""
    api.delete(_place(carrier_id), [("force", "true")] if force else ())
    if as_json:
        click.echo(json_text({"id": carrier_id, "deleted": True}))
    else:
        click.echo(f"{carrier_id} is deleted.", err=True)


def _place(carrier_id: str) -> str:
    if not carrier_id.isascii() or not carrier_id.replace("_", "").isalnum():
        raise click.BadParameter(f"{carrier_id!r} is no id: they look like car_01j9...", param_hint="ID")
    return f"/v1/carriers/{carrier_id}"


def json_or_file(text: str, hint: str) -> Json:
    """JSON as it stands, or what a file or standard input holds."""
    if text.startswith("@") or text == "-":
        try:
            file = sys.stdin.buffer if text in ("@-", "-") else Path(text[1:]).open("rb")  # noqa: SIM115
            with file:
                text = file.read(LONGEST_CONFIG + 1).decode()
        except (OSError, UnicodeDecodeError) as error:
            raise click.BadParameter(f"{text[1:]!r} can't be read: {error}.", param_hint=hint) from error
    try:
        config = json.loads(text) if len(text) <= LONGEST_CONFIG else None
    except (ValueError, RecursionError) as error:  # its words don't quote the text: it may hold secrets
        raise click.BadParameter(f"That is not JSON: {error}.", param_hint=hint) from None
    if not isinstance(config, dict):
        raise click.BadParameter('Expected an object such as {"host": "smsc.example.org"}.', param_hint=hint)
    return config


def _told(carrier: Any, as_json: bool) -> None:
    if as_json:
        click.echo(json_text(carrier))
    else:
        click.echo(f"{clean(carrier['id'])}  {_state(carrier)}  {clean(carrier.get('waiting'))} waiting")


def _print(carrier: Any, as_json: bool) -> None:
    if not isinstance(carrier, dict) or not isinstance(carrier.get("id"), str):
        _foreign()
    if as_json:
        click.echo(json_text(carrier))
        return
    click.echo(f"{style(clean(carrier['id']), 'strong')}  {_state(carrier)}")
    for name, value in carrier.items():
        if name in ("id", "state", "config", "sessions", "last_error", "callbacks") or value in (None, "", [], {}):
            continue
        click.echo(f"  {name:<15} {_cell(value)}")
    if carrier.get("last_error"):
        click.echo(f"  {'last_error':<15} {style(_error(carrier['last_error']), 'bad')}")
    for name in ("config", "callbacks"):
        if carrier.get(name):
            click.echo(f"  {name}")
            for field, value in carrier[name].items():
                click.echo(f"    {clean(field):<15} {_cell(value)}")
    if carrier.get("sessions"):
        click.echo("  sessions")
        for each in carrier["sessions"]:
            parts = [clean(each.get("n")), _state(each), f"{clean(each.get('window_in_use'))} on the wire"]
            parts += [f"since {clean(each['since'])}"] if each.get("since") else []
            parts += [clean(each["why"])] if each.get("why") else []
            parts += [f"last error {_error(each['last_error'])}"] if each.get("last_error") else []
            click.echo("    " + "  ".join(parts))


def _state(carrier: Json) -> str:
    state = clean(carrier.get("state"))
    return style(state, STATES.get(state, "plain"))


def _error(error: Json) -> str:
    codes = [clean(error[name]) for name in ("code", "carrier_code") if error.get(name)]
    return f"{', '.join(codes)} at {clean(error.get('at'))}"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return clean(value if isinstance(value, str) else json_text(value, None))


def _foreign() -> NoReturn:
    raise Failure("the answer is not one of Columba's", "foreign")
