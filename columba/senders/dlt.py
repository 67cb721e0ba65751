"""India's registered templates: which of them a text is, told from how they are registered.

Pure. `{#var#}` stands for at most 30 characters; spaces count as one wherever they are. Patterns run in linear time,
whatever the template and the text.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import re2

from columba.senders.spec import DltTemplate

LONGEST_VALUE: Final = 30
_VARIABLE: Final = "{#var#}"


def template_of(text: str, templates: Sequence[DltTemplate]) -> str | None:
    """The id of the template that a text is made from."""
    plain = " ".join(text.split())
    return next((each.id for each in templates if _pattern(each.text).fullmatch(plain)), None)


@lru_cache(maxsize=4096)
def _pattern(template: str) -> Any:
    pieces = " ".join(template.split()).split(_VARIABLE)
    return re2.compile("(?s)" + f".{{0,{LONGEST_VALUE}}}".join(re2.escape(piece) for piece in pieces))
