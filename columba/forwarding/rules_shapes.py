"""What a rule says, as programs write it and as it is kept: conditions, actions, when it is on.

The same structs are the request's shape and the stored one. What a struct can tell by itself is checked here; what takes
compiling (expressions, patterns, templates) in `conditions` and `actions`.
"""

from collections.abc import Iterable
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, available_timezones

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from columba.errors import FieldError
from columba.http.paging import Paging
from columba.http.times import Moment, Timestamp

DEEPEST = 4  # conditions within conditions
MOST_ACTIONS = 20
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Hour = Annotated[str, Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$", examples=["09:00"])]
Name = Annotated[str, Meta(min_length=1, max_length=100)]
Number = Annotated[str, Meta(min_length=1, max_length=64)]
Word = Annotated[str, Meta(min_length=1, max_length=200)]
Words = Word | Annotated[list[Word], Meta(min_length=1, max_length=100)]
Id = Annotated[str, Meta(min_length=1, max_length=64)]
Source = Annotated[str, Meta(min_length=1, max_length=10_000)]
Position = Annotated[int, Meta(ge=1, le=1_000_000, description="Its place among the account's rules, from 1.")]


class Window(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Days and hours.

    days: on these days of the week; every day if left out
    from: from this time of the day on
    until: up to, and not with, this time; where it is before `from`, of the next day
    time_zone: whose clock counts, such as `Europe/London`
    """

    days: Annotated[list[Day], Meta(min_length=1, max_length=7)] | None = None
    from_: Hour = field(name="from", default="00:00")
    until: Hour = "24:00"
    time_zone: Annotated[str, Meta(max_length=64)] = "UTC"

    def check_zone(self) -> Iterable[FieldError]:
        try:
            known = self.time_zone in available_timezones() and ZoneInfo(self.time_zone) is not None
        except (OSError, ValueError):
            known = False
        if not known:
            yield FieldError("time_zone", "invalid_value", "Expected a time zone such as Europe/London or UTC.")

    def check_until(self) -> Iterable[FieldError]:
        if self.from_ == self.until or self.from_ == "24:00":
            yield FieldError("until", "invalid_value", "Expected a time other than `from`.")


class TextTest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the text must be like. Letters' case doesn't count, unless `match_case` is set; of a list one will do.

    is: the whole text, but for blanks around it
    contains: somewhere in it
    starts: at its beginning
    ends: at its end
    regex: an RE2 pattern that is found in it; `(?i)` ignores case. What its groups capture is `groups` in templates
    """

    is_: Words | None = field(name="is", default=None)
    contains: Words | None = None
    starts: Words | None = None
    ends: Words | None = None
    regex: Annotated[str, Meta(min_length=1, max_length=1_000)] | None = None
    match_case: bool = False

    def check(self) -> Iterable[FieldError]:
        if not (self.is_ or self.contains or self.starts or self.ends or self.regex):
            yield FieldError("regex", "required", "Expected one of is, contains, starts, ends, regex.")


ContactWords = Annotated[list[Word], Meta(min_length=1, max_length=100)]
Exact = Annotated[str, Meta(max_length=500)] | int | float | bool


class ContactTest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the person must be like among your contacts. All that is given must hold; of a list one will do.

    tag: has this tag
    language: this one, in any country's form: `pt` is `pt-BR` too
    name, email: these, whatever their case
    attributes: each has this very value
    """

    tag: ContactWords | None = None
    language: ContactWords | None = None
    name: ContactWords | None = None
    email: ContactWords | None = None
    attributes: (
        Annotated[
            dict[Word, Exact | Annotated[list[Exact], Meta(min_length=1, max_length=100)]],
            Meta(min_length=1, max_length=50),
        ]
        | None
    ) = None

    def check(self) -> Iterable[FieldError]:
        if not (self.tag or self.language or self.name or self.email or self.attributes):
            detail = "Expected one of tag, language, name, email, attributes, or true or false in its place."
            yield FieldError("tag", "required", detail)


class When(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which texts. All that is given must hold; of a list one will do; nothing given is every text.

    to: your numbers
    from: the persons' numbers
    prefix: what the person's number begins with, such as `+4477`
    country: the country of the person's number, by its code
    keyword: the first word of the text
    media: whether it brings pictures or the like
    time: when it came
    carrier: what it came through
    contact: whether the person is among your contacts, or what they are like there
    first: `text`: nothing came from this number before. `reply`: the first text from it since you last sent it one
    cel: a CEL expression that is true, such as `size(text) > 20 && keyword == "ORDER"`
    all: all of these hold
    any: one of these holds at least
    none: none of these holds
    """

    to: Annotated[list[Number], Meta(min_length=1, max_length=1_000)] | None = None
    from_: Annotated[list[Number], Meta(min_length=1, max_length=10_000)] | None = field(name="from", default=None)
    prefix: Annotated[list[Number], Meta(min_length=1, max_length=1_000)] | None = None
    country: Annotated[list[Annotated[str, Meta(pattern="^[A-Z]{2}$")]], Meta(min_length=1, max_length=250)] | None = (
        None
    )
    text: TextTest | None = None
    keyword: Annotated[list[Word], Meta(min_length=1, max_length=1_000)] | None = None
    media: bool | None = None
    time: Window | None = None
    carrier: Annotated[list[Id], Meta(min_length=1, max_length=100)] | None = None
    contact: bool | ContactTest | None = None
    first: Literal["text", "reply"] | None = None
    cel: Annotated[str, Meta(min_length=1, max_length=2_000)] | None = None
    all: Annotated[list["When"], Meta(min_length=1, max_length=50)] | None = None
    any: Annotated[list["When"], Meta(min_length=1, max_length=50)] | None = None
    none: Annotated[list["When"], Meta(min_length=1, max_length=50)] | None = None


class ForwardAction(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """To other systems.

    to: destinations (`dst_...`)
    mode: `all`: each of them. `first_success`: the next one only where the one before failed. `until_failure`: the next
        one only when the one before has it
    """

    to: Annotated[list[Id], Meta(min_length=1, max_length=20)]
    mode: Literal["all", "first_success", "until_failure"] = "all"

    def check_to(self) -> Iterable[FieldError]:
        if len(set(self.to)) < len(self.to):
            yield FieldError("to", "invalid_value", "A destination is named twice.")


class ReplyAction(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A text back to the person.

    text: a template. With `answer` or `answers` in it, it waits for what the destinations before it answered
    from: whom it comes from; the number that was texted, if left out
    """

    text: Source
    from_: Number | None = field(name="from", default=None)


class TextAction(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A text to other numbers.

    text: a template
    from: whom it comes from; the number that was texted, if left out
    """

    to: Annotated[list[Number], Meta(min_length=1, max_length=20)]
    text: Source = "{{ from }}: {{ text }}"
    from_: Number | None = field(name="from", default=None)


class EmailAction(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An e-mail, through the server that the operator has set.

    subject, text: templates
    """

    to: Annotated[
        list[Annotated[str, Meta(pattern=r"^[^@\s,;<>]+@[^@\s,;<>]+$", max_length=254)]],
        Meta(min_length=1, max_length=20),
    ]
    subject: Annotated[str, Meta(min_length=1, max_length=1_000)] = "Text from {{ from }}"
    text: Source = "{{ text }}"


class Action(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One thing to do: one of these.

    forward: pass the text on to other systems
    reply: answer the person
    tag: mark the text
    text: pass it on to other numbers as a text
    email: pass it on by e-mail
    drop: do no more with it, in the rules after this one either
    """

    forward: ForwardAction | None = None
    reply: ReplyAction | None = None
    tag: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    text: TextAction | None = None
    email: EmailAction | None = None
    drop: Literal[True] | None = None

    def check(self) -> Iterable[FieldError]:
        given = [name for name in self.__struct_fields__ if getattr(self, name) is not None]
        if len(given) != 1:
            detail = "Expected one of forward, reply, tag, text, email, drop."
            yield FieldError(given[1] if given else "forward", "invalid_value" if given else "required", detail)


Actions = Annotated[list[Action], Meta(min_length=1, max_length=MOST_ACTIONS)]


class Spec(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a rule says, as it is kept."""

    when: When = When()
    then: tuple[Action, ...] = ()
    stop: bool = False
    schedule: Window | None = None


class NewRule(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A rule.

    when: which texts
    then: what to do with them, in this order
    stop: no rule after this one sees a text that it matched
    schedule: it is on in these hours alone
    position: its place among the account's rules; the last, if left out
    """

    name: Name
    when: When = When()
    then: Actions
    stop: bool = False
    schedule: Window | None = None
    enabled: bool = True
    position: Position | None = None


class RuleChange(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is to be different; what is left out stays."""

    name: Name | UnsetType = UNSET
    when: When | UnsetType = UNSET
    then: Actions | UnsetType = UNSET
    stop: bool | UnsetType = UNSET
    schedule: Window | None | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    position: Position | UnsetType = UNSET


class Rule(msgspec.Struct, kw_only=True):
    """A rule.

    position: its place among the account's rules, from 1
    version: how often it was changed, from 1
    """

    id: str
    name: str
    position: int
    enabled: bool
    schedule: Window | None
    when: When
    then: list[Action]
    stop: bool
    version: int
    created_at: Timestamp
    updated_at: Timestamp


class RuleVersion(msgspec.Struct, kw_only=True):
    """A rule as one change left it.

    change: what was done: created, changed, enabled, disabled, moved, restored, deleted
    changed_by: the key that did it; null where nobody can be named
    """

    version: int
    change: str
    changed_by: str | None
    at: Timestamp
    name: str
    enabled: bool
    schedule: Window | None
    when: When
    then: list[Action]
    stop: bool


class Restoring(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """version: which of its versions the rule is to be again"""

    version: Annotated[int, Meta(ge=1, le=1_000_000_000)]


class Replaying(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which texts of the past a rule is to see.

    since: that came from this moment on
    until: up to this moment; now, if it is left out
    send: false only counts those that it would match
    """

    since: Moment
    until: Moment | None = None
    send: bool = True

    def check_window(self) -> Iterable[FieldError]:
        if self.until is not None and self.until <= self.since:
            yield FieldError("until", "invalid_time", "Expected a time after `since`.")


class RuleReplayed(msgspec.Struct, kw_only=True):
    """What came of it.

    seen: texts of that time
    matched: those that the rule matched
    started: actions that were set in motion; what the rule had done with a text before is not done again
    next_since: where there were too many for one request, the `since` of the next; null when all were seen
    """

    seen: int
    matched: int
    started: int
    next_since: Timestamp | None


class RuleList(Paging, frozen=True, kw_only=True, forbid_unknown_fields=True):
    enabled: Annotated[bool, Meta(description="Only those that are on, or off.")] | None = None


Json = dict[str, Any]
