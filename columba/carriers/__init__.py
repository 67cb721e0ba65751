"""Carriers: one file a kind. This module finds them; what a kind must offer is `CarrierKind`.

A file in this folder that defines KIND is a kind; its name is what `POST /v1/carriers` takes as `kind`. Its configuration
is a struct that forbids unknown fields. A field that holds a secret says so with `SECRET`:

    password: Annotated[str, msgspec.Meta(max_length=8, extra_json_schema=SECRET)]

It is then sealed in the store and never shown again, whatever it holds and however deep it stands.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from typing import Any, Final, NamedTuple

from columba.core.contract import CAN, CUT, Air, Can, Carrier, Cut, Session
from columba.errors import FieldError
from columba.http.egress import Policy, check_url

SECRET: Final = {"writeOnly": True}


class CarrierKind(NamedTuple):
    """`config` is a struct type: what an operator may set. `connect` opens the way for one lane of a carrier.

    lanes: how many sessions a configuration asks for. window: of a session, where the operator sets none. serial: the
    wire doesn't keep the order. callbacks: the names under /callbacks/{carrier id}/ at which the network calls us.
    cut: how its texts are cut into parts. sends: whether messages may be routed to it. can: what it can do besides.
    parse: what a callback says, where there are any (columba/carriers/over_http.py has its types, and those of `about`,
    what the documentation tells). urls: the addresses in a configuration, by their fields: the operator permits them.
    fetch: what headers the network wants to see on a request for media of inbound texts, at a URL of its own.
    """

    name: str
    config: type[Any]
    connect: Callable[[Carrier, int, Air], Session]
    lanes: Callable[[Any], int] = lambda _config: 1
    window: int = 200
    serial: bool = False
    callbacks: tuple[str, ...] = ()
    cut: Callable[[Any], Cut] = lambda _config: CUT
    sends: Callable[[Any], bool] = lambda _config: True
    can: Callable[[Any], Can] = lambda _config: CAN
    parse: Callable[[Any, Any], Any] | None = None
    about: Any = None
    urls: Callable[[Any], Mapping[str, str]] = lambda _config: {}
    fetch: Callable[[Any, str], Mapping[str, str]] = lambda _config, _url: {}


@cache
def kinds() -> Mapping[str, CarrierKind]:
    found: dict[str, CarrierKind] = {}
    for module in pkgutil.iter_modules(__path__):
        kind = getattr(importlib.import_module(f"{__name__}.{module.name}"), "KIND", None)
        if isinstance(kind, CarrierKind):
            found[kind.name] = kind
    return found


def address_checks(policy: Policy) -> dict[str, Callable[[Any], Iterable[FieldError]]]:
    """What is wrong with the addresses in the configurations of kinds that are called over HTTP."""

    def check(kind: CarrierKind, config: Any) -> Iterable[FieldError]:
        for field, url in kind.urls(config).items():
            problem = check_url(url, policy)
            if problem is not None:
                code = "forbidden_url" if problem.kind == "forbidden_address" else "invalid_url"
                yield FieldError(f"config.{field}", code, problem.detail)

    return {kind.name: partial(check, kind) for kind in kinds().values()}


def connect(carrier: Carrier, n: int, air: Air) -> Session:
    return kinds()[carrier.kind].connect(carrier, n, air)
