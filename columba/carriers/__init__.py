"""Carriers: one file a kind. This module finds them; what a kind must offer is `CarrierKind`.

A file in this folder that defines KIND is a kind; its name is what `POST /v1/carriers` takes as `kind`. Its configuration
is a struct that forbids unknown fields. A field that holds a secret says so with `SECRET`:

    password: Annotated[str, msgspec.Meta(max_length=8, extra_json_schema=SECRET)]

It is then sealed in the store and never shown again, whatever it holds and however deep it stands.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final, NamedTuple

from columba.core.contract import CUT, Air, Carrier, Cut, Session

SECRET: Final = {"writeOnly": True}


class CarrierKind(NamedTuple):
    """`config` is a struct type: what an operator may set. `connect` opens the way for one lane of a carrier.

    lanes: how many sessions a configuration asks for. window: of a session, where the operator sets none. serial: the
    wire doesn't keep the order. callbacks: the names under /callbacks/{carrier id}/ at which the network calls us.
    cut: how its texts are cut into parts. sends: whether messages may be routed to it.
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


@cache
def kinds() -> Mapping[str, CarrierKind]:
    found: dict[str, CarrierKind] = {}
    for module in pkgutil.iter_modules(__path__):
        kind = getattr(importlib.import_module(f"{__name__}.{module.name}"), "KIND", None)
        if isinstance(kind, CarrierKind):
            found[kind.name] = kind
    return found


def connect(carrier: Carrier, n: int, air: Air) -> Session:
    return kinds()[carrier.kind].connect(carrier, n, air)
