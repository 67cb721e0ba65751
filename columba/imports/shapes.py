"""What programs are told of files."""

from typing import Literal

import msgspec

from columba.http.times import Timestamp


class Which(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file that is sent."""

    import_: str = msgspec.field(name="import")


class Import(msgspec.Struct, kw_only=True):
    """A file, as far as it has come.

    state: `waiting` for its rows, `running`, `interrupted` (send the file again to go on), `done`, `failed`
    rows: how many were read
    recorded: how many of them said something new
    unchanged: how many said what was known already, or less
    refused: how many could not be taken: `/refusals` names each
    upload_url: where the file is sent to
    error: why it failed
    """

    id: str
    name: str
    state: Literal["waiting", "running", "interrupted", "done", "failed"]
    rows: int
    recorded: int
    unchanged: int
    refused: int
    error: str | None
    upload_url: str
    created_at: Timestamp
    updated_at: Timestamp


class RowRefusal(msgspec.Struct, kw_only=True):
    """A row that was not taken. row: its place in the file, the first after the heading being 1."""

    row: int
    number: str
    code: str
    detail: str
