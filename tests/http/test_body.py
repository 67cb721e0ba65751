"""A body is decoded as declared, or refused with every problem that it has."""

import enum
import json
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from columba.errors import CATALOGUE, FieldError, Refusal
from columba.http.body import decode
from columba.http.times import Moment
from tests.http.sample import NewBird


class Size(enum.Enum):
    """How large."""

    SMALL = "small"
    LARGE = "large"


class Link(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="do", tag="link"):
    url: Annotated[str, Meta(pattern="^https://")]


class Tag(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="do", tag="tag"):
    word: Annotated[str, Meta(max_length=5)]


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    to: str

    def check(self) -> Iterable[FieldError]:
        if self.to == "nobody":
            yield FieldError("to", "invalid_number", "Expected somebody.")


class Everything(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    text: Annotated[str, Meta(min_length=2, max_length=5)] = "text"
    number: Annotated[int, Meta(ge=1, le=10)] | None = None
    count: int = 0
    share: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    sure: bool = True
    kind: Literal["a", "b"] = "a"
    level: Literal[1, 2] = 1
    size: Size = Size.SMALL
    at: Moment | None = None
    id: uuid.UUID | None = None
    pair: tuple[int, str] | None = None
    words: Annotated[list[Annotated[str, Meta(max_length=3)]], Meta(min_length=1, max_length=2)] | None = None
    names: Annotated[dict[Annotated[str, Meta(max_length=3)], int], Meta(max_length=2)] = {}
    then: list[Link | Tag] = []
    parts: list[Part] = []
    either: int | str | list[int] | None = None
    free: Any = None
    raw: msgspec.Raw = msgspec.Raw(b"null")
    from_: str | None = msgspec.field(name="from", default=None)
    password: Annotated[str, Meta(max_length=8)] | None = None


def refused(kind: Any, raw: bytes) -> Refusal:
    with pytest.raises(Refusal) as caught:
        decode(kind, raw)
    return caught.value


def problems(refusal: Refusal) -> list[tuple[str, str]]:
    return [(error.field, error.code) for error in refusal.errors]


def test_a_good_body_is_decoded() -> None:
    raw = b'{"text":"abc","from":"x","then":[{"do":"tag","word":"w"}],"at":"2026-01-01T00:00:00+02:00"}'
    body = decode(Everything, raw)
    assert (body.text, body.from_, body.then) == ("abc", "x", [Tag(word="w")])
    assert body.at == datetime(2025, 12, 31, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("[]", [("body", "wrong_type")]),
        ("null", [("body", "wrong_type")]),
        ('{"text":5}', [("text", "wrong_type")]),
        ('{"text":null}', [("text", "wrong_type")]),
        ('{"text":"a"}', [("text", "too_short")]),
        ('{"text":"abcdef"}', [("text", "too_long")]),
        ('{"number":0}', [("number", "out_of_range")]),
        ('{"number":11}', [("number", "out_of_range")]),
        ('{"number":"1"}', [("number", "wrong_type")]),
        ('{"number":1.5}', [("number", "wrong_type")]),
        ('{"number":true}', [("number", "wrong_type")]),
        ('{"share":0}', [("share", "out_of_range")]),
        ('{"share":1}', [("share", "out_of_range")]),
        ('{"sure":"yes"}', [("sure", "wrong_type")]),
        ('{"sure":1}', [("sure", "wrong_type")]),
        ('{"kind":"c"}', [("kind", "invalid_value")]),
        ('{"kind":1}', [("kind", "wrong_type")]),
        ('{"level":3}', [("level", "invalid_value")]),
        ('{"level":true}', [("level", "wrong_type")]),
        ('{"size":"huge"}', [("size", "invalid_value")]),
        ('{"at":"tomorrow"}', [("at", "invalid_time")]),
        ('{"at":"2026-01-01T00:00:00"}', [("at", "invalid_time")]),
        ('{"at":"2026-02-30T00:00:00Z"}', [("at", "invalid_time")]),
        ('{"at":1767225600}', [("at", "wrong_type")]),
        ('{"id":"x"}', [("id", "invalid_value")]),
        ('{"pair":[1]}', [("pair", "too_short")]),
        ('{"pair":["1",2]}', [("pair[0]", "wrong_type"), ("pair[1]", "wrong_type")]),
        ('{"words":[]}', [("words", "too_short")]),
        ('{"words":["a","b","c"]}', [("words", "too_many")]),
        ('{"words":["a","long"]}', [("words[1]", "too_long")]),
        ('{"names":{"a":"b","long":1}}', [("names.a", "wrong_type"), ("names.long", "too_long")]),
        ('{"names":{"a b":null}}', [('names["a b"]', "wrong_type")]),
        ('{"names":{"a":1,"b":1,"c":1}}', [("names", "too_many")]),
        ('{"then":[{}]}', [("then[0].do", "required")]),
        ('{"then":[{"do":"jump"}]}', [("then[0].do", "invalid_value")]),
        ('{"then":[{"do":"tag"},{"do":"link","url":"ftp:","x":1}]}',
         [("then[0].word", "required"), ("then[1].url", "invalid_value"), ("then[1].x", "unknown_field")]),
        ('{"parts":[{"to":"a"},{"to":"nobody"},{}]}', [("parts[1].to", "invalid_number"), ("parts[2].to", "required")]),
        ('{"parts":[{"to":"nobody"}]}', [("parts[0].to", "invalid_number")]),
        ('{"either":{}}', [("either", "wrong_type")]),
        ('{"either":[1,"2"]}', [("either[1]", "wrong_type")]),
        ('{"from_":"x"}', [("from_", "unknown_field")]),
        ('{"txt":"a","number":0,"kind":"c"}',
         [("number", "out_of_range"), ("kind", "invalid_value"), ("txt", "unknown_field")]),
    ],
)  # fmt: skip
def test_each_problem_is_named(body: str, expected: list[tuple[str, str]]) -> None:
    refusal = refused(Everything, body.encode())
    assert refusal.code == "invalid_request"
    assert problems(refusal) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        # Twice, also where an escape hides it, and within what is free
        (b'{"text":"ab","text":"ab"}', [("text", "invalid_value")]),
        (b'{"text":"ab","t\\u0065xt":"ab"}', [("text", "invalid_value")]),
        (b'{"free":{"a":1,"b":{"c":1,"c":1}}}', [("free.b.c", "invalid_value")]),
        # Characters that no store keeps
        (b'{"text":"a\\u0000"}', [("text", "invalid_value")]),
        (b'{"names":{"a\\u0000":1}}', [('names["a\\u0000"]', "invalid_value")]),
        (b'{"free":[{"a":"\\u0000"}]}', [("free[0].a", "invalid_value")]),
        (b'{"text":"\\ud800"}', [("text", "invalid_value")]),
        (b'{"text":"\\udc00\\ud800"}', [("text", "invalid_value")]),
        (b'{"\\ud800":1}', [('["\\ud800"]', "unknown_field")]),
        # Numbers that nothing holds
        (b'{"count":9223372036854775808}', [("count", "out_of_range")]),
        (b'{"count":-9223372036854775809}', [("count", "out_of_range")]),
        (b'{"count":' + b"9" * 5000 + b"}", [("count", "out_of_range")]),
        (b'{"number":1e400}', [("number", "out_of_range")]),
        (b'{"share":1e400}', [("share", "out_of_range")]),
        (b'{"free":[1e400]}', [("free[0]", "out_of_range")]),
        (b'{"free":{"n":99999999999999999999}}', [("free.n", "out_of_range")]),
        # Depth
        (b'{"free":' + b"[" * 40 + b"]" * 40 + b"}", [("body", "out_of_range")]),
        (b'{"free":' + b'{"a":' * 5000 + b"1" + b"}" * 5001, [("body", "out_of_range")]),
        (b"[" * 100_000, [("body", "out_of_range")]),
        (b'{"raw":' + b"[" * 100_000 + b"]" * 100_000 + b"}", [("body", "out_of_range")]),
    ],
)
def test_what_a_lax_parser_would_let_pass_is_refused(body: bytes, expected: list[tuple[str, str]]) -> None:
    refusal = refused(Everything, body)
    assert (refusal.code, problems(refusal)) == ("invalid_request", expected)
    msgspec.json.encode([list(error) for error in refusal.errors])  # fit to be sent


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"{", "line 1, column 2"),
        (b'{"text":"a"', "line 1"),
        (b'{\n "text": nope}', "line 2, column 10"),
        (b'{"number":NaN}', "NaN"),
        (b'{"number":-Infinity}', "Infinity"),
        (b'{"text":"a\x00"}', "line 1"),
        (b'{"text":"\xff"}', "byte 9"),
        (b'{"text":"\xed\xa0\x80"}', "UTF-8"),
        (b"\xef\xbb\xbf{}", "line 1"),
        ('{"text":"ab"}'.encode("utf-16"), "UTF-8"),
        (b"{} {}", "line 1, column 4"),
        (b"{'text':'a'}", "column 2"),
        (b'"' + b'\\"' * 200_000, "line 1"),
        (b"text=a", "line 1"),
    ],
)
def test_what_is_not_json_is_said_to_be_so(body: bytes, says: str) -> None:
    refusal = refused(Everything, body)
    assert (refusal.code, refusal.kind.http) == ("invalid_json", 400)
    assert says in refusal.detail


@pytest.mark.parametrize(
    "body",
    [
        b'{"text":"u0000","free":{"a":"\\\\u0000"}}',
        b'{"text":"a\\"b","free":{"a:":"text","text":"a"}}',
        b'{"words":["a","a"],"names":{"a":1}}',
        b'{"text":"\\ud83d\\ude00!"}',
        b'{"free":' + b"[" * 30 + b"]" * 30 + b"}",
        b'{"count":9223372036854775807}',
        b'{"raw":{"a":1,"a":2}}',
        '{"text":"🕊🕊🕊🕊🕊"}'.encode(),
    ],
)
def test_what_only_looks_odd_is_taken(body: bytes) -> None:
    decode(Everything, body)


def test_all_is_told_at_once_with_what_the_struct_itself_checks() -> None:
    body = {"name": "Nobody", "chip": "x", "rng": "GB1", "tags": ["a", "b", "c", "d"], "plan": [{"kind": "fly"}]}
    refusal = refused(NewBird, json.dumps(body).encode())
    assert problems(refusal) == [
        ("chip", "wrong_type"),
        ("tags", "too_many"),
        ("plan[0].heading", "required"),
        ("rng", "unknown_field"),
        ("name", "invalid_value"),  # by check_name; check_mark reads `chip`, which is wrong already, and stays silent
    ]
    assert "`ring`" in refusal.errors[3].detail
    assert refusal.detail.startswith("5 problems. The first: chip: ")


def test_a_check_speaks_although_another_field_is_unknown() -> None:
    assert problems(refused(NewBird, b'{"name":"A","x":1}')) == [("x", "unknown_field"), ("ring", "required")]
    assert problems(refused(NewBird, b'{"name":"A"}')) == [("ring", "required")]


def test_secrets_are_not_repeated_and_values_are_shortened() -> None:
    secret, long = "hunter2hunter2", "x" * 5000
    within = {"free": {"password": secret, "n": 2**70}}
    told: list[dict[str, Any]] = [{"password": secret}, {"password": [secret]}, within]
    for body in told:
        assert secret not in str(refused(Everything, json.dumps(body).encode()).errors)
    shown: list[dict[str, Any]] = [{"kind": long}, {"at": long}, {long: 1}, {"names": {long: ""}}]
    for body in shown:
        assert all(len(f"{error}") < 300 for error in refused(Everything, json.dumps(body).encode()).errors)


def test_no_more_than_a_hundred_problems_are_told() -> None:
    assert len(refused(list[Part], b"[" + b"{}," * 500 + b"{}]").errors) == 100


def test_a_row_held_raw_is_looked_at_when_it_is_decoded() -> None:
    row = decode(Everything, b'{"raw": {"to": "a", "to": "b"}}').raw
    assert problems(refused(Part, bytes(row))) == [("to", "invalid_value")]
    assert decode(Part, msgspec.Raw(b'{"to":"a"}')) == Part(to="a")


@pytest.mark.parametrize(
    ("kind", "raw", "expected"),
    [
        (Link | Tag, b'{"do":"tag","word":"w"}', Tag(word="w")),
        (dict[str, int], b'{"a":1}', {"a": 1}),
        (list[Part], b'[{"to":"x"}]', [Part(to="x")]),
        (frozenset[int], b"[1,1]", frozenset({1})),
    ],
)
def test_any_type_can_be_asked_for(kind: Any, raw: bytes, expected: Any) -> None:
    assert decode(kind, raw) == expected


def test_a_struct_that_holds_itself_is_bounded() -> None:
    deep = b'{"inner":' * 40 + b"{}" + b"}" * 40
    assert problems(refused(Nest, deep)) == [("body", "out_of_range")]
    assert decode(Nest, b'{"inner":{"inner":{}}}').inner == Nest(inner=Nest())


class Nest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    inner: "Nest | None" = None


_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-20, 20)
    | st.floats(0, 2)
    | st.text(max_size=6)
    | st.sampled_from(["a", "small", "link", "tag", "https://x", "2026-01-01T00:00:00Z", str(uuid.UUID(int=5))])
)
_NAMES = st.sampled_from(["do", "to", "url", "word", "a"]) | st.text(max_size=4)
_VALUES = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3), max_leaves=8
)
_FIELDS = [field.encode_name for field in msgspec.structs.fields(Everything)]


def answer(raw: bytes) -> Everything | Refusal:
    try:
        return decode(Everything, raw)
    except Refusal as refusal:
        return refusal


@given(st.dictionaries(st.sampled_from(_FIELDS) | _NAMES, _VALUES, max_size=4) | _VALUES)
def test_whatever_the_decoder_refuses_is_explained_in_our_words(value: Any) -> None:
    raw = json.dumps(value).encode()
    try:
        expected = msgspec.json.decode(raw, type=Everything)
    except msgspec.ValidationError:
        expected = None
    answered = answer(raw)
    if isinstance(answered, Refusal):
        assert expected is None or b"\\u0000" in raw
        assert answered.errors
        for problem in answered.errors:
            assert problem.code in CATALOGUE
            assert problem.detail.startswith(("Expected ", "There is no such field", "The name: ", "NUL "))
            if b"`" not in raw:
                assert "`" not in problem.detail.partition(";")[0]  # which the decoder's own words have
    else:
        assert answered == expected


@given(st.binary(max_size=60) | st.text(max_size=40).map(lambda text: b'{"free":' + text.encode("utf-8", "replace")))
def test_any_bytes_are_answered(raw: bytes) -> None:
    answered = answer(raw)
    assert not isinstance(answered, Refusal) or answered.code in {"invalid_json", "invalid_request"}
