"""`columba smpp`: programs that are bound to us, and what passes over SMPP sessions while it passes.

Exit codes: 0 done (Ctrl-C is how a trace ends), 1 refused or failed, 2 asked wrongly.
"""

import http.client
import json
import re
import signal
import sys
import threading
from urllib.parse import urlencode

import click

from columba.cli import show
from columba.cli.api import Api, Failure, why, with_api
from columba.cli.client import Listing
from columba.cli.show import clean, json_text, style
from columba.cli.sse import Reader, TooLong

SILENCE_S = 45.0  # three of the server's heartbeats
COLUMNS = ("system_id", "bind", "address", "bound_at", "window_in_use", "to_answer", "received", "sent", "refused")
ARROWS = {"in": ("<", "good"), "out": (">", "strong")}


@click.group(cls=Listing)
def smpp() -> None:
    """List programs that are bound; follow the PDUs of a session.

    Without a command the programs are listed. Logins for them are made with `columba keys smpp`.
    """


@smpp.command("list")
@with_api
def list_(api: Api, as_json: bool) -> None:
    """List the programs that are bound to the server that is asked, the oldest session first."""
    rows = api.get("/v1/smpp/sessions")["data"]
    if as_json:
        click.echo(json_text(rows))
    elif not rows and sys.stdout.isatty():
        click.echo("No program is bound: `columba keys smpp --help` makes a login.", err=True)
    else:
        show.table(COLUMNS, [[str(row.get(name)) for name in COLUMNS] for row in rows])


@smpp.command()
@with_api
@click.argument("whose", metavar="CARRIER_ID|SYSTEM_ID", required=False)
@click.option("--bodies", is_flag=True, help="With what people wrote; else only how long it is.")
@click.option("--count", type=click.IntRange(1), metavar="N", help="End after so many PDUs.")
def trace(api: Api, as_json: bool, whose: str | None, bodies: bool, count: int | None) -> None:
    """Follow the PDUs of a carrier's sessions, or of bound programs.

    A carrier is named by its id (car_...), a program by its system_id; without either all programs of the account and mode
    are followed. `>` is what we say, `<` what the other side says. Passwords are never shown. Ctrl-C ends it.

    \b
      columba smpp trace car_06fq0m4v9w0r0
      columba smpp trace 06fq0m4v9w0r0 --bodies
      columba smpp trace --json | jq 'select(.pdu == "submit_sm_resp")'
    """
    query = {"bodies": "true"} if bodies else {}
    if whose is not None and whose.startswith("car_"):
        if not re.fullmatch(r"car_[0-9a-z]{1,20}", whose):
            raise click.BadParameter(f"{whose[:40]!r} is no carrier's id.", param_hint="CARRIER_ID")
        target = f"/v1/carriers/{whose}/trace"
    else:
        target = "/v1/smpp/trace"
        query |= {"system_id": whose.removeprefix("key_")} if whose is not None else {}
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _follow(api, f"{target}?{urlencode(query)}" if query else target, as_json, count)
    except KeyboardInterrupt:
        return


def _follow(api: Api, target: str, as_json: bool, count: int | None) -> None:
    reader = Reader()
    seen = 0
    try:
        for chunk in api.stream(target, {}, SILENCE_S):
            for heard in reader.feed(chunk):
                told = json.loads(heard.data) if heard.data else {}
                if heard.type == "pdu":
                    seen += 1
                    click.echo(json_text(told) if as_json else _line(told))
                    if seen == count:
                        return
                elif heard.type == "sessions":
                    names = ", ".join(map(clean, told["sessions"]))
                    _say(f"Following {names}." if names else "No session is open here; waiting for one.")
                elif heard.type == "missed":
                    _say(f"{told['count']} PDUs were left out: they pass faster than they can be shown.", "doubt")
    except (OSError, http.client.HTTPException) as error:
        raise Failure(f"The trace has ended: {why(error)}.", "ended") from None
    except (TooLong, ValueError, KeyError):
        raise Failure(f"{api.url} sends what is no trace.", "foreign") from None
    raise Failure("The server has ended the trace.", "ended")


def _line(told: dict[str, object]) -> str:
    arrow, kind = ARROWS.get(str(told["way"]), ("?", "plain"))
    return f"{str(told['at'])[11:23]} {clean(str(told['session']))} {style(arrow, kind)} {clean(str(told['line']))}"


def _say(text: str, kind: str = "plain") -> None:
    click.echo(style(text, kind, err=True), err=True)
