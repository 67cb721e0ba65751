"""Settings as options of a command: made from the table of settings, so that none is written twice."""

import os
from collections.abc import Callable
from typing import Any

import click

from columba.settings import BY_NAME, Setting, Settings, SettingsError, load


def with_settings(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the named settings as options, and the settings in force as its first argument."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        def called(flags: dict[str, Any], **given: Any) -> Any:
            try:
                settings = load(flags, os.environ)
            except SettingsError as error:
                raise click.UsageError(str(error)) from error
            return function(settings, **given)

        return with_flags(*names)(_like(function, called))

    return decorate


def with_flags(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the named settings as options, and what was given for them as its argument `flags`."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        def called(**given: Any) -> Any:
            flags = {name: given.pop(name) for name in names}
            return function(flags=flags, **given)

        decorated = _like(function, called)
        for name in reversed(names):
            setting = BY_NAME[name]
            decorated = click.option(
                setting.flag,
                name,
                default=None,
                multiple=setting.many,
                help=f"{setting.help}  [{setting.variable}{_default(setting)}]",
                metavar=setting.metavar,
            )(decorated)
        return decorated

    return decorate


def _default(setting: Setting) -> str:
    shown = ", ".join(setting.default) if setting.many else setting.default
    return f"; default: {shown}" if shown != "" else ""


def _like(function: Callable[..., Any], called: Callable[..., Any]) -> Callable[..., Any]:
    called.__doc__ = function.__doc__
    called.__name__ = function.__name__
    called.__click_params__ = list(getattr(function, "__click_params__", []))  # type: ignore[attr-defined]
    return called


__all__ = ["Settings", "with_flags", "with_settings"]
