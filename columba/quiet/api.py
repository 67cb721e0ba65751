"""`/v1/settings/quiet-hours`, `/v1/quiet-hours/check`: windows in force, your own, and what they mean to a number."""

from collections.abc import Callable, Iterable
from typing import Annotated, Any, Final, Literal, get_args

import msgspec
from msgspec import Meta, field

from columba.core import model
from columba.errors import FieldError
from columba.http.body import invalid
from columba.http.endpoint import Call, Endpoint, endpoint
from columba.http.times import Moment, Timestamp, milliseconds
from columba.keys import Key
from columba.numbers import COUNTRIES, NumberError, normalise
from columba.policies import Policies
from columba.policies.api import endpoints as settings_endpoints
from columba.quiet import Document, QuietHours, enabled
from columba.quiet.windows import EVERYWHERE, Window, data, minutes, place_of

TAG: Final = "Quiet hours"
Class = Literal["otp", "transactional", "marketing"]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Hour = Annotated[str, Meta(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$", examples=["09:00"])]
HourOrEnd = Annotated[str, Meta(pattern="^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$", examples=["21:00"])]


class SendingWindow(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A time of day, in the recipient's zones, at which texts of these classes may go out.

    country: ISO 3166 code of two letters, or `*` for everywhere
    state: of the United States, such as `FL`; for the whole country without it
    close: the first minute after it; `24:00` is the end of the day
    source: where the rule comes from
    date: as of when
    """

    country: Annotated[str, Meta(pattern=r"^([A-Z]{2}|\*)$", examples=["US", "*"])] = EVERYWHERE
    state: Annotated[str, Meta(pattern="^[A-Z]{2}$")] | None = None
    classes: Annotated[list[Class], Meta(min_length=1, max_length=3)] = field(default_factory=lambda: ["marketing"])
    days: Annotated[list[Day], Meta(min_length=1, max_length=7)] = field(default_factory=lambda: [*get_args(Day)])
    open: Hour
    close: HourOrEnd
    source: Annotated[str, Meta(max_length=500)] = ""
    date: Annotated[str, Meta(max_length=10)] = ""

    def check_hours(self) -> Iterable[FieldError]:
        if minutes(self.close) <= minutes(self.open):
            yield FieldError(
                "close", "invalid_value", "Expected a time after `open`: a window over midnight is two windows."
            )

    def check_country(self) -> Iterable[FieldError]:
        if self.country != EVERYWHERE and self.country not in COUNTRIES:
            yield FieldError("country", "invalid_value", "There is no such country.")

    def check_state(self) -> Iterable[FieldError]:
        states = set(data().areas.get(self.country, {}).values())
        if self.state is not None and self.state not in states:
            detail = (
                "Expected a state of the country, as its area codes tell." if states else "Its states are not known."
            )
            yield FieldError("state", "invalid_value", detail)

    def window(self) -> Window:
        return Window(
            self.country,
            tuple(self.classes),
            tuple(self.days),
            self.open,
            self.close,
            self.state,
            self.source,
            self.date,
        )


class QuietHoursAsSet(msgspec.Struct, kw_only=True):
    """What is to hold.

    enabled: whether windows are kept; null is yes for live messages, no in the sandbox
    defaults: whether the windows that come with the program count
    windows: your own, which narrow those
    """

    enabled: bool | None = None
    defaults: bool = True
    windows: Annotated[list[SendingWindow], Meta(max_length=500)] = []


class QuietHoursInForce(msgspec.Struct, kw_only=True):
    """What holds.

    defaults_in_force: the windows that come with the program, each with its source
    """

    enabled: bool
    defaults: bool
    windows: list[SendingWindow]
    defaults_in_force: list[SendingWindow]


class Question(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom, what and when."""

    number: Annotated[str, Meta(max_length=64)]
    class_: Class = field(name="class", default="marketing")
    at: Moment | None = None


class Answer(msgspec.Struct, kw_only=True):
    """What the windows mean for a number.

    state: null where it has none, or its area code doesn't tell
    time_zones: all that it may be in; it is open only while all of them are
    open: whether it may be texted at that moment
    next_open: the first moment from then on; null if there never is one
    """

    number: str
    country: str
    state: str | None
    time_zones: list[str]
    open: bool
    next_open: Timestamp | None


def endpoints(
    quiet: QuietHours, policies: Policies, clock: Callable[[], int], country: Callable[[int], str | None]
) -> list[Endpoint]:
    """`country` gives an account's default country."""

    @endpoint(
        "GET", "/v1/quiet-hours/check", query=Question, answer=Answer, scope="consent:read", tag=TAG,
        summary="See when a number may be texted", refusals=("invalid_number",),
    )  # fmt: skip
    async def check_quiet_hours(call: Call[None, Question]) -> Answer:
        """What would happen to a message to this number, now or at another moment."""
        who, query = _caller(call), call.query
        try:
            number = normalise(query.number, country(who.account_id))
        except NumberError as error:
            raise invalid([FieldError("number", "invalid_number", error.detail)]) from None
        at = clock() if query.at is None else milliseconds(query.at)
        place = place_of(number)
        opens = quiet.policy.of(who.account_id, who.mode).windows.next_open(query.class_, number, at)
        return Answer(
            number=number, country=place.country, state=place.state or None, time_zones=list(place.zones),
            open=opens == at, next_open=None if opens is None else model.rfc3339(opens),
        )  # fmt: skip

    settings = settings_endpoints(
        policies, quiet.policy, path="quiet-hours", name="quiet_hours", about="quiet hours", tag=TAG,
        read="consent:read", write="consent:write", answer=QuietHoursInForce, shown=_shown, document=QuietHoursAsSet,
        example={"windows": [{"country": "FR", "days": ["mon", "tue", "wed"], "open": "10:00", "close": "20:00"}]},
        write_more="Windows of one country, or of one state, add up; those of a state, of its country, of everywhere and"
        " of the program narrow each other. What waits already is looked at again before it goes.",
    )  # fmt: skip
    return [*settings, check_quiet_hours]


def _shown(document: Document, mode: int) -> QuietHoursInForce:
    return QuietHoursInForce(
        enabled=enabled(document, mode),
        defaults=document.defaults,
        windows=[_window(each) for each in document.windows],
        defaults_in_force=[_window(each) for each in data().windows] if document.defaults else [],
    )


def _window(window: Window) -> SendingWindow:
    return SendingWindow(
        country=window.country, state=window.state, classes=list(window.classes), days=list(window.days),  # type: ignore[arg-type]
        open=window.open, close=window.close, source=window.source, date=window.date,
    )  # fmt: skip


def _caller(call: Call[Any, Any]) -> Key:
    assert isinstance(call.caller, Key)
    return call.caller
