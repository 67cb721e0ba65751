"""Money: whole millionths of a currency inside, decimal text outside. Pure; `read` raises ValueError."""

import re
from decimal import Decimal
from typing import Annotated, Final

from msgspec import Meta

UNIT: Final = 1_000_000
MOST: Final = 1_000_000_000 * UNIT

_AMOUNT: Final = re.compile(r"-?[0-9]{1,10}(\.[0-9]{1,6})?").fullmatch
CURRENCY: Final = "^[A-Z]{3}$"

Amount = Annotated[
    str,
    Meta(pattern=r"^[0-9]{1,10}(\.[0-9]{1,6})?$", description="A decimal number as text, exact.", examples=["0.0395"]),
]
Currency = Annotated[str, Meta(pattern=CURRENCY, description="ISO 4217.", examples=["EUR"])]


def read(text: str) -> int:
    """`0.0395` as 39500."""
    if not _AMOUNT(text):
        raise ValueError("Expected a decimal number with at most 6 decimals, such as 0.0395.")
    return int(Decimal(text) * UNIT)


def show(amount: int) -> str:
    """39500 as `0.0395`."""
    whole, rest = divmod(abs(amount), UNIT)
    return f"{'-' if amount < 0 else ''}{whole}" + (f".{rest:06d}".rstrip("0") if rest else "")
