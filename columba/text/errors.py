"""The one error that this room raises."""


class TextError(ValueError):
    """A text, a part or a header can't be what was asked; the message names a position or a number, never the text."""
