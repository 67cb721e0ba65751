"""Phone numbers in bodies, checked with the other fields, so that one answer names every problem."""

from collections.abc import Iterable

from columba.errors import FieldError
from columba.numbers import NumberError, normalise


def number_problems(field: str, raw: object) -> Iterable[FieldError]:
    """What is wrong with a number in any country; one that wants the account's country is looked at with it, later."""
    if not isinstance(raw, str):
        return
    try:
        normalise(raw)
    except NumberError as error:
        if error.reason != "needs_country":
            yield FieldError(field, "invalid_number", error.detail)
