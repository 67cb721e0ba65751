"""What is wrong with code that a user wrote, and where."""

from columba.errors import FieldError


class UserCodeError(ValueError):
    """Why a template, an expression, a pattern or a schema is refused, or could not be run to its end.

    `line` and `column` count from 1; 0 where there is no telling. `detail` quotes the source and never the data.
    """

    def __init__(self, line: int, column: int, detail: str) -> None:
        self.line = line
        self.column = column
        self.detail = detail
        super().__init__(line, column, detail)

    def at(self, field: str) -> FieldError:
        """It as the problem of a field."""
        return FieldError(field, "invalid_code", str(self))

    def __str__(self) -> str:
        where = (
            f"line {self.line}, column {self.column}: " if self.column else f"line {self.line}: " if self.line else ""
        )
        return where + self.detail


class TooMuch(UserCodeError):
    """It was stopped: it took more work, time or room than user code may take."""

    def __init__(self, detail: str = "It takes too much work: it was stopped.") -> None:
        super().__init__(0, 0, detail)
