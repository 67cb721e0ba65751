"""`columba alerts`: who is told when something goes wrong, over the API.

Exit codes: 0 done, 1 refused or failed (`test`: somebody was not reached), 2 asked wrongly, 3 nobody knows.
"""

import sys
from typing import Any

import click

from columba.cli import show
from columba.cli.api import Api, Json, with_api
from columba.cli.carriers import json_or_file
from columba.cli.client import Listing
from columba.cli.show import clean, json_text, style

MOST_LISTED = 1_000
COLUMNS = ("id", "name", "state", "open", "on", "channels", "last_notice_at")
WRONG = ("opened_at", "closed_at", "count", "title", "latest")
TOLD = ("created_at", "status", "channel", "recipient", "summary", "error")


@click.group(cls=Listing)
def alerts() -> None:
    """Be told when something goes wrong: by mail, to a webhook, in Slack or by text.

    Without a command they are listed.
    """


@alerts.command("list")
@with_api
def list_(api: Api, as_json: bool) -> None:
    """List the alerts, the newest first."""
    rows = list(api.pages("/v1/alerts", (), MOST_LISTED))
    if as_json:
        click.echo(json_text(rows))
    elif not rows and sys.stdout.isatty():
        click.echo("There are none: `columba alerts create --help`.", err=True)
    else:
        show.table(COLUMNS, [[_cell(row, name) for name in COLUMNS] for row in rows])


@alerts.command("show")
@with_api
@click.argument("alert_id", metavar="ID")
def show_(api: Api, as_json: bool, alert_id: str) -> None:
    """Show an alert, and what goes wrong now."""
    alert = api.get(_place(alert_id))
    wrong = api.get(f"{_place(alert_id)}/incidents")["data"]
    if as_json:
        click.echo(json_text({**alert, "incidents": wrong}))
        return
    for name, value in alert.items():
        if value not in (None, [], {}):
            click.echo(f"{name.ljust(16)}  {clean(value if isinstance(value, str | int) else json_text(value, None))}")
    for each in wrong:
        click.echo(f"{style('!', 'bad')} {clean(each['title'])} ({each['count']}, since {clean(each['opened_at'])})")


@alerts.command()
@with_api
@click.option("--name", metavar="NAME", help="What you call it.")
@click.option(
    "--on", multiple=True, metavar="TYPE", help="An event type, or a pattern as message.*; may be given again."
)
@click.option("--email", multiple=True, metavar="ADDRESS", help="Who gets a mail; may be given again.")
@click.option("--slack", metavar="URL", help="An incoming webhook of Slack.")
@click.option("--webhook", metavar="URL", help="Where it is posted as JSON.")
@click.option("--text", multiple=True, metavar="NUMBER", help="Who gets a text; may be given again.")
@click.option("--every", type=click.IntRange(10), metavar="SECONDS", help="At least so long between two notices.")
@click.option(
    "--rate-below", type=click.FloatRange(0, 1), metavar="SHARE", help="When fewer messages are delivered: 0.9"
)
@click.option("--config", metavar="JSON", help="All that an alert can have: JSON, @FILE, or @- for standard input.")
def create(
    api: Api,
    as_json: bool,
    name: str | None,
    on: tuple[str, ...],
    email: tuple[str, ...],
    slack: str | None,
    webhook: str | None,
    text: tuple[str, ...],
    every: int | None,
    rate_below: float | None,
    config: str | None,
) -> None:
    """Set up an alert.

    \b
      columba alerts create --name Failures --on message.failed --on carrier.down --email ops@example.org
      columba alerts create --name Rate --rate-below 0.9 --slack https://hooks.slack.com/services/...
      columba alerts create --config @night.json
    """
    body: Json = json_or_file(config, "--config") if config else {}
    channels: list[Json] = []
    if email:
        channels.append({"kind": "email", "to": list(email)})
    if slack:
        channels.append({"kind": "slack", "url": slack})
    if webhook:
        channels.append({"kind": "webhook", "url": webhook})
    if text:
        channels.append({"kind": "text", "to": list(text)})
    more: Json = {
        "name": name,
        "on": list(on),
        "channels": channels,
        "every": every,
        "delivery_rate": None if rate_below is None else {"below": rate_below},
    }
    made = api.post("/v1/alerts", body | {field: value for field, value in more.items() if value})
    click.echo(json_text(made) if as_json else f"{clean(made['id'])}  {clean(made['name'])}")


@alerts.command()
@with_api
@click.argument("alert_id", metavar="ID")
@click.pass_context
def test(ctx: click.Context, api: Api, as_json: bool, alert_id: str) -> None:
    """Send a sample to everybody, now."""
    tried = api.post(f"{_place(alert_id)}/test", {})
    if as_json:
        click.echo(json_text(tried))
    else:
        for each in tried["results"]:
            word = style("ok", "good") if each["ok"] else style("failed", "bad")
            whom = f"{clean(each['channel'])} {clean(each['recipient'])}"
            click.echo(f"{word}  {whom}  {clean(each['detail'])} ({each['took_ms']} ms)")
    ctx.exit(0 if tried["ok"] else 1)


@alerts.command()
@with_api
@click.argument("alert_id", metavar="ID")
def history(api: Api, as_json: bool, alert_id: str) -> None:
    """List what was told, the newest first."""
    rows = list(api.pages(f"{_place(alert_id)}/notices", (), MOST_LISTED))
    if as_json:
        click.echo(json_text(rows))
    else:
        show.table(TOLD, [[show.cell(row.get(name)) for name in TOLD] for row in rows])


@alerts.command()
@with_api
@click.argument("alert_id", metavar="ID")
def incidents(api: Api, as_json: bool, alert_id: str) -> None:
    """List what is wrong at this moment."""
    rows = api.get(f"{_place(alert_id)}/incidents")["data"]
    if as_json:
        click.echo(json_text(rows))
    else:
        show.table(WRONG, [[show.cell(row.get(name)) for name in WRONG] for row in rows])


@alerts.command()
@with_api
@click.argument("alert_id", metavar="ID")
@click.argument("changes", metavar="JSON")
def change(api: Api, as_json: bool, alert_id: str, changes: str) -> None:
    """Change an alert: its fields as JSON, @FILE or @-. What is left out stays.

    \b
      columba alerts change alr_... '{"every": 3600, "enabled": false}'
    """
    changed = api.change("PATCH", _place(alert_id), json_or_file(changes, "JSON"))
    click.echo(json_text(changed) if as_json else f"{clean(changed['id'])}  {clean(changed['name'])}")


@alerts.command()
@with_api
@click.argument("alert_id", metavar="ID")
def delete(api: Api, as_json: bool, alert_id: str) -> None:
    """Delete an alert, with what it told."""
    api.delete(_place(alert_id))
    if as_json:
        click.echo(json_text({"id": alert_id, "deleted": True}))
    else:
        click.echo(f"{alert_id} is deleted.", err=True)


def _place(alert_id: str) -> str:
    if not alert_id.isascii() or not alert_id.replace("_", "").isalnum():
        raise click.BadParameter(f"{alert_id!r} is no id: they look like alr_01j9...", param_hint="ID")
    return f"/v1/alerts/{alert_id}"


def _cell(row: Json, name: str) -> str:
    value: Any = row.get(name)
    if name == "on":
        rate = row.get("delivery_rate")
        value = ", ".join([*(value or ()), *([f"delivery rate below {rate['below']:g}"] if rate else [])])
    if name == "channels":
        value = ", ".join(each["kind"] for each in value or ())
    return "" if value is None else clean(value)
