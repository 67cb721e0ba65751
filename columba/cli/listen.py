"""`columba listen`: follows the stream of events, shows each, and posts it, signed, to an address of one's own.

One event at a time and in order: the next is read when this one is done with, so a slow receiver slows the stream and
loses nothing. A broken connection is made anew and goes on after the last event that was done with; what the server
sends again is known by its id. An event that can't be forwarded after a few tries is reported and passed over. Ends
with 0 on Ctrl-C, having said how to go on; with 1 when the API refuses.
"""

import http.client
import json
import os
import random
import re
import shlex
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode

import click

from columba import __version__
from columba.cli import show
from columba.cli.api import Api, Failure, Problem, Unreachable, Where, connect, where, why, with_api
from columba.cli.show import clean, json_text, style
from columba.cli.sse import Heard, Reader, TooLong
from columba.webhooks.signature import decode_secret, new_secret, sign

STREAM = "/v1/events/stream"
BEGINNING = "evt_0000000000000"  # before all events
MISSED = "missed"  # the stream's word for events that are not kept any more
SILENCE_S = 45.0  # three of the server's heartbeats
LONGEST_PAUSE_S = 15.0
KNOWN = 10_000  # events whose ids are remembered
FORWARD_TIMEOUT_S = 15.0
PAUSES_S = (0.3, 1.0, 3.0)  # between the tries of one forward


class Stream:
    """The events that come, each once. `last` is the id of the last one that its reader is done with."""

    def __init__(
        self,
        api: Api,
        query: Sequence[tuple[str, str]],
        last: str,
        *,
        pause: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.last = last
        self._api = api
        self._target = STREAM + (f"?{urlencode(query)}" if query else "")
        self._pause = pause
        self._chance = chance
        self._known: dict[str, None] = {}

    def __iter__(self) -> Iterator[Heard]:
        fresh, tries = True, 0
        while True:
            came = False
            trouble = "the stream has ended"
            wait = 0.0
            try:
                for heard in self._connection(fresh, tries):
                    fresh, came = False, True
                    if heard is not None and heard.type == MISSED:
                        _say(f"What came between {self.last} and the oldest event that is kept was missed.", "bad")
                        continue
                    if heard is not None and heard.id not in self._known:
                        yield heard
                        self._known[heard.id] = None
                        if len(self._known) > KNOWN:
                            del self._known[next(iter(self._known))]
                    if heard is not None:
                        self.last = heard.id or self.last
            except Unreachable as error:
                if fresh:
                    raise
                trouble = error.message
            except Failure as error:
                if not error.passing and error.status < 500:
                    raise
                trouble = error.message
                wait = error.retry_after if isinstance(error, Problem) else 0.0
            except (OSError, http.client.HTTPException) as error:
                trouble = why(error)
            except TooLong:
                raise Failure(f"{self._api.url} sends what is no stream of events", "foreign") from None
            tries = 1 if came else tries + 1
            wait = max(wait, min(LONGEST_PAUSE_S, 0.2 * 2**tries) * (0.5 + self._chance() / 2))
            _say(f"Not connected: {trouble}. Trying again in {show.seconds(wait)}.", "doubt")
            self._pause(wait)

    def _connection(self, fresh: bool, tries: int) -> Iterator[Heard | None]:
        """One connection's events; None for any other sign of life."""
        reader = Reader()
        for chunk in self._api.stream(self._target, {"Last-Event-ID": self.last}, SILENCE_S):
            if not chunk:
                if tries or not fresh:
                    _say("Connected again.", "good")
                continue
            found = reader.feed(chunk)
            yield from found
            if not found:
                yield None


class Answered(NamedTuple):
    status: int
    seconds: float


class Forward:
    """Posts events to an address, signed as webhooks are (Standard Webhooks 1.0.0)."""

    def __init__(self, place: Where, keys: Sequence[bytes], clock: Callable[[], float] = time.time) -> None:
        self._place = place
        self._keys = keys
        self._clock = clock
        self._connection: http.client.HTTPConnection | None = None

    def post(self, event_id: str, body: bytes) -> Answered:
        """One try; OSError or HTTPException when there is no answer."""
        at = int(self._clock())
        fields = {
            "Content-Type": "application/json",
            "User-Agent": f"Columba/{__version__}",
            "webhook-id": event_id,
            "webhook-timestamp": str(at),
            "webhook-signature": sign(event_id, at, body, self._keys),
        }
        began = time.perf_counter()
        kept = self._connection is not None
        try:
            status = self._exchange(body, fields)
        except (ConnectionError, http.client.RemoteDisconnected):
            if not kept:
                raise
            status = self._exchange(body, fields)  # the receiver had closed a connection that was idle
        return Answered(status, time.perf_counter() - began)

    def _exchange(self, body: bytes, fields: Mapping[str, str]) -> int:
        try:
            if self._connection is None:
                self._connection = connect(self._place, FORWARD_TIMEOUT_S)
            self._connection.request("POST", self._place.path or "/", body, dict(fields))
            response = self._connection.getresponse()
            response.read(65_536)
            if not response.isclosed() or response.will_close:
                self.close()
            return response.status
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


class Desk:
    """What is done with each event: shown, and forwarded if there is whereto."""

    def __init__(self, forward: Forward | None, as_json: bool, pause: Callable[[float], None] = time.sleep) -> None:
        self.seen = self.failed = 0
        self._forward = forward
        self._as_json = as_json
        self._pause = pause

    def take(self, heard: Heard) -> None:
        self.seen += 1
        event = _decode(heard.data)
        if self._as_json:
            click.echo(json_text(event, None) if event is not None else json_text(heard.data.decode(errors="replace")))
        else:
            click.echo(line(heard, event), nl=self._forward is None)
        if self._forward is not None:
            self._post(heard, self._forward)

    def _post(self, heard: Heard, forward: Forward) -> None:
        for wait in (*PAUSES_S, None):
            try:
                answered = forward.post(heard.id, heard.data)
            except (OSError, http.client.HTTPException) as error:
                said, good, again = why(error), False, True
            else:
                status = answered.status
                said, good = f"{status} in {show.seconds(answered.seconds)}", 200 <= status < 300
                again = status >= 500 or status in (408, 409, 425, 429)
            if good or not again or wait is None:
                break
            self._answer(f"{said}; trying again in {show.seconds(wait)}", "doubt")
            self._pause(wait)
            self._indent()
        if not good:
            self.failed += 1
            said += ": given up"
        self._answer(said, "good" if good else "bad")

    def _indent(self) -> None:
        if not self._as_json:
            click.echo(" " * 12, nl=False)

    def _answer(self, text: str, kind: str) -> None:
        click.echo(("" if self._as_json else "  ") + style(f"→ {text}", kind, err=self._as_json), err=self._as_json)


def line(heard: Heard, event: Any) -> str:
    """Time, type, id, to, status."""
    data = event.get("data") if isinstance(event, dict) else None
    data = data if isinstance(data, dict) else {}
    try:
        at = f"{datetime.fromisoformat(event['timestamp']).astimezone():%H:%M:%S.%f}"[:12]
    except (ValueError, TypeError, KeyError):
        at = " " * 12
    kind = clean(event.get("type") if isinstance(event, dict) else heard.type)
    about = clean(data.get("to") or data.get("url") or "")
    if data.get("direction") == "inbound":
        about = f"{clean(data.get('from') or '')} → {about}"
    return f"{style(at, 'faint')}  {kind:<19}  {clean(heard.id)}  {about}  {show.status(data.get('status') or '')}".rstrip()


def _decode(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _say(text: str, kind: str = "plain") -> None:
    click.echo(style(text, kind, err=True), err=True)


@click.command()
@with_api
@click.option("--forward-to", metavar="URL", help="Where to post each event: http://localhost:3000/hook, or just 3000.")
@click.option("--events", multiple=True, metavar="TYPES", help="Only these: message.delivered,message.*; all without.")
@click.option(
    "--secret",
    envvar="COLUMBA_WEBHOOK_SECRET",
    show_envvar=True,
    metavar="WHSEC",
    help="What signs; a new one without.",
)
@click.option("--since", default="", metavar="EVENT_ID", help="Begin after this event; with those to come without.")
@click.option("--latest", is_flag=True, help="Begin with the latest event that there is: good for trying out a hook.")
@click.option("--print-json", is_flag=True, help="Print each event as a line of JSON.")
def listen(
    api: Api,
    as_json: bool,
    forward_to: str | None,
    events: Sequence[str],
    secret: str | None,
    since: str,
    latest: bool,
    print_json: bool,
) -> None:
    """Follow what happens, and post each event to a local address.

    No tunnel is needed: this follows the stream of events and posts each to the address, signed as a webhook is. It
    goes on through restarts of the server and loses nothing. Ctrl-C ends it, and says how to go on from there.

    \b
      columba listen
      columba listen --forward-to http://localhost:3000/hook --events message.delivered,message.received
      columba listen --print-json --events 'message.*' | jq .data.status
    """
    types = ",".join(word.strip() for text in events for word in text.split(",") if word.strip())
    if since and latest:
        raise click.UsageError("--since and --latest are two beginnings: give one.")
    if since and not re.fullmatch(r"[A-Za-z0-9_.:-]{1,100}", since):
        raise click.BadParameter(f"{since[:100]!r} is no event's id: they look like evt_01j9...", param_hint="--since")
    forward = None if forward_to is None else Forward(_address(forward_to), [_key(secret)])
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    desk = Desk(forward, as_json or print_json)
    first = None if since else _newest(api, types if latest else "")
    stream = Stream(api, [("type", types)] if types else [], since or (first.id if first else BEGINNING))
    _say(f"Listening to {api.url}{f', forwarding to {clean(forward_to)}' if forward_to else ''}. Ctrl-C ends it.")
    try:
        if latest and first is not None:
            desk.take(first)
        for heard in stream:
            if heard.data:
                desk.take(heard)
    except KeyboardInterrupt:
        _farewell(desk, stream.last, forward_to, types)
    finally:
        if forward is not None:
            forward.close()


def _newest(api: Api, types: str) -> Heard | None:
    """The newest event that there is: where a stream that is cut before its first event goes on from."""
    for event in api.pages("/v1/events", [("type", types)] if types else [], 1):
        return Heard(str(event["id"]), str(event["type"]), json.dumps(event, separators=(",", ":")).encode())
    return None


def _farewell(desk: Desk, last: str, forward_to: str | None, types: str) -> None:
    click.echo(err=True)
    _say(f"{desk.seen} event{'' if desk.seen == 1 else 's'}{f', {desk.failed} not forwarded' if desk.failed else ''}.")
    if last != BEGINNING:
        again = ["columba", "listen", "--since", clean(last)]
        again += ["--forward-to", clean(forward_to)] if forward_to else []
        again += ["--events", types] if types else []
        _say(f"To go on from here: {shlex.join(again)}")


def _address(text: str) -> Where:
    """`3000`, `localhost:3000/hook` or a whole URL."""
    url = f"http://localhost:{text}" if re.match(r"\d{1,5}(/|$)", text) else text if "://" in text else f"http://{text}"
    try:
        return where(url)
    except ValueError as error:
        raise click.BadParameter(f"{text[:200]!r} is no address: {error}.", param_hint="--forward-to") from error


def _key(secret: str | None) -> bytes:
    if secret is None:
        secret = new_secret(os.urandom(32))
        _say(f"The secret that signs, to verify with: {secret}")
    try:
        return decode_secret(secret.strip())
    except ValueError as error:
        raise click.BadParameter(f"It is no secret of a webhook: {error}", param_hint="--secret") from error
