"""Settings as options of a command: made from the table of settings, so that none is written twice."""

import os
from collections.abc import Callable
from typing import Any

import click

from columba.settings import BY_NAME, Settings, SettingsError, load


def with_settings(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the named settings as options, and the settings in force as its first argument."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        def called(**given: Any) -> Any:
            flags = {name: given.pop(name) for name in names}
            try:
                settings = load(flags, os.environ)
            except SettingsError as error:
                raise click.UsageError(str(error)) from error
            return function(settings, **given)

        called.__doc__ = function.__doc__
        called.__name__ = function.__name__
        called.__click_params__ = list(getattr(function, "__click_params__", []))  # type: ignore[attr-defined]
        for name in reversed(names):
            setting = BY_NAME[name]
            shown = ", ".join(setting.default) if setting.many else setting.default
            text = f"{setting.help}  [{setting.variable}{f'; default: {shown}' if shown != '' else ''}]"
            option = click.option(
                setting.flag, name, default=None, multiple=setting.many, help=text, metavar=setting.metavar
            )
            called = option(called)
        return called

    return decorate


__all__ = ["Settings", "with_settings"]
