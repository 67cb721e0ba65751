"""What is known of a sender besides its value, as the column `spec` holds it, and the rules of countries.

Pure data and what follows from it: whether a sender may send to a country, and how fast.
"""

import csv
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, field

Kind = Literal["number", "short_code", "name"]
Capability = Literal["sms", "mms"]
Names = Literal["allowed", "registered", "refused"]
Status = Literal["pending", "in_review", "approved", "failed", "suspended"]
CampaignClass = Literal["A", "B", "C", "D", "E", "F", "T"]

Short = Annotated[str, Meta(max_length=200)]
Long = Annotated[str, Meta(max_length=4_000)]

# AT&T: parts a minute of a 10DLC campaign, by its class.
PACES: Final[Mapping[str, int]] = {"A": 4_500, "B": 4_500, "C": 2_400, "D": 2_400, "E": 240, "F": 240, "T": 75}


class Brand(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A 10DLC brand.

    id: its id at The Campaign Registry
    """

    id: Short = ""
    name: Short = ""
    status: Status = "approved"
    score: Annotated[int, Meta(ge=0, le=100)] | None = None


class Campaign(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A 10DLC campaign.

    class: decides the pace at AT&T: from A (75 parts a second) to T (75 a minute)
    message_flow: how people opt in
    """

    id: Short = ""
    status: Status = "approved"
    use_case: Short = ""
    class_: CampaignClass | None = field(name="class", default=None)
    description: Long = ""
    message_flow: Long = ""
    samples: Annotated[tuple[Long, ...], Meta(max_length=10)] = ()


class TenDlc(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """The registration of a US long code."""

    brand: Brand = Brand()
    campaign: Campaign = Campaign()


class DltTemplate(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A content template as it is registered in India; `{#var#}` stands for what varies."""

    id: Annotated[str, Meta(pattern="^[0-9]{1,20}$")]
    text: Annotated[str, Meta(min_length=1, max_length=2_000)]


class Dlt(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """The registration of a header in India."""

    entity_id: Annotated[str, Meta(pattern="^[0-9]{1,20}$")]
    templates: Annotated[tuple[DltTemplate, ...], Meta(max_length=1_000)] = ()


class Registration(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What authorities and networks know of a sender.

    countries: those with a register of names, where this one is in it
    """

    ten_dlc: TenDlc | None = None
    dlt: Dlt | None = None
    countries: Annotated[tuple[Annotated[str, Meta(pattern="^[A-Z]{2}$")], ...], Meta(max_length=250)] = ()


class Spec(msgspec.Struct, frozen=True, omit_defaults=True):
    """Of a sender, or (`members`) of a pool. `carriers` are those that it is set up at; none are all."""

    description: str = ""
    capabilities: tuple[Capability, ...] = ("sms",)
    countries: tuple[str, ...] = ()
    carriers: tuple[int, ...] = ()
    default_for: tuple[str, ...] = ()
    registration: Registration = Registration()
    rate: float | None = None
    members: tuple[int, ...] = ()
    sticky: bool = True
    local: bool = True


class Rule(msgspec.Struct, frozen=True):
    """What a country says of names as senders. Who says so, and when that was looked up, is kept with it."""

    names: Names
    source: str
    date: str


ANYTHING: Final = Rule("allowed", "", "")


@cache
def shipped() -> Mapping[str, Rule]:
    """The rules that Columba comes with."""
    with Path(__file__).with_name("countries.csv").open(newline="") as file:
        return {
            row["country"]: msgspec.convert({"names": row["names"], "source": row["source"], "date": row["date"]}, Rule)
            for row in csv.DictReader(file)
        }


def pace(spec: Spec) -> float | None:
    """Parts a second; None for as fast as its carrier goes."""
    campaign = spec.registration.ten_dlc.campaign if spec.registration.ten_dlc is not None else None
    if spec.rate is not None:
        return spec.rate
    return PACES[campaign.class_] / 60 if campaign is not None and campaign.class_ is not None else None


def why_not(kind: str, value: str, spec: Spec, country: str, rule: Rule) -> str:
    """Why a sender may not send to a country; "" if it may."""
    if spec.countries and country not in spec.countries:
        return f"{value} is set up for {', '.join(spec.countries)} only."
    if kind == "name" and (no := name_refused(value, country, rule, spec.registration)):
        return no
    registered = spec.registration.ten_dlc
    if registered is not None and country in ("US", "PR"):
        for what, status in (("brand", registered.brand.status), ("campaign", registered.campaign.status)):
            if status != "approved":
                return f"The 10DLC {what} of {value} is {status.replace('_', ' ')}."
    return ""


def name_refused(value: str, country: str, rule: Rule, registration: Registration | None = None) -> str:
    if rule.names == "refused":
        return f"A name can't send to {country}: use a number or a short code."
    if rule.names == "registered" and registration is not None:
        known = country in registration.countries or (country == "IN" and registration.dlt is not None)
        if not known:
            return f"Names must be registered in {country}, and {value} is not."
    return ""
