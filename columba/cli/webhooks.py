"""`columba webhooks`: where events are posted to, and what came of it, over the API.

Exit codes: 0 done, 1 refused or failed (`test`: the server did not take it), 2 asked wrongly, 3 nobody knows.
"""

import sys
from typing import Any

import click

from columba.cli import show
from columba.cli.api import Api, Json, with_api
from columba.cli.carriers import json_or_file
from columba.cli.client import Listing
from columba.cli.show import clean, json_text, style
from columba.cli.values import Moment, place

MOST_LISTED = 1_000
STATUSES = ("pending", "delivered", "failed")
DELIVERED = ("id", "status", "event_type", "endpoint", "attempt_count", "last_status", "error", "created_at")


@click.group(cls=Listing)
def webhooks() -> None:
    """Have events posted to you; see what came of it, and have it again.

    Without a command they are listed. `columba listen` posts to a local address without any.
    """


@webhooks.command("list")
@with_api
def list_(api: Api, as_json: bool) -> None:
    """List the webhooks, the newest first."""
    rows = list(api.pages("/v1/webhooks", (), MOST_LISTED))
    if as_json:
        click.echo(json_text(rows))
    elif not rows and sys.stdout.isatty():
        click.echo("There are none: `columba webhooks create --help`.", err=True)
    else:
        show.table(
            ("id", "state", "url", "events", "description"),
            [[row["id"], _state(row), row["url"], " ".join(row["events"]), row["description"]] for row in rows],
        )


@webhooks.command("show")
@with_api
@click.argument("webhook_id", metavar="ID")
def show_(api: Api, as_json: bool, webhook_id: str) -> None:
    """Show a webhook."""
    found = api.get(place("webhooks", webhook_id))
    if as_json:
        click.echo(json_text(found))
        return
    click.echo(f"{style(clean(found['id']), 'strong')}  {_state(found)}")
    for name, value in found.items():
        if name not in ("id", "enabled") and value not in (None, ""):
            click.echo(f"  {name:<15} {clean(value if isinstance(value, str) else json_text(value, None))}")


@webhooks.command()
@with_api
@click.argument("address", metavar="URL")
@click.option(
    "--event", "events", multiple=True, default=("*",), show_default=True, metavar="TYPE",
    help="An event type, or a pattern as message.*; may be given again.",
)  # fmt: skip
@click.option("--description", default="", metavar="TEXT", help="What it is for.")
def create(api: Api, as_json: bool, address: str, events: tuple[str, ...], description: str) -> None:
    """Have events posted to an address. The secret that signs them is shown this once.

    \b
      columba webhooks create https://example.org/hooks/sms --event 'message.*'
    """
    made = api.post("/v1/webhooks", {"url": address, "events": list(events), "description": description})
    click.echo(json_text(made) if as_json else f"{clean(made['id'])}  {clean(made['secret'])}")


@webhooks.command()
@with_api
@click.argument("webhook_id", metavar="ID")
@click.argument("changes", metavar="JSON")
def change(api: Api, as_json: bool, webhook_id: str, changes: str) -> None:
    """Change a webhook: its fields as JSON, @FILE or @-. What is left out stays.

    \b
      columba webhooks change whk_01j9... '{"enabled": true}'
    """
    changed = api.change("PATCH", place("webhooks", webhook_id), json_or_file(changes, "JSON"))
    click.echo(json_text(changed) if as_json else f"{clean(changed['id'])}  {_state(changed)}")


@webhooks.command()
@with_api
@click.argument("webhook_id", metavar="ID")
def delete(api: Api, as_json: bool, webhook_id: str) -> None:
    """Delete a webhook with its deliveries."""
    api.delete(place("webhooks", webhook_id))
    if as_json:
        click.echo(json_text({"id": webhook_id, "deleted": True}))
    else:
        click.echo(f"{webhook_id} is deleted.", err=True)


@webhooks.command()
@with_api
@click.argument("webhook_id", metavar="ID")
def rotate(api: Api, as_json: bool, webhook_id: str) -> None:
    """Replace its secret. For 24 hours both sign."""
    made = api.post(f"{place('webhooks', webhook_id)}/rotate-secret", {})
    click.echo(json_text(made) if as_json else f"{clean(made['id'])}  {clean(made['secret'])}")


@webhooks.command()
@with_api
@click.argument("webhook_id", metavar="ID")
@click.pass_context
def test(ctx: click.Context, api: Api, as_json: bool, webhook_id: str) -> None:
    """Post a sample to it, now, and show what came back."""
    tried = api.post(f"{place('webhooks', webhook_id)}/test", {})
    if as_json:
        click.echo(json_text(tried))
    else:
        word = style("ok", "good") if tried["ok"] else style("failed", "bad")
        said = _error(tried["error"]) or f"it answered {clean(tried['status'])}"
        click.echo(f"{word}  {said} ({clean(tried['latency_ms'])} ms)")
    ctx.exit(0 if tried["ok"] else 1)


@webhooks.command()
@with_api
@click.argument("webhook_id", metavar="ID")
@click.option("--since", type=Moment(-1), required=True, metavar="TIME", help="Events from then on: a time, or 2h ago.")
@click.option("--until", type=Moment(-1), metavar="TIME", help="Events until then; now without it.")
def recover(api: Api, as_json: bool, webhook_id: str, since: str, until: str | None) -> None:
    """Post all events of a time that it has not had."""
    body: Json = {"since": since, **({"until": until} if until else {})}
    found = api.post(f"{place('webhooks', webhook_id)}/recover", body)
    click.echo(json_text(found) if as_json else f"{clean(found['count'])} are on their way.")


@webhooks.command()
@with_api
@click.option("--webhook", metavar="ID", help="Only those to it.")
@click.option("--status", type=click.Choice(STATUSES), help="Only those with this status.")
@click.option("--event", metavar="ID|TYPE", help="Only those of an event, or of a type.")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, metavar="N", help="How many at most."
)
def deliveries(api: Api, as_json: bool, webhook: str | None, status: str | None, event: str | None, limit: int) -> None:
    """List events on their way to webhooks, the newest first."""
    asked = {"endpoint": webhook, "status": status, "event": event}
    rows = list(api.pages("/v1/deliveries", [(name, value) for name, value in asked.items() if value], limit))
    if as_json:
        click.echo(json_text(rows))
    else:
        show.table(
            DELIVERED,
            [
                [_error(row[name]) if name == "error" else show.cell(row.get(name)) for name in DELIVERED]
                for row in rows
            ],
            coloured_column=1,
        )


@webhooks.command()
@with_api
@click.argument("delivery_id", metavar="DELIVERY")
def replay(api: Api, as_json: bool, delivery_id: str) -> None:
    """Post one delivery again, whatever became of it."""
    found = api.post(f"{place('deliveries', delivery_id)}/replay", {})
    click.echo(json_text(found) if as_json else f"{clean(found['id'])}  {clean(found['status'])}")


def _state(webhook: Json) -> str:
    if not webhook["enabled"]:
        return style("disabled", "bad")
    return style("failing", "doubt") if webhook["failing_since"] else "on"


def _error(error: Any) -> str:
    if isinstance(error, dict):
        return f"{clean(error.get('detail') or '')} ({clean(error.get('code') or '')})"
    return "" if error is None else clean(error)
