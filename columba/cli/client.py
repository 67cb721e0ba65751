"""`columba send` and `columba messages`: the API's messages from the command line.

Exit codes of `send`: 0 the message is delivered or on its way, 1 it was refused or failed, 3 nobody knows (yet).
"""

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import click

from columba.cli import show
from columba.cli.api import Api, Failure, Json, Problem, with_api
from columba.cli.show import clean, json_text, seconds, status, style
from columba.cli.values import Duration, Moment, place, read_params

CLASSES = ("otp", "transactional", "marketing")
STATUSES = (
    "scheduled", "queued", "sent", "delivered", "undelivered", "failed", "expired", "canceled", "unknown", "received",
)  # fmt: skip
FINAL = {
    "delivered": 0, "received": 0, "undelivered": 1, "failed": 1, "expired": 1, "canceled": 1, "unknown": 3,
}  # fmt: skip
UNDECIDED = 3
LONGEST_TEXT = 100_000  # bytes read from standard input; the API says what is too long for a message
MOST_LISTED = 100_000


@click.command()
@with_api
@click.option("--to", required=True, metavar="NUMBER", help="Who gets it: +447700900123.")
@click.option("--from", "sender", metavar="SENDER", help="A number, short code or name of yours.")
@click.option("--text", metavar="TEXT", help="What it says; - reads it from standard input.")
@click.option(
    "--media", multiple=True, metavar="FILE|URL|ID", help="A picture or the like to go with it; may be given again."
)
@click.option("--template", metavar="NAME", help="A template that makes the text.")
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="A value of its; may be given again.")
@click.option("--language", metavar="LANG", help="Which of its versions.")
@click.option("--class", "klass", type=click.Choice(CLASSES), help="How urgent it is.  [default: transactional]")
@click.option("--send-at", type=Moment(), metavar="TIME", help="2026-01-31T09:30:00Z, or 10m from now.")
@click.option("--valid-for", type=Duration(), metavar="TIME", help="Nothing is sent after so long: 10m.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="A word to find it by; may be given again.")
@click.option("--idempotency-key", default="", metavar="KEY", help="The same key never sends a second text.")
@click.option("--wait", is_flag=True, help="Follow it until its end.")
@click.option(
    "--timeout", type=Duration(), default="60s", show_default=True, metavar="TIME", help="For how long to --wait."
)
@click.pass_context
def send(
    ctx: click.Context,
    api: Api,
    as_json: bool,
    to: str,
    sender: str | None,
    text: str | None,
    media: Sequence[str],
    template: str | None,
    params: tuple[str, ...],
    language: str | None,
    klass: str | None,
    send_at: str | None,
    valid_for: int | None,
    tags: Sequence[str],
    idempotency_key: str,
    wait: bool,
    timeout: int,
) -> None:
    """Send a text.

    Prints its id and status. Ends with 0 when the text is delivered or on its way, 1 when it was refused or failed, 3
    when nobody knows (yet).

    \b
      columba send --to +447700900123 --text "Your code is 1234" --class otp --wait
      fortune | columba send --to +447700900123 --text -
      columba send --to +447700900123 --template hello --param name=Ada
    """
    if text is None and not media and template is None:
        raise click.UsageError("Missing option '--text', '--media' or '--template'.")
    body: Json = {
        "to": to,
        "from": sender,
        "text": _from_input() if text == "-" else text,
        "class": klass,
        "send_at": send_at,
        "valid_for": valid_for,
        "tags": list(tags),
        "media": [_kept(api, each) for each in media],
        "template": template,
        "params": read_params(params),
        "language": language,
    }
    began = time.monotonic()
    message = api.post("/v1/messages", {name: value for name, value in body.items() if value}, idempotency_key)
    if wait:
        _check(message)
        message = follow(api, message, timeout, began)
    if as_json:
        click.echo(json_text(message))
    else:
        click.echo(_sentence(message, time.monotonic() - began if wait else None))
    code = FINAL.get(message["status"], UNDECIDED if wait else 0)
    if code == UNDECIDED and wait and message["status"] not in FINAL:
        click.echo(f"Not yet decided after {timeout} s: columba messages show {clean(message['id'])}", err=True)
    ctx.exit(code)


def _kept(api: Api, what: str) -> str:
    """What a message names: a URL or an id as it is, a file of this machine once it is uploaded."""
    if what.startswith(("med_", "http://", "https://")):
        return what
    from columba.cli.media import put

    return str(put(api, what)["id"])


def _from_input() -> str:
    content = sys.stdin.buffer.read(LONGEST_TEXT + 1)
    if len(content) > LONGEST_TEXT:
        raise click.UsageError(f"Standard input holds more than {LONGEST_TEXT:,} bytes: that is no text message.")
    try:
        return content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise click.UsageError("Standard input is not UTF-8.") from error


def _check(message: Any) -> None:
    if not isinstance(message, dict) or not isinstance(message.get("id"), str):
        raise Failure("the answer is no message", "foreign")


def follow(
    api: Api,
    message: Json,
    timeout: float,
    began: float,
    pause: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> Json:
    """The message once its status is final, or as it is when time is up. A server that restarts meanwhile is waited for."""
    live, wait = show.Live(), 0.05
    api.say = live.show
    try:
        while message["status"] not in FINAL and (left := began + timeout - now()) > 0:
            live.show(f"{message['id']}  {message['status']}  {seconds(now() - began)}")
            pause(min(wait, left))
            wait = min(wait * 1.5, 1.0)
            try:
                found = api.get(f"/v1/messages/{message['id']}", patience=max(1.0, left))
                _check(found)
                message = found
            except Failure as failure:
                if isinstance(failure, Problem) and not failure.passing and failure.status < 500:
                    raise
                live.show(f"{message['id']}  {message['status']}  {failure.message}")
    except KeyboardInterrupt:
        live.end()
        click.echo(f"It goes on by itself: columba messages show {clean(message['id'])}", err=True)
        raise
    finally:
        live.end()
    return message


def _sentence(message: Json, took: float | None) -> str:
    parts = [clean(message["id"]), status(message["status"]), f"to {clean(message['to'])}"]
    if message["status"] == "scheduled":
        parts.append(f"for {clean(message.get('send_at') or '')}")
    elif took is not None:
        parts.append(f"after {seconds(took)}")
    if took is None:
        count = message.get("segments")
        parts.append(f"{count} segment{'' if count == 1 else 's'} ({clean(message.get('encoding'))})")
    line = "  ".join(parts)
    return f"{line}\n  {_error(message['error'])}" if message.get("error") else line


def _error(error: Json) -> str:
    code = f", carrier's code {clean(error['carrier_code'])}" if error.get("carrier_code") else ""
    return f"{clean(error.get('detail') or '')} ({clean(error.get('code') or '')}{code})"


class Listing(click.Group):
    """A group whose command `list` is meant where none is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        asks = bool(args) and (not args[0].startswith("-") or args[0] in ctx.help_option_names)
        if not asks and not ctx.resilient_parsing:
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group(cls=Listing)
def messages() -> None:
    """List messages, show one with its parts and timeline, cancel or redact one.

    Without a command the newest messages are listed: `columba messages --status failed` is `columba messages list
    --status failed`.
    """


@messages.command("list")
@with_api
@click.option(
    "--status",
    "status_",
    type=click.Choice(STATUSES),
    metavar="STATUS",
    help=f"Only those with this status: {', '.join(STATUSES)}.",
)
@click.option("--direction", type=click.Choice(("outbound", "inbound")), help="Only those that go this way.")
@click.option("--to", metavar="NUMBER", help="Only those to this number.")
@click.option("--from", "sender", metavar="SENDER", help="Only those from this sender.")
@click.option("--tag", metavar="TAG", help="Only those with this tag.")
@click.option("--batch", metavar="ID", help="Only those of this batch.")
@click.option("--since", type=Moment(-1), metavar="TIME", help="Only those made after it: a time, or 2h ago.")
@click.option("--until", type=Moment(-1), metavar="TIME", help="Only those made before it: a time, or 2h ago.")
@click.option(
    "--limit", type=click.IntRange(1, MOST_LISTED), default=20, show_default=True, metavar="N", help="How many at most."
)
def list_(
    api: Api,
    as_json: bool,
    status_: str | None,
    direction: str | None,
    to: str | None,
    sender: str | None,
    tag: str | None,
    batch: str | None,
    since: str | None,
    until: str | None,
    limit: int,
) -> None:
    """List messages, the newest first.

    A table on a terminal, lines of tab-separated fields elsewhere; with --json an array.
    """
    asked = {
        "status": status_, "direction": direction, "to": to, "from": sender, "tag": tag, "batch_id": batch,
        "created_after": since, "created_before": until,
    }  # fmt: skip
    query = [(name, value) for name, value in asked.items() if value]
    live = show.Live()
    rows: list[Json] = []
    try:
        for row in api.pages("/v1/messages", query, limit):
            rows.append(row)
            if limit > 1000 and len(rows) % 500 == 0:
                live.show(f"{len(rows):,} read")
    finally:
        live.end()
    if as_json:
        click.echo(json_text(rows))
        return
    if not rows and sys.stdout.isatty():
        click.echo("There are none.", err=True)
        return
    show.table(
        ("id", "status", "created_at", "from", "to", "text"),
        [[show.cell(row.get(name)) for name in ("id", "status", "created_at", "from", "to", "text")] for row in rows],
        coloured_column=1,
    )


@messages.command("show")
@with_api
@click.argument("message_id", metavar="ID")
def show_(api: Api, as_json: bool, message_id: str) -> None:
    """Show a message with its parts and timeline."""
    message = api.get(place("messages", message_id))
    _check(message)
    if as_json:
        click.echo(json_text(message))
        return
    click.echo(f"{style(clean(message['id']), 'strong')}  {status(message['status'])}")
    for name, value in message.items():
        if name not in ("id", "status", "parts", "timeline", "error") and value not in (None, "", [], {}, False):
            click.echo(f"  {name:<15} {_value(value)}")
    if message.get("error"):
        click.echo(f"  {'error':<15} {style(_error(message['error']), 'bad')}")
    for name in ("parts", "timeline"):
        if message.get(name):
            click.echo(f"  {name}")
            for row in message[name]:
                click.echo(f"    {_row(row)}")


@messages.command()
@with_api
@click.argument("message_id", metavar="ID")
def cancel(api: Api, as_json: bool, message_id: str) -> None:
    """Cancel a message that has not left: nobody gets any part of it."""
    _changed(api.post(f"{place('messages', message_id)}/cancel", {}), as_json)


@messages.command()
@with_api
@click.argument("message_id", metavar="ID")
def redact(api: Api, as_json: bool, message_id: str) -> None:
    """Remove a message's text and media for good; the record stays."""
    _changed(api.post(f"{place('messages', message_id)}/redact", {}), as_json)


def _changed(message: Any, as_json: bool) -> None:
    _check(message)
    click.echo(json_text(message) if as_json else _sentence(message, None))


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(clean, value))
    return clean(json_text(value, None) if isinstance(value, dict) else value)


def _row(row: Any) -> str:
    """A part or a step in one line: its words, then the others by name."""
    if not isinstance(row, dict):
        return clean(row)
    first = [clean(row[name]) for name in ("n", "at", "time", "timestamp") if row.get(name) is not None]
    if row.get("status"):
        first.append(status(row["status"]))
    shown = ("n", "at", "time", "timestamp", "status")
    rest = [
        _error(value) if name == "error" and isinstance(value, dict) else f"{name} {_value(value)}"
        for name, value in row.items()
        if name not in shown and value not in (None, "", [], {})
    ]
    return "  ".join(first + rest)
