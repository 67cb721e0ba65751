"""What is said of what happens: an event as a line about a thing, incidents as a notice. Pure; never fails."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from columba.alerts.shapes import NAMES, Channel, Email, Slack, Text, Where
from columba.core import ids, model, status
from columba.core.model import (
    ACTION_FAILED,
    CARRIER_DOWN,
    CARRIER_UP,
    DELIVERY_EXHAUSTED,
    FORWARD_DEAD,
    FORWARD_FAILED,
    WEBHOOK_DISABLED,
    WEBHOOK_FAILING,
    WEBHOOK_RECOVERED,
    Event,
    Message,
)
from columba.usercode import Template, UserCodeError

MOST_LINES: Final = 20  # of a notice
LONGEST: Final = 300
MARK: Final = "columba_alert"  # in the metadata of texts that are alerts: they make no alerts
RATE: Final = "delivery rate"


class Told(NamedTuple):
    """What an event says: about which thing, in general, and of this very time."""

    thing: str
    title: str
    latest: str


class Incident(NamedTuple):
    thing: str
    title: str
    latest: str
    opened_at: int
    last_at: int
    times: int
    told: int
    closed_at: int | None
    why: str | None
    recovers: int


class Notice(msgspec.Struct, frozen=True):
    """What is told at once of an alert: the lines of what began, goes on and is over."""

    alert: str
    name: str
    account: str
    at: str
    summary: str
    opened: list[str]
    ongoing: list[str]
    recovered: list[str]
    test: bool = False

    @property
    def lines(self) -> list[str]:
        return [*self.opened, *self.ongoing, *self.recovered]


def concerns(where: Where, event: Event) -> bool:
    """Whether an event of a message or a carrier is one of those that are meant. A text that is an alert never is."""
    message = event.message
    if event.type in (CARRIER_DOWN, CARRIER_UP):
        return not where.carrier or ids.show("car", event.subject) in where.carrier
    if message is None:
        return True
    if MARK in (message.extra.metadata or {}):
        return False
    return (
        (not where.tag or not set(where.tag).isdisjoint(message.extra.tags or ()))
        and (not where.class_ or status.CLASSES[message.klass] in where.class_)
        and (not where.carrier or ids.show("car", message.lane & ~63) in where.carrier)
        and (not where.error or message.error in where.error)
    )


def tell(event: Event) -> Told:
    """An event in words."""
    kind, data, message = event.type, event.data or {}, event.message
    name = model.TYPES.get(kind, "other")
    if kind in (FORWARD_FAILED, FORWARD_DEAD, ACTION_FAILED):
        about = _inner(data, "forward") or _inner(data, "action")
        where = str(about.get("destination") or about.get("rule") or "")
        what = {FORWARD_FAILED: "Forwards fail", FORWARD_DEAD: "Forwards were given up"}.get(
            kind, "Actions of rules fail"
        )
        why = _inner(about, "error")
        return _told(f"{name} {where}", f"{what}: {where}", ": ".join(filter(None, (_message(message), _error(why)))))
    if message is not None and kind < model.OTHER_EVENTS:
        error = message.error or ""
        title = f"Messages {_WORDS.get(kind, status.NAMES[kind])}"
        detail = model.FAILURES.get(error, "")
        return _told(f"{name} {error}", f"{title}: {detail or error}" if error else title, _message(message))
    if kind in (WEBHOOK_FAILING, WEBHOOK_DISABLED, WEBHOOK_RECOVERED):
        what = {WEBHOOK_FAILING: "fails", WEBHOOK_DISABLED: "was disabled"}.get(kind, "works again")
        url = str(data.get("url", ""))
        return _told(
            f"webhook {ids.show('whk', event.subject)}", f"The webhook {url} {what}", _error(_inner(data, "error"))
        )
    if kind == DELIVERY_EXHAUSTED:
        whom = str(data.get("webhook", ""))
        return _told(
            f"{name} {whom}", f"Deliveries were given up: {data.get('url', whom)}",
            f"{_inner(data, 'event').get('type', '')} {_error(_inner(data, 'error'))}",
        )  # fmt: skip
    if kind in (CARRIER_DOWN, CARRIER_UP):
        what = "is down" if kind == CARRIER_DOWN else "is up again"
        return _told(
            f"carrier {ids.show('car', event.subject)}", f"The carrier {data.get('name', '')} {what}",
            str(data.get("why") or ""),
        )  # fmt: skip
    return _told(name, name, str(data.get("error") or "") if not isinstance(data.get("error"), dict) else "")


_WORDS: Final = {
    status.FAILED: "failed", status.UNDELIVERED: "were not delivered", status.EXPIRED: "expired",
    status.UNKNOWN: "have an unknown outcome", status.CANCELED: "were canceled", status.DELIVERED: "were delivered",
}  # fmt: skip


def _told(thing: str, title: str, latest: str) -> Told:
    return Told(_line(thing), _line(title), _line(latest))


def _line(text: str) -> str:
    """On one line, and not long."""
    return " ".join(text.split())[:LONGEST]


def _inner(data: dict[str, Any], name: str) -> dict[str, Any]:
    found = data.get(name)
    return found if isinstance(found, dict) else {}


def _message(message: Message | None) -> str:
    if message is None:
        return ""
    return f"{ids.show('msg', message.id)} to {message.to}" + (
        f" (the carrier says {message.carrier_code})" if message.carrier_code else ""
    )


def _error(error: dict[str, Any]) -> str:
    return str(error.get("detail") or error.get("code") or "")


# -- Notices


def notice(
    alert_id: int, name: str, account_id: int, incidents: Sequence[Incident], now: int, recovery: bool
) -> Notice | None:
    """What there is to tell of incidents; None for nothing."""
    opened: list[str] = []
    ongoing: list[str] = []
    recovered: list[str] = []
    for each in incidents:
        more = each.times - each.told
        if each.closed_at is not None and each.told and not more:
            if recovery:
                recovered.append(f"Over: {each.title.rstrip('.')}. {each.why or ''}".rstrip())
        elif more:
            times = "" if more == 1 and not each.told else f" ({more} times)" if not each.told else f" ({more} more)"
            over = " It is over." if each.closed_at is not None else ""
            latest = f" Latest: {each.latest.rstrip('.')}." if each.latest else ""
            (ongoing if each.told else opened).append(f"{each.title.rstrip('.')}{times}.{latest}{over}")
    if not (opened or ongoing or recovered):
        return None
    words = [
        f"{len(opened)} new" if opened else "",
        f"{len(ongoing)} going on" if ongoing else "",
        f"{len(recovered)} over" if recovered else "",
    ]
    alone = [*opened, *ongoing, *recovered]
    summary = alone[0].partition(" Latest: ")[0] if len(alone) == 1 else ", ".join(filter(None, words))
    return Notice(
        ids.show("alr", alert_id), name, ids.show("acc", account_id), model.rfc3339(now), summary[:200],
        _some(opened), _some(ongoing), _some(recovered),
    )  # fmt: skip


def _some(lines: list[str]) -> list[str]:
    left = len(lines) - MOST_LINES
    return lines if left <= 0 else [*lines[:MOST_LINES], f"... and {left} more"]


def sample(alert_id: int, name: str, account_id: int, now: int) -> Notice:
    """What a test sends."""
    return Notice(
        ids.show("alr", alert_id), name, ids.show("acc", account_id), model.rfc3339(now), "This is a test.",
        ["This is a test: nothing is wrong."], [], [], True,
    )  # fmt: skip


def text_of(channel: Channel, told: Notice) -> str:
    """What a channel says."""
    if isinstance(channel, Slack):  # what it would take for a link, or a mention of everybody
        told = msgspec.structs.replace(
            told, name=_plain(told.name), summary=_plain(told.summary), opened=[*map(_plain, told.opened)],
            ongoing=[*map(_plain, told.ongoing)], recovered=[*map(_plain, told.recovered)],
        )  # fmt: skip
    usual = _SHORT if isinstance(channel, Text) else _PLAIN if isinstance(channel, Email) else _SLACK
    return _render(getattr(channel, "text", None) or usual, told)


def _plain(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def subject_of(channel: Email, told: Notice) -> str:
    return _render(channel.subject or "[Columba] {{ name }}: {{ summary }}", told)


_SHORT: Final = "{{ name }}: {{ summary }}"
_PLAIN: Final = """\
{% if lines | length > 1 %}{{ summary }}

{% endif %}{% for line in lines %}- {{ line }}
{% endfor %}
--
Alert "{{ name }}" of account {{ account }}, {{ at }}
"""
_SLACK: Final = """\
*{{ name }}*: {{ summary }}{% for line in lines %}
• {{ line }}{% endfor %}"""


def _render(source: str, told: Notice) -> str:
    context = {
        "name": told.name, "summary": told.summary, "lines": told.lines, "opened": told.opened, "ongoing": told.ongoing,
        "recovered": told.recovered, "test": told.test, "account": told.account, "at": told.at,
    }  # fmt: skip
    try:
        return Template.parse(source, NAMES).render(context)
    except UserCodeError as error:  # it must be told all the same
        return f"{told.name}: {told.summary} (the template fails: {error})"
