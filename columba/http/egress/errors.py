"""Why a request got no answer: one closed set of kinds, and whether anything of it had left."""

from typing import Literal

Kind = Literal[
    "invalid_url",  # the URL is not one that we call
    "invalid_request",  # the method, or a header that could not be written as it stands
    "forbidden_address",  # the host leads to no address that the policy permits
    "dns",  # the host has no address, or none was learned
    "connect",  # no connection
    "tls",  # a connection, but no trust
    "busy",  # no connection was free in time: our own bound, nothing that the peer did
    "timeout",  # the peer took too long
    "disconnected",  # the peer, or the closing of the egress, ended the connection before the answer was whole
    "protocol",  # the answer is not HTTP/1.1, or its head is too large
]


class EgressError(Exception):
    """No answer. `detail` may be shown to the URL's owner: it holds no secret and no address that they didn't write."""

    def __init__(self, kind: Kind, detail: str, *, sent: bool = False) -> None:
        self.kind = kind
        self.detail = detail
        self.sent = sent  # whether the peer may have seen some of the request; False means it is safe to try again
        super().__init__(f"{kind}: {detail}")
