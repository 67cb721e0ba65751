"""Carriers: one file a kind. This module finds them; what a kind must offer is `CarrierKind`.

A file in this folder that defines KIND is a kind; its name is what `POST /v1/carriers` takes as `kind`.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

from columba.core.contract import Air, Carrier, Session


class CarrierKind(NamedTuple):
    """`config` is a struct type: what an operator may set. `connect` opens the way for one lane of a carrier."""

    name: str
    config: type[Any]
    connect: Callable[[Carrier, int, Air], Session]


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
