"""What a POST to an endpoint came to, and what its owner should do about it. Pure.

An error is kept as one text, `code: what happened`; `explain` adds the advice when it is shown.
"""

from email.utils import parsedate_to_datetime
from typing import NamedTuple

from columba.http.egress import Answer, EgressError

MOST_ANSWER = 20_000  # bytes of an answer that are read and kept
GONE, TOO_MANY = 410, 429

_KINDS = {
    "invalid_url": "Change the webhook's URL.",
    "invalid_request": "Change the webhook's URL.",
    "forbidden_address": (
        "Webhooks reach public addresses only: use one, or have the operator allow a private network by starting "
        "Columba with --allow-network."
    ),
    "dns": "Check the host in the webhook's URL, and that its DNS record is published.",
    "connect": "Check that the server runs, and that a firewall lets Columba reach its port.",
    "tls": "Check the server's certificate: it must be valid for this host, unexpired, and sent with its whole chain.",
    "busy": "Columba itself had no room; it tries again by itself.",
    "timeout": (
        "Answer with a 2xx as soon as the event is stored, and work on it afterwards. PATCH the webhook's `timeout` "
        "to be given more time, up to 30 seconds."
    ),
    "disconnected": "Look into the log of the server, or of the proxy before it, for a crash or a limit.",
    "protocol": "Check that this port speaks HTTP/1.1, and not TLS, HTTP/2 alone or something else.",
    "internal": "This is Columba's own fault: it tries again, and its log says more.",
}
_STATUSES = {
    400: "The server did not accept the request: its answer may say why.",
    401: "Let the webhook's path be reached without a login, and verify the signature instead.",
    403: "Let the webhook's path be reached without a login, and verify the signature instead.",
    404: "Nothing is at this address: check the path in the webhook's URL.",
    405: "The address takes no POST: check the path in the webhook's URL.",
    408: "The server waited too long for the request: look into its log.",
    GONE: "The server says that the address is gone for good, so nothing more is sent to it.",
    413: "The server takes only smaller bodies: raise its limit to 64 KB.",
    415: "The server does not take application/json here.",
    TOO_MANY: "The server can't keep up: PATCH the webhook's `concurrency` to a lower value.",
    503: "The server is not available: it or the proxy before it may be restarting or full.",
    504: "The proxy waited too long for the server: answer at once, and work on the event afterwards.",
}


class Attempt(NamedTuple):
    """One POST, and what came back. `error` is None when it was a success."""

    at: int  # ms, when it began
    url: str
    status: int | None
    latency_ms: int
    error: str | None
    answer: str | None
    retry_after: float | None = None
    slow: bool = False  # the endpoint asks for time: at least a minute
    counts: bool = True  # False when it was our own fault

    @property
    def gone(self) -> bool:
        return self.status == GONE

    @property
    def well(self) -> bool | None:
        """What it says of the endpoint; None when nothing."""
        return self.error is None if self.counts else None


def answered(at: int, url: str, answer: Answer) -> Attempt:
    """An attempt that got an answer."""
    latency = int(answer.latency * 1000)
    text = answer.body.decode("utf-8", "replace").replace("\0", "\ufffd") if answer.body else None
    status = answer.status
    if 200 <= status < 300:
        return Attempt(at, url, status, latency, None, text)
    error = f"http_{status}: The server answered {status}"
    if 300 <= status < 400 and (location := answer.header("location")):
        error += f" and pointed to {''.join(filter(str.isprintable, location))[:500]}"
    wait = retry_after(answer.header("retry-after"), at)
    return Attempt(at, url, status, latency, f"{error}.", text, wait, status == TOO_MANY)


def unanswered(at: int, url: str, error: EgressError, seconds: float) -> Attempt:
    """An attempt that got none."""
    kind = error.kind
    text = f"{kind}: {error.detail}"
    return Attempt(at, url, None, int(seconds * 1000), text, None, None, kind == "timeout", kind != "busy")


def retry_after(value: str | None, now: int) -> float | None:
    """Seconds to wait: RFC 9110 §10.2.3, a number or a date."""
    if not value:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now / 1000)
    except (TypeError, ValueError, OverflowError):
        return None


class Explained(NamedTuple):
    code: str
    detail: str


def explain(error: str) -> Explained:
    """A kept error, and what to do about it."""
    code, _, happened = error.partition(": ")
    advice = _KINDS.get(code, "")
    if code.startswith("http_"):
        status = int(code[5:])
        advice = _STATUSES.get(status, "")
        if not advice and 300 <= status < 400:
            advice = "Redirects are not followed: set the webhook's URL to the final address."
        elif not advice:
            advice = "Look into the server's log." if status >= 500 else "Its answer may say why."
    return Explained(code, f"{happened} {advice}".strip())
