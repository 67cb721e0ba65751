"""Sending notices: by mail, to a webhook, to Slack, as a text; durably, until they are taken or given up.

Jobs are rows of an outbox, whose kinds are channels. Each goes to one recipient, and has the same id in every attempt.
Fails by trying again.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

import msgspec
import structlog

from columba.alerts.collecting import kind_of, recipients
from columba.alerts.room import SQL, Alert
from columba.alerts.shapes import Channel, Email, Slack, Text, Tried, Webhook
from columba.alerts.telling import MARK, Notice, sample, subject_of, text_of
from columba.core import ids, status
from columba.core.accept import Accept
from columba.core.ids import Ids
from columba.core.outbox import Claims, Failed, Outbox, again_in
from columba.core.submission import Caller, Submission
from columba.errors import Refusal
from columba.http.egress import Answer, Egress, EgressError
from columba.mail import Mail, MailError, Relay, send_mail
from columba.store import Row, Step, Store, plan
from columba.vault import Vault, VaultError
from columba.webhooks.signature import decode_secret, sign

PENDING, SENT, FAILED = 0, 1, 2
STATUSES = ("pending", "sent", "failed")
SCHEDULE_S: Final = (30, 60, 300, 900, 1_800, 3_600, 7_200, 14_400, 28_800)  # after each failed attempt
CLAIM_MS: Final = 120_000  # longer than one attempt may take
MOST_OF_A_KIND, MOST_READ = 4, 100  # at once
TIMEOUT_S: Final = 15.0
STOP_S: Final = 5.0
KEPT_MS: Final = 90 * 86_400_000
SWEPT_AT_ONCE: Final = 500

log = structlog.get_logger()
_channel = msgspec.json.Decoder(Channel).decode
_notice = msgspec.json.Decoder(Notice).decode
_encode = msgspec.json.Encoder().encode


class Sending:
    def __init__(
        self,
        store: Store,
        new_id: Ids,
        clock: Callable[[], int],
        random: Callable[[], float],
        vault: Vault,
        egress: Egress,
        relay: Relay | None,
        accept: Callable[[], Accept],
        country: Callable[[int], str | None],
    ) -> None:
        self._store = store
        self._ids = new_id
        self._clock = clock
        self._random = random
        self._vault = vault
        self._egress = egress
        self._relay = relay
        self._accept = accept
        self._country = country
        self.outbox = Outbox(
            "alerts", store, clock, Claims(SQL["due_notices"], SQL["claim_sending"], SQL["sending"]), self._one,
            claim_ms=CLAIM_MS, most_of_a_kind=MOST_OF_A_KIND, most=MOST_OF_A_KIND * 4, most_read=MOST_READ,
        )  # fmt: skip
        self.wake = self.outbox.wake
        self.outcomes: dict[str, float] = {"sent": 0, "retried": 0, "failed": 0}

    # The outbox

    async def step(self) -> None:
        """A chore: begin what is due."""
        self.wake()

    async def _one(self, row: Row) -> None:
        an_id, _, account_id, mode, kind, _, target, text, attempts = row
        now = self._clock()
        due, state, why = now, SENT, ""
        try:
            await self.send(an_id, account_id, mode, _channel(self._vault.open(target)), _notice(text))
        except VaultError as error:
            state, why = FAILED, f"Where to send it can't be read: {error}"
        except Failed as failed:
            why = str(failed)
            log.warning("alert.not_sent", notice=ids.show("ntc", an_id), channel=kind, error=why)
            now = self._clock()
            wait = again_in(SCHEDULE_S, attempts, failed, self._random())
            state = FAILED if wait is None else PENDING
            due = now + int((wait or 0) * 1000)
        await self._store.commit(plan(Step(SQL["settle_notice"], [(an_id, state, due, why or None, self._clock())])))
        self.outcomes[("retried", "sent", "failed")[state]] += 1

    async def sweep(self) -> None:
        """A chore: forget what was told long ago."""
        old = Step(SQL["sweep_notices"], [(ids.first_at(self._clock() - KEPT_MS), SWEPT_AT_ONCE)])
        while True:
            gone = (await self._store.commit(plan(old)))[0]
            if len(gone) < SWEPT_AT_ONCE:
                return
            await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """Wait a little for what is under way; what is left is due again when its claim ends."""
        await self.outbox.stop(STOP_S)

    # Trying

    async def test(self, alert: Alert) -> list[Tried]:
        """Send a sample to everybody, now, once each; what became of it is kept with the notices."""
        now = self._clock()
        told = sample(alert.id, alert.name, alert.account_id, now)
        those = recipients(alert.channels)
        drawn = [self._ids() for _ in those]
        places = asyncio.Semaphore(MOST_OF_A_KIND)
        tried = await asyncio.gather(
            *(
                self._try(an_id, alert, channel, who, told, places)
                for an_id, (channel, who) in zip(drawn, those, strict=True)
            )
        )
        rows = [
            (
                alert.id, an_id, alert.account_id, alert.mode, each.channel, each.recipient, None, _encode(told).decode(),
                SENT if each.ok else FAILED, 1, now, None if each.ok else each.detail, self._clock(),
            )
            for an_id, each in zip(drawn, tried, strict=True)
        ]  # fmt: skip
        await self._store.commit(plan(Step(SQL["insert_notices"], rows)))
        return list(tried)

    async def _try(
        self, an_id: int, alert: Alert, channel: Channel, who: str, told: Notice, places: asyncio.Semaphore
    ) -> Tried:
        ok, detail = True, "It was taken."
        async with places:
            began = asyncio.get_running_loop().time()
            try:
                await self.send(an_id, alert.account_id, alert.mode, channel, told)
            except Failed as failed:
                ok, detail = False, str(failed)
        took = round(1000 * (asyncio.get_running_loop().time() - began))
        return Tried(channel=kind_of(channel), recipient=who, ok=ok, detail=detail, took_ms=took)

    # Out

    async def send(self, an_id: int, account_id: int, mode: int, channel: Channel, told: Notice) -> None:
        """Send a notice to one recipient; Failed if it isn't taken."""
        if isinstance(channel, Email):
            await self._mail(an_id, channel, told)
        elif isinstance(channel, Text):
            await self._text(an_id, account_id, mode, channel, told)
        elif isinstance(channel, Slack):
            answer = await self._post(channel, _encode({"text": text_of(channel, told)}), {})
            _judge_slack(answer)
        else:
            await self._webhook(an_id, channel, told)

    @property
    def mails(self) -> bool:
        """Is there a mail server?"""
        return self._relay is not None

    async def _mail(self, an_id: int, channel: Email, told: Notice) -> None:
        if self._relay is None:
            raise Failed("No mail server is set: the operator sets smtp_url.")
        mail = Mail(ids.show("ntc", an_id), tuple(channel.to), subject_of(channel, told), text_of(channel, told))
        try:
            await send_mail(self._relay, mail, self._clock())
        except MailError as error:
            raise Failed(error.detail, error.final) from None

    async def _text(self, an_id: int, account_id: int, mode: int, channel: Text, told: Notice) -> None:
        asked = Submission(
            channel.to[0], text_of(channel, told)[:1_000], channel.from_, status.TRANSACTIONAL, tags=["alert"],
            metadata={MARK: told.alert}, id=an_id,
        )  # fmt: skip
        caller = Caller(account_id, mode, default_country=self._country(account_id))
        try:
            await self._accept().one(caller, asked)
        except Refusal as refusal:
            why = "; ".join(f"{each.field}: {each.detail}" for each in refusal.errors) or refusal.detail
            raise Failed(f"{refusal.code}: {why}", refusal.kind.http < 500 and refusal.code != "no_route") from None

    async def _webhook(self, an_id: int, channel: Webhook, told: Notice) -> None:
        now = self._clock()
        shown = ids.show("ntc", an_id)
        view = msgspec.to_builtins(told)
        body = _encode(
            {
                "id": shown,
                "type": "alert.notice",
                "timestamp": told.at,
                "account_id": told.account,
                "data": {
                    "alert": {"id": told.alert, "name": told.name},
                    **{name: view[name] for name in ("summary", "opened", "ongoing", "recovered", "test")},
                },
            }
        )
        headers = {"webhook-id": shown, "webhook-timestamp": str(now // 1000)}
        if channel.secret is not None:
            headers["webhook-signature"] = sign(shown, now // 1000, body, [decode_secret(channel.secret)])
        answer = await self._post(channel, body, headers)
        if not 200 <= answer.status < 300:
            raise Failed(f"The server answered {answer.status}.", answer.status == 410, _wait(answer))

    async def _post(self, channel: Webhook | Slack, body: bytes, headers: Mapping[str, str]) -> Answer:
        try:
            return await self._egress.request(
                "POST", channel.url, headers={"content-type": "application/json", **headers}, body=body,
                timeout=TIMEOUT_S, max_answer=2_000,
            )  # fmt: skip
        except EgressError as error:
            raise Failed(error.detail, error.kind in ("invalid_url", "invalid_request")) from None


def _judge_slack(answer: Answer) -> None:
    """It says `ok`; a workspace that is gone, or an address that is none, is no better another time."""
    said = answer.body.decode("utf-8", "replace").strip()[:100]
    if not 200 <= answer.status < 300:
        raise Failed(
            f"Slack answered {answer.status} {said}".rstrip(), answer.status in (400, 403, 404, 410), _wait(answer)
        )
    if said.startswith("{") and '"ok":false' in said.replace(" ", ""):
        raise Failed(f"Slack answered {said}")


def _wait(answer: Answer) -> float:
    text = answer.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdecimal() and len(text) < 9 else 0.0
