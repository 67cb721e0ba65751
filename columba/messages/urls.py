"""The URLs that a message names: a gate on the main path, so that no door takes one that could never be reached.

Pure. A callback must lead where webhooks may; media are fetched by carriers, so only their form is looked at.
"""

from collections.abc import Callable, Sequence

from columba.core import ids
from columba.core.model import NO_EXTRA, Message
from columba.errors import FieldError, Refusal
from columba.http.egress import EgressError, Policy, check_url
from columba.http.egress.url import parse_url


def url_problems(callback: str | None, media: Sequence[str], policy: Policy, kept: bool = False) -> list[FieldError]:
    """What is wrong with them, as far as can be told without looking a name up. `kept`: media may be ids of ours."""
    problems = []
    if callback is not None and (wrong := check_url(callback, policy)) is not None:
        code = "invalid_url" if wrong.kind == "invalid_url" else "forbidden_url"
        problems.append(FieldError("callback_url", code, wrong.detail))
    for place, url in enumerate(media):
        if kept and ids.read("med", url.partition("/")[0]) is not None:
            continue
        try:
            parse_url(url)
        except EgressError as error:
            problems.append(FieldError(f"media[{place}]", "invalid_url", error.detail))
    return problems


def missing(media: Sequence[str]) -> list[FieldError]:
    """Of media that were looked up, the ids that stand for nothing: they have no name, for nothing was found."""
    return [
        FieldError(f"media[{place}]", "not_found", "There is no such media.")
        for place, word in enumerate(media)
        if ids.read("med", word) is not None
    ]


def gate(policy: Policy) -> Callable[[Message], Refusal | None]:
    """The gate for what `policy` allows."""

    def look(message: Message) -> Refusal | None:
        extra = message.extra
        if extra is NO_EXTRA or (extra.callback_url is None and extra.media is None):
            return None
        problems = url_problems(extra.callback_url, extra.media or (), policy, kept=True)
        return Refusal("invalid_request", errors=problems) if problems else None

    return look
