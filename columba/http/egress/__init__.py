"""The one safe way out over HTTP: webhooks, forwards, media and carriers' APIs leave through `Egress.request`.

Users name the URLs, so nothing here trusts one. A host is resolved by us, every address is held against `Policy`, and
the connection is then made to that very address: no name is looked up a second time in between. Redirects, proxies from
the environment, cookies and decompression don't exist here. Time, bytes and connections are bounded.

Fails only with `EgressError`: its kind says why, and `sent` whether the peer may have seen any of the request. Nothing
is ever sent twice.
"""

from columba.http.egress.client import Egress
from columba.http.egress.connection import Answer
from columba.http.egress.errors import EgressError, Kind
from columba.http.egress.names import Resolve
from columba.http.egress.policy import Policy
from columba.http.egress.url import check_url

__all__ = ["Answer", "Egress", "EgressError", "Kind", "Policy", "Resolve", "check_url"]
