"""How a text would be sent, without sending it: the same functions as the main path, and nothing of the store."""

from collections.abc import Callable

from columba.core.submission import Submission
from columba.errors import FieldError
from columba.messages.shapes import SOMEBODY, Forcing, NewPreview, Preview, PreviewPart, PreviewProblem
from columba.numbers import Description, NumberError, describe
from columba.text import forced_by, plan, smart


def preview(asked: NewPreview, country: str | None, examine: Callable[[Submission], list[FieldError]]) -> Preview:
    """`examine` says what would be wrong with a submission."""
    text = smart(asked.text) if asked.smart_encoding else asked.text
    planned = plan(text)
    submission = Submission(
        SOMEBODY if asked.to is None else asked.to, asked.text, asked.from_, smart=asked.smart_encoding
    )
    return Preview(
        text=text,
        encoding=planned.encoding,
        segments=planned.segments,
        units=planned.units,
        left=planned.left,
        parts=[PreviewPart(part, plan(part, unicode=planned.encoding == "ucs2").units) for part in planned.parts],
        forced=[
            Forcing(each.index, each.character, each.code_point, each.name, each.replacement)
            for each in forced_by(asked.text)
        ],
        number=_number(asked.to, country),
        problems=[PreviewProblem(*problem) for problem in examine(submission)],
    )


def _number(to: str | None, country: str | None) -> Description | None:
    if to is None:
        return None
    try:
        return describe(to, country)
    except NumberError:
        return None
