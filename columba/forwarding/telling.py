"""What went wrong with a forward, and what to do about it: `code: what happened`, with advice when it is shown. Pure."""

_ADVICE = {
    "invalid_url": "Correct the destination's URL.",
    "invalid_request": "Correct the destination's method or headers.",
    "forbidden_address": (
        "Forwards reach public addresses only: use one, or have the operator allow a private network by starting Columba "
        "with --allow-network."
    ),
    "dns": "Check the host in the destination's URL, and that its DNS record is published.",
    "connect": "Check that the server runs, and that a firewall lets Columba reach its port.",
    "tls": "Check the server's certificate; for a private authority, give it as `tls.ca`.",
    "busy": "Columba itself had no room; it tries again by itself.",
    "timeout": "PATCH the destination's `timeout` to give it more time, up to 60 seconds.",
    "disconnected": "Look into the log of the server, or of the proxy before it, for a crash or a limit.",
    "protocol": "Check that this port speaks HTTP/1.1.",
    "template": "Correct the destination's template: it was not sent.",
    "schema": (
        "The body doesn't fit the destination's schema, and was not sent: correct its templates, or PATCH the forward's "
        "`values`; then replay it."
    ),
    "auth": "Check the destination's auth.",
    "check": "The answer says what was wrong; `success` says what is expected.",
    "media": "The message's files could not be got.",
    "internal": "It is tried again.",
    "http_400": "The server did not accept the request: its answer may say why.",
    "http_401": "Check the destination's auth: the server did not accept it.",
    "http_403": "Check what the destination's credentials are allowed to do.",
    "http_404": "Nothing is at this address: check the path in the destination's URL.",
    "http_405": "The address doesn't take this method: check the destination's `request.method`.",
    "http_409": "The server says that it conflicts with what it has: its answer may say why.",
    "http_410": "The server says that the address is gone for good.",
    "http_413": "The server takes only smaller bodies.",
    "http_415": "The server does not take this content type: check the destination's `request.body`.",
    "http_422": "The server did not accept the values: its answer may say which.",
    "http_429": "The server can't keep up: PATCH the destination's `rate` or `concurrency`.",
}


def explain(error: str) -> str:
    """The same with what to do about it."""
    code = error.partition(":")[0]
    advice = _ADVICE.get(code)
    if advice is None and code.startswith("http_"):
        advice = "Look into the server's log." if code >= "http_5" else "Its answer may say why."
    return error if advice is None else f"{error} {advice}"
