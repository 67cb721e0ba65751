"""`/v1/alerts`: who is told of what, and what they were told.

What is secret in a channel (a webhook's secret, the address of an incoming webhook of Slack) is taken and never shown.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import UNSET

from columba.alerts import room, shapes
from columba.alerts.collecting import host_of
from columba.alerts.room import MOST, SQL, Alerts
from columba.alerts.sending import STATUSES, Sending
from columba.alerts.shapes import (
    Alert,
    AlertChange,
    Email,
    Incident,
    Incidents,
    NewAlert,
    Notices,
    Rule,
    Slack,
    Tested,
    Webhook,
)
from columba.alerts.telling import Notice
from columba.core import ids, model
from columba.core.ids import Ids
from columba.core.model import rfc3339
from columba.errors import FieldError, Refusal
from columba.http.body import invalid
from columba.http.egress import Egress
from columba.http.endpoint import Call, Endpoint, endpoint
from columba.http.paging import Page, Paging, decode_cursor, page
from columba.keys import Key
from columba.store import Store

TAG: Final = "Alerts"
TRIES: Final = 5
MOST_INCIDENTS: Final = 1_000
_notice = msgspec.json.Decoder(Notice).decode

EXAMPLE: Final[model.Json] = {
    "name": "Something is wrong",
    "on": ["message.failed", "message.undelivered", "forward.dead", "webhook.disabled", "carrier.down"],
    "delivery_rate": {"below": 0.9},
    "channels": [{"kind": "email", "to": ["ops@example.org"]}],
    "every": 900,
}


def endpoints(
    alerts: Alerts, sending: Sending, store: Store, egress: Egress, new_id: Ids, clock: Callable[[], int]
) -> list[Endpoint]:
    def check_ways(channels: list[shapes.Channel] | Any) -> None:
        """Whether they can be reached from here at all."""
        wrong = []
        for place, channel in enumerate(channels):
            if isinstance(channel, Email) and not sending.mails:
                detail = (
                    "No mail server is set, so nobody would be told: the operator sets smtp_url (COLUMBA_SMTP_URL)."
                )
                wrong.append(FieldError(f"channels[{place}]", "no_mail_server", detail))
            if isinstance(channel, Webhook | Slack) and (problem := egress.check_url(channel.url)) is not None:
                code = "invalid_url" if problem.kind == "invalid_url" else "forbidden_url"
                wrong.append(FieldError(f"channels[{place}].url", code, problem.detail))
        if wrong:
            raise invalid(wrong)

    async def find(call: Call[Any, Any]) -> room.Alert:
        await alerts.refresh()
        who = _caller(call)
        found = alerts.all.get(ids.read("alr", call.path["id"]) or 0)
        if found is None or (found.account_id, found.mode) != (who.account_id, who.mode):
            raise Refusal("not_found", "There is no such alert.")
        return found

    async def view(*those: room.Alert) -> list[Alert]:
        wanted = [(each.id,) for each in those]
        counts = {row[0]: row[1] for row in (await store.read(SQL["open_counts"], wanted) if wanted else ())}
        clocks = {row[0]: row[1:] for row in (await store.read(SQL["clocks"], wanted) if wanted else ())}
        return [_view(each, counts.get(each.id, 0), *clocks.get(each.id, (None, None))) for each in those]

    @endpoint(
        "POST", "/v1/alerts", body=NewAlert, answer=Alert, status=201, scope="alerts:write", tag=TAG,
        summary="Add an alert", refusals=("too_many", "invalid_url", "forbidden_url", "no_mail_server"), example=EXAMPLE,
    )  # fmt: skip
    async def create_alert(call: Call[NewAlert, None]) -> Alert:
        """What happens from now on is told, gathered into one notice at a time, and once more when it is over."""
        who, asked = _caller(call), call.body
        check_ways(asked.channels)
        if len(alerts.of(who.account_id, who.mode)) >= MOST:
            raise Refusal("too_many", f"There are {MOST} alerts already.")
        rule = Rule(**{name: getattr(asked, name) for name in Rule.__struct_fields__})
        made = await alerts.add(
            new_id(), who.account_id, who.mode, asked.name, asked.enabled, rule, asked.channels, clock()
        )
        return (await view(made))[0]

    @endpoint(
        "GET", "/v1/alerts", query=Paging, answer=Page[Alert], scope="alerts:read", tag=TAG, summary="List alerts"
    )
    async def list_alerts(call: Call[None, Paging]) -> Page[Alert]:
        """The newest first."""
        who, query = _caller(call), call.query
        await alerts.refresh()
        last = decode_cursor(query.cursor, tuple[int])
        those = [each for each in alerts.of(who.account_id, who.mode) if last is None or each.id < last[0]]
        found = await view(*those[: query.limit + 1])
        return page(found, query.limit, lambda each: each, lambda each: (ids.read("alr", each.id) or 0,))

    @endpoint("GET", "/v1/alerts/{id}", answer=Alert, scope="alerts:read", tag=TAG, summary="Get an alert")
    async def get_alert(call: Call[None, None]) -> Alert:
        """With what it has to tell, and when."""
        return (await view(await find(call)))[0]

    @endpoint(
        "PATCH", "/v1/alerts/{id}", body=AlertChange, answer=Alert, scope="alerts:write", tag=TAG,
        summary="Change an alert", refusals=("conflict", "invalid_url", "forbidden_url", "no_mail_server"),
        example={"every": 3600},
    )  # fmt: skip
    async def change_alert(call: Call[AlertChange, None]) -> Alert:
        """One that is turned off forgets what it had to tell."""
        asked = call.body
        if asked.channels is not UNSET:
            check_ways(asked.channels)
        given = {name: getattr(asked, name) for name in asked.__struct_fields__}
        given = {name: value for name, value in given.items() if value is not UNSET}
        parts = {name: given.pop(name) for name in Rule.__struct_fields__ if name in given}
        for _ in range(TRIES):
            was = await find(call)
            rule: Rule = msgspec.structs.replace(was.rule, **parts)
            if not rule.on and rule.delivery_rate is None:
                raise invalid([FieldError("on", "required", "Expected types of events, or a delivery_rate.")])
            if "channels" in given:
                given["channels"] = tuple(given["channels"])
            changed = await alerts.change(was, clock(), rule=rule, **given)
            if changed is not None:
                return (await view(changed))[0]
        raise Refusal("conflict", "It is being changed by others at this moment.")

    @endpoint("DELETE", "/v1/alerts/{id}", scope="alerts:write", tag=TAG, summary="Delete an alert")
    async def delete_alert(call: Call[None, None]) -> None:
        """With its incidents and notices."""
        await alerts.remove(await find(call))

    @endpoint(
        "POST", "/v1/alerts/{id}/test", answer=Tested, scope="alerts:write", tag=TAG, summary="Test an alert",
    )  # fmt: skip
    async def test_alert(call: Call[None, None]) -> Tested:
        """Sends a sample to everybody, now, once each, and answers what became of it. It says that it is a test."""
        results = await sending.test(await find(call))
        return Tested(all(each.ok for each in results), results)

    @endpoint(
        "GET", "/v1/alerts/{id}/incidents", answer=Incidents, scope="alerts:read", tag=TAG,
        summary="See what goes wrong",
    )  # fmt: skip
    async def list_incidents(call: Call[None, None]) -> Incidents:
        """The oldest first; what is over stays until it was told."""
        alert = await find(call)
        rows = await store.read(SQL["incidents"], alert_id=alert.id, most=MOST_INCIDENTS)
        return Incidents(
            [
                Incident(
                    thing=thing, title=title, latest=latest, opened_at=rfc3339(opened), last_at=rfc3339(last),
                    closed_at=None if closed is None else rfc3339(closed), count=count,
                )
                for thing, title, latest, opened, last, count, _, closed, _, _ in rows
            ]
        )  # fmt: skip

    @endpoint(
        "GET", "/v1/alerts/{id}/notices", query=Notices, answer=Page[shapes.Notice], scope="alerts:read", tag=TAG,
        summary="See what was told",
    )  # fmt: skip
    async def list_notices(call: Call[None, Notices]) -> Page[shapes.Notice]:
        """The newest first, one for each recipient; kept for 90 days."""
        alert, query = await find(call), call.query
        last = decode_cursor(query.cursor, tuple[int])
        rows = await store.read(
            SQL["notices"], alert_id=alert.id, before=(1 << 62) if last is None else last[0], most=query.limit + 1
        )
        return page(rows, query.limit, _told, lambda row: (int(row[0]),))

    return [
        create_alert,
        list_alerts,
        get_alert,
        change_alert,
        delete_alert,
        test_alert,
        list_incidents,
        list_notices,
    ]


def _view(alert: room.Alert, count: int, notify_at: int | None, notified_at: int | None) -> Alert:
    rule = alert.rule
    return Alert(
        id=ids.show("alr", alert.id), name=alert.name, enabled=alert.enabled, state="alerting" if count else "ok",
        open=count, on=rule.on, delivery_rate=rule.delivery_rate, where=rule.where,
        channels=[_channel(each) for each in alert.channels], wait=rule.wait, every=rule.every, settle=rule.settle,
        recovery=rule.recovery, quiet=rule.quiet, digest=rule.digest,
        last_notice_at=None if notified_at is None else rfc3339(notified_at),
        next_notice_at=None if notify_at is None else rfc3339(notify_at), created_at=rfc3339(alert.created_at),
        updated_at=rfc3339(alert.updated_at),
    )  # fmt: skip


def _channel(channel: shapes.Channel) -> dict[str, Any]:
    """A channel as it may be shown."""
    shown: dict[str, Any] = msgspec.to_builtins(channel)
    if isinstance(channel, Slack):
        shown["url"] = f"https://{host_of(channel)}/***"
    return shown | ({"secret": "***"} if "secret" in shown else {})


def _told(row: Any) -> shapes.Notice:
    an_id, _, kind, recipient, text, state, attempts, due_at, error, updated_at = row
    told = _notice(text)
    return shapes.Notice(
        id=ids.show("ntc", an_id), channel=kind, recipient=recipient, status=STATUSES[state],  # type: ignore[arg-type]
        summary=told.summary, text="\n".join(told.lines), test=told.test, attempts=attempts,
        next_attempt_at=rfc3339(due_at) if state == 0 else None, error=error, created_at=rfc3339(ids.time_of(an_id)),
        updated_at=rfc3339(updated_at),
    )  # fmt: skip


def _caller(call: Call[Any, Any]) -> Key:
    assert isinstance(call.caller, Key)
    return call.caller
