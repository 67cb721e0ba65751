"""Where a person stands follows from what they said: the newest word that covers sender and class decides."""

import asyncio

import pytest

from columba.consent import EVERY_CLASS, IF_NEW, IF_NEWER, IF_NOT_OUT, OPT_IN, OPT_OUT, REQUESTED, SQL
from columba.consent.api import suppression
from columba.consent.ledger import Said
from columba.consent.settings import Document
from columba.core import ids, status
from columba.core.contract import Inbound
from columba.core.model import Message
from columba.core.submission import Submission
from columba.privacy.people import SQL as PRIVACY
from columba.senders.room import POOL, Sender
from columba.senders.spec import Spec
from columba.store import Step, plan
from tests.consent.house import OURS, SOMEBODY, House
from tests.core.rig import until

MARKETING, OTP = status.MARKETING, status.OTP
OTHER = "+447700900124"


async def test_who_has_opted_out_is_refused_until_they_opt_in(house: House) -> None:
    assert await house.code() is None
    assert await house.told(OPT_OUT) is not None
    outcome = await house.try_to()
    assert not isinstance(outcome, Message)
    assert (outcome.code, outcome.errors[0].field) == ("opted_out", "to")
    assert await house.code(OTHER) is None
    house.clock.forward(1)
    await house.told(OPT_IN)
    assert await house.code() is None
    assert [row[0] for row in await house.ledger()] == [OPT_IN, OPT_OUT]


async def test_a_batch_loses_only_those_who_opted_out(house: House) -> None:
    await house.told(OPT_OUT)
    outcomes = await house.say_all([Submission(to, "hello") for to in (OTHER, SOMEBODY, "+447700900125")])
    assert [isinstance(each, Message) for each in outcomes] == [True, False, True]


# What was said, each a (ms later, action, sender, class); then (sender, class) and whether it may be sent.
CASES: dict[str, tuple[list[tuple[int, str, int]], list[tuple[str | None, int, bool]]]] = {
    "an opt-out for one sender": (
        [(OPT_OUT, OURS, EVERY_CLASS)],
        [(OURS, OTP, False), ("+12025550199", OTP, True), (None, OTP, True)],
    ),
    "an opt-out of one class": ([(OPT_OUT, "", MARKETING)], [(None, MARKETING, False), (None, OTP, True)]),
    "an opt-in after it for part of it": (
        [(OPT_OUT, "", EVERY_CLASS), (OPT_IN, "", MARKETING)],
        [(None, MARKETING, True), (None, OTP, False)],
    ),
    "an opt-out of all voids what was said of parts": (
        [(OPT_IN, OURS, MARKETING), (OPT_OUT, "", EVERY_CLASS)],
        [(OURS, MARKETING, False), (None, OTP, False)],
    ),
    "an opt-in to all voids opt-outs of parts": (
        [(OPT_OUT, OURS, MARKETING), (OPT_OUT, "", OTP), (OPT_IN, "", EVERY_CLASS)],
        [(OURS, MARKETING, True), (None, OTP, True)],
    ),
    "the newest of two that overlap": (
        [(OPT_IN, "", MARKETING), (OPT_OUT, OURS, EVERY_CLASS)],
        [(OURS, MARKETING, False), (None, MARKETING, True), (OURS, OTP, False)],
    ),
    "and the other way round": (
        [(OPT_OUT, OURS, EVERY_CLASS), (OPT_IN, "", MARKETING)],
        [(OURS, MARKETING, True), (OURS, OTP, False)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
async def test_the_newest_word_that_covers_it_decides(laptop: House, name: str) -> None:
    said, wanted = CASES[name]
    await laptop.told(OPT_IN, at=laptop.clock() - 1_000)  # marketing needs one
    for action, sender, klass in said:
        laptop.clock.forward(10)
        await laptop.told(action, sender=sender, klass=klass)
    for whose, klass, may in wanted:
        assert (await laptop.code(sender=whose, klass=klass) is None) is may, (whose, klass)


async def test_marketing_needs_an_opt_in_where_the_account_says_so(house: House) -> None:
    assert await house.code(klass=MARKETING) == "consent_required"
    assert await house.code() is None
    await house.told(OPT_IN, klass=MARKETING)
    assert await house.code(klass=MARKETING) is None
    await house.set(house.consent.policy, Document(marketing="unless_opted_out"))
    assert await house.code(OTHER, klass=MARKETING) is None
    await house.set(house.consent.policy, Document(transactional="always", otp="opt_in"))
    await house.told(OPT_OUT, OTHER)
    assert await house.code(OTHER) is None
    assert await house.code(klass=OTP) == "consent_required"


async def test_accounts_and_modes_are_apart(house: House) -> None:
    await house.told(OPT_OUT)
    assert await house.code(account=2) is None
    await house.told(OPT_OUT, OTHER, mode=status.TEST)
    assert await house.code(OTHER) is None


async def test_what_is_older_changes_nothing_that_is_newer(house: House) -> None:
    await house.told(OPT_OUT)
    await house.told(OPT_IN, at=house.clock() - 86_400_000)
    assert await house.code() == "opted_out"
    assert len(await house.ledger()) == 2


@pytest.mark.parametrize(
    ("only_if", "before", "after", "recorded"),
    [
        (IF_NEWER, -1, None, True), (IF_NEWER, 1, None, False), (IF_NOT_OUT, -1, None, False),
        (IF_NOT_OUT, None, None, True), (IF_NEWER, None, -1, True), (IF_NEWER, None, 1, False),
    ],
)  # fmt: skip
async def test_opt_ins_of_files_overrule_only_what_they_may(
    laptop: House, only_if: int, before: int | None, after: int | None, recorded: bool
) -> None:
    """`before` and `after` are when an opt-out, or an opt-in, was known: relative to what the file says."""
    now = laptop.clock()
    if before is not None:
        await laptop.told(OPT_OUT, at=now + before)
    if after is not None:
        await laptop.told(OPT_IN, at=now + after)
    assert (await laptop.told(OPT_IN, at=now, only_if=only_if) is not None) is recorded


async def test_an_opt_out_that_is_known_is_not_recorded_again_from_files(house: House) -> None:
    assert await house.told(OPT_OUT, only_if=IF_NEW) is not None
    assert await house.told(OPT_OUT, only_if=IF_NEW) is None
    assert await house.told(OPT_OUT, only_if=IF_NEW, sender=OURS) is None


async def test_a_thousand_at_once_with_repetitions(house: House) -> None:
    numbers = [f"+4477009{n % 400:05d}" for n in range(1_000)]
    said = [
        Said(1, status.LIVE, number, OPT_OUT if n % 3 else OPT_IN, "import", house.clock() + n, quiet=True)
        for n, number in enumerate(numbers)
    ]
    assert None not in await house.consent.ledger.record(said)
    last = {each.number: each.action for each in said}
    for number in list(last)[::37]:
        assert (await house.code(number) == "opted_out") is (last[number] == OPT_OUT)


# Keywords


async def test_a_stop_is_recorded_answered_once_and_kept(house: House) -> None:
    first = await house.hears("Stop!")
    await until(lambda: bool(house.network.sent))
    assert "unsubscribed" in house.network.sent[0].part.text
    assert (house.network.sent[0].part.to, house.network.sent[0].part.sender) == (SOMEBODY, OURS)
    assert await house.code() == "opted_out"
    await house.hears("STOP")
    await house.past(OTHER)
    assert len(house.network.to(SOMEBODY)) == 1
    (again, one) = await house.ledger()
    assert one == (OPT_OUT, "", EVERY_CLASS, "keyword")
    assert again == one
    rows = await house.store.read(SQL["ledger"], account_id=1, mode=status.LIVE, before=(1 << 63) - 1, most=10)
    assert [row[11] for row in rows][-1] == first.id


async def test_a_text_that_the_carrier_brings_twice_stops_once(house: House) -> None:
    text = Inbound(SOMEBODY, OURS, "stop", carrier_message_id="abc")
    north = house.carriers[64]
    await asyncio.gather(*(house.receive.inbound(north, [text], 1) for _ in range(3)))
    assert len(await house.ledger()) == 1
    await house.past(OTHER)
    assert len(house.network.to(SOMEBODY)) == 1


async def test_start_brings_back_and_is_answered(house: House) -> None:
    await house.hears("stop")
    house.clock.forward(1)
    await house.hears("START")
    assert await house.code() is None
    await until(lambda: len(house.network.to(SOMEBODY)) == 3)
    assert "again" in house.network.to(SOMEBODY)[1] + house.network.to(SOMEBODY)[0]


async def test_help_is_answered_and_changes_nothing(house: House) -> None:
    await house.hears("help")
    await until(lambda: bool(house.network.sent))
    assert "STOP" in house.network.sent[0].part.text
    assert await house.ledger() == []
    await house.hears("HELP")  # at once again, as a machine would
    await house.past(OTHER)
    assert len(house.network.to(SOMEBODY)) == 1
    house.clock.forward(61_000)
    await house.hears("HELP")
    await until(lambda: len(house.network.to(SOMEBODY)) == 2)


async def test_a_word_that_means_much_counts_only_after_an_opt_out(house: House) -> None:
    await house.hears("yes")
    assert await house.ledger() == []
    await house.hears("stop")
    house.clock.forward(1)
    await house.hears("Yes!")
    assert [row[0] for row in await house.ledger()] == [OPT_IN, OPT_OUT]
    assert await house.code() is None


async def test_rules_see_no_stop_and_every_yes(house: House) -> None:
    from columba.core.inbound import Heard

    class Rules:
        def __init__(self) -> None:
            self.saw: list[str | None] = []

        def steps(self, heard: list[Heard], at: int) -> list[Step]:
            self.saw += [each.message.text for each in heard if not each.handled]
            return []

        def published(self, *_: object) -> None:
            pass

    rules = Rules()
    house.receive.inbox._followers = (house.consent.follower, rules)  # type: ignore[assignment]
    for text in ("stop", "Yes", "stop by the shop", "help"):
        await house.hears(text)
    assert rules.saw == ["Yes", "stop by the shop"]


async def test_a_stop_may_be_to_one_sender(house: House) -> None:
    await house.set(house.consent.policy, Document(stop_scope="sender"))
    await house.hears("stop")
    assert await house.code(sender=OURS) == "opted_out"
    assert await house.code(sender="+12025550199") is None


async def test_an_opt_in_that_has_to_be_confirmed(house: House) -> None:
    await house.told(REQUESTED, klass=MARKETING, reply=(OURS, "confirm", "Reply YES to confirm."))
    await until(lambda: house.network.to(SOMEBODY) == ["Reply YES to confirm."])
    assert await house.code(klass=MARKETING) == "consent_required"
    house.clock.forward(1)
    await house.hears("yes")
    assert await house.code(klass=MARKETING) is None
    assert (await house.ledger())[0] == (OPT_IN, "", MARKETING, "keyword")
    house.clock.forward(8 * 86_400_000)
    await house.told(REQUESTED, OTHER, klass=MARKETING)
    house.clock.forward(8 * 86_400_000)
    await house.hears("yes", OTHER)  # too late
    assert await house.code(OTHER, klass=MARKETING) == "consent_required"


async def test_what_the_carrier_refuses_is_recorded(house: House) -> None:
    from columba.core.contract import Outcome

    house.network.answer = lambda _part: Outcome("failed", None, "opted_out", "21610")
    message = await house.say(sender=OURS)
    await house.reaches(message, "failed")

    async def recorded() -> bool:
        return bool(await house.ledger())

    await until(recorded)
    assert await house.ledger() == [(OPT_OUT, OURS, EVERY_CLASS, "carrier")]
    assert await house.code(sender=OURS) == "opted_out"


async def test_a_person_is_erased_and_stays_suppressed(house: House) -> None:
    await house.told(OPT_OUT, words="leave me alone")
    row = (1, status.LIVE, house.consent.ledger.hashes(SOMEBODY), SOMEBODY)
    await house.store.commit(plan(Step(PRIVACY["erase_consents"], [row])))
    assert await house.code() == "opted_out"
    rows = await house.store.read(
        SQL["suppressions"], account_id=1, mode=status.LIVE, before=(1 << 63) - 1, hash=0, most=10
    )
    (shown,) = map(suppression, rows)
    assert shown.number is None


async def test_a_carrier_that_keeps_opt_outs_has_answered_itself(house: House) -> None:
    north = house.carriers[64]
    await house.receive.inbound(north, [Inbound(SOMEBODY, OURS, "Unusual word", opt_out="stop")], 1)
    assert await house.ledger() == [(OPT_OUT, "", EVERY_CLASS, "carrier")]
    await house.past(OTHER)
    assert not house.network.to(SOMEBODY)
    assert await house.code() == "opted_out"


def pool_of(*values: str) -> dict[int, Sender]:
    senders = {
        n: Sender(n, 1, status.LIVE, "number", value, True, Spec(), 1, 0, 0) for n, value in enumerate(values, 1)
    }
    return {**senders, 99: Sender(99, 1, status.LIVE, POOL, "the shop", True, Spec(members=tuple(senders)), 1, 0, 0)}


async def test_a_word_on_a_pool_is_one_on_each_of_its_senders(house: House) -> None:
    house.pool_members = pool_of(OURS, "+12025550101")
    pool = ids.show("pool", 99)
    house.pause()
    waiting, other = await house.say(sender="+12025550101"), await house.say(sender="+12025550109")
    await house.told(OPT_OUT, sender=pool)
    assert await house.code(sender=OURS) == "opted_out"
    assert await house.code(sender="+12025550109") is None
    await house.reaches(waiting, "failed")
    house.pause(False)
    await house.reaches(other, "sent")
    house.pool_members = pool_of(OURS)  # the other has left it
    assert await house.code(sender="+12025550101") is None


async def test_a_stop_may_be_to_a_pool(house: House) -> None:
    house.pool_members = pool_of(OURS, "+12025550101")
    await house.set(house.consent.policy, Document(stop_scope="pool"))
    await house.hears("stop")
    assert await house.code(sender="+12025550101") == "opted_out"
    assert await house.code(sender="+12025550109") is None
    house.clock.forward(1)
    await house.hears("start")
    assert await house.code(sender="+12025550101") is None


async def test_who_is_asked_to_confirm_needs_no_opt_in_for_that(laptop: House) -> None:
    await laptop.set(laptop.consent.policy, Document(transactional="opt_in"))
    await laptop.told(REQUESTED, reply=(OURS, "confirm", "Reply YES to confirm."))
    await until(lambda: laptop.network.to(SOMEBODY) == ["Reply YES to confirm."])
    await laptop.told(OPT_OUT, OTHER)
    laptop.clock.forward(1)
    await laptop.told(REQUESTED, OTHER, reply=(OURS, "confirm", "Reply YES to confirm."))
    await laptop.told(OPT_IN, "+447700900125")
    await laptop.past("+447700900125")
    assert not laptop.network.to(OTHER)
