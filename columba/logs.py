"""Logs: one line an event, JSON or text, with no secret and no whole phone number in it."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

from columba.numbers import mask

_NUMBERS = ("to", "from", "sender", "number")


def _masked(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name in _NUMBERS:
        value = event.get(name)
        if isinstance(value, str):
            event[name] = mask(value)
    return event


def configure(form: str = "text", level: str = "info", stream: TextIO | None = None) -> None:
    """`form` is `text` for people or `json` for programs."""
    stream = stream or sys.stderr
    tail: list[Any]
    if form == "json":
        tail = [
            structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(),
        ]
    else:
        tail = [
            structlog.dev.ConsoleRenderer(
                colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback, pad_event_to=0
            )
        ]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _masked,
            *tail,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
