"""Every setting, once."""

import ipaddress
from typing import NamedTuple


class Settings(NamedTuple):
    data: str = "./data"
    database: str = ""
    host: str = "127.0.0.1"
    port: int = 8080
    allow_network: tuple[str, ...] = ()
    secret_key: str = ""

    def networks(self):  # type: ignore[no-untyped-def]
        return tuple(ipaddress.ip_network(each) for each in self.allow_network)
