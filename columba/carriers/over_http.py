"""What a carrier that is called over HTTP is made of: pure functions, and the words that they share.

A kind is one file: a configuration (`Api`), `request` (what is sent for a part), `answer` (what became of it), `parse`
(what a callback says, once its signature is right), and tables of the provider's statuses and errors. It knows nothing
of sessions, retries, lanes or the store; `columba/carriers/http_session.py` carries the requests out.

`answer` may fail with ValueError, LookupError, TypeError or AttributeError on what it can't read; `parse` too, and with
`Unsigned`. `request` fails with `Unsendable` for what the provider can't be asked at all.
"""

import base64
import contextlib
import hmac
from collections.abc import Callable, Iterable, Mapping
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeVar
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

import msgspec
from msgspec import Meta

from columba.carriers import CarrierKind
from columba.core import status
from columba.core.contract import CAN, Can, Cut, Inbound, Outcome, OutcomeKind, Part, Receipt
from columba.http.egress import Answer

WHOLE: Final = Cut(whole=True)  # the provider cuts long texts and joins their parts' fates
WINDOW: Final = 100
MOST_WAIT_MS: Final = 3_600_000
TOLERANCE_S: Final = 300  # how old what was signed may be
JSON: Final = {"Content-Type": "application/json", "Accept": "application/json"}
FORM: Final = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}

encode = msgspec.json.Encoder().encode
T = TypeVar("T")


# -- Configuration

Url = Annotated[str, Meta(max_length=500, pattern="^https?://[^ ]+$")]


class Api(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every such carrier can be set: the API's address, whom texts are from, how long an answer may take."""

    base_url: Annotated[Url, Meta(description="Where the API is.")] = ""
    sender: Annotated[str, Meta(max_length=20, description="What a message comes from that names no sender.")] = ""
    timeout: Annotated[float, Meta(gt=0, le=120, description="Seconds that an answer may take.")] = 30.0

    @property
    def elsewhere(self) -> bool:
        """Is it aimed at another server than the provider's own?"""
        usual = {field.name: field.default for field in msgspec.structs.fields(type(self))}
        return self.base_url != str(usual["base_url"])

    def __repr__(self) -> str:
        """Without what is secret: a trace may show it."""
        return f"{type(self).__module__}.Config({self.base_url!r})"

    def __rich_repr__(self) -> list[tuple[str, str]]:
        return [("base_url", self.base_url)]

    def at(self, path: str) -> str:
        return self.base_url.rstrip("/") + path


# -- Out


class Request(NamedTuple):
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""


class Way(NamedTuple):
    """What a request is made with besides: the time, and where callbacks come in ("" where nobody could reach us)."""

    now: int
    callbacks: str = ""

    def callback(self, name: str) -> str:
        return f"{self.callbacks}/{name}" if self.callbacks else ""


class Unsendable(Exception):
    """The provider can't be asked for this; the text says why."""


class Meaning(NamedTuple):
    """What an error of the provider's means for us: what to do about it, and one of FAILURES (columba/core/model.py)."""

    kind: OutcomeKind
    error: str

    def outcome(self, code: str, **more: Any) -> Outcome:
        return Outcome(self.kind, None, self.error, code[:200], **more)


Errors = Mapping[str, Meaning]

# The closed set. `reroute`: not this carrier, perhaps another. `retry` with carrier_unavailable: the account is in
# trouble, not the message, so the carrier is given a rest.
NO_SUCH_NUMBER: Final = Meaning("failed", "unknown_number")
UNREACHABLE: Final = Meaning("failed", "unreachable")
FILTERED: Final = Meaning("failed", "filtered")
OPTED_OUT: Final = Meaning("failed", "opted_out")
REJECTED: Final = Meaning("failed", "rejected")
NOT_HERE: Final = Meaning("reroute", "rejected")
EXPIRED: Final = Meaning("failed", "expired")
TROUBLE: Final = Meaning("retry", "carrier_failed")
ACCOUNT: Final = Meaning("retry", "carrier_unavailable")
TOO_FAST: Final = Meaning("throttled", "throttled")
NOBODY_KNOWS: Final = Meaning("unknown", "no_answer")


def table(meanings: Mapping[Meaning, str]) -> Errors:
    """Errors by their codes, from codes by their meaning."""
    return {code: meaning for meaning, codes in meanings.items() for code in codes.split()}


def by_status(number: int, said: str = "") -> Outcome:
    """What an answer means whose body says nothing that we know."""
    return _BY_STATUS.get(number, _BY_CLASS.get(number // 100, TROUBLE)).outcome(said or f"HTTP {number}")


_BY_STATUS: Final = {
    402: ACCOUNT, 401: ACCOUNT, 403: ACCOUNT, 404: ACCOUNT, 405: ACCOUNT, 407: ACCOUNT, 410: ACCOUNT, 408: NOBODY_KNOWS,
    409: REJECTED, 425: TROUBLE, 429: TOO_FAST, **dict.fromkeys((502, 504, 520, 524, 598, 599), NOBODY_KNOWS),
}  # fmt: skip
# A success that can't be read may be one: asking again might send it twice. 502, 504 and their like come from what stands
# before the provider's server, which had no answer itself.
_BY_CLASS: Final = {2: NOBODY_KNOWS, 3: ACCOUNT, 4: REJECTED, 5: TROUBLE}


def wait_ms(answer: Answer, now: int) -> int:
    """Retry-After, as seconds or as a date (RFC 9110 §10.2.3)."""
    said = answer.header("retry-after")
    if not said:
        return 0
    try:
        ms = int(said) * 1000 if said.isdigit() else int(parsedate_to_datetime(said).timestamp() * 1000) - now
    except (ValueError, OverflowError):
        return 0
    return min(max(ms, 0), MOST_WAIT_MS)


def sender_of(config: Api, part: Part) -> str:
    return part.sender or config.sender


def seconds_left(part: Part, now: int, least: int, most: int) -> int | None:
    """How long a message is still valid, where that is less than the provider's own longest."""
    if not part.expires_at:
        return None
    left = (part.expires_at - now) // 1000
    return None if left >= most else max(left, least)


def dlt(part: Part, entity: str, template: str) -> dict[str, str]:
    """What India's registration asks for, under a provider's names."""
    given = part.registration or {}
    names = {"dlt_entity_id": entity, "dlt_template_id": template}
    return {theirs: given[ours] for ours, theirs in names.items() if given.get(ours)}


def digits(number: str) -> str:
    return number.removeprefix("+")


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def form(pairs: Iterable[tuple[str, str]]) -> bytes:
    return urlencode([*pairs]).encode()


# -- In


class Unsigned(Exception):
    """A callback that is not proven to be the provider's: 403, and nothing is kept."""


def never(_nonce: str) -> bool:
    return False


class Callback(NamedTuple):
    """A request of the provider's.

    name: the last step of the address, one of the kind's `callbacks`
    urls: how the provider may have written the address, the likeliest first (signatures are made over it)
    used: whether this nonce came before with another body
    """

    name: str
    method: str
    urls: tuple[str, ...]
    query: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    now: int
    used: Callable[[str], bool] = never

    @property
    def media_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def header(self, name: str) -> str:
        return self.headers.get(name, "")

    def pairs(self) -> list[tuple[str, str]]:
        """A form's fields, or the query's where there is no form."""
        text = self.body.decode() if self.body else self.query
        return parse_qsl(text, keep_blank_values=True, max_num_fields=500)

    def fields(self) -> dict[str, str]:
        """The fields of a form, a query, or a flat JSON object."""
        if self.body and self.media_type.endswith("json"):
            found = msgspec.json.decode(self.body, type=dict[str, Any])
            return {name: value if isinstance(value, str) else _text(value) for name, value in found.items()}
        return dict(self.pairs())

    def read(self, shape: type[T]) -> T:
        """The JSON body."""
        return msgspec.json.decode(self.body, type=shape, strict=False)

    def asked(self, name: str) -> str:
        """A parameter of the address."""
        return dict(parse_qsl(self.query, max_num_fields=100)).get(name, "")


def _text(value: Any) -> str:
    return "" if value is None else encode(value).decode()


class Reply(NamedTuple):
    """What the provider wants to hear."""

    status: int = 200
    body: bytes = b""
    media_type: str = "text/plain"


DONE: Final = Reply()
NO_CONTENT: Final = Reply(204)


class Said(NamedTuple):
    """What a callback says. `strange` is a word of it that we don't know, for the log."""

    receipts: tuple[Receipt, ...] = ()
    inbound: tuple[Inbound, ...] = ()
    reply: Reply = DONE
    strange: str = ""


def receipt(an_id: str, became: int, now: int, errors: Errors, code: str = "") -> Receipt:
    """A provider's word on a message; `rejected` where the code of a failure is not one that we know."""
    if became == status.DELIVERED:
        return Receipt(an_id, became, None, None, now)
    meaning = errors.get(code)
    error = _FAILURE.get(became) or (meaning.error if meaning is not None else "rejected")
    return Receipt(an_id, became, error, code[:200] if code else None, now)


def told(
    an_id: str,
    word: str,
    statuses: Mapping[str, int | None],
    now: int,
    errors: Errors,
    code: str = "",
    reply: Reply = DONE,
) -> Said:
    """What a word of the provider's for a message's state says."""
    if word not in statuses:
        return Said(reply=reply, strange=word[:100])
    became = statuses[word]
    return Said((receipt(an_id, became, now, errors, code),) if became is not None else (), reply=reply)


_FAILURE: Final = {status.EXPIRED: "expired", status.CANCELED: "deleted", status.UNKNOWN: "no_receipt"}


def same(a: str, b: str) -> bool:
    """In a time that tells nothing of where they differ."""
    return hmac.compare_digest(a.encode("utf-8", "replace"), b.encode("utf-8", "replace"))


def check_secret(callback: Callback, secret: str | None) -> None:
    """For providers that sign nothing: a secret in the address, or as the password of Basic authentication."""
    if not secret:
        raise Unsigned("Callbacks of this carrier are refused: its callback_secret is not set.")
    given = callback.asked("secret")
    scheme, _, credentials = callback.header("authorization").partition(" ")
    if not given and scheme.lower() == "basic":
        with contextlib.suppress(ValueError):
            given = base64.b64decode(credentials).decode("utf-8", "replace").partition(":")[2]
    if not same(given, secret):
        raise Unsigned("The secret is missing or wrong.")


def number(raw: str) -> str:
    """A number as providers write it, with or without its plus; names and short codes as they are."""
    return f"+{raw}" if raw.isdigit() and len(raw) > 8 and raw[0] != "0" else raw


# -- A kind


class About(NamedTuple):
    """What the documentation tells of a kind, and its tables.

    statuses: the provider's words, and what they are here (a number of columba.core.status; None: nothing yet)
    errors: its tables of errors, by where they stand
    signed: how its callbacks are proven to be its own
    """

    title: str
    signed: str
    statuses: Mapping[str, int | None]
    errors: Mapping[str, Errors]
    notes: str = ""


class Heart(NamedTuple):
    """The pure functions of a kind. `probe` is a request that changes nothing, to try a configuration out with."""

    request: Callable[[Any, Part, Way], Request]
    answer: Callable[[Any, Part, Answer], Outcome]
    probe: Callable[[Any], Request | None]


def http_kind(
    name: str,
    config: type[Any],
    *,
    request: Callable[[Any, Part, Way], Request],
    answer: Callable[[Any, Part, Answer], Outcome],
    parse: Callable[[Any, Callback], Said],
    about: About,
    probe: Callable[[Any], Request | None] = lambda _config: None,
    callbacks: tuple[str, ...] = ("status", "inbound"),
    can: Callable[[Any], Can] = lambda _config: CAN,
    cut: Callable[[Any], Cut] = lambda _config: WHOLE,
    urls: Callable[[Any], Mapping[str, str]] = lambda config: {"base_url": config.base_url},
    window: int = WINDOW,
    fetch: Callable[[Any], Mapping[str, str]] = lambda _config: {},
    domains: tuple[str, ...] = (),
) -> CarrierKind:
    """`fetch` are the credentials for media: they go to the API's own address, and to `domains` over TLS."""
    from columba.carriers.http_session import HttpSession

    heart = Heart(request, answer, probe)
    return CarrierKind(
        name, config, lambda carrier, _n, air: HttpSession(heart, carrier, air), window=window, serial=True,
        callbacks=callbacks, cut=cut, can=can, parse=parse, about=about, urls=urls,
        fetch=lambda config, url: fetch(config) if belongs(url, urls(config).values(), domains) else {},
    )  # fmt: skip


def belongs(url: str, homes: Iterable[str], domains: Iterable[str] = ()) -> bool:
    """Is it the provider's? Credentials go nowhere else, whatever a callback says and wherever it leads."""
    there = urlsplit(url)
    if _origin(there) in [_origin(urlsplit(home)) for home in homes]:
        return True
    return there.scheme == "https" and any(f".{there.hostname}".endswith(f".{domain}") for domain in domains)


def _origin(parts: SplitResult) -> tuple[str, str]:
    return parts.scheme.lower(), parts.netloc.lower()


Alphabet = Literal["gsm7", "ucs2"]
