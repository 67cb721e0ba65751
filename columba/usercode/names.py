"""What templates and expressions see: the names of a text and of what was learned for it."""

from typing import Final

NAMES: Final = frozenset(
    {
        *("id", "from", "to", "text", "media", "received_at", "keyword", "groups", "contact", "account", "steps"),
        "metadata",
    }
)
